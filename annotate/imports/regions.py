"""Regions that people marked in other tools: where they stand in the text, whatever their offsets count.

A browser counts UTF-16 code units, and not every tool translates: behind an emoji such offsets are too large. A region
carries the text it marks, so each offset is checked, repaired or refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import regex

from annotate.errors import LabelError
from annotate.formats.folding import casefold, letters
from annotate.schema import LabelSpan, Paragraph, Rung

MARK = "IMPORTANT"
"""The label of the regions that matter."""


def _names(region: Mapping[str, Any]) -> list[str]:
    """The labels of a region, one without a name where it has lost them; none of a choice, comment or relation."""
    kind, value = region.get("type"), region.get("value")
    if not isinstance(kind, str) or not kind.endswith("labels"):
        return []
    names = value.get(kind) if isinstance(value, dict) else None
    return [str(name) for name in names] if names and isinstance(names, list) else [str(names or "")]


def is_mark(region: Mapping[str, Any]) -> bool:
    """Whether a region is labelled as what matters."""
    return MARK in _names(region)


def _check_names(result: Sequence[Mapping[str, Any]]) -> None:
    """Refuse regions whose labels leave it open what was marked, so that a misnamed label is no empty one.

    Raises:
        LabelError: A label differs from the one that counts by case or blanks alone, no region carries that
            one though others were made, or it is of another kind of text than plain text.
    """
    others: Counter[str] = Counter()
    for number, region in enumerate(result, start=1):
        names = _names(region)
        if MARK in names and region["type"] != "labels":
            raise LabelError(
                f"region {number} is of type {region['type']!r}; what is read are labels of plain text, made"
                " with the interface that annotate export writes"
            )
        others.update(name for name in names if name != MARK)
        alike = [name for name in names if name != MARK and _same_name(name)]
        if alike:
            raise LabelError(f"region {number} is labelled {alike[0]!r}; name that label {MARK!r}")
    if others and not any(map(is_mark, result)):
        listed = ", ".join(f"{count} {name!r}" for name, count in others.items())
        raise LabelError(
            f"has no region labelled {MARK!r} but others ({listed}), so it is not known what matters; name the"
            f" label of what matters {MARK!r}"
        )


def _same_name(name: str) -> bool:
    """Whether a name is that of the label that counts but for case, blanks and invisible characters."""
    return letters(casefold(name)).text == MARK.casefold()


def read_regions(paragraph: Paragraph, result: Sequence[Mapping[str, Any]]) -> tuple[LabelSpan, ...]:
    """Turn the regions labelled ``IMPORTANT`` into spans of words.

    Args:
        paragraph: The paragraph that was annotated.
        result: Regions of one annotation. One that covers a part of a word marks the word.

    Returns:
        A span a region, with rung ``exact`` where its offsets count code points, ``normalized`` where they
        were repaired from UTF-16, ``ambiguous`` where both fit and differ (code points are then taken).

    Raises:
        LabelError: A region does not mark the text it carries, or no word; or regions were made and none of
            them has that label.
    """
    _check_names(result)
    return tuple(
        _span(paragraph, region["value"], f"region {number}")
        for number, region in enumerate(result, start=1)
        if is_mark(region)
    )


def _span(paragraph: Paragraph, value: Mapping[str, Any], place: str) -> LabelSpan:
    start, end, quote = value.get("start"), value.get("end"), value.get("text")
    if type(start) is not int or type(end) is not int or not isinstance(quote, str):
        raise LabelError(f"{place} has no start and end (whole numbers) and text")
    first, last, rung = _locate(paragraph.text, start, end, quote, place)
    words = tuple(i for i, (a, b) in enumerate(paragraph.words) if a < last and first < b)
    if not words:
        raise LabelError(f"{place} ({start} to {end}) marks no word: {quote!r}")
    return LabelSpan(words=words, quote=quote, rung=rung)


def _locate(text: str, start: int, end: int, quote: str, place: str) -> tuple[int, int, Rung]:
    """Offsets in code points, and how they were found."""
    shifted = from_utf16(text, start, end)
    for same in (str.__eq__, _same_on_screen):
        fits = 0 <= start <= end and same(text[start:end], quote)
        repaired = shifted is not None and same(text[slice(*shifted)], quote)
        if fits:
            ambiguous = shifted is not None and repaired and _bare(text, *shifted) != _bare(text, start, end)
            return start, end, "ambiguous" if ambiguous else "exact"
        if repaired and shifted is not None:
            return *shifted, "normalized"
    raise LabelError(
        f"{place} ({start} to {end}) carries {quote!r}, but there stands {text[max(start, 0) : max(end, 0)]!r},"
        " counted in code points or in UTF-16; nothing was imported"
    )


# Label Studio writes each character of a line end in a region's text as these two.
_LINE_END = regex.compile(r"\\[nr]")
# What reading leaves of half an emoji, which a selection in a browser may cut in two.
_HALF = "\ufffd"


def _same_on_screen(text: str, quote: str) -> bool:
    """Whether a region's text is that of the paragraph but for spaces and line ends, and an emoji cut at its edge.

    A browser's selection drops line ends at its edges and joins or makes spaces, none of which is in a word.
    """
    here, there = ("".join(_LINE_END.sub(" ", part).split()) for part in (text, quote))
    alike = (a == b or (b == _HALF and a > "\uffff") for a, b in zip(here, there, strict=False))
    return here != "" and len(here) == len(there) and all(alike)


def _bare(text: str, start: int, end: int) -> tuple[int, int]:
    """Offsets without the spaces at the edges."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())


def from_utf16(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Offsets in code points of what lies between two in UTF-16, with whole the characters that these cut."""
    units = _code_points(text)
    first, last = units.get(start, units.get(start - 1)), units.get(end, units.get(end + 1))
    return None if first is None or last is None or start > end else (first, last)


@lru_cache(maxsize=64)
def _code_points(text: str) -> dict[int, int]:
    """Code-point offset by UTF-16 offset; the middle of a surrogate pair has none."""
    units = accumulate((2 if ord(character) > 0xFFFF else 1 for character in text), initial=0)
    return {unit: position for position, unit in enumerate(units)}
