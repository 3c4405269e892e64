"""The page as a whole: every printed cell has a verdict, whatever was run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from annotate.schema import Paragraph
from evaluate.evaluation import read_result
from evaluate.reproduce.evidence import Evidence, measured
from evaluate.reproduce.judge import judge
from evaluate.reproduce.others import other_tasks
from evaluate.reproduce.poster import Above, load_poster
from evaluate.reproduce.run import Reproduction, reproduce
from evaluate.reproduce.scope import Scope
from evaluate.tasks.errors import TaskError
from evaluate.tasks.task import Example, GoldSource, Task
from heat import LanguageModel

TINY = Scope(
    methods=("heat", "heat-windowed", "gradient-norm", "random"),
    limit=2,
    others_limit=1,
    other_methods=("heat", "gradient-norm", "random"),
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
def page(paragraphs: list[Paragraph], lm: LanguageModel, folder: Path) -> Reproduction:
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
    task = Task(name="made", source="by hand", examples=examples, gold=GOLD)
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
    assert "this version does not have" in by["Input perturbations", "sensitivity"].verdict.why
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
    found = measured(folder, read_result(folder, "faithfulness"))
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


def test_rows_are_named_or_refused() -> None:
    assert list(other_tasks([])) == ["longra", "tellmewhy", "wikibio"]
    for wrong in ("longra", "squad=x", "wikibio="):
        with pytest.raises(TaskError, match="NAME=WHERE"):
            other_tasks([wrong])
