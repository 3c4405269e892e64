"""From what people marked, in characters or white-space tokens, to the words of the project."""

from __future__ import annotations

from collections import Counter
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


def majority(words: Sequence[Span], people: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Indices of the words that more than half of the people marked, where they tell words apart.

    Args:
        words: ``(start, end)`` of the words.
        people: Indices of the words that each person marked, at least one person.

    Raises:
        UnusableRowError: More than half marked no word, or every one.
    """
    votes = Counter(index for marked in people for index in set(marked))
    gold = tuple(index for index in range(len(words)) if 2 * votes[index] > len(people))
    return checked_gold(gold, words, "marked by more than half" if len(people) > 1 else "marked")


def checked_gold(gold: tuple[int, ...], words: Sequence[Span], what: str = "marked") -> tuple[int, ...]:
    """``gold`` as it is, where it tells words apart.

    Args:
        gold: Indices of the words.
        words: ``(start, end)`` of all words.
        what: What was done with the words, for the error.

    Raises:
        UnusableRowError: It holds no word, or every one.
    """
    if not gold:
        raise UnusableRowError(f"no word was {what}")
    if len(gold) == len(words):
        raise UnusableRowError(f"every word was {what}")
    return gold
