"""From what an annotator quotes to the words it means, never by shifting an offset.

The ladder: the quote as it stands, which of several places by its number and by the words before it, by its
neighbours in the list; then with quotation marks, dashes and spaces folded, with case folded, and nearly. Every
span records the rung that placed it; what is not certain is ``ambiguous``, what is not found ``unresolved``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import regex

from annotate.formats.folding import casefold, letters
from annotate.formats.places import Places, trim
from annotate.schema import LabelSpan, Paragraph, Rung, Span

_ORDER: tuple[Rung, ...] = get_args(Rung)
_ELLIPSIS = regex.compile(r"\.{3,}|\u2026")
_TELLING = 8
"""Letters of a quote that is believed when it stands in one place only, though the words before do not fit."""


@dataclass(frozen=True)
class Quote:
    """What an annotator says of one marked run of words.

    Attributes:
        text: The words, copied.
        occurrence: Which place where they stand is meant, counted from 1 over whole words, or ``None``.
        before: Up to four words before them, copied; empty where they begin the text, or when unknown.
    """

    text: str
    occurrence: int | None = None
    before: str = ""


@dataclass(frozen=True)
class _Choice:
    """A quote, the places it may stand in, and the rung; one place that needs no neighbour is settled."""

    quote: str
    rung: Rung
    options: tuple[Span, ...] = ()
    settled: bool = True


def weakest(rungs: Sequence[Rung]) -> Rung:
    """The rung of what needed all of ``rungs``."""
    return max(rungs, key=_ORDER.index)


def resolve(paragraph: Paragraph, quotes: Sequence[Quote]) -> tuple[LabelSpan, ...]:
    """Place quotes on words.

    Args:
        paragraph: What was quoted from.
        quotes: What the annotator marks, in its order.

    Returns:
        Spans in the same order, one a quote; a quote left out in its middle ("a ... b") gives one a part.
        A quote that cannot be placed has rung ``unresolved`` and no words; one whose place is doubtful has rung
        ``ambiguous`` and the words of the first place that it may mean.
    """
    places = Places(paragraph)
    quotes = [replace(quote, text=trim(quote.text), before=trim(quote.before)) for quote in quotes]
    # Someone who gives equal quotes the same number does not count.
    uncounted = {quote for quote, n in Counter(quotes).items() if n > 1 and not quote.before}
    counted = [replace(quote, occurrence=None) if quote in uncounted else quote for quote in quotes]
    choices = [choice for quote in counted for choice in _choices(places, quote)]
    spans = [_span(choice) for choice in _in_order(choices)]
    return tuple(dict.fromkeys(spans))


def _choices(places: Places, quote: Quote) -> list[_Choice]:
    """The choice for a quote, or for each part of one that leaves out its middle."""
    parts = [part for part in map(trim, _ELLIPSIS.split(quote.text)) if part]
    if len(parts) < 2 or len(quote.text) > _longest(places) or any(places.verbatim(quote.text)):
        return [_choose(places, quote)]
    shortened = [Quote(parts[0], before=quote.before), *map(Quote, parts[1:])]
    choices = [_choose(places, part) for part in shortened]
    return [replace(choice, rung=weakest([choice.rung, "normalized"])) for choice in choices]


def _longest(places: Places) -> int:
    return 2 * len(places.text) + 100


def _choose(places: Places, quote: Quote) -> _Choice:
    if max(len(quote.text), len(quote.before)) > _longest(places):
        return _Choice(quote.text, "unresolved")
    for follows in (places.follows, places.follows_roughly) if quote.before else ():
        for rung, options in places.levels(quote.text):
            told = tuple(place for place in options if follows(quote.before, place))
            if told:
                return _told(places, quote, rung, options, told)
    verbatim = list(places.verbatim(quote.text))
    if not verbatim:
        loose = places.loose(quote.text)
        return _Choice(quote.text, "ambiguous" if loose else "unresolved", loose)
    rung, options = verbatim[0]
    everywhere = tuple(sorted({place for _, of_rung in verbatim for place in of_rung}))
    if quote.before:
        return _untold(quote, rung, options, everywhere)
    choice = _counted(places, quote, rung, options, everywhere)
    # No words before may mean that the quote begins the text: then another place is doubtful.
    begins = any(first == 0 for first, _ in (*everywhere, *places.loose(quote.text)))
    if begins and choice.options[0][0] != 0:
        return replace(choice, rung="ambiguous")
    return choice


def _told(
    places: Places, quote: Quote, rung: Rung, options: tuple[Span, ...], told: tuple[Span, ...]
) -> _Choice:
    """Choose among ``told``, the options that the words before fit."""
    counted = _nth(places, quote, rung, options)
    if counted in told and len(options) > 1:
        return _Choice(quote.text, weakest([rung, "occurrence"]), (counted,))
    if len(told) == 1:
        return _Choice(quote.text, rung if len(options) == 1 else weakest([rung, "context"]), told)
    return _Choice(quote.text, weakest([rung, "context"]), told, settled=False)


def _untold(quote: Quote, rung: Rung, options: tuple[Span, ...], everywhere: tuple[Span, ...]) -> _Choice:
    """Choose where the words before fit no option: only a long quote that stands once is believed."""
    if len(everywhere) > 1:
        return _Choice(quote.text, "ambiguous", options, settled=False)
    believed = len(letters(casefold(quote.text)).text) >= _TELLING
    return _Choice(quote.text, rung if believed else "ambiguous", options)


def _counted(
    places: Places, quote: Quote, rung: Rung, options: tuple[Span, ...], everywhere: tuple[Span, ...]
) -> _Choice:
    """Choose without words before."""
    if len(everywhere) == 1 or (len(options) == 1 and quote.occurrence in (None, 1)):
        return _Choice(quote.text, rung, options)
    counted = _nth(places, quote, rung, options)
    if counted is not None:
        return _Choice(quote.text, weakest([rung, "occurrence"]), (counted,))
    return _Choice(quote.text, weakest([rung, "context"]), everywhere, settled=False)


def _nth(places: Places, quote: Quote, rung: Rung, options: tuple[Span, ...]) -> Span | None:
    """The option that the quote's number names, where all who count would count the same."""
    if quote.occurrence is None or rung == "fuzzy" or not 1 <= quote.occurrence <= len(options):
        return None
    if rung != "exact" and len({places.slice(place) for place in options}) > 1:
        return None
    return options[quote.occurrence - 1]


