"""From token scores to word scores.

A token belongs to the words whose non-space characters it overlaps, and a word's score is the mean of its
tokens' scores, so that long words gain nothing by their length. A token that reaches into several words is split
between them in proportion to the non-space characters it has in each; as sums, word scores then add up to the
scores of the tokens that touch a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import regex

from heat.errors import ProjectionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csc_array, csr_array

# The whitespace of the rule that makes words: unlike str.isspace it holds separators like U+001C for visible.
_SPACE = regex.compile(r"\s")

Span = tuple[int, int]
Aggregation = Literal["mean", "sum", "max"]


def projection(text: str, words: Sequence[Span], offsets: Sequence[Span]) -> csr_array[np.float64]:
    """The share of every token that belongs to every word (ours; design, "Unit of truth").

    Args:
        text: The text that both kinds of span index, in code points.
        words: ``(start, end)`` of each word, without overlap.
        offsets: ``(start, end)`` of each token; ``(0, 0)`` for special tokens. Several tokens may share a
            span, as the bytes of one emoji do; each then belongs to the word in full.

    Returns:
        A sparse float64 matrix of shape ``(tokens, words)``. A row sums to 1 where its token touches a
            word, else to 0.

    Raises:
        ProjectionError: A word is touched by no token, or a span reaches beyond the text.
    """
    import numpy as np

    if not words:
        raise ProjectionError("the text has no words to score")
    if max(end for _, end in (*words, *offsets)) > len(text):
        raise ProjectionError(f"a word or token ends beyond the text, which has {len(text)} characters")
    matrix = counts(text, words, offsets)
    bare = np.flatnonzero(matrix.sum(axis=0) == 0)
    if len(bare):
        start, end = words[bare[0]]
        raise ProjectionError(
            f"no token covers word {bare[0]} ({text[start:end]!r} at {start}); the tokenizer drops it"
        )
    matrix.data /= np.repeat(matrix.sum(axis=1), np.diff(matrix.indptr))
    return matrix


def counts(text: str, words: Sequence[Span], offsets: Sequence[Span]) -> csr_array[np.float64]:
    """How many visible characters every token has in every word.

    Args:
        text: The text that both kinds of span index, in code points.
        words: ``(start, end)`` of each word, without overlap.
        offsets: ``(start, end)`` of each token.

    Returns:
        A sparse float64 matrix of shape ``(tokens, words)``.
    """
    import numpy as np
    from scipy.sparse import csr_array

    word_at = np.full(len(text), -1)
    for index, (start, end) in enumerate(words):
        word_at[start:end] = index
    word_at[[match.start() for match in _SPACE.finditer(text)]] = -1
    spans = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    lengths = spans[:, 1] - spans[:, 0]
    tokens = np.repeat(np.arange(len(spans)), lengths)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    characters = np.repeat(spans[:, 0], lengths) + np.arange(len(tokens)) - first
    touched = word_at[characters]
    inside = touched >= 0
    return csr_array(
        (np.ones(int(inside.sum())), (tokens[inside], touched[inside])), shape=(len(spans), len(words))
    )


@lru_cache(maxsize=4096)
def _by_word(text: str, words: tuple[Span, ...], offsets: tuple[Span, ...]) -> csc_array[np.float64]:
    """`projection` by columns; every method on a text needs the same one."""
    return projection(text, words, offsets).tocsc()


def word_scores(
    scores: ArrayLike,
    text: str,
    words: Sequence[Span],
    offsets: Sequence[Span],
    aggregation: Aggregation = "mean",
) -> NDArray[np.float64]:
    """Scores of words from scores of tokens.

    Args:
        scores: Array of shape ``(..., tokens)``.
        text: The text that both kinds of span index.
        words: ``(start, end)`` code points of each word.
        offsets: ``(start, end)`` code points of each token.
        aggregation: ``"mean"`` averages the token scores, weighted by their shares; ``"sum"`` adds them by their
            shares; ``"max"`` takes the largest score among the tokens that touch the word, undivided.

    Returns:
        float64 array of shape ``(..., words)``. A score that is not finite makes the words of its token
        not finite, and no others.

    Raises:
        ProjectionError: A word has no token, or there is not one score for each token.
    """
    import numpy as np

    values = np.asarray(scores, dtype=np.float64)
    if values.shape[-1] != len(offsets):
        raise ProjectionError(f"{values.shape[-1]} scores do not fit {len(offsets)} tokens")
    by_word = _by_word(text, tuple(words), tuple(offsets))
    # Word by word and not as one product, where a token that is not finite would spoil every word (0 x inf).
    reduce = np.maximum if aggregation == "max" else np.add
    shares = np.ones_like(by_word.data) if aggregation == "max" else by_word.data
    starts = by_word.indptr[:-1]
    reduced = reduce.reduceat(values[..., by_word.indices] * shares, starts, axis=-1)
    return np.asarray(reduced / np.add.reduceat(shares, starts) if aggregation == "mean" else reduced)


def outside_share(scores: ArrayLike, text: str, words: Sequence[Span], offsets: Sequence[Span]) -> float:
    """Share of the absolute scores that lies on tokens which touch no word.

    Args:
        scores: Array of shape ``(targets, tokens)``.
        text: The text that both kinds of span index.
        words: ``(start, end)`` code points of each word.
        offsets: ``(start, end)`` code points of each token.

    Returns:
        A number in [0, 1], mean over the targets; ``nan`` where all scores are 0.
    """
    import numpy as np

    touched = counts(text, words, offsets).sum(axis=1) > 0
    sizes = np.abs(np.asarray(scores, dtype=np.float64))
    totals, outside = sizes.sum(axis=1), sizes[:, ~touched].sum(axis=1)
    says = totals > 0
    return float((outside[says] / totals[says]).mean()) if says.any() else float("nan")
