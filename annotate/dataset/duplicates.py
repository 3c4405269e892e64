"""Near duplicates among texts, found exactly and without comparing all pairs."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from annotate.words import is_content, split_words

Shingles = frozenset[tuple[str, ...]]


def shingles(text: str, length: int = 3) -> Shingles:
    """The set of runs of ``length`` words in ``text``, case folded and without punctuation.

    A text shorter than ``length`` words is one run. Source: Broder 1997, On the resemblance and containment
    of documents, section 2.
    """
    words = [word.casefold() for word in (text[a:b] for a, b in split_words(text)) if is_content(word)]
    last = max(1, len(words) - length + 1)
    return frozenset(tuple(words[i : i + length]) for i in range(last))


def jaccard(a: Shingles, b: Shingles) -> float:
    """Size of the intersection over size of the union; 1 for two equal sets, 0 for disjoint ones."""
    common = len(a & b)
    return common / (len(a) + len(b) - common)


def near_duplicates(texts: Sequence[str], threshold: float = 0.8) -> dict[int, int]:
    """Find texts that repeat an earlier kept one.

    Exact, by the prefix filter: with shingles in one order, rare first, two sets of Jaccard at least ``t``
    share one among the first ``n - ceil(t n) + 1`` of each (Chaudhuri et al. 2006, A primitive operator for
    similarity joins; Bayardo et al. 2007, Scaling up all pairs similarity search).

    Args:
        texts: The texts, in the order in which they are kept.
        threshold: Least Jaccard similarity of their word shingles, in (0, 1].

    Returns:
        For each text that repeats another, the index of the first kept text that it repeats.
    """
    sets = [shingles(text) for text in texts]
    frequency = Counter(shingle for text_shingles in sets for shingle in text_shingles)
    by_shingle: dict[tuple[str, ...], list[int]] = defaultdict(list)
    repeats: dict[int, int] = {}
    for index, text_shingles in enumerate(sets):
        ordered = sorted(text_shingles, key=lambda shingle: (frequency[shingle], shingle))
        # The small number keeps rounding of the product from shortening the prefix by one.
        prefix = ordered[: len(text_shingles) - math.ceil(threshold * len(text_shingles) - 1e-9) + 1]
        candidates = sorted({other for shingle in prefix for other in by_shingle[shingle]})
        match = next(
            (other for other in candidates if jaccard(text_shingles, sets[other]) >= threshold), None
        )
        if match is not None:
            repeats[index] = match
            continue
        for shingle in prefix:
            by_shingle[shingle].append(index)
    return repeats
