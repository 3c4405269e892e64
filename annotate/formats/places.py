"""Where in a paragraph a quote could stand, from the strictest way of reading it to the loosest."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from functools import cached_property, lru_cache

import regex

from annotate.formats.folding import FoldedText, casefold, letters, normalize
from annotate.formats.similarity import near_windows
from annotate.schema import Paragraph, Rung, Span
from annotate.words import split_words

_SPACE = regex.compile(r"^\s+|\s+$")
_EDGES = regex.compile(r"^[^\p{L}\p{N}]+|[^\p{L}\p{N}\p{M}]+$")
_INSIDE = 3
"""Least number of folded characters of a quote that is looked for inside words."""


def trim(text: str) -> str:
    """Text without spaces at its ends; what counts as a space is what the word rule leaves out."""
    return _SPACE.sub("", text)


def _trailing(word: str) -> int:
    return len(word) - len(trim(word)) if word[-1].isspace() else 0


class Places:
    """One paragraph's text, folded when needed, and the search for places of quotes in it.

    A place is a ``(first, last)`` pair of word indices.
    """

    def __init__(self, paragraph: Paragraph) -> None:
        self.text, self._rule = paragraph.text, paragraph.word_rule
        # A word may end in a space that belongs to its last grapheme; only what is visible counts.
        self.words = [(start, end - _trailing(self.text[start:end])) for start, end in paragraph.words]
        self._starts = [start for start, _ in self.words]
        self._begins = frozenset(self._starts)
        self._ends = [end for _, end in self.words]
        self._loose: dict[str, tuple[Span, ...]] = {}

    def slice(self, place: Span) -> str:
        """The exact text of a place."""
        return self.text[self.words[place[0]][0] : self.words[place[1]][1]]

    def overlapping(self, start: int, end: int) -> tuple[int, ...]:
        """Indices of the words that have a visible character in ``text[start:end]``."""
        first = bisect.bisect_right(self._ends, start)
        return tuple(range(first, max(first, bisect.bisect_left(self._starts, end))))

    def verbatim(self, quote: str) -> Iterator[tuple[Rung, tuple[Span, ...]]]:
        """Places where ``quote`` stands as whole words: exactly, normalised, case folded, without its edges.

        Yields:
            ``(rung, places)`` pairs, strictest first; rungs without a place are left out.
        """
        return ((rung, places) for rung, places in self._search(quote) if places)

    def levels(self, quote: str) -> Iterator[tuple[Rung, tuple[Span, ...]]]:
        """All that :meth:`verbatim` finds, then what :meth:`loose` does, with the rung of each."""
        yield from self.verbatim(quote)
        yield "fuzzy", self.loose(quote)

    def loose(self, quote: str) -> tuple[Span, ...]:
        """Places where ``quote`` stands inside one word, or nearly stands."""
        if quote not in self._loose:
            covered = [self.overlapping(*hit) for hit in self._inside(quote)]
            inside = {(words[0], words[0]) for words in covered if len(words) == 1}
            near = near_windows(
                [casefold(quote[a:b]).text for a, b in split_words(quote, self._rule)], self._folded_words
            )
            self._loose[quote] = tuple(
                sorted({(words[0], words[-1]) for words in inside if words} | set(near))
            )
        return self._loose[quote]

    def follows(self, before: str, place: Span) -> bool:
        """Whether the words ``before`` stand just before ``place``, as they are or folded."""
        if place[0] == 0:
            return False
        begins = self._ends[place[0] - 1] - len(before)
        if begins in self._begins and self.text.startswith(before, begins):
            return True
        return self._ends_with(self._casefolded, _claim(before)[0], place)

    def follows_roughly(self, before: str, place: Span) -> bool:
        """Whether the words ``before`` stand just before ``place``, punctuation aside."""
        return self._ends_with(self._letters, _claim(before)[1], place)

    def _ends_with(self, folded: FoldedText, tail: str, place: Span) -> bool:
        """Whether the folded text before ``place`` ends with ``tail``, from the beginning of a word on."""
        offset = self.words[place[0]][0]
        start = folded.covering(offset, offset)[0] - len(tail)
        if not tail or start < 0 or not folded.text.startswith(tail, start):
            return False
        return folded.spans[start][0] in self._begins

    def _search(self, quote: str) -> Iterator[tuple[Rung, tuple[Span, ...]]]:
        yield "exact", self._aligned(_hits(self.text, quote))
        yield "normalized", self._folded_hits(self._normalized, normalize(quote).text)
        yield "casefold", self._folded_hits(self._casefolded, casefold(quote).text)
        bare = _EDGES.sub("", quote)
        if bare != quote:
            yield "normalized", self._folded_hits(self._normalized, normalize(bare).text)
            yield "casefold", self._folded_hits(self._casefolded, casefold(bare).text)

    def _folded_hits(self, folded: FoldedText, quote: str) -> tuple[Span, ...]:
        hits = [hit for hit in _hits(folded.text, quote) if folded.whole(*hit)]
        return self._aligned([folded.source(*hit) for hit in hits])

    def _aligned(self, hits: list[Span]) -> tuple[Span, ...]:
        """The places of hits that begin and end where words do, invisible characters at their edges aside."""
        places = []
        for start, end in hits:
            words = self.overlapping(start, end)
            if words and self.words[words[0]][0] == start and self.words[words[-1]][1] == end:
                places.append((words[0], words[-1]))
        return tuple(places)

    def _inside(self, quote: str) -> list[Span]:
        folded = casefold(_EDGES.sub("", quote)).text
        if len(folded) < _INSIDE:
            return []
        return [self._casefolded.source(*hit) for hit in _hits(self._casefolded.text, folded)]

    @cached_property
    def _normalized(self) -> FoldedText:
        return normalize(self.text)

    @cached_property
    def _casefolded(self) -> FoldedText:
        return casefold(self.text)

    @cached_property
    def _letters(self) -> FoldedText:
        return letters(self._casefolded)

    @cached_property
    def _folded_words(self) -> list[str]:
        return [casefold(self.text[start:end]).text for start, end in self.words]


@lru_cache(maxsize=256)
def _claim(before: str) -> tuple[str, str]:
    """Words folded, and their letters alone."""
    folded = casefold(before)
    return folded.text, letters(folded).text


def _hits(text: str, part: str) -> list[Span]:
    """All places of ``part`` in ``text``, overlapping ones too."""
    hits: list[Span] = []
    at = text.find(part) if part else -1
    while at >= 0:
        hits.append((at, at + len(part)))
        at = text.find(part, at + 1)
    return hits
