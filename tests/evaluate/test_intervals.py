"""Intervals: seeded, honest about repeated texts and about what is undefined."""

import numpy as np
import pytest

from evaluate.intervals import mean_interval


def test_mean_and_normal_theory() -> None:
    # 400 draws of N(0.5, 0.1): the mean's standard error is 0.1 / 20 = 0.005, so the interval is about mean
    # ± 0.0098.
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    interval = mean_interval(values, range(400))
    assert interval.mean == pytest.approx(values.mean())
    half = 1.96 * values.std(ddof=1) / 20
    assert interval.low == pytest.approx(values.mean() - half, abs=0.001)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.001)


def test_same_seed_same_interval() -> None:
    values = np.random.default_rng(1).random(50)
    assert mean_interval(values, range(50), seed=3) == mean_interval(values, range(50), seed=3)
    assert mean_interval(values, range(50), seed=3) != mean_interval(values, range(50), seed=4)


def test_repeating_every_text_adds_no_evidence() -> None:
    values = np.random.default_rng(2).random(40)
    once = mean_interval(values, range(40))
    tenfold = mean_interval(np.tile(values, 10), np.tile(np.arange(40), 10).tolist())
    pretended = mean_interval(np.tile(values, 10), range(400))
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))
    assert pretended.high - pretended.low < 0.5 * (once.high - once.low)


def test_undefined_is_counted_and_left_out() -> None:
    interval = mean_interval([0.2, float("nan"), 0.4], ["a", "b", "c"])
    assert (interval.mean, interval.n, interval.undefined) == (pytest.approx(0.3), 2, 1)


def test_nothing_defined() -> None:
    interval = mean_interval([float("nan")], ["a"])
    assert (interval.mean, interval.low, interval.high, interval.n, interval.undefined) == (
        None,
        None,
        None,
        0,
        1,
    )


def test_one_text_has_a_mean_and_no_interval() -> None:
    interval = mean_interval([0.2, 0.4], ["a", "a"])
    assert (interval.mean, interval.low, interval.high) == (pytest.approx(0.3), None, None)


def test_equal_values_have_an_interval_of_no_width() -> None:
    # 0.1 + 0.1 + 0.1 is not 0.3 in floats: a cluster of three must still count as equal to a cluster of one.
    interval = mean_interval([0.1] * 5, ["a", "a", "a", "b", "c"])
    assert (interval.low, interval.mean, interval.high) == (pytest.approx(0.1),) * 3


def test_it_covers() -> None:
    # 95 % intervals of skewed means must hold the truth about 95 times in 100; below 85 something is broken.
    generator = np.random.default_rng(5)
    hits = 0
    for _ in range(100):
        interval = mean_interval(generator.exponential(1.0, 40), range(40), resamples=500)
        hits += interval.low <= 1.0 <= interval.high
    assert hits >= 85
