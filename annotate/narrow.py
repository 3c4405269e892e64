"""Tables on a narrow terminal: columns are left out, and no number is ever cut."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Column, Table

# What text needs to be read.
_TEXT = 24


def fit(table: Table, console: Console, spare: Sequence[str] = ()) -> list[str]:
    """Leave out columns until a table fits a console.

    Cells of more than `_TEXT` characters that hold a space, or a comma as annotators' options do, are text, and may
    wrap; all others stay whole.

    Args:
        table: Is changed.
        console: Where it will be printed.
        spare: Headings in the order in which their columns are left out; then the columns from the right but the
            first and those of money.

    Returns:
        Headings of what was left out.
    """
    headings = {str(column.header): column for column in table.columns}
    others = [name for name in reversed([*headings][1:]) if name not in spare and "USD" not in name]
    order = [*(name for name in spare if name in headings), *others]
    dropped: list[str] = []
    for column in table.columns:
        _set(column, wrap=False)
    if _width(table, console) > console.width:
        for column in table.columns:
            _set(column, wrap=True)
    while _width(table, console) > console.width and order:
        name = order.pop(0)
        dropped.append(name)
        left = [column for heading, column in headings.items() if heading not in dropped]
        table.columns = [replace(column, _index=place) for place, column in enumerate(left)]
    return dropped


def left_out(names: Sequence[str], console: Console) -> str:
    """A sentence on the columns that `fit` left out; empty where it left out none."""
    if not names:
        return ""
    return (
        f"{console.width} columns are too few for: {', '.join(names)} (a wider terminal or --json shows them)"
    )


def _set(column: Column, *, wrap: bool) -> None:
    """Let text wrap and nothing else; `wrap` breaks headings at their spaces where the cells are narrower."""
    cells = [str(cell) for cell in column.cells]
    text = any(len(cell) > _TEXT and (" " in cell or "," in cell) for cell in cells)
    column.no_wrap = not text or _numeric(cells)
    if not column.no_wrap:
        column.min_width = _TEXT
        if wrap and any(len(word) > _TEXT for cell in cells for word in cell.split()):
            # Else Rich takes the longest word for the least width, though it can be folded.
            column.max_width = _TEXT
        return
    widest = max([cell_len(line) for cell in cells for line in cell.split("\n")], default=0)
    words = str(column.header).split() or [""]
    heading = str(column.header)
    if wrap:
        heading = textwrap.fill(heading, max(widest, *map(len, words)), break_on_hyphens=False)
    column.header = heading
    # Rich takes the longest word for the least width of a column, also of one that may not wrap.
    column.min_width = max(widest, *map(cell_len, heading.split("\n")))


def _numeric(cells: Sequence[str]) -> bool:
    """Whether most of what stands in cells are digits and what joins them."""
    text = "".join(cells)
    letters = sum(c.isalpha() for c in text)
    return letters * 4 < len(text)


def _width(table: Table, console: Console) -> int:
    from rich.measure import Measurement

    return Measurement.get(console, console.options.update(width=10_000), table).minimum
