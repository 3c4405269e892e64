"""A finished evaluation as a table: for people at a terminal, as Markdown, as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evaluate.comparison import ALPHA
from evaluate.intervals import few_texts_note
from evaluate.metrics.metric import Metric

if TYPE_CHECKING:
    from rich.table import Table

    from evaluate.evaluation import Copies, Evaluation, MethodResult
    from evaluate.intervals import Interval


def terminal_table(result: Evaluation, metrics: Sequence[Metric]) -> Table:
    """A row a method, best first, then chance; each mean with its 95 % interval. Fits 120 columns.

    Args:
        result: What is shown.
        metrics: All that were measured; those marked as shown get a column.
    """
    from rich.markup import escape
    from rich.table import Table

    shown = [metric for metric in metrics if metric.shown]
    note = "gold: " + result.gold.note if result.gold is not None and result.kind == "alignment" else ""
    table = Table(
        box=None, pad_edge=False, padding=(0, 1, 0, 0), caption=escape(note) or None, caption_justify="left"
    )
    table.add_column("place", no_wrap=True)
    table.add_column("method", no_wrap=True)
    for metric in shown:
        table.add_column(metric.label)
    table.add_column("s/1000", justify="right", no_wrap=True)
    for row in result.methods:
        cells = [cell(row, metric) for metric in shown]
        table.add_row(place(row, metrics[0]), row.method, *cells, seconds(row.seconds_per_1000))
    if result.chance:
        cells = [in_words(result.chance[metric.name]) for metric in shown]
        table.add_row("", "chance", *cells, "", style="dim")
    return table


def as_markdown(result: Evaluation, metrics: Sequence[Metric]) -> str:
    """Every metric as a Markdown table, with notes and the command that made it."""
    head = ["place", "method", *(metric.label for metric in metrics)]
    lines = ["| " + " | ".join(head).replace("|gold|", "gold").replace("|a|", "abs") + " |"]
    lines.append("|" + "---|" * len(head))
    for row in result.methods:
        cells = [place(row, metrics[0]), row.method, *(cell(row, metric) for metric in metrics)]
        lines.append("| " + " | ".join(cells) + " |")
    if result.chance:
        cells = ["", "chance", *(in_words(result.chance[metric.name]) for metric in metrics)]
        lines.append("| " + " | ".join(cells) + " |")
    made = f"Made by `{result.command}`." if result.command else ""
    return (
        "\n".join([*lines, "", *(f"- {note}" for note in notes(result, metrics)), "", made]).rstrip() + "\n"
    )


def as_latex(result: Evaluation, metrics: Sequence[Metric]) -> str:
    """The shown metrics as a LaTeX table (booktabs), means with their intervals."""
    shown = [metric for metric in metrics if metric.shown]
    rows = [[row.method, *(cell(row, metric) for metric in shown)] for row in result.methods]
    if result.chance:
        rows.append(["chance", *(in_words(result.chance[metric.name]) for metric in shown)])
    head = ["method", *(metric.label for metric in shown)]
    lines = [
        f"% {result.command}" if result.command else "% called from Python",
        r"\begin{tabular}{l" + "l" * len(shown) + "}",
        r"\toprule",
        " & ".join(_latex(cell) for cell in head) + r" \\",
        r"\midrule",
        *(" & ".join(_latex(cell) for cell in row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    for character in ("&", "%", "_", "#", "$"):
        text = text.replace(character, "\\" + character)
    return text.replace("|", r"\textbar{}")


def place(row: MethodResult, metric: Metric) -> str:
    """The places that the examples allow a method in the order of a metric, such as ``1-4``."""
    best, worst = row.ranks[metric.name]
    return str(best) if best == worst else f"{best}-{worst}"


def cell(row: MethodResult, metric: Metric) -> str:
    """Mean and interval; ``+`` or ``-`` where the best baseline is significantly worse or better."""
    text = in_words(row.metrics[metric.name], small=metric.small)
    versus = row.versus.get(metric.name)
    if versus is None or versus.p_adjusted >= ALPHA or versus.difference.mean is None:
        return text
    return text + ("+" if metric.better(versus.difference.mean) > 0 else "-")


def in_words(interval: Interval, *, small: bool = False) -> str:
    """A mean with its interval, or ``undefined``; with two digits that mean something where it may be ``small``."""
    if interval.mean is None:
        return "undefined"
    if small:
        ends = [each for each in (interval.low, interval.high) if each is not None]
        return f"{interval.mean:.2g}" + (f" [{', '.join(f'{end:.2g}' for end in ends)}]" if ends else "")
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


def notes(result: Evaluation, metrics: Sequence[Metric]) -> list[str]:
    """What must be known to read the table, a sentence each."""
    target = (
        "the first target token"
        if result.settings.target == "first"
        else "every target token (mean over them)"
    )
    first = metrics[0]
    lines = [
        f"{result.scored} of {result.asked} examples of {result.task} scored ({result.texts} unique texts); "
        f"intervals: 95 %, BCa bootstrap over unique texts, seed {result.settings.seed}.",
        f"Target: {target}. The model's own first token is right in {in_words(result.accuracy)} of them.",
    ]
    if first.name in result.best_baseline:
        lines.append(
            f"place: where {first.label} allows a method to stand, methods that cannot be told apart share places. "
            f"+ and -: better or worse than the best baseline ({_named(result, metrics)}), p < 0.05. Both from one "
            "sign-flip test of all pairs of methods (max-T), which allows for the choice of the best."
        )
    few = few_texts_note(result.texts)
    if few is not None:
        lines.append(few)
    if result.chance:
        lines.append(
            "chance: equal scores for all words; for AUPRC and F1 that is the density of gold words. "
            "A word's score is the sum over its tokens, which favours long words: random shows by how much."
        )
    if result.left_out:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result.left_out.items())
        lines.append(f"Rows that did not become examples: {reasons}.")
    if result.skipped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result.skipped.items())
        lines.append(f"Skipped: {reasons}; {result.skipped_example}.")
    lines.extend(
        f"{each.name}: {each.made} copies, the model's first token is the same on {each.survived}; "
        f"{each.coverage:.0%} of the words have a partner{_failed(each)}."
        for each in result.copies
    )
    if result.copies:
        lines.append(
            "Steady is not right: what looks at no model (position) hardly moves. "
            "Equal scores say nothing and stand last."
        )
    if result.undecided:
        lines.append(f"Gold is empty or full in {result.undecided} examples, for which no metric is defined.")
    for row in result.methods:
        if row.aggregates and row.constant < result.texts:
            each = ", ".join(f"{name} {in_words(value)}" for name, value in row.aggregates.items())
            lines.append(f"{row.method}: {each}.")
        if row.constant:
            lines.append(
                f"{row.method}: equal scores throughout in {row.constant} examples, which order nothing."
            )
        if row.not_finite:
            lines.append(
                f"{row.method}: scores that are not numbers in {row.not_finite} examples, "
                "counted as the worst value; ranked last."
            )
        if row.refused:
            lines.append(
                f"{row.method}: refused {row.refused} examples, which are in no mean of its row; ranked last: "
                f"{row.refused_example}."
            )
    return lines


def _failed(copies: Copies) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in copies.failed.items())
    return f"; no copy could be had of {sum(copies.failed.values())} texts ({reasons})" if reasons else ""


def _named(result: Evaluation, metrics: Sequence[Metric]) -> str:
    """The best baseline of each shown metric, once where it is the same."""
    by_name: dict[str, list[str]] = {}
    for metric in metrics:
        if metric.shown and metric.name in result.best_baseline:
            by_name.setdefault(result.best_baseline[metric.name], []).append(metric.label)
    if len(by_name) == 1:
        return next(iter(by_name))
    return "; ".join(f"{', '.join(labels)}: {name}" for name, labels in by_name.items())
