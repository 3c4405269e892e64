"""Every faithfulness metric of one attribution."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluate.faithfulness.options import MetricGroup, Options
from evaluate.faithfulness.perturb import Context, ask_softly, ask_without, ask_zero, context_of
from evaluate.metrics.faithfulness import (
    METRICS,
    comprehensiveness,
    curve_area,
    infidelity,
    retention,
    rise_and_mas,
    soft_comprehensiveness,
    soft_sufficiency,
    sufficiency,
)

if TYPE_CHECKING:
    from heat import Attribution, LanguageModel

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _SharedAnswers:
    """What all methods share on one target.

    Attributes:
        zero: Hellinger distance that all-zero embeddings make.
        zero_released: The same by the released arithmetic.
        drops: Fall of the target's log-probability for each subset of infidelity, [K].
        random: Mean over random scores of the soft metrics.
    """

    zero: float
    zero_released: float
    drops: Values
    random: dict[str, float]


@dataclass(frozen=True, eq=False)
class _Question:
    """One target's context, what the model says to it, and the draws that belong to its text.

    Attributes:
        context: The context.
        log_p: log p(· | x), [V].
        ties: A random order of the tokens, which settles ties, [n].
        uniform: Draws of the soft metrics, [D, n, d].
        subsets: Which tokens infidelity takes away, [K, n].
        random: Random scores, [R, n].
    """

    context: Context
    log_p: Tensor
    ties: NDArray[np.int64]
    uniform: Tensor
    subsets: Mask
    random: Values

    @property
    def erasable(self) -> Mask:
        return np.asarray(self.context.erasable.numpy(), dtype=np.bool_)

    def of_target(self, log_probs: Tensor) -> Tensor:
        return log_probs[:, self.context.target_id]

    def hellinger(self, log_probs: Tensor) -> Tensor:
        """√(½ Σ_v (√p_v - √q_v)²), in [0, 1]."""
        roots = (0.5 * self.log_p).exp() - (0.5 * log_probs).exp()
        return (0.5 * roots.square().sum(-1)).sqrt()

    def released(self, log_probs: Tensor) -> Tensor:
        """Σ_v (√p_v - √q_v)² / √2: what ReAGent's code takes for the Hellinger distance, in [0, √2]."""
        roots = (0.5 * self.log_p).exp() - (0.5 * log_probs).exp()
        return roots.square().sum(-1) / math.sqrt(2)

    def best_first(self, scores: Values) -> NDArray[np.int64]:
        """The erasable tokens, highest score first."""
        order = np.lexsort((self.ties, -scores))
        return order[self.erasable[order]]


class Faithfulness:
    """Measures attributions of one model; what does not depend on the scores is asked once a text.

    Args:
        lm: The model that was explained.
        options: What is done.
        seed: Seed of every draw; draws depend on it and on the text alone, so that all methods meet the same.
    """

    def __init__(self, lm: LanguageModel, options: Options, seed: int = 0) -> None:
        self.lm, self.options, self.seed = lm, options, seed
        self._shared: dict[tuple[int, ...], _SharedAnswers] = {}

    def measure(self, attribution: Attribution) -> dict[str, float]:
        """Every metric of `evaluate.metrics.faithfulness`.

        Args:
            attribution: Of this model. With several targets each is measured on its own context, and the mean counts.

        Returns:
            Metric name to value, and under ``random_soft_nc`` and so on what random scores get; ``nan`` where a metric
            is not defined.
        """
        rows = [self._of_target(attribution, row) for row in range(len(attribution.scores))]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def _of_target(self, attribution: Attribution, row: int) -> dict[str, float]:
        question = _question(self.lm, attribution, row, self.options, self.seed)
        key = attribution.token_ids[: len(question.context) + 1]
        if key not in self._shared:
            self._shared[key] = _shared(question, self.options)
        shared = self._shared[key]
        scores = attribution.scores[row, : len(question.context)].double().numpy()
        found = _whole_tokens(question, scores, self.options)
        if self.options.computes(MetricGroup.MAS):
            found |= _padded(question, scores, self.options)
        if self.options.computes(MetricGroup.SOFT):
            soft = _soft(question, shared.zero, scores[None], self.options)
            absolute = soft
            if (scores < 0).any():
                absolute = _soft(question, shared.zero, np.abs(scores)[None], self.options)
            found |= soft | {f"{name}_abs": value for name, value in absolute.items()}
        if self.options.computes(MetricGroup.REAGENT):
            found |= _reagent(question, shared.zero_released, scores[None])
        if self.options.computes(MetricGroup.INFIDELITY):
            found["infidelity"] = infidelity(question.subsets @ scores, shared.drops)
        random = {f"random_{name}": value for name, value in shared.random.items()}
        return {metric.name: math.nan for metric in METRICS} | found | random


