"""An attribution as the page gets it: words, tokens' numbers to the last bit, and how words are made of tokens."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heat.attribution import Attribution
from heat.projection import counts
from heat.serve.recombine import combinations
from heat.show.display import notes as doubts
from heat.show.words import Piece, read, visible, visible_lines


def view(
    attribution: Attribution,
    notes: tuple[str, ...] = (),
    *,
    divergences: tuple[float, ...] = (),
    threshold: float = 0.0,
) -> dict[str, Any]:
    """What the page shows of an attribution.

    Args:
        attribution: Any.
        notes: What was said beside it when it was made.
        divergences: How far each token of the answer depends on the text, in nats; empty where that was not asked.
        threshold: Least divergence of a token that depends on it.

    Returns:
        For JSON. `scores` and `parts` are float32 [m, n + m], row by row, little-endian, in base64. Word w is made of
        the tokens and weights between `words.starts[w]` and `words.starts[w + 1]`: its number is their weighted sum.
    """
    reading = read(attribution)
    first, last = attribution.target_span
    starts, tokens, weights = _projection(attribution)
    return {
        "method": attribution.method,
        "config": dict(attribution.config),
        "model": visible(attribution.model),
        "seed": attribution.seed,
        "seconds": attribution.seconds,
        "passes": attribution.forward_equivalents,
        "explained": list(range(last - first) if attribution.explained is None else attribution.explained),
        "divergences": list(divergences),
        "threshold": threshold,
        "n_prompt": first,
        "n_tokens": last,
        "prompt": [_piece(piece) for piece in reading.prompt],
        "answer": [_piece(piece) for piece in reading.answer],
        "probabilities": list(reading.probabilities),
        "words": {"starts": starts, "tokens": tokens, "weights": weights},
        "left_out": _left_out(attribution),
        "scores": _base64(attribution.scores),
        "parts": {name: _base64(part) for name, part in attribution.components.items()},
        "combinations": combinations(attribution),
        "notes": [*notes, *doubts(reading, plain=False, remedy="the box above")],
    }


def _piece(piece: Piece) -> list[str]:
    tokens = visible(" · ".join(piece.tokens[:40]))
    return [visible_lines(piece.before), visible_lines(piece.text), tokens, visible(piece.heading)]


def _projection(attribution: Attribution) -> tuple[list[int], list[int], list[float]]:
    """Columns of the matrix that makes words of tokens: the mean of `heat.projection.word_scores`."""
    words = attribution.by("word").spans
    if words is None:  # each token is a word
        n_prompt = attribution.target_span[0]
        return list(range(n_prompt + 1)), list(range(n_prompt)), [1.0] * n_prompt
    shares = counts(attribution.prompt_text, words, attribution.prompt_offsets)
    rows: NDArray[np.float64] = np.asarray(shares.sum(axis=1))
    shares.data /= np.repeat(rows, np.diff(shares.indptr))
    by_word = shares.tocsc()
    totals: NDArray[np.float64] = np.asarray(by_word.sum(axis=0))
    # A word that the tokenizer drops has no token, and number 0.
    weights = by_word.data / np.repeat(totals, np.diff(by_word.indptr))
    return by_word.indptr.tolist(), by_word.indices.tolist(), weights.tolist()


def _left_out(attribution: Attribution) -> list[int]:
    """The tokens that `Attribution.without_first` leaves out."""
    whole = torch.ones_like(attribution.scores)
    kept = replace(attribution, scores=whole, components={}).without_first().scores[0]
    return [int(token) for token in (kept == 0).nonzero()[:, 0]]


def _base64(tensor: Tensor) -> str:
    return base64.b64encode(tensor.numpy().astype("<f4").tobytes()).decode()