def _in_order(choices: Sequence[_Choice]) -> list[_Choice]:
    """Settle what is left by the order of the list: each quote stands after those listed before it.

    The first and the last place that the order allows are found; where they are one, it is certain.
    """
    sure = [choice.options[0][0] for choice in choices if _is_sure(choice)]
    anchored = sure == sorted(sure)
    earliest = _sweep(choices, anchored, 1)
    latest = _sweep(choices[::-1], anchored, -1)[::-1]
    return [
        choice if choice.settled else _ordered(choice, first, last)
        for choice, first, last in zip(choices, earliest, latest, strict=True)
    ]


def _is_sure(choice: _Choice) -> bool:
    return choice.settled and choice.rung not in ("ambiguous", "unresolved")


def _sweep(choices: Sequence[_Choice], anchored: bool, sign: int) -> list[Span | None]:
    """The nearest place of each open quote that lies beyond the one before it; ``sign`` is the direction."""
    places: list[Span | None] = []
    reached: float = -math.inf
    for choice in choices:
        place = None
        if not choice.settled:
            beyond = (option for option in choice.options[::sign] if sign * option[0] > reached)
            place = next(beyond, None)
        elif anchored and _is_sure(choice):
            place = choice.options[0]
        if place is not None:
            reached = max(reached, sign * place[0])
        places.append(place)
    return places


def _ordered(choice: _Choice, first: Span | None, last: Span | None) -> _Choice:
    if first is not None and first == last:
        return replace(choice, options=(first,))
    return replace(choice, rung="ambiguous", options=(first or choice.options[0],))


def _span(choice: _Choice) -> LabelSpan:
    if choice.rung == "unresolved":
        return LabelSpan(words=(), quote=choice.quote, rung="unresolved")
    first, last = choice.options[0]
    return LabelSpan(words=tuple(range(first, last + 1)), quote=choice.quote, rung=choice.rung)
