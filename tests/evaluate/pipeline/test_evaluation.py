"""What every evaluation shares: which examples count, what refuses, how rows are ordered and compared."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.attributions import made
from fakes.benchmarks import FEW, made_task
from fakes.small_disk import fill, small_disk
from fakes.tiny_models import tiny_lm
from pydantic.dataclasses import dataclass as checked
from scipy.stats import spearmanr

import heat
from evaluate.ablation import COLUMNS, ROWS, ablation
from evaluate.alignment.run import alignment
from evaluate.errors import NothingScoredError
from evaluate.metrics.alignment import METRICS
from evaluate.pipeline.answers import own_answers
from evaluate.pipeline.records import read_examples, read_result
from evaluate.pipeline.run import RunConfig, _left_out
from evaluate.pipeline.runner import chosen_methods, why_only_named, without_obstacle
from evaluate.pipeline.store import Item
from evaluate.pipeline.table import as_latex, as_markdown, notes, place
from evaluate.planning.methods import method_rows
from evaluate.sanity import _correlation, sanity
from evaluate.tasks.catalog import load_task
from evaluate.tasks.task import Example, Task
from heat import LanguageModel
from heat.batch import Batch
from heat.errors import MissingExtraError, PromptTooLongError, UnsupportedModelError
from heat.method import Method, Scores
from heat.registry import _REGISTERED


@pytest.fixture
def task(examples: list[Example]) -> Task:
    return made_task(examples)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, type[Method]], None]:
    def add(name: str, method: type[Method]) -> None:
        monkeypatch.setitem(_REGISTERED, name, method)
        monkeypatch.setattr(method, "name", name, raising=False)

    return add


@checked(frozen=True)
class Gold(Method):
    """Scores what the example's gold words are made of: knows the answer."""

    summary, source, needs = "", "", ()

    def score(self, lm: LanguageModel, batch: object, *, seed: int = 0, batch_tokens: int = 1) -> Scores:
        return Scores((batch.token_ids == batch.target_ids[:, None])[batch.rows].float())

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {}


@checked(frozen=True)
class Refusing(Gold):
    """Takes short texts only."""

    def score(self, lm: LanguageModel, batch: object, *, seed: int = 0, batch_tokens: int = 1) -> Scores:
        if batch.token_ids.shape[1] > self.limit:
            raise PromptTooLongError("too long for this method")
        return super().score(lm, batch)

    limit: int = 40


def test_a_method_that_refuses_an_example_stops_nothing_and_stands_last(
    task: Task, lm: LanguageModel, tmp_path: Path, register: Callable[..., None]
) -> None:
    lengths = [len(heat.encode(lm, e.prompt, e.target, max_targets=1).token_ids) for e in task.examples]
    middle = sorted(lengths)[2]

    @checked(frozen=True)
    class Some(Refusing):
        limit: int = middle

    register("refusing", Some)
    result = alignment(task, lm, ["refusing", "random"], RunConfig(tmp_path))
    last = result.methods[-1]
    assert (last.method, last.refused) == ("refusing", sum(length > middle for length in lengths))
    assert last.metrics["auprc"].n == 5 - last.refused
    assert any(
        f"refusing: refused {last.refused} examples" in n and "too long for this" in n
        for n in notes(result, METRICS)
    )
    assert "refusing" not in result.best_baseline.values()
    assert read_result(tmp_path) == result.model_copy(update={"computed": 0, "reused": 0, "rows": {}})


def test_a_method_that_says_nothing_stands_behind_one_that_is_wrong(
    task: Task, lm: LanguageModel, tmp_path: Path, register: Callable[..., None]
) -> None:
    texts = {each.prompt: each for each in task.examples}

    @checked(frozen=True)
    class Wrong(Gold):
        def score(self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = 1) -> Scores:
            scores = torch.ones(batch.context.shape)
            for row, ids in enumerate(batch.token_ids[batch.rows]):
                text = lm.tokenizer.decode(ids, skip_special_tokens=True)
                example = next(each for prompt, each in texts.items() if text.startswith(prompt))
                encoded = heat.encode(lm, example.prompt, example.target, max_targets=1)
                marked = [example.words[index] for index in example.gold or ()]
                for token, (start, end) in enumerate(encoded.offsets or ()):
                    if any(start < last and first < end for first, last in marked):
                        scores[row, token] = 0.0
            return Scores(scores)

    register("wrong", Wrong)
    result = alignment(task, lm, ["constant", "wrong", "random"], RunConfig(tmp_path))
    rows = {row.method: row for row in result.methods}
    assert rows["wrong"].metrics["auprc"].mean < rows["constant"].metrics["auprc"].mean
    assert rows["constant"].constant == 5
    assert [row.method for row in result.methods] == ["random", "wrong", "constant"]


