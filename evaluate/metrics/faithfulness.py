"""What becomes of a prediction when tokens are taken away: pure functions of probabilities and scores.

``full`` is the target's probability on the whole context. A metric is of one target; with several, their mean counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluate.metrics.metric import Metric

Values = NDArray[np.float64]

SMALLEST_SCORE = 1e-200


def comprehensiveness(full: float, without: Values) -> float:
    """Mean over k of P(y | x) - P(y | x without its k best tokens) (DeYoung et al. 2020, AOPC).

    Args:
        full: P(y | x).
        without: P(y | x without the best tokens), one for each k.

    Returns:
        A number in [-1, 1], higher is better.
    """
    return float(np.mean(full - without))


def sufficiency(full: float, only: Values) -> float:
    """Mean over k of P(y | x) - P(y | the k best tokens of x alone) (DeYoung et al. 2020, AOPC).

    Returns:
        A number in [-1, 1], lower is better.
    """
    return float(np.mean(full - only))


def soft_comprehensiveness(distance: Values, zero: float) -> float:
    """Soft-NC: mean distance that softly removing tokens by their scores makes, over that of removing all.

    Zhao & Aletras 2023 eq. 9 with a distance of distributions (Zhao & Shan 2024). With several retentions the mean over
    them is the area under that curve (after Huang & Chan 2026).

    Args:
        distance: Of p(· | x) and p(· | x softly without what scores high), any shape.
        zero: Of p(· | x) and p(· | all-zero embeddings).

    Returns:
        A number, 0 or more, higher is better; ``nan`` where removing everything changes nothing.
    """
    return float(np.mean(distance) / zero) if zero > 0 else float("nan")


def soft_sufficiency(distance: Values, zero: float) -> float:
    """Soft-NS: how much of the distance that removing all makes is spared by softly keeping what scores high.

    Zhao & Aletras 2023 eq. 7 with a distance of distributions (Zhao & Shan 2024): max(0, zero - distance) / zero.

    Returns:
        A number in [0, 1], higher is better; ``nan`` where removing everything changes nothing.
    """
    return float(np.mean(np.maximum(0.0, zero - distance)) / zero) if zero > 0 else float("nan")


def retention(scores: Values, share: float) -> Values:
    """Probability with which each token is kept, proportional to its score as far as 1 allows (ours, design D3).

    q_i = min(1, c · a_i) with c such that the mean of q is `share`: every method keeps equally much. Where so few
    tokens have a score that even keeping all of those is not enough, the rest is spread evenly over the others.

    Args:
        scores: [n]; what is below 0 counts as 0.
        share: π in (0, 1).

    Returns:
        float64 [n] in [0, 1], with mean `share`.
    """
    a = np.maximum(scores, 0.0)
    if a.max() > 0:
        a = a / a.max()
    n, wanted = len(a), share * len(a)
    # What is so much smaller than the largest score counts as 0: dividing by it would leave the range of floats.
    positive = a > SMALLEST_SCORE
    if positive.sum() <= wanted:
        others = n - int(positive.sum())
        return np.where(positive, 1.0, (wanted - positive.sum()) / max(1, others))
    # c is found exactly: with the j largest at 1, the others share what is left in proportion.
    ranked = np.sort(a[positive])[::-1]
    tail = np.cumsum(ranked[::-1])[::-1]
    scale = (wanted - np.arange(len(ranked))) / tail
    j = int(np.flatnonzero(scale * ranked <= 1.0)[0])
    return np.where(positive, np.minimum(1.0, scale[j] * a), 0.0)


def curve_area(values: Values) -> float:
    """Area under values at equal steps from 0 to 1, by trapezoids (Petsiuk et al. 2018)."""
    return float(np.trapezoid(values, dx=1.0 / (len(values) - 1)))


def rise_and_mas(log_probs: Values, density: Values) -> tuple[float, float]:
    """RISE and MAS of a deletion curve (Petsiuk et al. 2018; Walker et al. 2024, for text as in flashtrace).

    n_j is the running minimum of clip((s_j - s_end) / |s_0 - s_end|, 0, 1), RISE its area. MAS is the area of
    n + |n - density|, clipped to [0, 1] and stretched over it: a method pays for scores that are out of proportion.

    Args:
        log_probs: s, log-probability of the target after each step, from none to all tokens deleted.
        density: Share of the (positive) attribution mass that is left after each step, from 1 to 0.

    Returns:
        Two numbers in [0, 1], lower is better; ``nan`` where deleting everything changes nothing.
    """
    spread = abs(log_probs[0] - log_probs[-1])
    if spread == 0:
        return float("nan"), float("nan")
    left = np.minimum.accumulate(np.clip((log_probs - log_probs[-1]) / spread, 0.0, 1.0))
    corrected = np.clip(left + np.abs(left - density), 0.0, 1.0)
    low, high = corrected.min(), corrected.max()
    stretched = (corrected - low) / (high - low) if high > low else corrected
    return curve_area(left), curve_area(stretched)


def infidelity(attributed: Values, drops: Values) -> float:
    """Infidelity at the scale that suits the scores best, as a share of what is to be explained.

    E[(β IᵀΦ - Δf)²] / E[Δf²] with β = E[IᵀΦ Δf] / E[(IᵀΦ)²] (Yeh et al. 2019, eq. 1, normalised as in captum; the
    division ours): scores have no common unit, so their scale cannot count.

    Args:
        attributed: IᵀΦ, score of what each perturbation takes away, [K].
        drops: Δf, fall of the target's log-probability, [K].

    Returns:
        A number in [0, 1], lower is better; ``nan`` where nothing drops.
    """
    total = float(np.mean(drops**2))
    if total == 0:
        return float("nan")
    size = float(np.mean(attributed**2))
    scale = float(np.mean(attributed * drops)) / size if size > 0 else 0.0
    return min(1.0, float(np.mean((scale * attributed - drops) ** 2)) / total)


_SOFT = "Zhao & Shan 2024"
METRICS: tuple[Metric, ...] = (
    Metric("comprehensiveness", "compr.", (-1.0, 1.0), True, "DeYoung et al. 2020, AOPC"),
    Metric("sufficiency", "suff. (low)", (-1.0, 1.0), False, "DeYoung et al. 2020, AOPC"),
    Metric(
        "soft_nc", "Soft-NC", (0.0, np.inf), True, f"{_SOFT}; Hellinger, equal retention (ours, design D3)"
    ),
    Metric("soft_ns", "Soft-NS", (0.0, 1.0), True, f"{_SOFT}; Hellinger, equal retention (ours, design D3)"),
    Metric("soft_nc_abs", "Soft-NC |a|", (0.0, np.inf), True, "as Soft-NC, of absolute scores", False),
    Metric("soft_ns_abs", "Soft-NS |a|", (0.0, 1.0), True, "as Soft-NS, of absolute scores", False),
    Metric("reagent_nc", "Soft-NC (ReAGent)", (0.0, np.inf), True, f"{_SOFT}, released arithmetic", False),
    Metric("reagent_ns", "Soft-NS (ReAGent)", (0.0, 1.0), True, f"{_SOFT}, released arithmetic", False),
    Metric("insertion", "insertion", (0.0, 1.0), True, "Petsiuk et al. 2018", False),
    Metric("deletion", "deletion (low)", (0.0, 1.0), False, "Petsiuk et al. 2018", False),
    Metric("rise", "RISE (low)", (0.0, 1.0), False, "Petsiuk et al. 2018, as in flashtrace", False),
    Metric("mas", "MAS (low)", (0.0, 1.0), False, "Walker et al. 2024, as in flashtrace", False),
    Metric("log_prob_drop", "drop@k", (-np.inf, np.inf), True, "Cohen-Wang et al. 2024, nats", False),
    Metric("infidelity", "infid. (low)", (0.0, 1.0), False, "Yeh et al. 2019; share of E[Δf²] (ours)", False),
)
