"""What `annotate build-dataset` shows: why rows were dropped, and how much was used."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from annotate.dataset.build import BuildResult
from annotate.dataset.mixing import MixReport


def drop_table(report: MixReport) -> Table:
    """A table of the rows left out, by reason."""
    table = Table("why rows were dropped")
    table.add_column("rows", justify="right")
    for reason, count in report.dropped.items():
        table.add_row(reason, f"{count:,}")
    if not report.dropped:
        table.add_row("nothing", "0")
    return table


def describe_built(built: BuildResult) -> Iterator[str]:
    """Sentences about what was used, what was used again, and what was made."""
    report = built.report
    yield (
        f"supports: {report.supports_used:,} of {report.supports:,} used,"
        f" {report.supports_reused:,} times again;"
        f" {report.supports_cut:,} cut to the sentences around the answer"
    )
    yield (
        f"narrative segments: {report.segments_used:,} of {report.segments:,} used,"
        f" {report.segments_reused:,} times again"
    )
    low, middle, high = report.words
    made = f"{report.made:,} paragraphs of {low} to {high} words (median {middle:g})"
    place = built.benchmark.path
    yield f"{made} in {place}" + (", already there and whole" if built.already_there else "")