def _question(
    lm: LanguageModel, attribution: Attribution, row: int, options: Options, seed: int
) -> _Question:
    context = context_of(lm, attribution, row)
    n, width = context.embeddings.shape
    ids = attribution.token_ids[: n + 1]
    digest = hashlib.sha256(f"{seed}:{ids}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    ties = torch.randperm(n, generator=generator)
    subsets = (torch.rand(options.subsets, n, generator=generator) < 0.5) & context.erasable
    random = torch.rand(options.random_draws, n, generator=generator, dtype=torch.float64)
    uniform = torch.rand(options.draws, n, width, generator=generator)
    answers: list[Tensor] = []

    def keep(log_probs: Tensor) -> Tensor:
        answers.append(log_probs[0])
        return log_probs[:, 0]

    ask_without(context, torch.ones(1, n, dtype=torch.bool), "attention", keep)
    return _Question(context, answers[0], ties.numpy(), uniform, subsets.numpy(), random.numpy())


def _shared(question: _Question, options: Options) -> _SharedAnswers:
    zero, released = math.nan, math.nan
    drops: Values = np.empty(0)
    random: dict[str, float] = {}
    if options.computes(MetricGroup.INFIDELITY):
        whole = np.ones((1, len(question.context)), bool)
        keep = torch.from_numpy(np.concatenate([whole, ~question.subsets]))
        answers = ask_without(question.context, keep, options.erase, question.of_target).numpy()
        drops = answers[0] - answers[1:]
    if options.computes(MetricGroup.SOFT):
        zero = ask_zero(question.context, question.hellinger)
        random |= _soft(question, zero, question.random, options)
    if options.computes(MetricGroup.REAGENT):
        released = ask_zero(question.context, question.released)
        random |= _reagent(question, released, question.random)
    return _SharedAnswers(zero, released, drops, random)


def _best(best: NDArray[np.int64], counts: NDArray[np.int64], n: int) -> Tensor:
    """Bool [K, n], True on the K[i] best tokens."""
    chosen = np.zeros((len(counts), n), dtype=bool)
    for row, count in zip(chosen, counts, strict=True):
        row[best[:count]] = True
    return torch.from_numpy(chosen)


def _steps(best: NDArray[np.int64], options: Options) -> NDArray[np.int64]:
    """How many tokens are gone after each step, from none to all."""
    return np.rint(np.linspace(0, len(best), options.steps + 1)).astype(np.int64)


def _whole_tokens(question: _Question, scores: Values, options: Options) -> dict[str, float]:
    """AOPC, the drop at k, and the curves of insertion and deletion; no context is asked twice."""
    best, n = question.best_first(scores), len(question.context)
    shares = np.ceil(np.array(options.bins) * len(best) - 1e-9).astype(np.int64)
    top = np.array([options.top_k])
    steps = _steps(best, options) if options.computes(MetricGroup.CURVES) else np.empty(0, dtype=np.int64)
    taken, kept = np.unique(np.concatenate([shares, top, steps])), np.unique(np.concatenate([shares, steps]))
    asked = ask_without(
        question.context,
        torch.cat([~_best(best, taken, n), _best(best, kept, n)]),
        options.erase,
        question.of_target,
    ).numpy()

    def without(counts: NDArray[np.int64]) -> Values:
        return asked[np.searchsorted(taken, counts)]

    def only(counts: NDArray[np.int64]) -> Values:
        return asked[len(taken) + np.searchsorted(kept, counts)]

    full = float(question.log_p[question.context.target_id])
    found = {
        "comprehensiveness": comprehensiveness(math.exp(full), np.exp(without(shares))),
        "sufficiency": sufficiency(math.exp(full), np.exp(only(shares))),
        "log_prob_drop": float(full - without(top)[0]),
    }
    if options.computes(MetricGroup.CURVES):
        found["deletion"] = curve_area(np.exp(without(steps)))
        found["insertion"] = curve_area(np.exp(only(steps)))
    return found


def _padded(question: _Question, scores: Values, options: Options) -> dict[str, float]:
    """RISE and MAS, which pad whatever stands for a token elsewhere, as published."""
    best = question.best_first(scores)
    steps = _steps(best, options)
    keep = ~_best(best, steps, len(question.context))
    padded = ask_without(question.context, keep, "pad", question.of_target).numpy()
    mass = np.maximum(scores[best], 0.0)
    # Without any positive score every token counts as one.
    mass = mass / mass.sum() if mass.sum() > 0 else np.full(len(best), 1 / len(best))
    density = 1.0 - np.concatenate([[0.0], np.cumsum(mass)])[steps]
    rise, mas = rise_and_mas(padded, density)
    return {"rise": rise, "mas": mas}


def _soft(question: _Question, zero: float, scores: Values, options: Options) -> dict[str, float]:
    """Soft-NC and Soft-NS at equal retention, mean over the score vectors [A, n]."""
    retained = np.ones((len(scores), len(options.retentions), scores.shape[1]))
    removed = retained.copy()
    erasable = question.erasable
    for i, vector in enumerate(scores):
        for j, share in enumerate(options.retentions):
            q = retention(vector[erasable], share)
            retained[i, j, erasable], removed[i, j, erasable] = q, 1 - q

    def distance(probabilities: Values) -> Values:
        flat = torch.from_numpy(probabilities.reshape(-1, probabilities.shape[-1])).float()
        return ask_softly(question.context, flat, question.uniform, question.hellinger).numpy()

    return {
        "soft_nc": soft_comprehensiveness(distance(removed), zero),
        "soft_ns": soft_sufficiency(distance(retained), zero),
    }


def _reagent(question: _Question, zero: float, scores: Values) -> dict[str, float]:
    """The same by the arithmetic of ReAGent's release: softmax over all tokens, one draw, its own distance."""
    shares = torch.from_numpy(scores).softmax(-1).float()
    first = question.uniform[:1]
    removed = ask_softly(question.context, 1 - shares, first, question.released).numpy()
    retained = ask_softly(question.context, shares, first, question.released).numpy()
    return {
        "reagent_nc": soft_comprehensiveness(removed, zero),
        "reagent_ns": soft_sufficiency(retained, zero),
    }
