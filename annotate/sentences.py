"""Where sentences begin and end, by rule, as spans into the exact text."""

from __future__ import annotations

import regex

from annotate.schema import Span

# A stop, the quotes and brackets that close with it, then space; scripts without spaces need none.
_STOP = regex.compile(r"[.!?…؟۔।]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”）]*")
_OPENING = "\"'“‘«([¿¡"
# fmt: off
_ABBREVIATIONS = frozenset([
    "mr", "mrs", "ms", "dr", "prof", "rev", "hon", "st", "sr", "jr", "messrs", "mme", "mlle",
    "gen", "col", "lt", "sgt", "capt", "cmdr", "adm", "gov", "sen", "rep", "pres",
    "vs", "al", "cf", "eg", "ie", "e.g", "i.e", "viz", "ca", "approx", "fig", "figs", "eq", "eqs", "nos",
    "vol", "vols", "pp", "ed", "eds", "ch", "sec", "dept", "univ", "inc", "ltd", "co", "corp", "bros", "mt",
    "ft", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
])
# fmt: on


def split_sentences(text: str) -> tuple[Span, ...]:
    """Split ``text`` into sentences by rule (ours): a stop, space, and no sign that the sentence goes on.

    A full stop does not end a sentence after a known abbreviation or a single capital letter
    ("Dr. J. Watson"), nor before a lower-case letter. A line break always ends one.

    Args:
        text: Any text; it is not normalised.

    Returns:
        ``(start, end)`` code-point pairs in order, without the space around them; together they cover every
        non-space character.
    """
    spans = []
    for line in regex.finditer(r"[^\n]+", text):
        start = line.start()
        for stop in _STOP.finditer(text, line.start(), line.end()):
            if _ends_sentence(text, stop.start(), stop.end()):
                spans.append((start, stop.end()))
                start = stop.end()
        spans.append((start, line.end()))
    return tuple(span for span in (_trim(text, *span) for span in spans) if span[0] < span[1])


def _ends_sentence(text: str, stop: int, end: int) -> bool:
    following = text[end : end + 80].lstrip().lstrip(_OPENING)
    if following[:1].islower():
        return False
    if text[stop:end] != ".":
        return True
    before = text[max(0, stop - 20) : stop].split()
    last = before[-1].lstrip(_OPENING) if before else ""
    is_initial = len(last) == 1 and last.isupper() and last != "I"
    return not is_initial and last.lower() not in _ABBREVIATIONS


def _trim(text: str, start: int, end: int) -> Span:
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())
