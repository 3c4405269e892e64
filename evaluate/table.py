"""The alignment table for people at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.metrics import METRICS

if TYPE_CHECKING:
    from rich.table import Table

    from evaluate.alignment import AlignmentResult
    from evaluate.intervals import Interval


def alignment_table(result: AlignmentResult) -> Table:
    """A row a method, best first, then chance; each mean with its 95 % interval. Fits 100 columns."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        caption=escape(f"gold: {result.gold.note}"),
        caption_justify="left",
    )
    table.add_column("method", no_wrap=True)
    for metric in METRICS:
        table.add_column(metric.label)
    table.add_column("s/1000", justify="right", no_wrap=True)
    for row in result.methods:
        table.add_row(row.method, *_cells(row.metrics), seconds(row.seconds_per_1000))
    table.add_row("chance", *_cells(result.chance), "", style="dim")
    return table


def _cells(metrics: dict[str, Interval]) -> list[str]:
    return [in_words(metrics[metric.name]) for metric in METRICS]


def in_words(interval: Interval) -> str:
    """A mean with its interval, or ``undefined``."""
    if interval.mean is None:
        return "undefined"
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.2f}"
    return f"{interval.mean:.2f} [{_short(interval.low)}, {_short(interval.high)}]"


def _short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.2f}"


def seconds(value: float | None) -> str:
    """Seconds with two digits that mean something, or a dash."""
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def notes(result: AlignmentResult) -> list[str]:
    """What must be known to read the table, a sentence each."""
    accuracy = result.accuracy
    target = (
        "the first answer token"
        if result.settings.target == "first"
        else "every answer token (mean over them)"
    )
    lines = [
        f"{result.scored} of {result.paragraphs} paragraphs scored ({result.texts} unique texts); "
        f"intervals: 95 %, BCa bootstrap over unique texts, seed {result.settings.seed}.",
        f"Target: {target}. The model's own first answer is right in {in_words(accuracy)} of them.",
        "chance: equal scores for all words; for AUPRC and F1 that is the density of gold words. "
        "A word's score is the sum over its tokens, which favours long words: random shows by how much.",
    ]
    if result.skipped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result.skipped.items())
        lines.append(f"Skipped: {reasons}; {result.skipped_example}.")
    if result.undecided:
        lines.append(
            f"Gold is empty or full in {result.undecided} paragraphs, for which no metric is defined."
        )
    for row in result.methods:
        if row.constant:
            lines.append(
                f"{row.method}: equal scores for all words in {row.constant} paragraphs, counted as chance."
            )
        if row.not_finite:
            lines.append(
                f"{row.method}: scores that are not numbers in {row.not_finite} paragraphs, "
                "counted as the worst value."
            )
    return lines
