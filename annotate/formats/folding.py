"""Folding text for comparison without losing where each character came from.

``len("İ".lower()) == 2`` and ``"ß".casefold() == "ss"``: an offset into folded text is no offset into the text.
Every folded character therefore keeps the span of the original that it stands for.
"""

from __future__ import annotations

import bisect
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache

import regex

from annotate.schema import Span

_DASHES = "\\-\u2010-\u2015\u2212\u2e3a\u2e3b\ufe58\ufe63\uff0d"
# A run of dashes is one dash ("--" is how many write a long one); the rest goes by grapheme, because NFC joins
# and splits code points within one.
_PIECE = regex.compile(rf"[{_DASHES}]+|\X")
_DASH = regex.compile(rf"[{_DASHES}]+")
_SINGLE = "\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4`"
_DOUBLE = "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb"
# Soft hyphen, zero width space, word joiner, byte order mark, directional marks, variation selectors of emoji.
_INVISIBLE = (
    "\u00ad\u200b\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufe0e\ufe0f"
)
_TABLE = str.maketrans(
    {"\u2026": "..."} | dict.fromkeys(_SINGLE, "'") | dict.fromkeys(_DOUBLE, '"') | dict.fromkeys(_INVISIBLE)
)


@dataclass(frozen=True)
class FoldedText:
    """Folded text and where it came from.

    Attributes:
        text: The folded text, without spaces.
        spans: For each character of ``text`` the ``(start, end)`` code points of the original it stands for.
    """

    text: str
    spans: tuple[Span, ...]

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _ in self.spans]

    @cached_property
    def _ends(self) -> list[int]:
        return [end for _, end in self.spans]

    def covering(self, start: int, end: int) -> Span:
        """The folded characters that stand for anything of ``original[start:end]``, as ``(first, beyond)``."""
        return bisect.bisect_right(self._ends, start), bisect.bisect_left(self._starts, end)

    def source(self, start: int, end: int) -> Span:
        """The part of the original that ``text[start:end]`` stands for, by whole graphemes."""
        return self.spans[start][0], self.spans[end - 1][1]

    def whole(self, start: int, end: int) -> bool:
        """Whether ``text[start:end]`` begins and ends where what a grapheme was folded to does."""
        begins = start == 0 or self.spans[start - 1] != self.spans[start]
        return begins and (end == len(self.text) or self.spans[end - 1] != self.spans[end])


def normalize(text: str) -> FoldedText:
    """Fold what is typed in more than one way: NFC, quotation marks, dashes, spaces, invisible characters."""
    return _fold(text, case=False)


def casefold(text: str) -> FoldedText:
    """Fold as :func:`normalize` does, and letter case too."""
    return _fold(text, case=True)


def letters(folded: FoldedText) -> FoldedText:
    """Only the letters and digits of ``folded``."""
    pairs = [(character, span) for character, span in zip(folded.text, folded.spans, strict=True)]
    pairs = [(character, span) for character, span in pairs if character.isalnum()]
    return FoldedText("".join(character for character, _ in pairs), tuple(span for _, span in pairs))


def _fold(text: str, *, case: bool) -> FoldedText:
    fold = _casefold_piece if case else _normalize_piece
    pieces: list[str] = []
    spans: list[Span] = []
    for match in _PIECE.finditer(text):
        piece = fold(match.group())
        pieces.append(piece)
        spans.extend([match.span()] * len(piece))
    return FoldedText("".join(pieces), tuple(spans))


@lru_cache(maxsize=8192)
def _normalize_piece(piece: str) -> str:
    folded = _DASH.sub("-", unicodedata.normalize("NFC", piece)).translate(_TABLE)
    return "".join(folded.split())


@lru_cache(maxsize=8192)
def _casefold_piece(piece: str) -> str:
    return unicodedata.normalize("NFC", _normalize_piece(piece).casefold())
