"""Intervals: seeded, honest about repeated texts and about what is undefined."""

import numpy as np
import pytest
from scipy.stats import beta, bootstrap, norm, t

from evaluate.statistics.intervals import few_texts_note, log_ratio_interval, mean_interval, widened


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


def test_levels_are_those_of_student_with_the_right_standard_error() -> None:
    # Hesterberg 2015: the normal quantile of the level is Student's times sqrt(n / (n - 1)).
    for n in (3, 10, 70):
        quantile = np.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1)
        assert norm.ppf((1 + widened(0.95, n)) / 2) == pytest.approx(quantile)
    assert widened(0.95, 10) == pytest.approx(0.983, abs=5e-4)
    assert widened(0.95, 100_000) == pytest.approx(0.95, abs=1e-5)
    assert 0.999 < widened(0.95, 2) < 1


def test_skew_is_followed() -> None:
    # Of skewed values BCa reaches further to the long side than percentiles of the same draws do.
    values = np.random.default_rng(0).exponential(1, 30)
    found = mean_interval(values, range(30), resamples=20_000)
    bca, percentile = (
        bootstrap(
            (values,),
            np.mean,
            n_resamples=20_000,
            confidence_level=widened(0.95, 30),
            method=method,
            rng=np.random.default_rng(1),
        ).confidence_interval
        for method in ("BCa", "percentile")
    )
    assert (found.low, found.high) == pytest.approx((bca.low, bca.high), abs=0.025)
    assert bca.high - percentile.high > 0.1
    assert bca.low - percentile.low > 0.05


def test_ten_texts_are_covered() -> None:
    # As it comes the bootstrap holds the mean in 372 of these 400 cases.
    generator = np.random.default_rng(7)
    hits = 0
    for seed in range(400):
        interval = mean_interval(generator.beta(2, 2, 10), range(10), seed=seed)
        hits += interval.low <= beta(2, 2).mean() <= interval.high
    assert hits >= 378


def test_few_texts_are_noted() -> None:
    assert few_texts_note(20) == ""
    assert "Fewer than 20 unique texts" in few_texts_note(19)


def test_turned_round() -> None:
    interval = mean_interval([0.1, 0.2, 0.4, 0.3], range(4))
    turned = interval.turned()
    assert (turned.low, turned.mean, turned.high) == (-interval.high, -interval.mean, -interval.low)
    assert turned.turned() == interval
    assert mean_interval([1.0], ["a"]).turned().low is None


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


def test_log_ratio_is_of_sums() -> None:
    # log(10 / 2), where the mean of the logarithms is log(9) / 2; two texts are drawn as (a, a), (a, b), (b, b).
    found = log_ratio_interval([1.0, 9.0], [1.0, 1.0], ["a", "b"])
    assert (found.low, found.mean, found.high) == pytest.approx((0.0, np.log(5), np.log(9)))


def test_log_ratio_of_copies_is_no_surer() -> None:
    generator = np.random.default_rng(2)
    values, random = generator.exponential(1, 40), generator.exponential(1, 40)
    once = log_ratio_interval(values, random, range(40))
    tenfold = log_ratio_interval(
        np.tile(values, 10), np.tile(random, 10), np.tile(np.arange(40), 10).tolist()
    )
    pretended = log_ratio_interval(np.tile(values, 10), np.tile(random, 10), range(400))
    assert (tenfold.low, tenfold.mean, tenfold.high) == pytest.approx((once.low, once.mean, once.high))
    assert pretended.high - pretended.low < 0.5 * (once.high - once.low)


def test_log_ratio_of_few_texts_is_students() -> None:
    # Of ratios near 1 the logarithm is the mean excess, whose t interval is known: 2.262 standard errors of ten texts.
    excess = np.random.default_rng(4).normal(0, 0.01, 10)
    found = log_ratio_interval(1 + excess, np.ones(10), range(10), resamples=50_000)
    half = t.ppf(0.975, 9) * excess.std(ddof=1) / np.sqrt(10)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)
