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
from heat.show.words import Piece, places, read, visible, visible_lines


def view(attribution: Attribution, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the page shows of an attribution.

    Args:
        attribution: Any.
        notes: What was said beside it when it was made.

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
        "foil": attribution.foil_ids is not None,
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
    return [visible_lines(piece.before), visible_lines(piece.text), visible(" · ".join(piece.tokens[:40]))]


def _projection(attribution: Attribution) -> tuple[list[int], list[int], list[float]]:
    """Columns of the matrix that makes words of tokens: the mean of `heat.projection.word_scores`."""
    text, words, spans = places(attribution)
    shares = counts(text, words, spans)
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
