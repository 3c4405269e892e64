"""Faithfulness metrics against arithmetic on paper, and retention against a bisection."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.metrics.faithfulness import (
    METRICS,
    comprehensiveness,
    curve_area,
    infidelity,
    retention,
    rise_and_mas,
    soft_comprehensiveness,
    soft_sufficiency,
    sufficiency,
)


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


def test_aopc_by_hand() -> None:
    # P = 0.8; without the best tokens 0.5 and 0.2: ((0.8 - 0.5) + (0.8 - 0.2)) / 2 = 0.45.
    assert comprehensiveness(0.8, array(0.5, 0.2)) == pytest.approx(0.45)
    # The best tokens alone give 0.4 and 0.9: (0.4 - 0.1) / 2 = 0.15.
    assert sufficiency(0.8, array(0.4, 0.9)) == pytest.approx(0.15)


def test_soft_metrics_by_hand() -> None:
    # Distances 0.1 and 0.3 of a possible 0.5: mean 0.2 / 0.5.
    assert soft_comprehensiveness(array(0.1, 0.3), 0.5) == pytest.approx(0.4)
    # 0.5 - 0.1 = 0.4 is spared, and of 0.7 nothing: (0.4 + 0) / 2 / 0.5.
    assert soft_sufficiency(array(0.1, 0.7), 0.5) == pytest.approx(0.4)
    assert math.isnan(soft_comprehensiveness(array(0.1), 0.0))
    assert math.isnan(soft_sufficiency(array(0.1), 0.0))


def test_curve_area_by_hand() -> None:
    # Two steps: (1 + 0.5) / 2 * 1/2 + (0.5 + 0) / 2 * 1/2 = 0.375 + 0.125.
    assert curve_area(array(1, 0.5, 0)) == pytest.approx(0.5)


def test_rise_and_mas_by_hand() -> None:
    # s = 0, -3, -2, -4: n = 1, 0.25, min(0.25, 0.5), 0. RISE = (0.625 + 0.25 + 0.125) / 3 = 1/3.
    # Mass left 1, 0.5, 0.25, 0: n + |n - density| = 1, 0.5, 0.25, 0. MAS = (0.75 + 0.375 + 0.125) / 3 = 1.25 / 3.
    rise, mas = rise_and_mas(array(0, -3, -2, -4), array(1, 0.5, 0.25, 0))
    assert rise == pytest.approx(1 / 3)
    assert mas == pytest.approx(1.25 / 3)
    assert all(map(math.isnan, rise_and_mas(array(-1, -2, -1), array(1, 0.5, 0))))
    # n = 1, 0.25, 0 and mass left 1, 0.6, 0.2: 1, 0.25 + 0.35, 0.2, stretched over [0, 1] 1, 0.5, 0.
    assert rise_and_mas(array(0, -3, -4), array(1, 0.6, 0.2))[1] == pytest.approx(0.5)


def test_infidelity_by_hand() -> None:
    # β = E[1 * 2 + 2 * 2] / E[1 + 4] = 3 / 2.5 = 1.2. Residuals 1.2 - 2 and 2.4 - 2: (0.64 + 0.16) / 2 = 0.4, of
    # E[Δf²] = 4.
    assert infidelity(array(1, 2), array(2, 2)) == pytest.approx(0.1)
    assert infidelity(array(10, 20), array(2, 4)) == pytest.approx(0.0)
    assert infidelity(array(0, 0), array(2, 4)) == pytest.approx(1.0)
    assert math.isnan(infidelity(array(1, 2), array(0, 0)))


@settings(deadline=None)
@given(
    st.lists(st.floats(-2, 1e6, allow_nan=False), min_size=1, max_size=12), st.sampled_from([0.1, 0.5, 0.9])
)
def test_retention_keeps_the_share_it_is_asked_for(scores: list[float], share: float) -> None:
    a = np.array(scores)
    q = retention(a, share)
    assert q.mean() == pytest.approx(share, abs=1e-9)
    assert ((q >= 0) & (q <= 1 + 1e-12)).all()
    positive = np.maximum(a, 0)
    assert all(q[i] >= q[j] - 1e-9 for i in range(len(a)) for j in range(len(a)) if positive[i] > positive[j])


def test_retention_of_scores_at_the_ends_of_the_floats() -> None:
    np.testing.assert_allclose(retention(array(1, 5e-324, 0), 0.5), [1, 0.25, 0.25])
    np.testing.assert_allclose(retention(array(1e308, 1e308), 0.5), [0.5, 0.5])
    np.testing.assert_allclose(retention(array(5e-324, 5e-324), 0.5), [0.5, 0.5])


def test_retention_against_a_bisection() -> None:
    a = np.random.default_rng(0).exponential(1, 50)
    low, high = 0.0, 1e6
    for _ in range(200):
        c = (low + high) / 2
        low, high = (c, high) if np.minimum(1, c * a).mean() < 0.7 else (low, c)
    np.testing.assert_allclose(retention(a, 0.7), np.minimum(1, low * a), atol=1e-9)
    # Two tokens with a score, three places to give: both stay, the third place is spread over the other eight.
    np.testing.assert_allclose(retention(array(5, 1, *[0] * 8), 0.3), [1, 1, *[1 / 8] * 8])
    np.testing.assert_allclose(retention(array(0, 0, -1, 0), 0.5), [0.5] * 4)


def test_metadata_is_complete() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.source
        assert metric.bounds[0] < metric.bounds[1]
