"""The one bootstrap: unique paragraphs are drawn with replacement and their counts are summed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from annotate.agreement.coefficients import Counts
from annotate.agreement.records import Estimate

Key = TypeVar("Key", bound=Hashable)
_STEP = 500  # keeps the weights of 2,000 paragraphs under 10 MB


@dataclass(frozen=True)
class Sums:
    """Counts of a table of unique paragraphs, summed.

    Attributes:
        total: Sum over all of them, shape (1, columns).
        replicates: Sums over resampled ones, shape (replicates, columns).
        clusters: Number of unique paragraphs.
    """

    total: Counts
    replicates: Counts
    clusters: int

    def columns(self, which: slice) -> Sums:
        """The same of some columns."""
        return Sums(self.total[:, which], self.replicates[:, which], self.clusters)


def resample(tables: Mapping[Key, Counts], bootstrap: int, seed: int) -> dict[Key, Sums]:
    """Draw unique paragraphs with replacement and sum their counts.

    Tables with equally many rows share their draws, which is why all are given at once.

    Args:
        tables: Tables by any key, each of shape (unique paragraphs, columns), at least one row.
        bootstrap: Number of replicates.
        seed: Seed of the draws, the same for every number of rows.

    Returns:
        The sums by the same keys.
    """
    sums: dict[Key, Sums] = {}
    for size in {len(table) for table in tables.values()}:
        alike = {key: table for key, table in tables.items() if len(table) == size}
        drawn = _draw(np.hstack(list(alike.values())), bootstrap, seed)
        start = 0
        for key, table in alike.items():
            stop = start + table.shape[1]
            sums[key] = Sums(table.sum(axis=0)[None], drawn[:, start:stop], size)
            start = stop
    return sums


def _draw(table: Counts, bootstrap: int, seed: int) -> Counts:
    rng = np.random.default_rng(seed)
    size = len(table)
    share = np.full(size, 1 / size)
    sums = np.empty((bootstrap, table.shape[1]))
    for start in range(0, bootstrap, _STEP):
        stop = min(start + _STEP, bootstrap)
        sums[start:stop] = rng.multinomial(size, share, size=stop - start) @ table
    return sums


def estimate(statistic: Callable[[Counts], Counts], sums: Sums, reason: str) -> Estimate:
    """A statistic of the sums with its 95 % percentile interval.

    Args:
        statistic: A function of summed counts, one value a row.
        sums: The sums.
        reason: Why the statistic is undefined, if it is.
    """
    value = float(statistic(sums.total)[0])
    if np.isnan(value):
        return Estimate(value=None, reason=reason)
    replicates = statistic(sums.replicates)
    defined = replicates[~np.isnan(replicates)]
    if not len(defined):
        return Estimate(value=value, reason="no interval: no bootstrap replicate defines it")
    low, high = np.quantile(defined, [0.025, 0.975])
    return Estimate(value=value, low=float(low), high=float(high))
