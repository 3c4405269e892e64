"""How much figures vary over settings, and by how much less one method's do than another's."""

import numpy as np
import pytest

from evaluate.reproduce.verdict import of_difference
from evaluate.robustness.decoding import variation, variation_difference

TEXTS = [f"t{index}" for index in range(8)]
# Two settings beside the greedy one: by hand, means 1, 1.1, 0.8, and 1, 1.02, 1.
LOOSE = np.array([[1.0, 1.1, 0.8]] * 8)
TIGHT = np.array([[1.0, 1.02, 1.0]] * 8)


def test_the_largest_relative_movement_of_a_mean() -> None:
    found = variation(LOOSE, TEXTS, 0)
    assert (found.mean, found.low, found.high) == (pytest.approx(0.2), pytest.approx(0.2), pytest.approx(0.2))
    assert (found.n, found.undefined) == (8, 0)
    mixed = np.array([[1.0, 3.0], [3.0, 3.0], [np.nan, 9.0]])
    found = variation(mixed, ["a", "b", "c"], 0)
    assert found.mean == pytest.approx(0.5)  # 6 against 4
    assert (found.low, found.high) == (
        pytest.approx(0.0),
        pytest.approx(2.0),
    )  # only the second, only the first
    assert (found.n, found.undefined) == (2, 1)


def test_one_text_has_no_interval_and_none_no_figure() -> None:
    assert variation(LOOSE, ["same"] * 8, 0).low is None
    assert variation(np.full((2, 3), np.nan), ["a", "b"], 0).mean is None
    assert variation(np.zeros((2, 3)), ["a", "b"], 0).mean is None


def test_a_difference_is_taken_on_the_same_texts() -> None:
    found = variation_difference(LOOSE, TIGHT, TEXTS, 0)
    assert found.mean == pytest.approx(0.18)
    assert of_difference(found).word == "agrees in direction"
    assert of_difference(variation_difference(TIGHT, LOOSE, TEXTS, 0)).word == "disagrees"
    drawn = np.random.default_rng(0).random((8, 3))
    same = variation_difference(drawn, drawn, TEXTS, 0)
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)
    assert "same figures" in of_difference(same).why
    # An example that one of them lacks counts for neither.
    part = LOOSE.copy()
    part[0] = np.nan
    wild = TIGHT.copy()
    wild[0] = [1.0, 50.0, 1.0]
    found = variation_difference(part, wild, TEXTS, 0)
    assert (found.mean, found.n, found.undefined) == (pytest.approx(0.18), 7, 1)


def test_fewer_texts_and_more_confidence_widen_the_interval() -> None:
    generator = np.random.default_rng(0)
    one, other = (1 + 0.1 * generator.random((30, 2)) for _ in range(2))
    texts = [str(index) for index in range(30)]
    usual = variation_difference(one, other, texts, 0)
    surer = variation_difference(one, other, texts, 0, confidence=0.99)
    assert surer.low < usual.low < usual.high < surer.high
    assert surer.mean == usual.mean
    # Of ten texts 2.262 standard errors, where a percentile bootstrap as it comes has 1.96 * sqrt(9 / 10).
    ratios = 1 + 0.01 * np.arange(10.0)
    found = variation(np.stack([np.ones(10), ratios], axis=1), texts[:10], 0)
    half = 2.262 * ratios.std(ddof=1) / np.sqrt(10)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)