def answering(example: Example) -> tuple[LanguageModel, Example]:
    """A random model, and the example with the word that this model says to it as its target."""
    continued = example.model_copy(update={"id": "right", "body": None})
    for seed in range(100):
        lm = tiny_lm("llama", seed=seed, max_position_embeddings=256)
        encoded = heat.encode(lm, example.prompt, example.target)
        word = own_answers(lm, [continued], [encoded])[0].text
        if word.strip().isalpha():
            return lm, continued.model_copy(update={"target": word})
    raise AssertionError("no random model says a word")


def test_only_correct_and_single_token(examples: list[Example], tmp_path: Path) -> None:
    lm, right = answering(examples[0])
    task = made_task([right, examples[1]])
    both = alignment(task, lm, ["random"], RunConfig(tmp_path))
    assert (both.scored, both.accuracy.mean) == (2, 0.5)
    strict = alignment(task, lm, ["random"], RunConfig(tmp_path, only_correct=True))
    assert (strict.scored, strict.skipped) == (1, {"wrong answer": 1})
    assert "the model says" in strict.skipped_example
    by_task = alignment(
        made_task([right, examples[1]], only_correct=True), lm, ["random"], RunConfig(tmp_path)
    )
    assert by_task.scored == 1
    single = alignment(task, lm, ["random"], RunConfig(tmp_path, single_token=True))
    expected = sum(heat.encode(lm, e.prompt, e.target).n_targets == 1 for e in task.examples)
    assert single.scored == expected


def test_tokens_are_counted_in_the_answer_that_is_explained(examples: list[Example]) -> None:
    short, long = (
        Item(key="k", example_id="e", status="ok", target_tokens=n, answer="iron", correct=True)
        for n in (1, 3)
    )
    task, run = made_task(examples), RunConfig(Path(), only_correct=True, single_token=True)
    assert _left_out(examples[0], long, short, task, run) is None
    found = _left_out(examples[0], short, long, task, run)
    assert found is not None
    assert found[0] == "target of several tokens"
    assert found[1].endswith("is 3 tokens")


def test_nothing_left_says_why(examples: list[Example], lm: LanguageModel, tmp_path: Path) -> None:
    no_gold = [e.model_copy(update={"gold": None}) for e in examples]
    with pytest.raises(NothingScoredError, match="none of the 5 examples could be scored: 5 no gold"):
        alignment(made_task(no_gold), lm, ["random"], RunConfig(tmp_path))


def test_two_tasks_share_a_folder(examples: list[Example], lm: LanguageModel, tmp_path: Path) -> None:
    alone = alignment(made_task(examples[:3]), lm, ["random"], RunConfig(tmp_path / "alone"))
    other = [
        e.model_copy(update={"prompt": "So: " + e.prompt, "words": ((0, 2),), "gold": (0,), "distractor": ()})
        for e in examples
    ]
    alignment(made_task(other), lm, ["random"], RunConfig(tmp_path / "both"))
    both = alignment(made_task(examples[:3]), lm, ["random"], RunConfig(tmp_path / "both"))
    assert both.computed == 3
    assert both.methods == tuple(
        row.model_copy(update={"seconds_per_1000": both.methods[0].seconds_per_1000}) for row in alone.methods
    )
    assert [e.id for e in read_examples(tmp_path / "both", both)] == ["p0", "p1", "p2"]


def test_a_method_that_knows_is_first_and_significantly_so(
    examples: list[Example], lm: LanguageModel, tmp_path: Path, register: Callable[..., None]
) -> None:
    register("oracle", Gold)
    many = []
    for index in range(24):
        example = examples[index % 5]
        prompt = f"{index} " + example.prompt
        shift = len(prompt) - len(example.prompt)
        words = tuple((a + shift, b + shift) for a, b in example.words)
        ids = heat.encode(lm, prompt, example.target, max_targets=1)
        spans = [ids.offsets[i] for i in range(ids.n_prompt) if ids.token_ids[i] == ids.token_ids[-1]]
        gold = tuple(i for i, (a, b) in enumerate(words) if any(s < b and a < e for s, e in spans))
        many.append(
            example.model_copy(update={"id": str(index), "prompt": prompt, "words": words, "gold": gold})
        )
    many = [e for e in many if 0 < len(e.gold) < len(e.words)]
    assert len(many) > 10
    result = alignment(made_task(many), lm, ["oracle", "gradient-norm", "random"], RunConfig(tmp_path))
    first = result.methods[0]
    assert first.method == "oracle"
    assert first.ranks["auroc"] == (1, 1)
    assert place(first, METRICS[1]) == "1"
    against = result.methods[1].versus.get("auroc") or result.methods[2].versus["auroc"]
    assert against.reference == result.best_baseline["auroc"] == "oracle"
    assert against.p_adjusted < 0.05
    assert against.difference.high < 0


