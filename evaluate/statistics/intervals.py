"""How sure a mean over paragraphs is: bootstrap over unique texts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from annotate.schema import Record

RESAMPLES = 2000
FEW_TEXTS = 20


class Interval(Record):
    """A mean and where it lies.

    Attributes:
        mean: Mean over the values that are defined; ``None`` if none is.
        low: Lower end of the interval; ``None`` with fewer than two unique texts.
        high: Upper end.
        n: Number of values averaged.
        undefined: Number of values left out because they are ``nan``.
        confidence: Coverage aimed at.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    undefined: int
    confidence: float = 0.95

    def turned(self) -> Interval:
        """Of the values with their sign turned."""
        mean, low, high = (None if end is None else 0.0 - end for end in (self.mean, self.high, self.low))
        return self.model_copy(update={"mean": mean, "low": low, "high": high})


def mean_interval(
    values: Sequence[float] | NDArray[np.float64],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """Mean with a BCa bootstrap interval (Efron 1987; `scipy.stats.bootstrap`), clusters drawn whole.

    It is widened for few clusters (see `widened`).

    Args:
        values: One value a paragraph; ``nan`` means undefined, is left out and counted.
        clusters: What each value belongs to; paragraphs with the same text are one cluster, not fresh
            evidence.
        seed: Seed of the resampling.
        resamples: Number of bootstrap samples.
        confidence: Coverage of the interval.

    Returns:
        The mean over all defined values and its interval.
    """
    from scipy.stats import bootstrap

    array = np.asarray(values, dtype=np.float64)
    defined = ~np.isnan(array)
    undefined = int((~defined).sum())
    known = array[defined]
    if not len(known):
        return Interval(mean=None, low=None, high=None, n=0, undefined=undefined, confidence=confidence)
    codes: dict[Hashable, int] = {}
    cluster_of = [
        codes.setdefault(cluster, len(codes)) for cluster, ok in zip(clusters, defined, strict=True) if ok
    ]
    sums = np.bincount(cluster_of, weights=known)
    counts = np.bincount(cluster_of).astype(np.float64)
    mean = float(known.mean())
    low: float | None = None
    high: float | None = None
    if len(codes) > 1:
        means = sums / counts
        if np.allclose(means, mean, rtol=1e-12, atol=1e-15):
            low = high = mean
        else:
            result = bootstrap(
                (sums, counts),
                _ratio,
                paired=True,
                vectorized=True,
                n_resamples=resamples,
                batch=max(1, 4_000_000 // len(codes)),
                confidence_level=widened(confidence, len(codes)),
                method="BCa",
                rng=np.random.default_rng(seed),
            )
            low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    return Interval(mean=mean, low=low, high=high, n=len(known), undefined=undefined, confidence=confidence)


def widened(confidence: float, n: int) -> float:
    """The confidence to ask of a percentile or BCa bootstrap so that it covers as often as it should.

    A bootstrap of a mean has standard errors too small by sqrt((n - 1) / n) and normal instead of Student quantiles;
    its levels are taken further out by both (Hesterberg 2015, expanded percentile interval).

    Args:
        confidence: Coverage wanted.
        n: Number of clusters drawn, at least 2.
    """
    from scipy.special import ndtr, stdtrit

    quantile = float(stdtrit(n - 1, (1 + confidence) / 2))
    # Of two clusters the level is 1 in floats, whose normal quantile is no number.
    return 1 - 2 * max(float(ndtr(-math.sqrt(n / (n - 1)) * quantile)), 1e-12)


def few_texts_note(n: int) -> str:
    """What a table of fewer than 20 unique texts must say, to follow another sentence; empty for more."""
    if n >= FEW_TEXTS:
        return ""
    return (
        f" Fewer than {FEW_TEXTS} unique texts: 95 % intervals of so few hold the truth in 80 to 95 cases of 100, and "
        "only large differences can be shown."
    )


def _ratio(sums: NDArray[np.float64], counts: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(sums.sum(axis=axis) / counts.sum(axis=axis))


def log_ratio_interval(
    values: Sequence[float] | NDArray[np.float64],
    random: Sequence[float] | NDArray[np.float64],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """log( Σ values / Σ random ), as ReAGent reports soft metrics, with a percentile bootstrap, clusters drawn whole.

    Args:
        values: A method's, one an example; ``nan`` in either leaves the example out.
        random: Those of random scores on the same examples.
        clusters: What each belongs to.
        seed: Seed of the resampling.
        resamples: Number of bootstrap samples.
        confidence: Coverage of the interval.

    Returns:
        The log-ratio as ``mean``; ``None`` where a sum is 0.
    """
    above, below = np.asarray(values, dtype=np.float64), np.asarray(random, dtype=np.float64)
    defined = ~(np.isnan(above) | np.isnan(below))
    undefined = int((~defined).sum())
    codes: dict[Hashable, int] = {}
    cluster_of = [codes.setdefault(c, len(codes)) for c, ok in zip(clusters, defined, strict=True) if ok]
    nothing = Interval(
        mean=None, low=None, high=None, n=int(defined.sum()), undefined=undefined, confidence=confidence
    )
    if not codes or above[defined].sum() <= 0 or below[defined].sum() <= 0:
        return nothing
    sums = np.stack([np.bincount(cluster_of, weights=series[defined]) for series in (above, below)])
    low: float | None = None
    high: float | None = None
    if len(codes) > 1:
        drawn = np.random.default_rng(seed).integers(0, len(codes), (resamples, len(codes)))
        totals = sums[:, drawn].sum(-1)
        usable = totals[:, (totals > 0).all(0)]
        outer = widened(confidence, len(codes))
        ends = np.quantile(np.log(usable[0] / usable[1]), [(1 - outer) / 2, (1 + outer) / 2])
        low, high = float(ends[0]), float(ends[1])
    mean = float(np.log(sums[0].sum() / sums[1].sum()))
    return nothing.model_copy(update={"mean": mean, "low": low, "high": high})
