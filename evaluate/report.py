"""One self-contained HTML page on a finished run: what was run, agreement, alignment, examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annotate.files import read_records, write_atomic
from annotate.schema import Gold, Paragraph
from evaluate.alignment import AlignmentResult, paragraph_scores, read_result, with_seconds
from evaluate.errors import ReportError
from evaluate.gold import load_gold
from evaluate.metrics import METRICS, Scores
from evaluate.store import Score, attribution_key, score_key
from evaluate.table import in_words, notes, seconds

if TYPE_CHECKING:
    from annotate.agreement import PairAgreement
    from annotate.benchmark import Benchmark

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
class Example:
    """A paragraph chosen by rule, with a heat map a method."""

    choice: str
    paragraph: Paragraph
    maps: tuple[Map, ...]


def write_report(results: Path, html: Path) -> Path:
    """Write the report of the run in a results folder.

    Args:
        results: Folder that `evaluate alignment` wrote to.
        html: File to write.

    Returns:
        ``html``.

    Raises:
        ReportError: The benchmark has changed since the run.
        EvaluateError: The folder holds no finished run.
        BenchmarkError: The benchmark is gone.
    """
    write_atomic(html, render(results))
    return html


def render(results: Path) -> str:
    """The report of the run in a results folder, as HTML without scripts and external resources."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from annotate.benchmark import open_benchmark

    found = read_result(results)
    benchmark = open_benchmark(Path(found.benchmark))
    result = with_seconds(found, results, benchmark.paragraphs()[: found.limit])
    environment = Environment(
        loader=PackageLoader("evaluate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"in_words": in_words, "seconds": seconds}
    return environment.get_template("report.html").render(
        result=result,
        notes=notes(result),
        metrics=METRICS,
        agreement=_agreement(benchmark),
        leading=_leading(result),
        examples=_examples(results, result, benchmark),
    )


def _agreement(benchmark: Benchmark) -> Sequence[PairAgreement]:
    """Agreement of the annotators, or nothing where fewer than two have labels."""
    from annotate.agreement import agreement
    from annotate.label_files import read_labels

    if len(list(benchmark.labels_dir.glob("*.jsonl"))) < 2:
        return ()
    paragraphs = benchmark.paragraphs()
    return agreement(paragraphs, read_labels(benchmark.labels_dir, paragraphs)).pairs


def _leading(result: AlignmentResult) -> str:
    names = [row.method for row in result.methods]
    return LEADING if LEADING in names else names[0]


def _examples(results: Path, result: AlignmentResult, benchmark: Benchmark) -> list[Example]:
    """The paragraphs on which the leading method is best, worst and in the middle."""
    scores = {row.key: row for row in read_records(results / "scores.jsonl", Score)}
    golds, _ = load_gold(benchmark, result.gold_choice)
    paragraphs = [p for p in benchmark.paragraphs()[: result.limit] if p.id in golds]
    leading = next(row for row in result.methods if row.method == _leading(result))

    def row_of(paragraph: Paragraph, method: str, config: dict[str, object]) -> Score | None:
        key = attribution_key(paragraph, result.settings, method, config)
        return scores.get(score_key(key, paragraph, golds[paragraph.id]))

    ranked: list[tuple[float, Paragraph]] = []
    found = 0
    for paragraph in paragraphs:
        row = row_of(paragraph, leading.method, leading.config)
        found += row is not None
        value = row.values["auprc"] if row else None
        if value is not None:
            ranked.append((value, paragraph))
    if found != result.scored:
        raise ReportError(
            f"{benchmark.path} has changed since {results} was written; run again: {result.command}"
        )
    ranked.sort(key=lambda pair: (-pair[0], pair[1].id))
    chosen = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1} if ranked else {}
    return [
        Example(
            choice=choice,
            paragraph=ranked[place][1],
            maps=tuple(
                _map(results, row_of(ranked[place][1], each.method, each.config), ranked[place][1], golds)
                for each in result.methods
            ),
        )
        for choice, place in chosen.items()
    ]


def _map(results: Path, row: Score | None, paragraph: Paragraph, golds: dict[str, Gold]) -> Map:
    import heat

    if row is None:
        raise ReportError(f"{results} lacks scores of {paragraph.id}; run `evaluate alignment` again")
    path = results / "attributions" / f"{row.attribution}.safetensors"
    if row.status == "not_finite":
        scores = np.zeros(len(paragraph.words))
    else:
        scores = paragraph_scores(heat.Attribution.load(path), paragraph)
    gold = set(golds[paragraph.id].indices())
    return Map(row.method, row.values["auprc"], tuple(pieces(paragraph, scores, gold)))


def pieces(paragraph: Paragraph, scores: Scores, gold: set[int]) -> list[Piece]:
    """Cut a paragraph into words with their scores and what lies between them.

    Args:
        paragraph: The paragraph.
        scores: One finite number a word.
        gold: Indices of gold words.

    Returns:
        Pieces whose texts join to the paragraph's text.
    """
    largest = float(np.abs(scores).max()) or 1.0
    found: list[Piece] = []
    last = 0
    for index, (start, end) in enumerate(paragraph.words):
        found.append(Piece(_visible(paragraph.text[last:start])))
        found.append(
            Piece(_visible(paragraph.text[start:end]), float(scores[index]) / largest, index in gold)
        )
        last = end
    return [*found, Piece(_visible(paragraph.text[last:]))]


def _visible(text: str) -> str:
    """Control characters as the pictures Unicode has for them: HTML forbids most of them."""
    return "".join(chr(0x2400 + ord(c)) if ord(c) < 32 and c not in "\t\n" else c for c in text)
