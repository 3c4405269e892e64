"""Whether one method is better than another, or only looks so: paired tests, corrected for their number."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from annotate.schema import Record
from evaluate.intervals import Interval, mean_interval

# Forty methods make 780 pairs, and Holm's smallest threshold is then 6e-5: fewer draws could never get below it.
PERMUTATIONS = 99_999
DRAWN_AT_ONCE = 10_000
ALPHA = 0.05

Values = NDArray[np.float64]


class Difference(Record):
    """A method beside the reference, on the examples where both have a value.

    Attributes:
        reference: What it is compared with.
        difference: Mean of value minus the reference's, with its interval; higher is higher.
        effect: The mean difference over the standard deviation of the texts' differences (Cohen's d_z);
            ``None`` where that is 0.
        p: Two-sided, by a sign-flip permutation test over texts.
        p_holm: The same after Holm's correction over all methods of the metric.
    """

    reference: str
    difference: Interval
    effect: float | None
    p: float
    p_holm: float


def differences(
    values: Mapping[str, Values], reference: str, clusters: Sequence[Hashable], *, seed: int = 0
) -> dict[str, Difference]:
    """Compare every method with one of them, text by text.

    Args:
        values: Method to one value an example; ``nan`` means undefined.
        reference: Name of the method that the others are compared with.
        clusters: Text of each example; texts are flipped whole.
        seed: Seed of resampling and permutations.

    Returns:
        A comparison for each method but the reference and those with no value in common with it.
    """
    pairs = {
        name: each - values[reference]
        for name, each in values.items()
        if name != reference and not np.isnan(each - values[reference]).all()
    }
    if not pairs:
        return {}
    p = dict(zip(pairs, sign_flips(list(pairs.values()), clusters, seed=seed), strict=True))
    corrected = dict(zip(p, holm(list(p.values())), strict=True))
    return {
        name: Difference(
            reference=reference,
            difference=mean_interval(pair, clusters, seed=seed),
            effect=_effect(pair, clusters),
            p=p[name],
            p_holm=corrected[name],
        )
        for name, pair in pairs.items()
    }


def ranks(
    values: Mapping[str, Values], clusters: Sequence[Hashable], *, seed: int = 0
) -> dict[str, tuple[int, int]]:
    """Best and worst place of each method that the examples allow; higher values are better (ours).

    All pairs are tested (sign flips over texts, Holm's correction over the pairs). A method's best place is one more
    than the number of methods that are significantly better, its worst place leaves behind only those that are
    significantly worse: methods that cannot be told apart share a range.

    Args:
        values: Method to one value an example.
        clusters: Text of each example.
        seed: Seed of the permutations.

    Returns:
        Method to (best, worst), 1 being first. Methods without any value share the last places.
    """
    names = [name for name, each in values.items() if not np.isnan(each).all()]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    shared = {(a, b): values[a] - values[b] for a, b in pairs}
    tested = [pair for pair in pairs if not np.isnan(shared[pair]).all()]
    p = holm(sign_flips([shared[pair] for pair in tested], clusters, seed=seed))
    better = dict.fromkeys(names, 0)
    worse = dict.fromkeys(names, 0)
    for (a, b), value in zip(tested, p, strict=True):
        if value < ALPHA:
            first, second = (a, b) if np.nanmean(shared[a, b]) > 0 else (b, a)
            better[second] += 1
            worse[first] += 1
    found = {name: (1 + better[name], len(names) - worse[name]) for name in names}
    return {name: found.get(name, (len(names) + 1, len(values))) for name in values}


def sign_flips(pairs: Sequence[Values], clusters: Sequence[Hashable], *, seed: int = 0) -> list[float]:
    """Two-sided p of mean differences of 0, by flipping the signs of whole texts.

    What scipy's `permutation_test` does for one sample, for many at once: all share the same flips.

    Args:
        pairs: Differences, one an example; ``nan`` is left out.
        clusters: Text of each example.
        seed: Seed of the flips.

    Returns:
        One p each; exact where 2 to the number of texts is below 99,999, else from so many draws.
    """
    if not pairs:
        return []
    sums = np.stack([_cluster_sums(pair, clusters) for pair in pairs], axis=1)
    n_texts = len(sums)
    exact = 2**n_texts <= PERMUTATIONS
    n_flips = 2**n_texts if exact else PERMUTATIONS
    # Flips that give the same sum in another order of adding must count as equal.
    seen = np.abs(sums.sum(0)) * (1 - 1e-12)
    extreme = np.zeros(len(pairs))
    generator = np.random.default_rng(seed)
    for start in range(0, n_flips, DRAWN_AT_ONCE):
        n_rows = min(DRAWN_AT_ONCE, n_flips - start)
        if exact:
            bits = (np.arange(start, start + n_rows)[:, None] >> np.arange(n_texts)) & 1
        else:
            bits = generator.integers(0, 2, (n_rows, n_texts), dtype=np.int8)
        extreme += (np.abs((1.0 - 2.0 * bits) @ sums) >= seen).sum(0)
    p = extreme / n_flips if exact else (extreme + 1) / (n_flips + 1)
    return [float(value) for value in p]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's correction (1979): the i-th smallest of m is multiplied by m - i + 1, and never below the one before.

    What statsmodels' `multipletests` gives; that one collects garbage at each call, and a table makes many.

    Args:
        p: One p a test, in any order.

    Returns:
        The corrected p, in the same order, at most 1.
    """
    values = np.asarray(p, dtype=np.float64)
    order = values.argsort(kind="stable")
    corrected = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    found = np.empty_like(corrected)
    found[order] = np.minimum(corrected, 1.0)
    return [float(value) for value in found]


def _cluster_sums(pair: Values, clusters: Sequence[Hashable]) -> Values:
    """Sum of the differences of each text, 0 where none is defined."""
    codes: dict[Hashable, int] = {}
    cluster_of = [codes.setdefault(cluster, len(codes)) for cluster in clusters]
    return np.bincount(cluster_of, weights=np.nan_to_num(pair, nan=0.0)).astype(np.float64)


def _effect(pair: Values, clusters: Sequence[Hashable]) -> float | None:
    defined = ~np.isnan(pair)
    own = [cluster for cluster, ok in zip(clusters, defined, strict=True) if ok]
    sums = _cluster_sums(pair[defined], own)
    spread = float(sums.std(ddof=1)) if len(sums) > 1 else 0.0
    return float(sums.mean()) / spread if spread > 0 else None
