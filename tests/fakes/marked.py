"""Random paragraphs full of what moves offsets, and subsets of their words."""

from __future__ import annotations

from fakes.annotated import make_paragraph
from hypothesis import strategies as st

from annotate.schema import Paragraph

PIECES = [
    "the",
    "The",
    "ant",
    "ants",
    "a",
    "copper",
    "carbonate",
    "İzmir",
    "ß",
    "SS",
    "Straße",
    "caf\u00e9",
    "cafe\u0301",
    "\u0301",
    "\u0600",
    "x-ray",
    "3.30",
    "3\u201330",
    "don't",
    "don\u2019t",
    "\u201c",
    '"',
    "\u2014",
    "--",
    "...",
    "\u2026",
    ",",
    "😀",
    "👩‍👩‍👧",
    "🇩🇪",
    "🇩",
    "❤️",
    "שלום",
    "\u200fعربي",
    "माला",
    "水",
    "水分子",
    "한국",
    "\u1112\u1161\u11ab",
    "<m>",
    "</m>",
    "<m1>",
    "<M",
    "</",
    "m>",
    "\u00ad",
    "\u200b",
    "$text",
    "{",
    "\\",
]
SPACES = [" ", " ", " ", "\n", "", "\u00a0", "  ", "\u2003", "\r\n", "\x1c", "\x85"]


def texts(
    pieces: list[str] = PIECES, spaces: list[str] = SPACES, max_size: int = 14
) -> st.SearchStrategy[str]:
    """Pieces joined by spaces of many kinds, pieces often repeated."""
    joined = st.lists(st.tuples(st.sampled_from(pieces), st.sampled_from(spaces)), max_size=max_size)
    return joined.map(lambda pairs: "".join(piece + space for piece, space in pairs))


@st.composite
def marked(draw: st.DrawFn, text: st.SearchStrategy[str] | None = None) -> tuple[Paragraph, list[int]]:
    """A paragraph, and a subset of its words in order."""
    part = text if text is not None else st.one_of(texts(), st.text(max_size=30))
    paragraph = make_paragraph("p", draw(part), draw(part), "a", narrative=draw(part))
    chosen = draw(st.lists(st.booleans(), min_size=len(paragraph.words), max_size=len(paragraph.words)))
    return paragraph, [i for i, mark in enumerate(chosen) if mark]
