"""The page as a whole: every printed cell has a verdict, whatever was run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from annotate.schema import Paragraph
from evaluate.pipeline.records import read_result
from evaluate.reproduce.evidence import Evidence, Measurement, measurement_of
from evaluate.reproduce.judge import judge
from evaluate.reproduce.others import other_tasks
from evaluate.reproduce.poster import Above, load_poster
from evaluate.reproduce.robustness import PROBES, VariationMeasurement, robustness
from evaluate.reproduce.run import Reproduction, reproduce
from evaluate.reproduce.scope import Scope
from evaluate.robustness.options import SETTINGS, Options
from evaluate.tasks.errors import TaskError
from evaluate.tasks.task import Example, GoldSource, Task
from heat import LanguageModel

TINY = Scope(
    methods=("heat", "heat-windowed", "gradient-norm", "random"),
    limit=2,
    others_limit=1,
    other_methods=("heat", "gradient-norm", "random"),
    robust_methods=("heat", "gradient-norm", "random"),
    robust_limit=2,
    robust_options=Options(draws=2, settings=SETTINGS[5:7], answer_tokens=2),
    timed=("heat", "gradient-norm", "random"),
    repeats=1,
    length=24,
    long=None,
    timed_long=(),
)
GOLD = GoldSource(rule="evidence", annotators=(), offline=True, note="made by hand")


@pytest.fixture(scope="module")
def cells() -> int:
    return sum(len(table.cell) for table in load_poster())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def task(paragraphs: list[Paragraph]) -> Task:
    examples = tuple(
        Example(
            id=p.id,
            prompt=p.text + "\nAnswer:",
            target=f" {p.answer}",
            words=p.words,
            gold=tuple(p.evidence or ()),
        )
        for p in paragraphs
    )
    return Task(name="made", source="by hand", examples=examples, gold=GOLD)


@pytest.fixture(scope="module")
def page(task: Task, lm: LanguageModel, folder: Path) -> Reproduction:
    return reproduce(task, {}, lm, TINY, out=folder, quick=True, command="evaluate reproduce")


def test_every_cell_has_a_verdict_and_the_page_is_written(
    page: Reproduction, folder: Path, cells: int
) -> None:
    lines = [line for section in page.sections for line in section.lines]
    assert len(lines) == cells
    assert sum(page.counts.values()) == cells
    assert all(line.verdict.why for line in lines)
    by = {(line.row, line.column): line for line in lines}
    assert "reagent, which was not run" in by["Key findings", "DSA, HEAT"].verdict.why
    # No window is full, so windowed HEAT is HEAT here.
    assert "same figures" in by["Windowing (512 tokens)", "AOPC"].verdict.why
    assert by["Alignment with human annotations", "F1, HEAT"].ours != "-"
    assert by["HEAT (Ours)", "TellMeWhy, Soft-NC"].verdict.word == "not run"
    assert "too few texts, n = 2" in by["Input perturbations", "sensitivity"].verdict.why
    assert by["Input perturbations", "sensitivity"].ours != "-"
    assert (
        by["Input perturbations", "sensitivity"].command == "evaluate robustness --probe noise --method all"
    )
    assert by["Low-Rank Hessian (rank=64)", "s per 1,000 examples"].verdict.word == "not run"
    assert "without --quick" in by["Full HEAT, 2048 tokens", "s per 1,000 examples"].verdict.why
    assert by["Full HEAT", "s per 1,000 examples"].ours.endswith("forward passes)")
    kept = json.loads((folder / "reproduce.json").read_text())
    assert len(kept["plans"]) == 4
    for name in ("reproduce.md", "reproduce.html"):
        text = (folder / name).read_text()
        assert "1.45" in text
        assert "EleutherAI/gpt-j-6b" in text
        assert "follows from no published definition" in text
    assert "<script" not in (folder / "reproduce.html").read_text()


def test_verdicts_follow_the_stored_scores(page: Reproduction, folder: Path) -> None:
    found = measurement_of(folder, read_result(folder, "faithfulness"))
    row = next(row for row in found.result.methods if row.method == "heat")
    assert found.mean("heat", "soft_nc").mean == pytest.approx(row.metrics["soft_nc"].mean)
    assert found.better("heat", "random", "sufficiency").mean == pytest.approx(
        -(found.values("heat", "sufficiency") - found.values("random", "sufficiency")).mean()
    )
    cell = next(cell for table in load_poster() for cell in table.cell if isinstance(cell.check, Above))
    check = cell.check.model_copy(
        update={"evaluations": ("x",), "better": "heat", "than": ("heat-windowed",)}
    )
    evidence = Evidence(evaluations={"x": found})
    assert "same figures" in judge(cell.model_copy(update={"check": check}), evidence)[1].why
    gone = replace(found, scores={"heat": found.scores["heat"]})
    assert (
        judge(cell.model_copy(update={"check": check}), Evidence(evaluations={"x": gone}))[1].word
        == "not run"
    )


def test_the_best_baseline_is_judged_by_the_table(page: Reproduction, folder: Path) -> None:
    found = measurement_of(folder, read_result(folder, "faithfulness"))
    cell = next(cell for table in load_poster() for cell in table.cell if isinstance(cell.check, Above))
    for metric in ("comprehensiveness", "sufficiency"):
        best = found.best_baseline(metric)
        assert best is not None
        ours = found.better_than_best("heat", metric)
        # The same difference as that of the pair, by an interval that holds for all pairs: here of too few texts.
        assert ours.mean == pytest.approx(found.better("heat", best, metric).mean)
        row = next(row for row in found.result.methods if row.method == "heat")
        assert abs(row.versus[metric].difference.mean or 0.0) == pytest.approx(abs(ours.mean or 0.0))
        check = cell.check.model_copy(
            update={"evaluations": ("x",), "better": "heat", "than": ("best baseline",), "metric": metric}
        )
        verdict = judge(cell.model_copy(update={"check": check}), Evidence(evaluations={"x": found}))[1]
        assert "too few texts" in verdict.why
    # A method without a value beside the best baseline has no comparison in the table.
    rows = [row.model_copy(update={"versus": {}}) for row in found.result.methods]
    bare = replace(found, result=found.result.model_copy(update={"methods": tuple(rows)}))
    assert bare.better_than_best("heat", "sufficiency").mean is None


def test_robustness_enters_by_its_probes(
    task: Task, lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods, options = ["heat", "gradient-norm", "input-x-gradient", "random"], TINY.robust_options
    found = {
        probe: robustness(
            replace(task, examples=task.examples[:3]),
            lm,
            methods,
            probe,
            out=tmp_path,
            seed=0,
            options=options,
        )
        for probe in PROBES
    }
    noise, varied = found["noise"], found["decoding"]
    assert isinstance(noise, Measurement)
    rows = {row.method: row for row in noise.result.methods}
    means = {name: row.metrics["gaussian_spread"].mean for name, row in rows.items()}
    best = noise.best_baseline("gaussian_spread")
    assert best == min(("gradient-norm", "input-x-gradient"), key=lambda name: means[name])
    assert noise.better("heat", best, "gaussian_spread").mean == pytest.approx(means[best] - means["heat"])
    assert isinstance(varied, VariationMeasurement)
    metric = "comprehensiveness_variation"
    rows = {row.method: row for row in varied.result.methods}
    moved = {name: row.aggregates[metric].mean for name, row in rows.items()}
    least = varied.best_baseline(metric)
    assert least == min(("gradient-norm", "input-x-gradient"), key=lambda name: moved[name])
    assert varied.mean("heat", metric).mean == moved["heat"]
    assert varied.better("heat", "random", metric).mean == pytest.approx(moved["random"] - moved["heat"])
    plain, chosen = varied.better("heat", least, metric), varied.better_than_best("heat", metric)
    assert chosen.mean == plain.mean
    assert chosen.low <= plain.low <= plain.high <= chosen.high
    # It was chosen of two baselines: Bonferroni.
    asked: list[float] = []
    monkeypatch.setattr(
        "evaluate.reproduce.robustness.variation_difference",
        lambda *_, confidence: asked.append(confidence) or plain,
    )
    varied.better_than_best("heat", metric)
    assert asked == [pytest.approx(0.975)]
    assert len({*moved.values()}) > 1
    assert "gradient-norm, input-x-gradient only" in varied.remark


def test_a_probe_that_finds_nothing_says_so(lm: LanguageModel, tmp_path: Path) -> None:
    short = Task(
        name="made", source="", examples=(Example(id="a", prompt="one", target=" b", words=((0, 3),)),)
    )
    found = robustness(short, lm, ["random"], "paraphrase", options=Options(), out=tmp_path, seed=0)
    assert isinstance(found, str)
    assert "changed copy that the prediction survives" in found


def test_a_metric_that_no_baseline_has_is_not_comparable(page: Reproduction, folder: Path) -> None:
    found = measurement_of(folder, read_result(folder, "faithfulness"))
    bare = replace(found, result=found.result.model_copy(update={"best_baseline": {}}))
    cell = next(cell for table in load_poster() for cell in table.cell if isinstance(cell.check, Above))
    check = cell.check.model_copy(update={"evaluations": ("x",), "than": ("best baseline",)})
    ours, verdict = judge(cell.model_copy(update={"check": check}), Evidence(evaluations={"x": bare}))
    assert (ours, verdict.word) == ("-", "not comparable")
    assert "not defined for any baseline" in verdict.why


def test_rows_are_named_or_refused() -> None:
    assert list(other_tasks([])) == ["longra", "tellmewhy", "wikibio"]
    for wrong in ("longra", "squad=x", "wikibio="):
        with pytest.raises(TaskError, match="NAME=WHERE"):
            other_tasks([wrong])
