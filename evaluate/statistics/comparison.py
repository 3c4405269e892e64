"""Whether one method is better than another, or only looks so: all pairs of methods tested at once.

One max-T sign-flip procedure (Westfall & Young 1993) over all pairs of methods of a metric gives adjusted p-values,
simultaneous intervals and places. What it says of a pair holds however the pair was chosen, so it holds for the
baseline that happens to be best on the texts at hand.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotate.schema import Record
from evaluate.statistics.intervals import Interval

# Exact up to 13 texts (8,192 flips). A p near .05 has a Monte Carlo error of .002.
FLIPS = 9_999
FLIPPED_AT_ONCE = 500
ALPHA = 0.05
# Sums that differ by rounding must count as equal: of two methods' values, and of two flips.
EQUAL = 1e-9
TIED = 1e-6

Values = NDArray[np.float64]


class Difference(Record):
    """A method beside the reference, on the examples where both have a value.

    Attributes:
        reference: What it is compared with.
        difference: Mean of value minus the reference's; its interval holds for all pairs of methods at once, and
            leaves out 0 exactly where ``p_adjusted`` is below .05.
        effect: The mean difference over the standard deviation of the texts' differences (Cohen's d_z);
            ``None`` where that is 0.
        p_adjusted: Two-sided, adjusted for all pairs of methods of the metric.
    """

    reference: str
    difference: Interval
    effect: float | None
    p_adjusted: float


@dataclass(frozen=True)
class PairTest:
    """One mean difference, as part of a family that is tested at once.

    Attributes:
        difference: The mean with its simultaneous interval. The ends are ``None`` where so few texts bound nothing.
        effect: Cohen's d_z over texts; ``None`` where nothing varies.
        p_adjusted: Two-sided p, adjusted for the family; ``None`` where no example has a value.
    """

    difference: Interval
    effect: float | None
    p_adjusted: float | None

    @property
    def significant(self) -> bool:
        """Whether the mean differs from 0 at the level of the family."""
        return self.p_adjusted is not None and self.p_adjusted < ALPHA


@dataclass(frozen=True)
class AllPairs:
    """Every method beside every other.

    Attributes:
        methods: Names, those without any value included.
        pairs: (method, other), both ways round, to method minus other; without pairs that share no example.
        valued: Methods that have a value at all.
    """

    methods: tuple[str, ...]
    pairs: Mapping[tuple[str, str], PairTest]
    valued: frozenset[str]

    def against(self, reference: str) -> dict[str, Difference]:
        """A comparison with one of them, for each other method that shares an example with it."""
        differences = {}
        for name in self.methods:
            tested = self.pairs.get((name, reference))
            if tested is not None and tested.p_adjusted is not None:
                differences[name] = Difference(
                    reference=reference,
                    difference=tested.difference,
                    effect=tested.effect,
                    p_adjusted=tested.p_adjusted,
                )
        return differences

    def places(self, *, higher_is_better: bool) -> dict[str, tuple[int, int]]:
        """Best and worst place of each method that the examples allow (simultaneous ranks, Al Mohamad et al. 2022).

        A method's best place is one more than the number of methods that are significantly better, its worst place
        leaves behind only those that are significantly worse: methods that cannot be told apart share a range. With
        probability .95 the true places of all methods lie in their ranges at once.

        Args:
            higher_is_better: Direction of the metric.

        Returns:
            Method to (best, worst), 1 being first. Methods without any value share the last places.
        """
        n = len(self.valued)
        places = dict.fromkeys(self.methods, (n + 1, len(self.methods)))
        for name in self.valued:
            above = [
                (tested.difference.mean or 0.0) > 0
                for (first, _), tested in self.pairs.items()
                if first == name and tested.significant
            ]
            better = above.count(not higher_is_better)
            places[name] = (1 + better, n - (len(above) - better))
        return places


def compare_all(values: Mapping[str, Values], clusters: Sequence[Hashable], *, seed: int = 0) -> AllPairs:
    """Compare every method with every other, text by text.

    Args:
        values: Method to one value an example; ``nan`` means undefined.
        clusters: Text of each example; texts are flipped whole.
        seed: Seed of the flips.

    Returns:
        Adjusted p-values and simultaneous intervals of all pairs, from one family.
    """
    names = tuple(values)
    table = np.stack([values[name] for name in names], axis=1) if names else np.empty((len(clusters), 0))
    first, second = np.triu_indices(len(names), 1)
    tested = _test(table, first, second, clusters, seed)
    pairs = {}
    for i, j, result in zip(first, second, tested, strict=True):
        if result.p_adjusted is not None:
            pairs[names[i], names[j]] = result
            pairs[names[j], names[i]] = _turned(result)
    valued = frozenset(name for name in names if not np.isnan(values[name]).all())
    return AllPairs(methods=names, pairs=pairs, valued=valued)


def compare_pairs(
    pairs: Mapping[str, tuple[Values, Values]], clusters: Sequence[Hashable], *, seed: int = 0
) -> dict[str, PairTest]:
    """Test several paired differences at once, such as those of every method between two runs.

    Args:
        pairs: Name to two values an example; the second minus the first is tested. ``nan`` means undefined.
        clusters: Text of each example; texts are flipped whole.
        seed: Seed of the flips.

    Returns:
        Adjusted p and simultaneous interval of each, from one family.
    """
    columns = [column for first, second in pairs.values() for column in (second, first)]
    table = np.stack(columns, axis=1) if columns else np.empty((len(clusters), 0))
    places = np.arange(len(pairs))
    return dict(zip(pairs, _test(table, 2 * places, 2 * places + 1, clusters, seed), strict=True))


def _turned(tested: PairTest) -> PairTest:
    """Of the same pair the other way round."""
    return PairTest(
        difference=tested.difference.turned(),
        effect=None if tested.effect is None else -tested.effect,
        p_adjusted=tested.p_adjusted,
    )


@dataclass(frozen=True)
class _Family:
    """The pairs that are defined on the same examples.

    Attributes:
        columns: [texts, columns] sum of each column's values over the examples of a text.
        counts: [texts] number of examples of a text.
        first: [pairs] column of each pair.
        second: [pairs] the column that is taken from it.
        mean: [pairs] mean difference over examples.
        norm: [pairs] root of the sum of squares of the texts' sums of differences.
        spread: [pairs] the same about the mean.
        tilt: [pairs] sum over texts of count times (sum minus count times mean).
        effect: [pairs] mean over standard deviation of the texts' sums; not finite where that is 0.
    """

    columns: Values
    counts: Values
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    mean: Values
    norm: Values
    spread: Values
    tilt: Values
    effect: Values


@dataclass(frozen=True)
class _FlipMaxima:
    """The largest u of each flip.

    Attributes:
        largest: In ascending order.
        more: Flips to count beside them: that which was seen, where flips are drawn.
    """

    largest: Values
    more: int


def _test(
    table: Values,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    clusters: Sequence[Hashable],
    seed: int,
) -> list[PairTest]:
    """Test column `first` minus column `second` of a table of values, for all pairs at once.

    The statistic is the self-normalised sum u = |Σ S| / sqrt(Σ S²) over the texts' sums S of differences: flipping
    signs leaves its denominator alone, so it orders flips as Student's t does (Efron 1969). A pair's p is the share of
    flips, made of all pairs together, whose largest u reaches that of the pair: once flipping the values as they are
    (exact where differences are symmetric about 0) and once flipping them about their means (which is what intervals
    need). The larger of the two holds, and an interval holds every mean that the same critical value does not reject.
    """
    families = list(_families(table, first, second, clusters))
    largest = _largest([family for _, family in families], len(set(clusters)), seed)
    critical = max(_critical(flipped) for flipped in largest)
    nothing = PairTest(Interval(mean=None, low=None, high=None, n=0, undefined=len(table)), None, None)
    results = [nothing] * len(first)
    for places, family in families:
        total = family.counts.sum()
        u = np.abs(family.mean) * total * _inverse(family.norm)
        low, high = _ends(family, critical)
        p = np.maximum(*(_p(u, flipped) for flipped in largest))
        # Where texts hold very unequal numbers of examples, an interval can lack ends though p is small.
        p = np.where(np.isnan(low), np.maximum(p, ALPHA), p)
        for k, place in enumerate(places):
            bounded = not np.isnan(low[k])
            results[place] = PairTest(
                difference=Interval(
                    mean=float(family.mean[k]),
                    low=float(low[k]) if bounded else None,
                    high=float(high[k]) if bounded else None,
                    n=int(total),
                    undefined=len(table) - int(total),
                ),
                effect=float(family.effect[k]) if np.isfinite(family.effect[k]) else None,
                p_adjusted=float(p[k]),
            )
    return results


def _families(
    table: Values, first: NDArray[np.intp], second: NDArray[np.intp], clusters: Sequence[Hashable]
) -> Iterator[tuple[NDArray[np.intp], _Family]]:
    """Places of the pairs that share their defined examples, and these pairs; those that share none are left out."""
    codes: dict[Hashable, int] = {}
    cluster_of = np.array([codes.setdefault(cluster, len(codes)) for cluster in clusters], dtype=np.intp)
    defined = ~np.isnan(table)
    by_mask: dict[bytes, list[int]] = {}
    packed = np.packbits(defined, axis=0)
    for place in range(len(first)):
        by_mask.setdefault((packed[:, first[place]] & packed[:, second[place]]).tobytes(), []).append(place)
    for pair_indices in by_mask.values():
        places = np.array(pair_indices, dtype=np.intp)
        used, columns_of = np.unique(np.stack([first[places], second[places]]), return_inverse=True)
        one, other = columns_of.reshape(2, -1)
        complete = defined[:, first[places[0]]] & defined[:, second[places[0]]]
        if not complete.any():
            continue
        columns = np.zeros((len(codes), len(used)))
        np.add.at(columns, cluster_of[complete], table[np.ix_(complete, used)])
        counts = np.bincount(cluster_of[complete], minlength=len(codes)).astype(np.float64)
        sums = columns[:, one] - columns[:, other]
        # What differs by rounding alone is equal, else it would become significant.
        size = np.sqrt((columns[:, one] ** 2).sum(0) + (columns[:, other] ** 2).sum(0))
        sums[:, np.sqrt((sums**2).sum(0)) <= EQUAL * size] = 0.0
        mean = sums.sum(0) / counts.sum()
        residuals = sums - np.outer(counts, mean)
        norm, spread = np.sqrt((sums**2).sum(0)), np.sqrt((residuals**2).sum(0))
        present = sums[counts > 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            deviation = present.std(0, ddof=1) if len(present) > 1 else np.zeros(len(mean))
            effect = present.mean(0) / np.where(deviation > EQUAL * norm, deviation, 0.0)
        yield (
            places,
            _Family(
                columns=columns,
                counts=counts,
                first=one,
                second=other,
                mean=mean,
                norm=norm,
                spread=np.where(spread > EQUAL * norm, spread, 0.0),
                tilt=counts @ residuals,
                effect=effect,
            ),
        )


def _largest(families: Sequence[_Family], n_texts: int, seed: int) -> tuple[_FlipMaxima, _FlipMaxima]:
    """The largest u over all pairs under each flip: of the values as they are, and about their means."""
    exact = 2**n_texts <= FLIPS
    n_flips = 2**n_texts if exact else FLIPS
    largest = np.zeros((2, n_flips))
    generator = np.random.default_rng(seed)
    for start in range(0, n_flips, FLIPPED_AT_ONCE):
        rows = slice(start, min(start + FLIPPED_AT_ONCE, n_flips))
        if exact:
            bits = (np.arange(rows.start, rows.stop)[:, None] >> np.arange(n_texts)) & 1
        else:
            bits = generator.integers(0, 2, (rows.stop - rows.start, n_texts), dtype=np.int8)
        signs = 1.0 - 2.0 * bits
        for family in families:
            flipped = signs @ family.columns
            sums = flipped[:, family.first] - flipped[:, family.second]
            about = sums - np.outer(signs @ family.counts, family.mean)
            for kind, (totals, size) in enumerate(((sums, family.norm), (about, family.spread))):
                u = np.abs(totals * _inverse(size)).max(1)
                np.maximum(largest[kind, rows], u, out=largest[kind, rows])
    # Drawn flips are counted beside the one that was seen.
    more = 0 if exact else 1
    return _FlipMaxima(np.sort(largest[0]), more), _FlipMaxima(np.sort(largest[1]), more)


def _p(u: Values, flipped: _FlipMaxima) -> Values:
    """Share of flips whose largest u is no smaller than each of these."""
    reached = len(flipped.largest) - np.searchsorted(flipped.largest, u * (1 - TIED), side="left")
    return np.asarray((reached + flipped.more) / (len(flipped.largest) + flipped.more))


def _critical(flipped: _FlipMaxima) -> float:
    """The largest u whose p is not below .05."""
    n_flips = len(flipped.largest)
    reached = max(1, math.ceil(ALPHA * (n_flips + flipped.more) - flipped.more))
    return float(flipped.largest[n_flips - reached]) / (1 - TIED)


def _ends(family: _Family, critical: float) -> tuple[Values, Values]:
    """Ends of the set of mean differences d with |Σ (S - count d)| <= critical sqrt(Σ (S - count d)²); else nan."""
    square = critical**2
    total = family.counts.sum() ** 2
    curvature = total - square * (family.counts**2).sum()
    if curvature <= EQUAL * total:
        low = np.where(family.norm == 0, 0.0, np.nan)
        return low, low
    middle = -square * family.tilt
    root = np.sqrt(middle**2 + curvature * square * family.spread**2)
    return family.mean + (middle - root) / curvature, family.mean + (middle + root) / curvature


def _inverse(values: Values) -> Values:
    """One over each, 0 for 0: what does not vary takes no part."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
