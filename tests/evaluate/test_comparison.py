"""Paired tests against scipy and statsmodels, and ranks that do not claim more than they know."""

import numpy as np
import pytest
from scipy.stats import permutation_test
from statsmodels.stats.multitest import multipletests

from evaluate.comparison import differences, holm, ranks, sign_flips
from evaluate.intervals import log_ratio_interval


def sums(x: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(np.sum(x, axis=axis))


def scipy_p(x: np.ndarray, n: float) -> float:
    found = permutation_test(
        (x,), sums, permutation_type="samples", n_resamples=n, vectorized=True, rng=np.random.default_rng(1)
    )
    return float(found.pvalue)


def test_exact_with_few_texts() -> None:
    x = np.random.default_rng(0).normal(0.4, 1, 9)
    assert sign_flips([x, -x], range(9)) == pytest.approx([scipy_p(x, np.inf)] * 2)
    # Two texts: of the four sign patterns two are as extreme as (1, 1).
    assert sign_flips([np.ones(2)], range(2)) == [0.5]


def test_drawn_with_many_texts() -> None:
    x = np.random.default_rng(0).normal(0.3, 1, 60)
    assert sign_flips([x], range(60))[0] == pytest.approx(scipy_p(x, 9999), abs=0.01)


def test_texts_are_flipped_whole_and_undefined_values_left_out() -> None:
    x = np.random.default_rng(0).normal(0.4, 1, 8)
    doubled = np.concatenate([x, x, [np.nan]])
    assert sign_flips([doubled], [*range(8), *range(8), 3]) == pytest.approx(sign_flips([2 * x], range(8)))


def test_no_difference_is_no_evidence() -> None:
    assert sign_flips([np.zeros(30)], range(30)) == [1.0]


def test_holm() -> None:
    p = [0.01, 0.04, 0.03, 0.5]
    # Sorted: 0.01 * 4, 0.03 * 3, 0.04 * 2 raised to the 0.09 before it, 0.5.
    assert holm(p) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]))
    assert holm([]) == []


def test_differences_by_hand() -> None:
    values = {
        "a": np.arange(20.0) % 3,
        "b": np.arange(20.0) % 3 + 1 + np.arange(20) % 2,
        "c": np.full(20, np.nan),
    }
    found = differences(values, "a", range(20))
    assert set(found) == {"b"}
    assert found["b"].reference == "a"
    assert found["b"].difference.mean == pytest.approx(1.5)
    # Differences are ten ones and ten twos: mean 1.5 over a standard deviation of sqrt(10 * 0.25 * 2 / 19).
    assert found["b"].effect == pytest.approx(1.5 / np.sqrt(5 / 19))
    assert found["b"].p == found["b"].p_holm == pytest.approx(1e-5)


def test_ranks_do_not_separate_what_noise_does_not() -> None:
    generator = np.random.default_rng(0)
    base = generator.normal(0, 1, 100)
    values = {
        "good": base + 2 + generator.normal(0, 0.1, 100),
        "also good": base + 2 + generator.normal(0, 0.1, 100),
        "bad": base + generator.normal(0, 0.1, 100),
        "broken": np.full(100, np.nan),
    }
    assert ranks(values, range(100)) == {"good": (1, 2), "also good": (1, 2), "bad": (3, 3), "broken": (4, 4)}


def test_forty_methods_can_still_be_told_apart() -> None:
    # 780 pairs: the correction must not be out of the permutations' reach.
    generator = np.random.default_rng(0)
    values = {str(i): generator.normal(i, 0.1, 60) for i in range(40)}
    assert ranks(values, range(60)) == {str(i): (40 - i, 40 - i) for i in range(40)}


def test_twenty_methods_of_noise_share_all_places() -> None:
    generator = np.random.default_rng(1)
    found = ranks({str(i): generator.normal(0, 1, 80) for i in range(20)}, range(80))
    assert set(found.values()) == {(1, 20)}


def test_log_ratio_interval() -> None:
    generator = np.random.default_rng(0)
    random = generator.uniform(1, 2, 200)
    found = log_ratio_interval([*(3 * random), 7.0], [*random, np.nan], range(201))
    assert found.mean == pytest.approx(np.log(3))
    assert (found.low, found.high) == pytest.approx((np.log(3), np.log(3)))
    assert (found.n, found.undefined) == (200, 1)
    noisy = log_ratio_interval(3 * random * generator.uniform(0.5, 1.5, 200), random, range(200))
    assert noisy.low < np.log(3) < noisy.high
    assert log_ratio_interval([0.0, 0.0], [1.0, 1.0], range(2)).mean is None