def test_methods_no_better_than_random_are_warned_of(task: Task, lm: LanguageModel, tmp_path: Path) -> None:
    result = alignment(
        task, lm, ["gradient-norm", "integrated-gradients", "position", "random"], RunConfig(tmp_path)
    )

    def warning(means: dict[str, float]) -> str:
        methods = [
            row.model_copy(
                update={
                    "metrics": {
                        **row.metrics,
                        "auprc": row.metrics["auprc"].model_copy(update={"mean": mean}),
                    }
                }
            )
            for row in result.methods
            for mean in [means[row.method]]
        ]
        return notes(result.model_copy(update={"methods": tuple(methods)}), METRICS)[0]

    # As good as random is no better than it; controls are not meant to be.
    means = {"gradient-norm": 0.5, "integrated-gradients": 0.6, "position": 0.1, "random": 0.5}
    says = "WARNING: random (AUPRC) is at or above gradient-norm: they say nothing here."
    assert warning(means) == says
    assert not warning(means | {"gradient-norm": 0.51}).startswith("WARNING")


def test_files_for_papers(task: Task, lm: LanguageModel, tmp_path: Path) -> None:
    result = alignment(
        task, lm, ["gradient-norm", "random"], RunConfig(tmp_path, command="evaluate alignment -x")
    )
    markdown = (tmp_path / "alignment.md").read_text()
    assert markdown == as_markdown(result, METRICS)
    assert markdown.count("\n|") == 4
    assert len({line.count("|") for line in markdown.splitlines() if line.startswith("|")}) == 1
    assert markdown.rstrip().endswith("Made by `evaluate alignment -x`.")
    latex = (tmp_path / "alignment.tex").read_text()
    assert latex == as_latex(result, METRICS)
    assert latex.startswith("% evaluate alignment -x\n\\begin{tabular}{lllll}")
    assert latex.count(r"\\") == 4
    assert json.loads((tmp_path / "alignment.json").read_text())["task"] == "made"


def test_ablation_has_the_poster_s_rows_and_columns(task: Task, lm: LanguageModel, tmp_path: Path) -> None:
    found, aligned, faithful = ablation(task, lm, RunConfig(tmp_path), options=FEW)
    assert list(found.rows) == list(ROWS)
    assert len(ROWS) == 6
    assert all(list(cells) == list(COLUMNS) for cells in found.rows.values())
    assert faithful.computed == 0
    for row in aligned.methods:
        if row.method in ROWS:
            assert found.rows[row.method]["dsa"] == row.metrics["dsa"]
    # Within a text a uniform transition ranks and shares as no gate does.
    assert found.rows["uniform-transition"]["dsa"].mean == pytest.approx(found.rows["no-gate"]["dsa"].mean)
    assert (tmp_path / "ablation.csv").read_text().count("\n") == 7
    # What other commands leave in the folder is not written over.
    assert not (tmp_path / "alignment.json").exists()
    assert (tmp_path / "ablation-alignment.json").exists()
    assert (tmp_path / "ablation-faithfulness.md").exists()


def test_sanity_tells_the_model_blind_the_changing_and_the_incomplete(
    task: Task, lm: LanguageModel, register: Callable[..., None]
) -> None:
    calls = []

    @checked(frozen=True)
    class Changing(Gold):
        completeness = True

        def score(self, lm: LanguageModel, batch: object, *, seed: int = 0, batch_tokens: int = 1) -> Scores:
            calls.append(1)
            return Scores(torch.rand(len(batch.rows), batch.token_ids.shape[1]) + len(calls))

    register("changing", Changing)
    torch.manual_seed(0)
    rows = {
        row.method: row
        for row in sanity(task, lm, ["position", "gradient-norm", "shapley-sampling", "changing"])
    }
    assert rows["position"].randomised.mean == pytest.approx(1.0)
    assert rows["gradient-norm"].randomised.mean < 0.7
    assert rows["shapley-sampling"].completeness.mean < 1e-3
    assert rows["changing"].completeness.mean > 0.1
    assert [rows[name].repeats for name in rows] == [True, True, True, False]
    assert rows["gradient-norm"].completeness is None
    assert rows["position"].examples == 5


