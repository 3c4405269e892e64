"""Two runs compared: paired differences on shared examples, what differs named, nothing shared refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.benchmarks import make_gold, make_paragraph

from annotate.benchmark import Benchmark, open_benchmark
from annotate.schema import Paragraph
from evaluate.alignment.run import alignment
from evaluate.errors import ReportError
from evaluate.faithfulness.options import Options
from evaluate.faithfulness.run import faithfulness
from evaluate.pipeline.run import RunConfig
from evaluate.report import write_comparison
from evaluate.results.folder import open_results, read_scores
from evaluate.results.two_runs import _changes, compare, shared
from evaluate.tasks.curated import curated
from evaluate.tasks.task import Example
from heat import LanguageModel

html5lib = pytest.importorskip("html5lib", reason="html5lib, the checker of HTML, is not installed")


@pytest.fixture(scope="module")
def two(finished: Path, lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Examples 0-3 with seed 0, and 1-4 with seed 1."""
    task = curated(open_benchmark(finished.parent / "benchmark"))
    tmp_path = tmp_path_factory.mktemp("two")
    for place, examples, methods, seed in (
        ("a", task.examples[:4], ["random", "gradient-norm"], 0),
        ("b", task.examples[1:], ["random", "input-x-gradient"], 1),
    ):
        alignment(
            replace(task, examples=examples),
            lm,
            methods,
            RunConfig(tmp_path / place, seed=seed, command=f"run {place}"),
        )
    return tmp_path / "a", tmp_path / "b"


def test_differences_are_paired_means_over_shared_examples(two: tuple[Path, Path]) -> None:
    (found,) = compare(open_results(two[0]), open_results(two[1]))
    assert (found.kind, found.shared, found.methods) == ("alignment", 3, ("random",))
    assert (found.only_first, found.only_second) == (("gradient-norm",), ("input-x-gradient",))
    scores = [
        read_scores(folder).query("method == 'random'").set_index("example_id")["auroc"] for folder in two
    ]
    pair = (scores[1] - scores[0]).dropna()
    assert list(pair.index) == ["p1", "p2", "p3"]
    change = found.changes["random", "auroc"]
    assert change.difference.mean == pytest.approx(pair.mean())
    assert (change.difference.n, change.difference.undefined) == (3, 0)
    assert change.first == pytest.approx(scores[0][pair.index].mean())
    assert change.second == pytest.approx(scores[1][pair.index].mean())
    # Three texts have 8 flips; the smallest p is 2 of them.
    assert change.p_adjusted is not None
    assert change.p_adjusted >= 0.25


def test_what_differs_is_named_and_nothing_else(two: tuple[Path, Path]) -> None:
    (found,) = compare(open_results(two[0]), open_results(two[1]))
    assert found.settings["command"] == ("run a", "run b")
    assert found.settings["seed"] == ("0", "1")
    others = {name for name in found.settings if not name.startswith("options of ")}
    assert others == {"command", "seed", "examples"}


def test_a_run_beside_itself_differs_in_nothing(two: tuple[Path, Path]) -> None:
    (found,) = compare(open_results(two[0]), open_results(two[0]))
    assert list(found.settings) == ["command"]
    assert {change.difference.mean for change in found.changes.values()} == {0.0}
    assert {change.p_adjusted for change in found.changes.values()} == {1.0}


def test_the_page_holds_the_differences(two: tuple[Path, Path], tmp_path: Path) -> None:
    html = write_comparison(
        *two, tmp_path / "page.html", tmp_path / "files", "evaluate report a b"
    ).read_text()
    text = "".join(html5lib.HTMLParser(strict=True).parse(html).itertext())
    (found,) = compare(open_results(two[0]), open_results(two[1]))
    frame = pd.read_csv(tmp_path / "files" / "alignment-differences.csv")
    row = frame.set_index(["method", "metric"]).loc[("random", "auroc")]
    assert row["difference"] == pytest.approx(found.changes["random", "auroc"].difference.mean)
    assert "Methods in A alone: gradient-norm." in text
    assert "3 examples are in both runs" in text
    assert "Fewer than 20 unique texts" in text
    assert text.count("evaluate report a b") == 1
    assert (tmp_path / "files" / "alignment-differences.svg").exists()


def test_no_shared_example_is_refused(
    two: tuple[Path, Path], make_benchmark: Callable[..., Benchmark], lm: LanguageModel, tmp_path: Path
) -> None:
    other = make_paragraph(9, "A cat ran.", "The cup is made of clay.", "What is the cup made of?", "clay")
    task = curated(make_benchmark([other], gold=[make_gold(other, other.evidence)], name="other"))
    alignment(task, lm, ["random"], RunConfig(tmp_path / "c"))
    with pytest.raises(ReportError, match="share no example of alignment"):
        write_comparison(two[0], tmp_path / "c")
    assert not (tmp_path / "c" / "comparison.html").exists()


def test_no_shared_method_or_kind_is_refused(
    two: tuple[Path, Path], benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path
) -> None:
    alignment(curated(benchmark_of), lm, ["position"], RunConfig(tmp_path / "c"))
    with pytest.raises(ReportError, match="share no method"):
        compare(open_results(two[0]), open_results(tmp_path / "c"))
    options = Options(bins=(0.2,), steps=2, retentions=(0.5,), random_draws=1, subsets=2)
    faithfulness(curated(benchmark_of), lm, ["random"], RunConfig(tmp_path / "d"), options=options)
    with pytest.raises(ReportError, match="an evaluation that both hold"):
        compare(open_results(two[0]), open_results(tmp_path / "d"))


def test_equal_prompts_pair_up_in_order(examples: list[Example], paragraphs: list[Paragraph]) -> None:
    a, b = examples[0], examples[1]
    other_target = a.model_copy(update={"target": " tin"})
    assert shared([a, a, b], [b, a, other_target, a, a]) == [(2, 0), (0, 1), (1, 3)]


def test_rounding_is_no_difference() -> None:
    first = np.linspace(0.1, 0.9, 20)
    found = _changes({"x": (first, first + 1e-16)}, [str(i) for i in range(20)], 0)
    assert (found["x"].difference.mean, found["x"].p_adjusted) == (0.0, 1.0)


def test_undefined_values_are_left_out() -> None:
    values = {
        "x": (np.array([0.0, np.nan, 1.0]), np.array([1.0, 1.0, np.nan])),
        "y": (np.array([np.nan] * 3), np.ones(3)),
    }
    found = _changes(values, ["s", "t", "u"], 0)
    assert (found["x"].difference.mean, found["x"].difference.n, found["x"].first) == (1.0, 1, 0.0)
    assert (found["y"].difference.mean, found["y"].p_adjusted) == (None, None)
