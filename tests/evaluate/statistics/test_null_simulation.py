"""Five percent must be five percent: tables of methods that do not differ, drawn many times.

The number of tables that claim a difference is compared with what a binomial count of .05 exceeds once in a thousand.
"""

import numpy as np
import pytest
from scipy.stats import binom

from evaluate.statistics.comparison import compare_all
from evaluate.statistics.intervals import mean_interval

Table = dict[str, np.ndarray]


def drawn(n_methods: int, n_texts: int, seed: int) -> Table:
    """Methods that do not differ: an effect of the text, sd .25, that all share, and one of method and text, sd .12."""
    generator = np.random.default_rng(seed)
    text = generator.normal(0.4, 0.25, (n_texts, 1))
    values = text + generator.normal(0, 0.12, (n_texts, n_methods))
    return {f"m{i}": column for i, column in enumerate(values.T)}


def best_of(values: Table, names: list[str]) -> str:
    return max(names, key=lambda name: values[name].mean())


def bound(tables: int) -> int:
    return int(binom.ppf(0.999, tables, 0.05))


@pytest.mark.parametrize(("n_texts", "tables"), [(70, 200), (10, 200)])
def test_no_mark_and_no_place_where_nothing_differs(n_texts: int, tables: int) -> None:
    marked = parted = 0
    for seed in range(tables):
        values = drawn(10, n_texts, seed)
        pairs = compare_all(values, range(n_texts), seed=seed)
        against = pairs.against(best_of(values, list(values)))
        marks = [each.p_adjusted < 0.05 for each in against.values()]
        excluded = [not each.difference.low <= 0 <= each.difference.high for each in against.values()]
        assert marks == excluded
        marked += any(marks)
        parted += set(pairs.places(higher_is_better=True).values()) != {(1, 10)}
    assert marked <= parted <= bound(tables)
    # Holm's correction of tests against the best of the same texts marks 29 of the 200 tables of 70 texts.


def test_beside_many_equal_baselines() -> None:
    tables, excluded, naive = 100, 0, 0
    for seed in range(tables):
        values = drawn(26, 70, seed)
        best = best_of(values, [f"m{i}" for i in range(1, 26)])
        interval = compare_all(values, range(70), seed=seed).against(best)["m0"].difference
        excluded += not interval.low <= 0 <= interval.high
        plain = mean_interval(values["m0"] - values[best], range(70), resamples=500)
        naive += not plain.low <= 0 <= plain.high
    assert excluded <= bound(tables)
    # What looks at the pair alone, as if it had not been chosen, leaves 0 out far too often.
    assert naive > bound(tables)
