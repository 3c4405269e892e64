"""How alike two lists of words are: longest common subsequence, words a typing error apart, near windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

COVERAGE = 0.75
"""Least share of a quote's words that must be found in a window (langextract's constant)."""
DENSITY = 1 / 3
"""Least share of a window's words that must come from the quote (langextract's constant)."""
LONGEST = 200
"""Quotes of more words are not searched for inexactly."""


def subsequence_rows(masks: Iterable[int], width: int) -> list[int]:
    """Longest common subsequences of all prefixes, by bit-parallel rows (Crochemore et al. 2001).

    Args:
        masks: For each word of the first list, the positions in the second that equal it, as set bits.
        width: Length of the second list.

    Returns:
        Rows ``r`` with the length for the first ``i`` and ``j`` words being ``prefix_length(r[i], j)``; row 0
        is that of no words.
    """
    full = (1 << width) - 1
    row = full
    rows = [row]
    for mask in masks:
        both = row & mask
        row = ((row + both) | (row - both)) & full
        rows.append(row)
    return rows


def prefix_length(row: int, length: int) -> int:
    """Length of the common subsequence that ``row`` of :func:`subsequence_rows` holds for ``length`` words."""
    return length - (row & ((1 << length) - 1)).bit_count()


def is_typo(first: str, second: str) -> bool:
    """Whether two different words of letters are one insertion, deletion, replacement or swap apart."""
    if first == second or min(len(first), len(second)) < 2 or abs(len(first) - len(second)) > 1:
        return False
    if not (first.isalpha() and second.isalpha()):
        return False
    head = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
    a, b = first[head:], second[head:]
    if len(a) == len(b):
        return a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
    return a[1:] == b or a == b[1:]


def near_windows(quote: Sequence[str], words: Sequence[str]) -> list[tuple[int, int]]:
    """Windows of ``words`` that hold most of ``quote`` in its order, its first and last word among it.

    Args:
        quote: Folded words of the quote.
        words: Folded words of the text.

    Returns:
        ``(first, last)`` indices into ``words``, in order; of windows that overlap those that hold most of the
        quote, then the shortest.
    """
    if not 0 < len(quote) <= LONGEST:
        return []
    alike = {word: [i for i, w in enumerate(words) if w == word or is_typo(word, w)] for word in set(quote)}
    scored = []
    for first in alike[quote[0]]:
        width = min(int(len(quote) / DENSITY), len(words) - first)
        masks = {word: _mask(positions, first, width) for word, positions in alike.items()}
        row = subsequence_rows((masks[word] for word in quote), width)[-1]
        for last in alike[quote[-1]]:
            length = last - first + 1
            if not 0 < length <= width:
                continue
            common = prefix_length(row, length)
            if common >= COVERAGE * len(quote) and common >= DENSITY * length:
                scored.append((-common, length, first, last))
    best: list[tuple[int, int, int, int]] = []
    for window in sorted(scored):
        if all(window[:2] == better[:2] or not _overlap(window, better) for better in best):
            best.append(window)
    return sorted((first, last) for _, _, first, last in best)


def _overlap(window: Sequence[int], other: Sequence[int]) -> bool:
    return window[2] <= other[3] and other[2] <= window[3]


def _mask(positions: list[int], first: int, width: int) -> int:
    return sum(1 << (position - first) for position in positions if first <= position < first + width)
