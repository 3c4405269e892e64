"""An attribution as the page gets it: the text in its units once, and each method's numbers to the last bit."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heat.attribution import Attribution
from heat.errors import UnitError
from heat.projection import counts
from heat.serve.history import KeptAnswer
from heat.serve.recombine import combinations
from heat.show.display import notes as doubts
from heat.show.words import Piece, Reading, read, visible, visible_lines
from heat.units import UNITS, Unit


def text(
    attribution: Attribution, answer: KeptAnswer | None = None, foils: Sequence[str] = ()
) -> dict[str, Any]:
    """What the page shows of a text and its answer, whatever the method.

    Args:
        attribution: One of the text.
        answer: Which tokens of the answer depend on the text; None where that was not asked.
        foils: What each token of the answer is contrasted with, empty for nothing; none where there is no foil.

    Returns:
        For JSON. `units` holds for each unit that the prompt has its `pieces` (white space before, text, tokens,
        heading) and how they are made of tokens: unit u of the tokens between `starts[u]` and `starts[u + 1]`, to the
        `shares` there. `why_not` says of the other units why there are none.
    """
    first, last = attribution.target_span
    readings, why_not = _readings(attribution)
    any_reading = readings["token"]
    return {
        "units": {unit: _unit(attribution, reading) for unit, reading in readings.items()},
        "why_not": why_not,
        "answer": [_piece(piece) for piece in readings.get("word", any_reading).answer],
        "probabilities": list(any_reading.probabilities),
        "explained": list(range(last - first) if attribution.explained is None else attribution.explained),
        "divergences": [] if answer is None else [token.divergence for token in answer.tokens],
        "threshold": 0.0 if answer is None else answer.threshold,
        "foils": [visible(foil) for foil in foils],
        "n_prompt": first,
        "n_tokens": last,
        "left_out": _left_out(attribution),
    }


def layer(attribution: Attribution, notes: Sequence[str] = ()) -> dict[str, Any]:
    """What the page shows of a method on a text.

    Args:
        attribution: What it found.
        notes: What was said beside it when it was made.

    Returns:
        For JSON. `scores` and `parts` are float32 [m, n + m], row by row, little-endian, in base64. `doubts` holds for
        each unit what makes the colours doubtful.
    """
    readings, _ = _readings(attribution)
    return {
        "method": attribution.method,
        "config": dict(attribution.config),
        "model": visible(attribution.model),
        "seed": attribution.seed,
        "seconds": attribution.seconds,
        "passes": attribution.forward_equivalents,
        "scores": _base64(attribution.scores),
        "parts": {name: _base64(part) for name, part in attribution.components.items()},
        "combinations": combinations(attribution),
        "notes": list(notes),
        "doubts": {unit: _doubts(reading) for unit, reading in readings.items()},
    }


def _doubts(reading: Reading) -> list[str]:
    """What makes colours doubtful; what they mean stands beside the page's own bar of them."""
    said = doubts(reading, plain=False, remedy="the box above")
    return [] if reading.largest() == 0 else said[1:] if reading.signed() else said


def _readings(attribution: Attribution) -> tuple[dict[Unit, Reading], dict[Unit, str]]:
    """The attribution in every unit that the prompt has, and why it has no others."""
    found: dict[Unit, Reading] = {}
    why_not: dict[Unit, str] = {}
    for unit in UNITS:
        try:
            found[unit] = read(attribution, unit)
        except UnitError as error:
            why_not[unit] = str(error)
    return found, why_not


def _unit(attribution: Attribution, reading: Reading) -> dict[str, Any]:
    """Pieces, and columns of the matrix of shares that `Attribution.by` aggregates."""
    pieces = [_piece(piece) for piece in reading.prompt]
    spans = attribution.by(reading.unit).spans
    if reading.unit == "token" or spans is None:
        n_prompt = attribution.target_span[0]
        starts, tokens, shares = list(range(n_prompt + 1)), list(range(n_prompt)), [1.0] * n_prompt
    else:
        touched = counts(attribution.prompt_text, spans, attribution.prompt_offsets)
        rows: NDArray[np.float64] = np.asarray(touched.sum(axis=1))
        touched.data /= np.repeat(rows, np.diff(touched.indptr))
        by_unit = touched.tocsc()
        starts, tokens, shares = by_unit.indptr.tolist(), by_unit.indices.tolist(), by_unit.data.tolist()
    return {"pieces": pieces, "starts": starts, "tokens": tokens, "shares": shares}


def _piece(piece: Piece) -> list[str]:
    tokens = visible(" · ".join(piece.tokens[:40]))
    return [visible_lines(piece.before), visible_lines(piece.text), tokens, visible(piece.heading)]


def _left_out(attribution: Attribution) -> list[int]:
    """The tokens that `Attribution.without_first` leaves out."""
    whole = torch.ones_like(attribution.scores)
    kept = replace(attribution, scores=whole, components={}).without_first().scores[0]
    return [int(token) for token in (kept == 0).nonzero()[:, 0]]


def _base64(tensor: Tensor) -> str:
    return base64.b64encode(tensor.numpy().astype("<f4").tobytes()).decode()
