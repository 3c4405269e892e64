"""An attribution in a notebook: coloured words as HTML, and the same as text where there is no HTML."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from rich.console import Console

from heat.show.colours import AGAINST, DARK_STRENGTH, FOR
from heat.show.display import LIMIT, notes, show
from heat.show.words import SCORE, Reading, excerpt, read, visible, visible_lines

if TYPE_CHECKING:
    from heat.attribution import Attribution

# Below this share of the largest number a word stays without colour.
_FAINT = 0.02
_WIDTH = 100


@dataclass(frozen=True, eq=False)
class View:
    """What `Attribution.show` returns: a notebook displays it, `print` writes it as text.

    The colours lie half-transparent on whatever the notebook has for paper, and letters keep its ink, so that it can
    be read in a light and in a dark theme. There is no script and no style sheet in it: notebooks that do not trust
    their output show it all the same.

    Attributes:
        attribution: What is shown.
        top: How many of the strongest words are listed.
    """

    attribution: Attribution = field(repr=False)
    top: int

    def _repr_html_(self) -> str:
        reading = read(self.attribution)
        strongest = reading.strongest(self.top)
        facts = (
            f"probability {reading.probability:.3g}, method {self.attribution.method}, "
            f"model {self.attribution.model}"
        )
        lines = [
            _words(reading, strongest),
            f"<p><small>→ <b><bdi>{_text(reading.target)}</bdi></b>, {_text(facts)}</small></p>",
            *(f"<p><small>{_text(note)}</small></p>" for note in notes(reading, plain=False)),
            _table(reading, strongest),
        ]
        return "<div>" + "\n".join(lines) + "</div>"

    def __repr__(self) -> str:
        stream = io.StringIO()
        show(
            self.attribution,
            self.top,
            Console(file=stream, color_system=None, width=_WIDTH, force_jupyter=False),
        )
        return stream.getvalue().rstrip("\n")


def _words(reading: Reading, strongest: list[int]) -> str:
    shares, numbers = reading.shares(), reading.numbers()
    parts: list[str] = []
    reached = 0
    for start, end in excerpt(len(reading.prompt), strongest, LIMIT):
        if start > reached:
            parts.append(f"\n… {start - reached:,} words …\n")
        for index in range(start, end):
            piece = reading.prompt[index]
            title = escape(f"{visible(piece.text)}: {numbers[index]:.4g}", quote=True)
            style = _background(shares[index])
            parts.append(f'{_text(piece.before)}<span title="{title}"{style}>{_text(piece.text)}</span>')
        reached = end
    style = "white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.9; unicode-bidi: plaintext"
    return f'<div dir="auto" style="{style}">{"".join(parts)}</div>'


def _background(share: float) -> str:
    if abs(share) < _FAINT:
        return ""
    red, green, blue = FOR if share > 0 else AGAINST
    colour = f"rgba({red:g}, {green:g}, {blue:g}, {DARK_STRENGTH * abs(share):.2f})"
    return f' style="background: {colour}; border-radius: 3px"'


def _table(reading: Reading, strongest: list[int]) -> str:
    views = [SCORE, *(name for name in reading.views if name != SCORE)]
    numbers = {view: reading.numbers(view) for view in views}
    head = "".join(f'<th scope="col">{_text(view)}</th>' for view in ["word", *views])
    rows = [
        f"<tr><td><bdi>{_text(reading.prompt[index].text)}</bdi></td>"
        + "".join(f"<td>{numbers[view][index]:.4g}</td>" for view in views)
        + "</tr>"
        for index in strongest
    ]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _text(text: str) -> str:
    return escape(visible_lines(text))
