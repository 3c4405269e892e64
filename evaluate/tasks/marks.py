"""From what people marked, in characters or white-space tokens, to the words of the project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from annotate.schema import Span


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
