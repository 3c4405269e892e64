"""One self-contained HTML page on a finished run: what was run, agreement, alignment, examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annotate.files import read_records, write_atomic
from evaluate.alignment import Alignment, example_scores
from evaluate.errors import ReportError
from evaluate.evaluation import Evaluation, read_examples, read_result
from evaluate.metrics.alignment import METRICS, Scores
from evaluate.store import Score, attribution_key, score_key
from evaluate.table import in_words, notes, place, seconds
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from annotate.agreement import PairAgreement

# The method whose scores choose the examples, where it was run.
LEADING = "heat"


@dataclass(frozen=True)
class Piece:
    """A stretch of text in a heat map: a word with its score, or what lies between words.

    Attributes:
        text: The characters, control characters replaced by their pictures.
        share: Score over the largest absolute score of the paragraph, in [-1, 1]; ``None`` between words.
        gold: Whether the word is gold.
    """

    text: str
    share: float | None = None
    gold: bool = False


@dataclass(frozen=True)
class Map:
    """One method's word scores on one paragraph."""

    method: str
    auprc: float | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Shown:
    """An example chosen by rule, with a heat map a method."""

    choice: str
    example: Example
    maps: tuple[Map, ...]


def write_report(results: Path, html: Path) -> Path:
    """Write the report of the run in a results folder.

    Args:
        results: Folder that `evaluate alignment` wrote to.
        html: File to write.

    Returns:
        ``html``.

    Raises:
        ReportError: The folder lacks rows that the result speaks of.
        EvaluateError: The folder holds no finished run.
    """
    write_atomic(html, render(results))
    return html


def render(results: Path) -> str:
    """The report of the run in a results folder, as HTML without scripts and external resources."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    result = read_result(results)
    environment = Environment(
        loader=PackageLoader("evaluate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"in_words": in_words, "seconds": seconds, "place": place}
    return environment.get_template("report.html").render(
        result=result,
        notes=notes(result, METRICS),
        metrics=METRICS,
        agreement=_agreement(result.folder),
        leading=_leading(result),
        examples=_examples(results, result),
    )


def _agreement(folder: str) -> Sequence[PairAgreement]:
    """Agreement of the annotators, or nothing where fewer than two have labels or the benchmark is gone."""
    from annotate.agreement import agreement
    from annotate.benchmark import open_benchmark
    from annotate.review.labels import read_labels_and_reviews

    if not folder or not Path(folder).is_dir():
        return ()
    benchmark = open_benchmark(Path(folder))
    if len(list(benchmark.labels_dir.glob("*.jsonl"))) < 2:
        return ()
    paragraphs = benchmark.paragraphs()
    return agreement(paragraphs, read_labels_and_reviews(benchmark, paragraphs)).pairs


def _leading(result: Evaluation) -> str:
    names = [row.method for row in result.methods]
    return LEADING if LEADING in names else names[0]


def _examples(results: Path, result: Evaluation) -> list[Shown]:
    """The examples on which the leading method is best, worst and in the middle."""
    scores = {row.key: row for row in read_records(results / "scores.jsonl", Score)}
    leading = next(row for row in result.methods if row.method == _leading(result))
    measure = Alignment()

    def row_of(example: Example, method: str, config: dict[str, object]) -> Score:
        key = attribution_key(example, result.settings, method, config)
        row = scores.get(score_key(key, measure.kind, measure.depends(example)))
        if row is None:
            raise ReportError(f"{results} lacks {method} scores of {example.id}; run again: {result.command}")
        return row

    ranked: list[tuple[float, Example]] = []
    for example in read_examples(results, result):
        value = row_of(example, leading.method, leading.config).values["auprc"]
        if value is not None:
            ranked.append((value, example))
    ranked.sort(key=lambda pair: (-pair[0], pair[1].id))
    chosen = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1} if ranked else {}
    return [
        Shown(
            choice=choice,
            example=ranked[index][1],
            maps=tuple(
                _map(results, row_of(ranked[index][1], each.method, each.config), ranked[index][1])
                for each in result.methods
            ),
        )
        for choice, index in chosen.items()
    ]


def _map(results: Path, row: Score, example: Example) -> Map:
    import heat

    if row.status == "not_finite":
        scores = np.zeros(len(example.words))
    else:
        path = results / "attributions" / f"{row.attribution}.safetensors"
        scores = example_scores(heat.Attribution.load(path), example)
    return Map(row.method, row.values["auprc"], tuple(pieces(example, scores)))


def pieces(example: Example, scores: Scores) -> list[Piece]:
    """Cut a prompt into words with their scores and what lies between them.

    Args:
        example: The example.
        scores: One finite number a word.

    Returns:
        Pieces whose texts join to the prompt.
    """
    largest = float(np.abs(scores).max()) or 1.0
    gold = set(example.gold or ())
    found: list[Piece] = []
    last = 0
    for index, (start, end) in enumerate(example.words):
        found.append(Piece(_visible(example.prompt[last:start])))
        found.append(
            Piece(_visible(example.prompt[start:end]), float(scores[index]) / largest, index in gold)
        )
        last = end
    return [*found, Piece(_visible(example.prompt[last:]))]


def _visible(text: str) -> str:
    """Control characters as the pictures Unicode has for them: HTML forbids most of them."""
    return "".join(chr(0x2400 + ord(c)) if ord(c) < 32 and c not in "\t\n" else c for c in text)
