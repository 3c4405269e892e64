"""What stands in the report on one run, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from evaluate.errors import ReportError
from evaluate.pipeline.records import Evaluation, read_examples
from evaluate.pipeline.store import Score
from evaluate.plots.canvas import leading
from evaluate.report import figures, tables
from evaluate.report.paragraphs import ExampleView, choose, show
from evaluate.report.parts import Missing, Picture, Table, attempt
from evaluate.report.verdict import verdict, warnings
from evaluate.results.again import command_for
from evaluate.results.folder import Results, open_results, score_rows, scores_frame
from evaluate.results.two_runs import METRICS
from evaluate.robustness.run import metrics_of
from evaluate.word_scores import WordScores, read_word_scores

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

Rows = Mapping[str, Sequence[Score]]


@dataclass(frozen=True)
class Paragraph:
    """A chosen example: its heat maps in words, and all methods as a picture."""

    shown: ExampleView
    strips: Picture


@dataclass(frozen=True, eq=False)
class Frame:
    """Numbers that stand in a file beside the page and not in it."""

    name: str
    caption: str
    command: str
    frame: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Content:
    """Everything on one run.

    Attributes:
        results: What the folder holds.
        leading: The method that chooses the examples.
        verdict: What was found, in sentences.
        warnings: What must not be missed.
        first: The picture below it.
        agreement: Of the annotators.
        evaluations: Kind to table and forest.
        ablation: HEAT without its parts.
        sanity: The checks.
        robustness: A table a probe.
        figures: Name to a figure made from word scores.
        paragraphs: The chosen examples.
        frames: What else is written as CSV.
    """

    results: Results
    leading: str
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    first: Picture
    agreement: Table | Missing
    evaluations: Mapping[str, tuple[Table, Picture] | Missing]
    ablation: Table | Missing
    sanity: Table | Missing
    robustness: tuple[Table, ...] | Missing
    figures: Mapping[str, Picture | Missing]
    paragraphs: tuple[Paragraph, ...] | Missing
    frames: tuple[Frame, ...]

    @property
    def parts(self) -> list[Table | Picture | Frame]:
        """Everything that has a file beside the page."""
        parts: list[object] = [self.agreement, self.ablation, self.sanity, self.first, *self.figures.values()]
        for pair in self.evaluations.values():
            parts += pair if isinstance(pair, tuple) else []
        if isinstance(self.robustness, tuple):
            parts += self.robustness
        if isinstance(self.paragraphs, tuple):
            parts += [paragraph.strips for paragraph in self.paragraphs]
        return [part for part in [*parts, *self.frames] if isinstance(part, Table | Picture | Frame)]

    @property
    def commands(self) -> Mapping[str, list[str]]:
        """Every command that made a part, to the names of what it made."""
        made: dict[str, list[str]] = {}
        for part in self.parts:
            made.setdefault(part.command, []).append(part.name)
        return made


def gather(folder: Path) -> Content:
    """Read a results folder and make all that its report shows; what cannot be made says why.

    Args:
        folder: The results folder.

    Raises:
        EvaluateError: It holds no result at all.
    """
    results = open_results(folder)
    main = results.main
    metric = METRICS[main.kind][0]
    words = attempt(lambda: read_word_scores(folder, main.kind))
    rows = {
        result.kind: attempt(partial(score_rows, folder, result))
        for result in (results.alignment, results.faithfulness)
        if result is not None
    }
    drawn = {
        "precision-recall": _of(words, _curves),
        "segment-mass": _of(words, figures.segment_mass),
        "cost": _of(words, partial(figures.cost, metric=metric)),
        "rank-correlation": _of(words, figures.rank_correlation),
    }
    return Content(
        results=results,
        leading=leading(main),
        verdict=verdict(main, METRICS[main.kind]),
        warnings=tuple(warnings(main, METRICS[main.kind])),
        first=figures.first_picture(main, metric),
        agreement=attempt(lambda: tables.agreement_table(main.folder)),
        evaluations={kind: _evaluation(results, kind) for kind in METRICS},
        ablation=_or_missing(results.ablation, tables.ablation_table, command_for("ablation", main, folder)),
        sanity=_or_missing(results.sanity, tables.sanity_table, command_for("sanity", main, folder)),
        robustness=_robustness(results),
        figures=drawn,
        paragraphs=_of(words, partial(_paragraphs, rows[main.kind])),
        frames=(*_values(results, rows), *_numbers(words, drawn)),
    )


def _of(words: WordScores | Missing, make: Callable[[WordScores], T]) -> T | Missing:
    return words if isinstance(words, Missing) else attempt(lambda: make(words))


def _or_missing(result: T | None, make: Callable[[T], Table], command: str) -> Table | Missing:
    return make(result) if result is not None else Missing(f"not run; to have it: {command}")


def _evaluation(results: Results, kind: str) -> tuple[Table, Picture] | Missing:
    result: Evaluation | None = getattr(results, kind)
    if result is None:
        return Missing(f"not run; to have it: {command_for(kind, results.main, results.folder)}")
    metrics = METRICS[kind]
    return tables.evaluation_table(result, metrics), figures.forest(result, metrics)


def _robustness(results: Results) -> tuple[Table, ...] | Missing:
    if not results.robustness:
        return Missing(f"not run; to have it: {command_for('robustness', results.main, results.folder)}")
    return tuple(
        tables.evaluation_table(evaluation, metrics_of(evaluation)) for evaluation in results.robustness
    )


def _curves(words: WordScores) -> Picture:
    if words.curves.empty:
        raise ReportError(
            "no example has gold that is neither empty nor full, which precision and recall need"
        )
    return figures.precision_recall(words)


def _paragraphs(rows: Rows | Missing, words: WordScores) -> tuple[Paragraph, ...]:
    if words.result.kind != "alignment":
        raise ReportError(
            "they are chosen by their alignment, which was not run; "
            f"to have it: {command_for('alignment', words.result, words.folder)}"
        )
    if isinstance(rows, Missing):
        raise ReportError(rows.reason)
    return tuple(
        Paragraph(show(words, rows, chosen), figures.strips(words, chosen.index))
        for chosen in choose(words, rows)
    )


def _values(results: Results, rows: Mapping[str, Rows | Missing]) -> Iterator[Frame]:
    """Every value of every example, a file a kind."""
    for kind, scores in rows.items():
        result: Evaluation = getattr(results, kind)
        if not isinstance(scores, Missing):
            frame = scores_frame(result, read_examples(results.folder, result), scores)
            caption = f"{kind}: every value of every example and method"
            yield Frame(f"{kind}-examples", caption, result.command, frame)


def _numbers(words: WordScores | Missing, drawn: Mapping[str, Picture | Missing]) -> Iterator[Frame]:
    """What the figures show, a file each."""
    if isinstance(words, Missing):
        return
    numbers = figures.figure_frames(words, METRICS[words.result.kind][0])
    for name, made in drawn.items():
        if isinstance(made, Picture):
            caption = f"the numbers of the figure {name}"
            yield Frame(name, caption, words.result.command, numbers[name]())
