"""What a report is made of: tables and pictures, each with the command that made it; or why one is missing."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from annotate.errors import AnnotateError
from evaluate.errors import EvaluateError
from evaluate.plots.canvas import GRID, INK, PAPER, SOFT, as_png, as_svg
from heat.errors import HeatError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

T = TypeVar("T")

# A larger SVG is put into the page as PNG, which cannot follow the reader's colours.
LARGEST_SVG = 400_000
# Pixels of the page for an inch of a figure: at least, at most.
_PIXELS = (74, 108)
_THEME = {INK: "var(--ink)", SOFT: "var(--soft)", GRID: "var(--line)", PAPER: "var(--paper)"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table, with what hovering tells."""

    text: str
    title: str = ""


@dataclass(frozen=True, eq=False)
class Table:
    """A table of the page, and the same in full as CSV.

    Attributes:
        name: Of its file, without the ending.
        caption: What it shows.
        head: Column heads; the text and what hovering tells.
        rows: Cells; the cell in column `key` names the row.
        key: That column.
        command: What made its numbers.
        frame: What the CSV file holds.
        notes: What must be known to read it.
        marked: What the key cell of the row to be marked says.
        folded: The same in full, to be opened below it.
    """

    name: str
    caption: str
    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    command: str
    frame: pd.DataFrame
    key: int = 0
    notes: tuple[str, ...] = ()
    marked: str = ""
    folded: Table | None = None


@dataclass(frozen=True)
class Picture:
    """A figure of the page, and the same as files.

    Attributes:
        name: Of its files, without the ending.
        caption: What it shows.
        command: What made its numbers.
        svg: The file, as SVG.
        png: The file, as PNG.
        inches: Its width.
    """

    name: str
    caption: str
    command: str
    svg: str
    png: bytes
    inches: float

    @property
    def markup(self) -> str:
        """The picture for the page: SVG that takes the page's colours, or PNG where that would be too large."""
        least, most = (round(pixels * self.inches) for pixels in _PIXELS)
        size = f"min-width:{least}px;max-width:{most}px"
        if len(self.svg) <= LARGEST_SVG:
            return _inline(self.svg, self.name, size)
        data = base64.b64encode(self.png).decode()
        return f'<img style="{size}" alt="" src="data:image/png;base64,{data}">'


@dataclass(frozen=True)
class Missing:
    """Why a part is not in the report."""

    reason: str


def picture(name: str, caption: str, command: str, figure: Figure) -> Picture:
    """Draw a figure once and for all."""
    return Picture(
        name=name,
        caption=caption,
        command=command,
        svg=as_svg(figure, command),
        png=as_png(figure, command),
        inches=float(figure.get_figwidth()),
    )


def attempt(build: Callable[[], T]) -> T | Missing:
    """What a function makes, or why it cannot: results that lack something still get a report."""
    try:
        return build()
    except (EvaluateError, AnnotateError, HeatError) as error:
        return Missing(" ".join(str(error).split()))


def _inline(svg: str, name: str, size: str) -> str:
    """An SVG file as an element of the page, with names of its own and the page's colours."""
    drawing = svg[svg.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'\bid="', f'id="{name}-', drawing)
    drawing = re.sub(r'(href="|url\()#', rf"\1#{name}-", drawing)
    for colour, variable in _THEME.items():
        drawing = drawing.replace(colour, variable)
    box = re.search(r'viewBox="[^"]*"', drawing)
    assert box is not None
    inside = drawing[drawing.index(">") + 1 :].strip()
    return f'<svg {box[0]} style="{size}" aria-hidden="true" focusable="false">{inside}'
