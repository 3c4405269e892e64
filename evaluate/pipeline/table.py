"""A finished evaluation as a table: for people at a terminal, as Markdown, as LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evaluate.metrics.metric import Metric
from evaluate.pipeline.records import PERSON
from evaluate.statistics.comparison import ALPHA
from evaluate.statistics.intervals import few_texts_note

if TYPE_CHECKING:
    from rich.table import Table

    from evaluate.pipeline.records import Copies, Evaluation, MethodResult
    from evaluate.statistics.intervals import Interval


# How a note begins that must not be missed.
WARNING = "WARNING"


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
    for name, figures in beside(result).items():
        table.add_row("", name, *(in_words(figures[metric.name]) for metric in shown), "", style="dim")
    return table


def beside(result: Evaluation) -> dict[str, Mapping[str, Interval]]:
    """The rows that are no methods: what people get, and what no information does."""
    rows = {PERSON: result.person, "chance": result.chance}
    return {name: figures for name, figures in rows.items() if figures}


def as_markdown(result: Evaluation, metrics: Sequence[Metric]) -> str:
    """Every metric as a Markdown table, with notes and the command that made it."""
    head = ["place", "method", *(metric.label for metric in metrics)]
    lines = ["| " + " | ".join(head).replace("|gold|", "gold").replace("|a|", "abs") + " |"]
    lines.append("|" + "---|" * len(head))
    for row in result.methods:
        cells = [place(row, metrics[0]), row.method, *(cell(row, metric) for metric in metrics)]
        lines.append("| " + " | ".join(cells) + " |")
    for name, figures in beside(result).items():
        cells = ["", name, *(in_words(figures[metric.name]) for metric in metrics)]
        lines.append("| " + " | ".join(cells) + " |")
    made = f"Made by `{result.command}`." if result.command else ""
    return (
        "\n".join([*lines, "", *(f"- {note}" for note in notes(result, metrics)), "", made]).rstrip() + "\n"
    )


def as_latex(result: Evaluation, metrics: Sequence[Metric]) -> str:
    """The shown metrics as a LaTeX table (booktabs), means with their intervals."""
    shown = [metric for metric in metrics if metric.shown]
    rows = [[row.method, *(cell(row, metric) for metric in shown)] for row in result.methods]
    rows += [
        [name, *(in_words(figures[metric.name]) for metric in shown)]
        for name, figures in beside(result).items()
    ]
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
        ends = [end for end in (interval.low, interval.high) if end is not None]
        return f"{interval.mean:.2g}" + (f" [{', '.join(f'{end:.2g}' for end in ends)}]" if ends else "")
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.2f}"
    return f"{interval.mean:.2f} [{_short(interval.low)}, {_short(interval.high)}]"


def _short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.2f}"


def seconds(value: float | None) -> str:
    """Seconds with two digits that mean something; nothing where nothing was timed, as a dash says "worse"."""
    if value is None:
        return ""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def notes(result: Evaluation, metrics: Sequence[Metric]) -> list[str]:
    """What must be known to read the table, a sentence each."""
    settings, first, unit = result.settings, metrics[0], result.settings.unit
    tokens = "the first token" if settings.target == "first" else "every token (mean over them)"
    whose = "the benchmark's answer" if settings.answer == "gold" else "the model's own answer"
    against = ", against the foil" if settings.contrast else ""
    lines = [
        f"{result.scored} of {result.asked} examples of {result.task} scored ({result.texts} unique texts); "
        f"intervals: 95 %, BCa bootstrap over unique texts, seed {result.settings.seed}."
        + few_texts_note(result.texts),
        f"Prompt: {settings.prompt}. Explained: {tokens} of {whose}{against}.",
        f"The model's own answer is right in {in_words(result.accuracy)} of them (normalised match), token F1 "
        f"{in_words(result.answer_f1)}; mean probability of the benchmark's answer "
        f"{in_words(result.answer_probability, small=True)}.",
    ]
    if first.name in result.best_baseline:
        lines.append(
            f"place: where {first.label} allows a method to stand, methods that cannot be told apart share places. "
            f"+ and -: better or worse than the best baseline ({_named(result, metrics)}), p < 0.05. Both from one "
            "sign-flip test of all pairs of methods (max-T), which allows for the choice of the best."
        )
    if result.chance:
        lines.append(
            f"chance: equal scores for all {unit}s; for AUPRC and F1 that is the density of gold {unit}s."
        )
        lines.append(_of_units(result))
    if result.person:
        lines.append(
            f"{PERSON}: the marks of each person as scores against the {unit}s that most of the others marked, mean "
            "over persons; methods are read against the words that most of all persons marked."
        )
    if result.left_out:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result.left_out.items())
        lines.append(f"Rows that did not become examples: {reasons}.")
    if result.skipped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result.skipped.items())
        lines.append(f"Skipped: {reasons}; {result.skipped_example}.")
    lines.extend(
        f"{copies.name}: {copies.made} copies, the model's first token is the same on {copies.survived}; "
        f"{copies.coverage:.0%} of the words have a partner{_failed(copies)}."
        for copies in result.copies
    )
    if result.copies:
        lines.append(
            "Steady is not right: what looks at no model (position) hardly moves. "
            "Equal scores say nothing and stand last."
        )
    if result.undecided:
        lines.append(f"Gold is empty or full in {result.undecided} examples, for which no metric is defined.")
    worse = _below_random(result, first)
    if worse:
        lines.insert(
            0, f"{WARNING}: random ({first.label}) is at or above {', '.join(worse)}: they say nothing here."
        )
    for row in result.methods:
        if row.collapsed:
            lines.append(
                f"{row.method}: over 90 % of its transition lies on the first two tokens in {row.collapsed} of "
                f"{result.scored} examples, where it ranks by position; see residual in docs/heat.md."
            )
        if row.aggregates and row.constant < result.texts:
            figures = ", ".join(f"{name} {in_words(value)}" for name, value in row.aggregates.items())
            lines.append(f"{row.method}: {figures}.")
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


def _of_units(result: Evaluation) -> str:
    """How scores of units are made, and how much of the scores lies outside of them."""
    unit = result.settings.unit
    how = {
        "mean": "mean of its tokens' scores",
        "sum": f"sum of its tokens' scores, which favours long {unit}s",
        "max": "largest of its tokens' scores",
    }
    line = f"A {unit}'s score is the {how[result.settings.aggregation]}."
    if unit == "token":
        line = "Scored by token: a token is gold if it holds a part of a gold word."
    elif unit != "word":
        line = f"Scored by {unit}: a {unit} is gold if it holds a gold word. {line}"
    shares = [(row.unscored, row.method) for row in result.methods if row.unscored is not None]
    if shares:
        line += (
            f" On tokens of no scored {unit} (question, cue, template, special tokens) lies {min(shares)[0]:.0%} "
            f"({min(shares)[1]}) to {max(shares)[0]:.0%} ({max(shares)[1]}) of the absolute scores."
        )
    return line


def _below_random(result: Evaluation, metric: Metric) -> list[str]:
    """Methods, other than controls, whose mean is no better than that of random scores."""
    means = {row.method: row.metrics[metric.name].mean for row in result.methods}
    floor = means.get("random")
    if floor is None or result.kind != "alignment":
        return []
    return [
        row.method
        for row in result.methods
        if row.method_kind != "control"
        and (mean := means[row.method]) is not None
        and metric.better(mean) <= metric.better(floor)
    ]


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
