"""From what people marked, in characters or white-space tokens, to the words of the project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from annotate.errors import UnusableRowError
from annotate.schema import Span
from annotate.words import is_content, split_words


def token_spans(text: str) -> list[Span]:
    """``(start, end)`` in code points of the white-space tokens of ``text``: those of ``text.split()``."""
    spans, at = [], 0
    for token in text.split():
        start = text.index(token, at)
        at = start + len(token)
        spans.append((start, at))
    return spans


def overlapping(words: Iterable[Span], spans: Sequence[Span]) -> tuple[int, ...]:
    """Indices of the words that share a character with a span, in order.

    Args:
        words: ``(start, end)`` code-point pairs.
        spans: The same, in any order; they may overlap.
    """
    return tuple(i for i, (a, b) in enumerate(words) if any(start < b and a < end for start, end in spans))


def content_words(text: str) -> tuple[Span, ...]:
    """The words of ``text`` that have a letter or digit.

    Spans that people drew, and white-space tokens, take in punctuation that nobody judged; it is not scored.
    """
    return tuple((start, end) for start, end in split_words(text) if is_content(text[start:end]))


def checked_gold(gold: tuple[int, ...], words: Sequence[Span]) -> tuple[int, ...]:
    """``gold`` as it is, where it tells words apart.

    Raises:
        UnusableRowError: It holds no word, or every one.
    """
    if not gold:
        raise UnusableRowError("the marks hold no word")
    if len(gold) == len(words):
        raise UnusableRowError("the marks hold every word")
    return gold
