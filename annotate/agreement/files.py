"""Agreement as files: a table of paragraphs, all figures for machines and for people, and a manifest."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotate.agreement.records import Agreement, AlternativeTest, Figures, PeopleComparison
from annotate.agreement.sentence import group, group_order, interval, paragraph
from annotate.errors import LabelError
from annotate.files import read_records, write_atomic
from annotate.label_files import labels_file
from annotate.ledger.ledger import read_ledger
from annotate.ledger.provenance import provenance
from annotate.manifest import write_manifest
from annotate.overwriting import refuse_foreign
from annotate.schema import Gold, Role

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark

COLUMNS = (
    "first",
    "second",
    "paragraph_id",
    "text_sha256",
    "first_status",
    "second_status",
    "words",
    "both",
    "first_only",
    "second_only",
    "f1",
)


def agreement_csv(result: Agreement) -> str:
    """One row per pair of annotators and paragraph, columns ``COLUMNS``; no counts unless both are ok."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair in result.pairs:
        for row in pair.rows:
            counts = (row.words, row.both, row.first_only, row.second_only, row.f1)
            writer.writerow([*pair.annotators, row.paragraph_id, row.text_sha256, *row.statuses, *counts])
    return stream.getvalue()


def agreement_json(result: Agreement, sentence: str) -> dict[str, Any]:
    """All figures as JSON values, without the paragraphs one by one; ``paper`` is the running text."""
    return result.model_dump(mode="json", exclude={"pairs": {"__all__": {"rows"}}}) | {"paper": sentence}


def agreement_markdown(result: Agreement, sentence: str) -> str:
    """All figures as Markdown tables, under the running text."""
    parts = ["# Agreement", sentence, agreement_table(result)]
    if result.against_people:
        parts.append(f"## Against people\n\n{_against_people(result.against_people)}")
    parts += [
        f"### Alternative annotator test of {one.annotator}\n\n{_alternative(one.alternative)}"
        for one in result.against_people
        if one.alternative.people
    ]
    parts += [
        f"## {' and '.join(pair.annotators)}, by segment\n\n{_segments(pair.segments)}"
        for pair in result.pairs
        if pair.segments
    ]
    if result.many:
        scopes = [("all", result.many.figures), *result.many.segments.items()]
        rows = [(name, interval(many.fleiss_kappa), interval(many.alpha)) for name, many in scopes]
        parts.append(
            f"## All {len(result.many.annotators)} together\n\n"
            + markdown_table(("words", "Fleiss' kappa", "Krippendorff's alpha"), rows)
        )
    alone = [("test-retest", retest.annotator, retest.figures) for retest in result.retests]
    alone += [("lexical-overlap rule", rule.annotator, rule.figures) for rule in result.baselines]
    if alone:
        limits = [
            (what, name, interval(figures.f1), interval(figures.kappa)) for what, name, figures in alone
        ]
        parts.append(
            "## Ceiling and floor\n\n"
            + markdown_table(("compared with", "annotator", "word F1", "kappa"), limits)
        )
    parts.append("## How to read it\n\n" + "\n".join(f"* {line}" for line in result.conventions))
    return "\n\n".join(parts) + "\n"


def agreement_table(result: Agreement) -> str:
    """One Markdown row per pair, pairs of people, of people and models and so on together."""
    headings = ("group", "annotators", "both labelled", "word F1", "IoU", "kappa", "negative", "marked share")
    rows = [
        (
            group(pair.kinds),
            " and ".join(pair.annotators),
            f"{pair.valid:,} of {pair.paragraphs:,}",
            interval(pair.f1),
            interval(pair.iou),
            interval(pair.kappa),
            interval(pair.negative_agreement),
            " and ".join(f"{share:.3f}" for share in pair.marked_share),
        )
        for pair in sorted(result.pairs, key=group_order)
    ]
    return markdown_table(headings, rows)


def _against_people(comparisons: Sequence[PeopleComparison]) -> str:
    headings = (
        "annotator",
        "people",
        "texts",
        "figure",
        "with people",
        "people with each other",
        "difference",
    )
    rows = [
        (
            one.annotator,
            str(len(one.people)),
            f"{one.unique:,}",
            what,
            interval(figures.with_people),
            interval(figures.among_people),
            interval(figures.difference),
        )
        for one in comparisons
        for what, figures in (("word F1", one.f1), ("kappa", one.kappa))
    ]
    return markdown_table(headings, rows)


def _alternative(test: AlternativeTest) -> str:
    headings = ("person left out", "texts", "annotator no worse", "person no worse", "p", "adjusted", "won")
    rows = [
        (
            person.person,
            f"{person.texts:,}",
            f"{person.advantage:.3f}",
            f"{person.person_advantage:.3f}",
            f"{person.p_value:.2g}",
            f"{person.p_adjusted:.2g}",
            "yes" if person.won else "no",
        )
        for person in test.people
    ]
    return (
        f"Epsilon {test.epsilon:g}, winning rate {test.winning_rate:.2f}, average advantage probability"
        f" {test.advantage_probability:.3f}: {'passed' if test.passed else 'not passed'}.\n\n"
        + markdown_table(headings, rows)
    )


def _segments(segments: dict[Role, Figures]) -> str:
    rows = [
        (
            role,
            f"{figures.words:,}",
            interval(figures.f1),
            interval(figures.kappa),
            " and ".join(interval(share) for share in figures.marked_share),
        )
        for role, figures in segments.items()
    ]
    return markdown_table(("segment", "words", "word F1", "kappa", "marked share"), rows)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar within a cell is escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def paper_sentence(benchmark: Benchmark, result: Agreement) -> str:
    """The running text, with what ledger and gold of the benchmark tell.

    Raises:
        BenchmarkError: A file is damaged.
    """
    gold = read_records(benchmark.gold_path, Gold) if benchmark.gold_path.exists() else []
    return paragraph(result, provenance(read_ledger(benchmark.ledger).rows), gold)


def write_agreement(
    benchmark: Benchmark, result: Agreement, sentence: str, path: Path, command: str, *, force: bool = False
) -> list[Path]:
    """Write the table to ``path``, and beside it the figures as JSON and Markdown and the manifest.

    Args:
        benchmark: The benchmark that was measured.
        result: The agreement.
        sentence: The running text.
        path: The CSV file; the others have its name with another ending.
        command: The command line, noted in the manifest.
        force: Write over files that this function did not write, or that were changed since.

    Returns:
        The three files written, without the manifest.

    Raises:
        LabelError: ``path`` ends as one of the others.
        BenchmarkError: A file is there that is not as this function wrote it.
        OSError: A file cannot be written.
    """
    if path.suffix in (".json", ".md"):
        raise LabelError(
            f"{path} names the table of paragraphs: let it end in .csv; {path.suffix} comes beside it"
        )
    texts = {
        path: agreement_csv(result),
        path.with_suffix(".json"): json.dumps(agreement_json(result, sentence), ensure_ascii=False, indent=2)
        + "\n",
        path.with_suffix(".md"): agreement_markdown(result, sentence),
    }
    manifest = path.with_suffix(".manifest.json")
    refuse_foreign({file: text.encode("utf-8") for file, text in texts.items()}, manifest, force=force)
    for file, text in texts.items():
        write_atomic(file, text)
    annotators = [annotator.name for annotator in result.annotators]
    write_manifest(
        manifest,
        command=command,
        seed=result.seed,
        config={"annotators": annotators, "bootstrap": result.bootstrap, "epsilon": result.epsilon},
        inputs=[
            benchmark.paragraphs_path,
            *(labels_file(benchmark.labels_dir, name) for name in annotators),
            benchmark.reviews,
            benchmark.ledger,
            benchmark.gold_path,
        ],
        files=list(texts),
        report={"paper": sentence},
    )
    return list(texts)