def test_two_models_scores_are_correlated_over_each_target_s_context_alone() -> None:
    spans = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    first = made("abcde", spans, [[1.0, 2.0, 3.0, 0.0, 0.0], [4.0, 3.0, 2.0, 1.0, 0.0]], n_targets=2)
    other = made("abcde", spans, [[1.0, 3.0, 2.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0, 0.0]], n_targets=2)
    # Ranks 1 2 3 against 1 3 2 of three tokens, 1 - 6 · 2 / (3 · 8) = ½; and of the second's four, turned round.
    assert _correlation(first, other) == pytest.approx((0.5 - 1.0) / 2)
    # Equal scores of all three say nothing, so the second target counts alone.
    equal = made("abcde", spans, [[1.0, 1.0, 1.0, 0.0, 0.0]] * 2, n_targets=2)
    assert _correlation(first, equal) == pytest.approx(spearmanr([4, 3, 2, 1], [1, 1, 1, 0]).statistic)


def test_methods_are_listed_with_cost_and_why_all_leaves_some_out() -> None:
    rows = {row.name: row for row in method_rows(100)}
    assert set(rows) == set(heat.methods())
    assert rows["integrated-gradients"].cost == 100
    assert "ten" not in rows["occlusion"].only_named
    assert rows["kernel-shap"].only_named == "costs more than 10 times integrated gradients"
    assert rows["attention-flow"].only_named
    assert all(rows[name].kind == "ablation" for name in ROWS if name != "heat")
    assert chosen_methods(["all"]) == [name for name in heat.methods() if not why_only_named(name)]
    assert chosen_methods(["heat", "heat"]) == ["heat", "random"]


def test_a_method_without_its_extra_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heat.methods()["occlusion"], "is_installed", classmethod(lambda cls: False))
    monkeypatch.setattr(heat.methods()["occlusion"], "extra", "masks")
    with pytest.raises(MissingExtraError, match=r"pip install 'heat-alignment\[masks\]'"):
        chosen_methods(["occlusion"])
    assert "occlusion" not in chosen_methods(["all"])


def test_a_method_that_cannot_explain_the_model(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heat.methods()["occlusion"], "obstacle", classmethod(lambda cls, lm: "it cannot"))
    assert without_obstacle(["occlusion", "random"], lm) == ["random"]
    with pytest.raises(UnsupportedModelError, match="it cannot; use another method"):
        without_obstacle(["occlusion", "random"], lm, named=["occlusion"])


def test_the_frame_holds_comparisons(task: Task, lm: LanguageModel, tmp_path: Path) -> None:
    frame = alignment(task, lm, ["gradient-norm", "random"], RunConfig(tmp_path)).frame.set_index("method")
    assert np.isnan(frame.loc["gradient-norm", "auprc_p_adjusted"])
    assert 0 < frame.loc["random", "auprc_p_adjusted"] <= 1
    assert frame.loc["random", "auprc_difference"] == pytest.approx(
        frame.loc["random", "auprc"] - frame.loc["gradient-norm", "auprc"]
    )


@pytest.mark.parametrize("name", ["curated", "longra", "lambada-rationales", "tellmewhy", "wikibio"])
def test_every_benchmark_serves_faithfulness_without_gold(name: str) -> None:
    assert load_task(name, gold="none", limit=2).examples


def test_a_full_disk_keeps_what_is_written_and_the_same_call_finishes(
    task: Task, lm: LanguageModel, tmp_path: Path
) -> None:
    methods = ["gradient-norm", "input-x-gradient"]
    alignment(task, lm, methods, RunConfig(tmp_path / "whole"))
    with small_disk(tmp_path / "disk") as disk:
        filler = fill(disk, free=12)
        for _ in range(2):
            with pytest.raises(OSError, match="No space left on device"):
                alignment(task, lm, methods, RunConfig(disk / "out"))
        kept = {
            path.name: path.read_bytes() for path in (disk / "out" / "attributions").glob("*.safetensors")
        }
        assert kept
        filler.unlink()
        alignment(task, lm, methods, RunConfig(disk / "out"))
        whole, freed = (
            {path.name: path.read_bytes() for path in (place / "attributions").iterdir()}
            for place in (tmp_path / "whole", disk / "out")
        )
        assert whole == freed
        assert kept.items() < whole.items()
