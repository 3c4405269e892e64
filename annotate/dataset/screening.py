"""What keeps a text out of a benchmark: characters that break files or prompts, and repetition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import regex

from annotate.dataset.duplicates import near_duplicates

NEAR = 0.8
"""Word-shingle Jaccard from which two texts are near duplicates."""

_CONTROL = regex.compile(r"[\p{Cc}--[\t\n\r]]", regex.V1)
_SURROGATE = regex.compile(r"\p{Cs}")


def bad_character(text: str) -> str | None:
    """What is wrong with the characters of ``text``, or ``None``.

    Wrong are control characters, NUL among them, but for tab and line ends, and surrogates, which UTF-8
    cannot hold. Emoji, joiners, marks of direction and combining characters are sound.
    """
    if _SURROGATE.search(text):
        return "lone surrogate"
    if _CONTROL.search(text):
        return "control character"
    return None


def without_repeats(texts: Sequence[str], what: str, dropped: Counter[str]) -> list[int]:
    """Indices of the texts that repeat no earlier one, exactly or nearly.

    Args:
        texts: The texts.
        what: What they are, for the reason.
        dropped: Counts those left out by reason; it is added to.
    """
    repeats = near_duplicates(texts, NEAR)
    for index, original in repeats.items():
        nearly = "" if texts[index] == texts[original] else "nearly "
        dropped[f"{what} {nearly}repeats another"] += 1
    return [index for index in range(len(texts)) if index not in repeats]
