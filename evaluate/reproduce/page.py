"""The page as Markdown and as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.pipeline.table import in_words, seconds

if TYPE_CHECKING:
    from rich.table import Table

    from evaluate.reproduce.run import Reproduction


def as_markdown(result: Reproduction) -> str:
    """Every table with printed and measured figures, verdicts, and the commands that made them."""
    lines = ["# The poster's tables, and what comes out here", "", _counts(result), ""]
    lines += [f"- {remark}" for remark in result.remarks]
    for section in result.sections:
        lines += ["", f"## {section.section}. {section.title}", ""]
        lines += _table(
            ["", "", "poster", "ours", "claim", "verdict", "measured by"],
            [
                [
                    line.row,
                    line.column,
                    line.printed,
                    line.ours,
                    line.claim,
                    str(line.verdict),
                    f"`{line.command}`" if line.command else "",
                ]
                for line in section.lines
            ],
        )
        scales = dict.fromkeys(line.scale for line in section.lines if line.scale)
        lines += [""] if scales or section.note else []
        lines += [f"- {note}" for note in [section.note, *scales] if note]
    lines += ["", "## Time, and AOPC beside it", ""]
    lines += _table(
        ["tokens", "method", "s per 1,000", "forward passes", "AOPC"],
        [
            [
                f"{line.tokens:,}",
                line.method,
                line.skipped or seconds(line.seconds_per_1000),
                "-" if line.passes is None else f"{line.passes:,.1f}",
                "-" if line.aopc is None else in_words(line.aopc),
            ]
            for line in result.costs
        ],
    )
    lines += ["", "## The poster's own models", ""]
    lines += _table(
        [
            "model",
            "weights",
            "peak of one GPU under heat",
            "80 GB GPUs",
            "passes an example",
            "GPU-hours for 2,000",
            "command",
        ],
        [
            [
                plan.name,
                f"{plan.weights / 1e9:,.0f} GB ({plan.dtype})",
                f"{plan.peak / 1e9:,.0f} GB",
                str(plan.cards),
                f"{plan.passes:,.0f}",
                f"{plan.hours:,.1f}",
                f"`{plan.command}`",
            ]
            for plan in result.plans
        ],
    )
    lines += ["", f"Planned, {result.assumed}."]
    if result.command:
        lines += ["", f"Made by `{result.command}`."]
    return "\n".join(lines) + "\n"


def as_html(result: Reproduction) -> str:
    """The same as one HTML page without scripts and external resources."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("evaluate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"in_words": in_words, "seconds": seconds}
    return environment.get_template("reproduce.html").render(result=result, counts=_counts(result))


def terminal_table(result: Reproduction) -> Table:
    """Printed, ours and verdict for people at a terminal."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "", "poster", "ours", "verdict"):
        table.add_column(column)
    for section in result.sections:
        table.add_row(f"[bold]{section.section}. {section.title}[/bold]")
        for line in section.lines:
            cells = [line.row, line.column, line.printed, line.ours]
            table.add_row(*(escape(text) for text in cells), line.verdict.word)
    return table


def _counts(result: Reproduction) -> str:
    total = sum(result.counts.values())
    return f"{total} cells: " + ", ".join(f"{count} {word}" for word, count in result.counts.items()) + "."


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        if row is not None
        else "|" + "---|" * len(head)
        for row in [head, None, *rows]
    ]
