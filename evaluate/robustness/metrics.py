"""How far scores move: pure functions, and the metrics of every probe.

The scale-free figures compare scores after ``z = (a - mean) / standard deviation`` over a text's tokens, for every
copy anew: neither small scores nor a large constant under all of them can then pass for stability. Scores that
are all equal have no z; what reads it is ``nan`` for them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluate.metrics.metric import Metric

Values = NDArray[np.float64]

TOP_K = 5
NAN = float("nan")


def standardised(scores: Values) -> Values:
    """Z-scores of each row; 0 throughout where a row's scores are all equal.

    Args:
        scores: [K, n].

    Returns:
        [K, n].
    """
    flat = np.ptp(scores, axis=-1, keepdims=True) == 0
    spread = np.where(flat, 1.0, scores.std(axis=-1, keepdims=True))
    return np.where(flat, 0.0, (scores - scores.mean(axis=-1, keepdims=True)) / spread)


def spread(copies: Values) -> float:
    """Standard deviation of each token's score over the copies, mean over tokens: the poster's "sensitivity".

    (HETA release, docstring of `sensitivity`; its code adds no noise.) Of raw scores it measures their scale as
    much as their stability; of z-scores it is 0 for scores that never move and about 1 for scores drawn anew.

    Args:
        copies: [K, n]; ``nan`` with fewer than two.
    """
    return float(copies.std(axis=0, ddof=1).mean()) if len(copies) > 1 else NAN


def max_sensitivity(clean: Values, copies: Values) -> float:
    """max_k ‖a_k - a‖₂ / ‖a‖₂ (Yeh et al. 2019, eq. 4, by draws; captum's `sensitivity_max`).

    Args:
        clean: [n], the undisturbed scores; where they are all 0 the difference is divided by 1, as in captum.
        copies: [K, n].
    """
    norm = float(np.linalg.norm(clean))
    return float(np.linalg.norm(copies - clean, axis=-1).max()) / (norm or 1.0)


def spearman(one: Values, other: Values) -> float:
    """Spearman's ρ, ties at their mean rank; 0 where only the other is constant, ``nan`` where the first is."""
    from scipy.stats import rankdata

    if len(one) < 2 or np.ptp(one) == 0:
        return NAN
    if np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def kendall(one: Values, other: Values) -> float:
    """Kendall's τ-b; 0 where only the other is constant, ``nan`` where the first is."""
    from scipy.stats import kendalltau

    if len(one) < 2 or np.ptp(one) == 0:
        return NAN
    if np.ptp(other) == 0:
        return 0.0
    return float(kendalltau(one, other).statistic)


def overlap_at_k(one: Values, other: Values, k: int = TOP_K) -> float:
    """Share of the k best of one that are among the k best of the other; ties count in expectation (ours).

    An item tied at the k-th place is taken with the probability that a random order of the tied gives it, in
    both independently.

    Args:
        one: [n]; ``nan`` where constant.
        other: [n].
        k: At most n are taken.
    """
    if len(one) == 0 or np.ptp(one) == 0:
        return NAN
    k = min(k, len(one))
    return float((_chosen(one, k) * _chosen(other, k)).sum()) / k


def _chosen(scores: Values, k: int) -> Values:
    """Probability of each item to be among the k best."""
    last = np.partition(scores, -k)[-k]
    above, tied = scores > last, scores == last
    return np.where(above, 1.0, np.where(tied, (k - above.sum()) / tied.sum(), 0.0))


def relative_variation(values: Values) -> float:
    """max_s |mean_s - mean_0| / |mean_0|, s over the settings, 0 the reference (the poster's "max variation").

    Args:
        values: [examples, settings], the reference first; examples with a ``nan`` are left out.

    Returns:
        A share; ``nan`` where the reference's mean is 0 or nothing is defined.
    """
    defined = values[~np.isnan(values).any(axis=1)] if len(values) else values
    if not len(defined) or defined[:, 0].mean() == 0:
        return NAN
    means = defined.mean(axis=0)
    return float(np.abs(means[1:] - means[0]).max(initial=0.0) / abs(means[0]))


def _rank(name: str, label: str, source: str, *, shown: bool = True) -> Metric:
    return Metric(name, label, (-1.0, 1.0), True, source, shown=shown)


def _distance(name: str, label: str, source: str, *, shown: bool = True, small: bool = False) -> Metric:
    return Metric(name, label, (0.0, float("inf")), False, source, shown=shown, small=small)


_SD = "mean over tokens of the standard deviation over noisy copies (poster, section 7; HETA release)"
_MAX = "Yeh et al. 2019, eq. 4; captum.metrics.sensitivity_max"
_OURS = "Spearman of clean and disturbed scores, mean over copies (ours)"

NOISE = (
    _rank("rank_stability", "rank stability", _OURS),
    _distance("gaussian_spread", "sd, Gaussian", f"{_SD}, of z-scores (ours)"),
    _distance("gaussian_spread_raw", "sd, raw", _SD, small=True),
    _distance("uniform_max_sensitivity_raw", "max-sensitivity", _MAX, small=True),
    _distance("uniform_max_sensitivity", "max-sensitivity of z", f"{_MAX}, of z-scores (ours)", shown=False),
    _rank("gaussian_rank_stability", "rank stability, Gaussian", _OURS, shown=False),
    _rank("uniform_rank_stability", "rank stability, uniform", _OURS, shown=False),
    _distance("uniform_spread", "sd, uniform", f"{_SD}, of z-scores (ours)", shown=False),
    _distance("uniform_spread_raw", "sd, uniform, raw", _SD, shown=False, small=True),
    _distance(
        "gaussian_max_sensitivity",
        "max-sensitivity of z, Gaussian",
        f"{_MAX}, of z-scores (ours)",
        shown=False,
    ),
    _distance("gaussian_max_sensitivity_raw", "max-sensitivity, Gaussian", _MAX, shown=False, small=True),
)


def rewriting_metrics(names: tuple[str, ...], leading: str = "") -> tuple[Metric, ...]:
    """The metrics of a probe that rewrites texts.

    Args:
        names: Kinds of rewriting; each has a Spearman correlation of its own.
        leading: A kind shown at the terminal; empty for none.
    """
    source = "over aligned words, mean over the rewritings that the prediction survives (ours)"
    return (
        _rank("spearman", "Spearman", f"Spearman {source}"),
        _rank("kendall", "Kendall", f"Kendall's tau-b {source}"),
        Metric(
            "overlap", f"top-{TOP_K} overlap", (0.0, 1.0), True, f"shared among the {TOP_K} best {source}"
        ),
        _distance("distance", "z moved", f"mean |z - z'| {source}"),
        _distance("distance_raw", "moved, raw", f"mean |a - a'| {source}", shown=False, small=True),
        *(
            _rank(f"spearman_{name}", f"Spearman, {name}", f"Spearman {source}", shown=name == leading)
            for name in names
        ),
    )


DECODING = (
    _rank(
        "stayed",
        "ranks, text stayed",
        "Spearman with the greedy answer's scores where the target is the same (ours)",
    ),
    _rank("changed", "ranks, text changed", "the same where the target is another (ours)"),
    _distance(
        "stayed_moved_raw", "moved, text stayed", "max |a - a'| over tokens and settings (ours)", small=True
    ),
    _distance("alignment_stayed", "|ΔAUPRC|, text stayed", "mean over settings (ours)", shown=False),
    _distance("alignment_changed", "|ΔAUPRC|, text changed", "mean over settings (ours)", shown=False),
    _distance(
        "faithfulness_stayed",
        "|Δcomp.|, text stayed",
        "comprehensiveness, mean over settings (ours)",
        shown=False,
    ),
    _distance(
        "faithfulness_changed",
        "|Δcomp.|, text changed",
        "comprehensiveness, mean over settings (ours)",
        shown=False,
    ),
)
