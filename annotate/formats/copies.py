"""From marks in a copy of a text to words of the text, whatever the copy changed, lost or added."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from annotate.formats.folding import casefold, normalize
from annotate.formats.format import FormatError
from annotate.formats.places import Places, trim
from annotate.formats.resolver import weakest
from annotate.formats.similarity import is_typo, prefix_length, subsequence_rows
from annotate.schema import LabelSpan, Paragraph, Rung, Span
from annotate.words import split_words

_LOST = 3
"""Consecutive words of the text that a copy may lack before it is reported: nobody knows whether they were marked."""


@dataclass(frozen=True)
class _Match:
    """The words of the text that one word of the copy stands for."""

    words: tuple[int, ...]
    rung: Rung


def place_marks(paragraph: Paragraph, copy: str, marks: Sequence[Span]) -> tuple[LabelSpan, ...]:
    """Place marks on words.

    Args:
        paragraph: What was copied.
        copy: The copy, without tags.
        marks: ``(start, end)`` code points of ``copy``.

    Returns:
        A span for each mark; further ones for words of a mark whose place is doubtful (``ambiguous``), words
        that the text does not have (``unresolved``), and runs of the text that the copy lacks (``unresolved``).

    Raises:
        FormatError: Less than half of the copy is from the text.
    """
    marks = [(start, end) for start, end in marks if trim(copy[start:end])]
    places = Places(paragraph)
    if copy == paragraph.text:
        return tuple(
            LabelSpan(words=places.overlapping(*mark), quote=copy[slice(*mark)], rung="exact")
            for mark in marks
        )
    there, here = casefold(paragraph.text), casefold(copy)
    if there.text == here.text:
        shown = [(mark, here.covering(*mark)) for mark in marks]
        return tuple(
            _same(paragraph, places, copy[slice(*mark)], there.source(*part))
            if part[0] < part[1]
            else LabelSpan(words=(), quote=copy[slice(*mark)], rung="unresolved")
            for mark, part in shown
        )
    return _Alignment(paragraph, places, copy).spans(marks)


def _same(paragraph: Paragraph, places: Places, quote: str, source: Span) -> LabelSpan:
    rung = _rung(quote, paragraph.text[slice(*source)])
    return LabelSpan(words=places.overlapping(*source), quote=quote, rung=rung)


def _rung(copied: str, original: str) -> Rung:
    """How much folding makes two texts that are equal when case is folded equal."""
    if trim(copied) == trim(original):
        return "exact"
    return "normalized" if normalize(copied).text == normalize(original).text else "casefold"


class _Alignment:
    """The longest common subsequence of the words of a copy and of a text, where it is the only one."""

    def __init__(self, paragraph: Paragraph, places: Places, copy: str) -> None:
        self.text, self.copy = paragraph.text, copy
        self.text_words, self.copy_words = places.words, split_words(copy, paragraph.word_rule)
        self.text_keys = [casefold(self.text[a:b]).text for a, b in self.text_words]
        self.copy_keys = [casefold(copy[a:b]).text for a, b in self.copy_words]
        self.options = self._options()
        self.matches: dict[int, _Match] = {}
        for i, j in self._certain().items():
            self.matches[i] = _Match((j,), _rung(self._copied(i, i), self._original(j, j)))
        self.lost: list[Span] = []
        self._fill_gaps()

    def spans(self, marks: Sequence[Span]) -> tuple[LabelSpan, ...]:
        """Spans of marks and of what was lost."""
        spans = [span for mark in marks for span in self._mark(*mark)]
        for first, last in self.lost:
            spans.append(LabelSpan(words=(), quote=self._original(first, last), rung="unresolved"))
        return tuple(spans)

    def _copied(self, first: int, last: int) -> str:
        return self.copy[self.copy_words[first][0] : self.copy_words[last][1]]

    def _original(self, first: int, last: int) -> str:
        return self.text[self.text_words[first][0] : self.text_words[last][1]]

    def _options(self) -> list[list[int]]:
        """For each word of the copy the words of the text that some longest common subsequence pairs it with."""
        positions: dict[str, list[int]] = defaultdict(list)
        for j, key in enumerate(self.text_keys):
            positions[key].append(j)
        positions[""] = []
        n, m = len(self.copy_keys), len(self.text_keys)
        before = subsequence_rows((_bits(positions[key]) for key in self.copy_keys), m)
        mirrored = ([m - 1 - j for j in positions[key]] for key in reversed(self.copy_keys))
        after = subsequence_rows(map(_bits, mirrored), m)
        longest = prefix_length(before[n], m)
        if longest == 0 or 2 * longest < n:
            raise FormatError(f"the answer is no copy of the text: {longest} of its {n} words are from there")
        return [
            [
                j
                for j in positions[key]
                if prefix_length(before[i], j) + 1 + prefix_length(after[n - 1 - i], m - 1 - j) == longest
            ]
            for i, key in enumerate(self.copy_keys)
        ]

    def _certain(self) -> dict[int, int]:
        """Pairs that are the only ones, or the only ones that go on from the neighbour on either side.

        Where several words of the copy have a claim to one of the text, none is certain.
        """
        forwards = _chain(self.options, -1, 1)
        backwards = _chain(self.options[::-1], None, -1)[::-1]
        certain = {}
        for i, (left, right) in enumerate(zip(forwards, backwards, strict=True)):
            j = right if left is None else left
            if j is not None and (right is None or right == j):
                certain[i] = j
        claims = Counter(certain.values())
        return {i: j for i, j in certain.items() if claims[j] == 1}

    def _fill_gaps(self) -> None:
        """Pair what lies between certain neighbours: words split otherwise, and words mistyped."""
        known = [(-1, -1), *((i, match.words[0]) for i, match in sorted(self.matches.items()))]
        known.append((len(self.copy_words), len(self.text_words)))
        for (i, j), (next_i, next_j) in pairwise(known):
            copied, original = list(range(i + 1, next_i)), list(range(j + 1, next_j))
            if any(self.options[k] for k in copied):
                continue
            if len(original) >= _LOST and 2 * len(copied) < len(original):
                self.lost.append((original[0], original[-1]))
            elif copied and original:
                self._pair(copied, original)

    def _pair(self, copied: list[int], original: list[int]) -> None:
        copied_keys = [self.copy_keys[i] for i in copied]
        original_keys = [self.text_keys[j] for j in original]
        if "".join(copied_keys) == "".join(original_keys):
            rung = _rung(self._copied(copied[0], copied[-1]), self._original(original[0], original[-1]))
            bounds = list(zip(original, _bounds(original_keys), strict=True))
            for i, (start, end) in zip(copied, _bounds(copied_keys), strict=True):
                words = tuple(j for j, (a, b) in bounds if a < end and start < b)
                if words:
                    self.matches[i] = _Match(words, rung)
        elif len(copied) == len(original):
            for i, j in zip(copied, original, strict=True):
                if is_typo(self.copy_keys[i], self.text_keys[j]):
                    self.matches[i] = _Match((j,), "fuzzy")

    def _mark(self, start: int, end: int) -> Iterable[LabelSpan]:
        marked = [i for i, (a, b) in enumerate(self.copy_words) if a < end and start < b]
        placed = [i for i in marked if i in self.matches]
        words = {j for i in placed for j in self.matches[i].words}
        rungs = [self.matches[i].rung for i in placed]
        open_words = [i for i in marked if i not in self.matches]
        for i, following in pairwise(placed):
            gap = range(self.matches[i].words[-1] + 1, self.matches[following].words[0])
            between = [k for k in open_words if i < k < following]
            if len(gap) > _LOST or any(self.options[k] for k in between):
                continue
            if len(gap) <= len(between) + 1:
                # A mark is one piece: what it encloses in the text it marks, under whatever name.
                open_words = [k for k in open_words if k not in between]
                rungs.extend(["fuzzy"] * bool(gap or between))
                words.update(gap)
            else:
                # Too many for what stands there: one of the neighbours may be another word.
                yield LabelSpan(words=(), quote=self._original(gap[0], gap[-1]), rung="unresolved")
        if words:
            yield LabelSpan(words=tuple(sorted(words)), quote=self.copy[start:end], rung=weakest(rungs))
        for i in open_words:
            options = self.options[i][:1]
            rung: Rung = "ambiguous" if options else "unresolved"
            yield LabelSpan(words=tuple(options), quote=self._copied(i, i), rung=rung)


def _bits(positions: Iterable[int]) -> int:
    return sum(1 << position for position in positions)


def _bounds(keys: Sequence[str]) -> list[Span]:
    """Where each of ``keys`` lies when they are joined."""
    bounds, start = [], 0
    for key in keys:
        bounds.append((start, start + len(key)))
        start += len(key)
    return bounds


def _chain(options: Sequence[Sequence[int]], previous: int | None, step: int) -> list[int | None]:
    """Follow options in one direction: the only one, or the one that goes on from the word before."""
    chosen: list[int | None] = []
    for choices in options:
        going_on = None if previous is None else previous + step
        if len(choices) == 1:
            previous = choices[0]
        else:
            previous = going_on if going_on in choices else None
        chosen.append(previous)
    return chosen
