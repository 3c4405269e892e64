"""What is counted, timed and kept of a method's cost."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from evaluate.cli import app
from evaluate.efficiency.memory import added_peak
from evaluate.efficiency.passes import count_flops
from evaluate.efficiency.prompts import prompt_of_length, with_random_weights
from evaluate.efficiency.result import Cost, Efficiency
from evaluate.efficiency.run import ROWS, efficiency
from evaluate.efficiency.table import as_markdown, plot
from evaluate.errors import LengthError, ReportError
from evaluate.tasks.task import Example, Task
from heat import LanguageModel

run_module = sys.modules["evaluate.efficiency.run"]
METHODS = ["gradient-norm", "occlusion", "random"]


@pytest.fixture
def task(examples: list[Example]) -> Task:
    return Task(name="made", source="by hand", examples=tuple(examples))


def measure(task: Task, lm: LanguageModel, out: Path, **options: object) -> Efficiency:
    arguments = {"methods": METHODS, "lengths": [24, 40], "repeats": 2} | options
    return efficiency(task, lm, out=out, **arguments)  # type: ignore[arg-type]


def test_a_product_of_matrices_is_counted_by_hand() -> None:
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    assert count_flops(lambda: a @ b) == 2 * 3 * 5 * 7


def test_a_gradient_of_the_input_alone_costs_as_much_again() -> None:
    layer = nn.Linear(5, 7, bias=False).requires_grad_(False)

    def work() -> None:
        x = torch.ones(3, 5, requires_grad=True)
        torch.autograd.grad(layer(x).square().sum(), x)

    assert count_flops(work) == 2 * (2 * 3 * 5 * 7)


def test_fused_attention_counts_its_two_products_with_grouped_heads_too() -> None:
    q = torch.ones(2, 4, 6, 8)
    for heads in (4, 2):
        k = torch.ones(2, heads, 6, 8)
        found = count_flops(lambda k=k: nn.functional.scaled_dot_product_attention(q, k, k, enable_gqa=True))
        assert found == 2 * (2 * 2 * 4 * 6 * 6 * 8)


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a peak that can be set back"
)
def test_the_peak_is_what_was_held_for_a_while() -> None:
    size = 64 * 2**20

    def work() -> None:
        torch.ones(size // 4).sum()

    found = added_peak(work, torch.device("cpu"))
    assert found is not None
    assert 0.98 * size < found < 1.5 * size  # the kernel counts pages a batch at a time
    again = added_peak(lambda: None, torch.device("cpu"))
    assert again is not None
    assert again < size / 4


@pytest.mark.parametrize("length", [12, 40, 150])
def test_a_text_has_the_length_that_was_asked_for_and_ends_with_a_question(
    lm: LanguageModel, examples: list[Example], length: int
) -> None:
    found = prompt_of_length(lm, examples, length, seed=1)
    assert len(found.token_ids) == length
    assert found.n_targets == 1
    assert any(each.prompt[-9:] in found.text for each in examples)
    assert found.token_ids == prompt_of_length(lm, examples, length, seed=1).token_ids


def test_a_length_beyond_the_context_is_refused_with_what_to_do(
    lm: LanguageModel, examples: list[Example]
) -> None:
    with pytest.raises(LengthError, match=r"takes 256.*--random-weights 257"):
        prompt_of_length(lm, examples, 257)
    longer = with_random_weights(lm, 400)
    assert len(prompt_of_length(longer, examples, 300).token_ids) == 300
    assert "random weights" in longer.name
    assert lm.context_length == 256


def test_ratios_and_medians_are_those_of_the_turns() -> None:
    cost = Cost(
        key="k",
        method="m",
        config={},
        tokens=9,
        seconds=(1.0, 4.0, 2.0),
        forward_seconds=(0.5, 1.0, 2.0),
        predicted=3,
    )
    assert cost.seconds_per_1000 == 2000
    assert cost.ratios == (2.0, 4.0, 1.0)
    assert cost.ratio == 2.0


def test_costs_are_counted_and_nothing_is_measured_twice(
    task: Task, lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measure(task, lm, tmp_path)
    rows = {(row.tokens, row.method): row for row in found.rows}
    assert set(rows) == {(tokens, name) for tokens in (24, 40) for name in METHODS}
    for tokens in (24, 40):
        # A pass for the log-probability; a gradient is a pass there and one back; occlusion masks every token.
        assert rows[tokens, "random"].counted == pytest.approx(1)
        assert rows[tokens, "gradient-norm"].counted == pytest.approx(3, rel=0.2)
        assert rows[tokens, "occlusion"].counted == pytest.approx(tokens, rel=0.2)
        assert rows[tokens, "occlusion"].predicted == tokens + 1
    assert all(len(row.seconds) == len(row.forward_seconds) == 2 for row in found.rows)

    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "_measure", refuse)
        assert measure(task, lm, tmp_path).rows == found.rows
    # A block cut off by a kill is measured whole, the other is kept.
    lines = (tmp_path / ROWS).read_text().splitlines(keepends=True)
    (tmp_path / ROWS).write_text("".join(lines[:4]) + lines[4][:20])
    again = measure(task, lm, tmp_path)
    kept = {row.method: row for row in again.rows if row.tokens == 24}
    assert all(kept[name] == rows[24, name] for name in METHODS)
    assert {row.method for row in again.rows if row.tokens == 40} == set(METHODS)
    assert json.loads((tmp_path / "efficiency.json").read_text())["repeats"] == 2
    assert len((tmp_path / "efficiency.csv").read_text().splitlines()) == 7


def test_what_would_take_too_long_is_named_and_left_out(
    task: Task, lm: LanguageModel, tmp_path: Path
) -> None:
    found = measure(task, lm, tmp_path, lengths=[24], budget=0.0)
    assert all("more than the budget" in row.skipped and row.ratio is None for row in found.rows)
    page = as_markdown(found)
    assert "Not measured at 24 tokens: random" in page


def test_the_picture_is_drawn_and_a_strange_ending_refused(
    task: Task, lm: LanguageModel, tmp_path: Path
) -> None:
    found = measure(task, lm, tmp_path, repeats=1)
    assert "</svg>" in plot(found, tmp_path / "cost.svg").read_text()
    with pytest.raises(ReportError, match=r"no picture is written as '.doc'"):
        plot(found, tmp_path / "cost.doc")


def test_the_command_prints_json_alone_and_refuses_in_one_line(
    lm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["efficiency", "--model", str(lm_folder), "--method", "random", "--repeats", "1", "--json"]
    done = CliRunner().invoke(app, [*arguments, "--length", "32"])
    assert done.exit_code == 0, done.output
    assert [row["method"] for row in json.loads(done.stdout)["rows"]] == ["random"]
    refused = CliRunner().invoke(app, [*arguments, "--length", "3000"])
    assert isinstance(refused.exception, LengthError)
