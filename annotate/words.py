"""Where words begin and end. One rule, versioned, applied once when a benchmark is built."""

from __future__ import annotations

from collections.abc import Iterable

import regex

from annotate.schema import Span

WORD_RULE = "regex-1"

# Letters, digits and combining marks hold together; an apostrophe, hyphen, dot or comma inside a word belongs to it
# ("don't", "x-ray", "3.30"). Anything else that is visible is a word of its own, taken a grapheme at a time so that
# an emoji with its modifiers stays whole.
_CORE = r"[\p{L}\p{N}][\p{L}\p{N}\p{M}\u200c\u200d]*"
_WORD = regex.compile(rf"{_CORE}(?:['’\-.,]{_CORE})*|(?!\s)\X")


def split_words(text: str) -> tuple[Span, ...]:
    """Split ``text`` into words by the rule ``regex-1`` (ours).

    Args:
        text: Any text; it is not normalised.

    Returns:
        ``(start, end)`` code-point pairs in order; together they cover every non-space character.
    """
    return tuple(match.span() for match in _WORD.finditer(text))


def is_content(word: str) -> bool:
    """Whether ``word`` has a letter or digit, so that it is not punctuation."""
    return any(character.isalnum() for character in word)


def word_runs(words: Iterable[int]) -> list[list[int]]:
    """Split word indices into runs of neighbours, in order; one named twice counts once."""
    runs: list[list[int]] = []
    for word in sorted(set(words)):
        if runs and runs[-1][-1] == word - 1:
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs
