"""Metrics against arithmetic on paper and against scikit-learn."""

import math
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from evaluate.errors import MetricError
from evaluate.metrics.alignment import (
    METRICS,
    auprc,
    auroc,
    average_precision,
    chance,
    density,
    dsa,
    f1_at_gold,
    precision_at_k,
    reciprocal_rank,
    score_words,
    span_iou_f1,
)

NONE = np.zeros(4, dtype=bool)


def mask(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


def test_auprc_by_hand() -> None:
    # Order: gold, other, gold, other. Points (recall, precision): (0, 1) (1/2, 1) (1/2, 1/2) (1, 2/3) (1,
    # 1/2). Trapezoids: 1/2 * 1 + 0 + 1/2 * (1/2 + 2/3) / 2 + 0 = 1/2 + 7/24 = 19/24.
    assert auprc(np.array([4.0, 3, 2, 1]), mask(1, 0, 1, 0), NONE) == pytest.approx(19 / 24)


def test_auroc_by_hand() -> None:
    # Pairs (gold, other): (4,3) (4,1) (2,1) right, (2,3) wrong: 3 of 4.
    assert auroc(np.array([4.0, 3, 2, 1]), mask(1, 0, 1, 0), NONE) == pytest.approx(3 / 4)


def test_f1_by_hand() -> None:
    # The two best words are the first and the second; one of them is gold.
    assert f1_at_gold(np.array([4.0, 3, 2, 1]), mask(1, 0, 1, 0), NONE) == pytest.approx(1 / 2)


def test_f1_shares_the_last_place_among_ties() -> None:
    # k = 2. The first word is in; the second place is drawn from three tied words, one of them gold: (1 +
    # 1/3) / 2.
    assert f1_at_gold(np.array([4.0, 1, 1, 1]), mask(1, 0, 1, 0), NONE) == pytest.approx(2 / 3)


def test_dsa_by_hand() -> None:
    # Positive mass 6 + 2 + 2 = 10; gold has 6, narrative 2: 0.6 - 0.2. The negative score counts for nothing.
    assert dsa(np.array([6.0, 2, 2, -5]), mask(1, 0, 0, 0), mask(0, 1, 0, 1)) == pytest.approx(0.4)


def test_average_precision_by_hand() -> None:
    # Gold at places 1 and 3: (1/1 + 2/3) / 2 = 5/6.
    assert average_precision(np.array([4.0, 3, 2, 1]), mask(1, 0, 1, 0), NONE) == pytest.approx(5 / 6)


def test_precision_at_k_by_hand() -> None:
    # Places 1 to 3 hold two gold words: 2/3. With k = 5 of four words all are taken: 2/4.
    scores, gold = np.array([4.0, 3, 2, 1]), mask(1, 0, 1, 0)
    assert precision_at_k(scores, gold, NONE, k=3) == pytest.approx(2 / 3)
    assert precision_at_k(scores, gold, NONE) == pytest.approx(2 / 4)
    # k = 2: the first is in, the second place is drawn from three of which one is gold.
    assert precision_at_k(np.array([4.0, 1, 1, 1]), mask(1, 0, 1, 0), NONE, k=2) == pytest.approx(2 / 3)


def test_reciprocal_rank_by_hand() -> None:
    assert reciprocal_rank(np.array([1.0, 3, 2, 0]), mask(1, 0, 0, 1), NONE) == pytest.approx(1 / 3)
    # The best gold word is tied with another word at places 2 and 3: (1/2 + 1/3) / 2.
    assert reciprocal_rank(np.array([2.0, 3, 2, 0]), mask(1, 0, 0, 1), NONE) == pytest.approx(5 / 12)


def test_span_iou_f1_by_hand() -> None:
    # Gold runs [0, 2) and [4, 5). The three best words are 0, 1, 2: one run [0, 3), IoU with [0, 2) is 2/3 >= 1/2.
    # One of one predicted spans matches, one of two gold spans: P = 1, R = 1/2, F1 = 2/3.
    gold = mask(1, 1, 0, 0, 1)
    assert span_iou_f1(np.array([5.0, 4, 3, 1, 2]), gold, gold) == pytest.approx(2 / 3)
    # The three best are 2, 3, 4: one run [2, 5), IoU with [4, 5) is 1/3: nothing matches.
    assert span_iou_f1(np.array([0.0, 1, 4, 5, 3]), gold, gold) == 0.0
    # Gold [0, 1) and [3, 4), the two best make [0, 2): an IoU of exactly 1/2 matches. P = 1, R = 1/2.
    gold = mask(1, 0, 0, 1)
    assert span_iou_f1(np.array([4.0, 3, 2, 1]), gold, gold) == pytest.approx(2 / 3)


def test_dsa_without_positive_mass_is_zero() -> None:
    assert dsa(np.array([-1.0, -2, 0, -5]), mask(1, 0, 0, 0), mask(0, 1, 0, 1)) == 0.0


def test_dsa_of_huge_and_tiny_scores() -> None:
    assert dsa(np.array([1.5e308, 1.5e308]), mask(1, 0), mask(0, 1)) == pytest.approx(0.0)
    assert dsa(np.array([3e-320, 1e-320]), mask(1, 0), mask(0, 1)) == pytest.approx(0.5, abs=1e-3)


def test_equal_scores_give_chance() -> None:
    gold, distractor = mask(1, 0, 0, 0), mask(0, 1, 1, 0)
    assert score_words(np.ones(4), gold, distractor) == pytest.approx(chance(gold, distractor))
    # One gold word of four, two distractor words. The gold word stands at place 1, 2, 3 or 4, each in a quarter of the
    # orders: (1 + 1/2 + 1/3 + 1/4) / 4 = 25/48. A span of one word is right in a quarter of the draws.
    assert chance(gold, distractor) == pytest.approx(
        {
            "auprc": 0.25,
            "auroc": 0.5,
            "f1_at_gold": 0.25,
            "dsa": -0.25,
            "average_precision": 0.25,
            "precision_at_5": 0.25,
            "span_iou_f1": 0.25,
            "reciprocal_rank": 25 / 48,
        },
        abs=0.1,
    )
    assert chance(gold, distractor)["reciprocal_rank"] == pytest.approx(25 / 48)


@pytest.mark.parametrize("gold", [mask(0, 0, 0, 0), mask(1, 1, 1, 1)])
def test_gold_empty_or_full_is_undefined(gold: np.ndarray) -> None:
    values = score_words(np.arange(4.0), gold, NONE)
    assert set(values) == {metric.name for metric in METRICS}
    assert all(math.isnan(value) for value in values.values())
    assert all(math.isnan(value) for value in chance(gold, NONE).values())
    assert all(math.isnan(v) for v in score_words(np.array([np.nan, 1, 2, 3]), gold, NONE).values())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_get_the_worst_value(bad: float) -> None:
    values = score_words(np.array([9.0, bad, 1, 0]), mask(1, 0, 0, 0), NONE)
    assert values == {metric.name: -1.0 if metric.name == "dsa" else 0.0 for metric in METRICS}


def test_lengths_must_agree() -> None:
    with pytest.raises(MetricError, match="3 scores do not fit 4 gold and 4 distractor"):
        score_words(np.ones(3), NONE, NONE)
    with pytest.raises(MetricError):
        score_words(np.ones(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=bool))


def test_metadata_is_complete() -> None:
    for metric in METRICS:
        assert metric.source
        assert metric.function.__doc__
        assert metric.bounds[0] < metric.bounds[1]


PAIRS = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30).filter(
    lambda pairs: 0 < sum(gold for _, gold in pairs) < len(pairs)
)


@settings(deadline=None)
@given(PAIRS)
def test_against_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([float(score) for score, _ in pairs])
    gold = np.array([mark for _, mark in pairs])
    distractor = ~gold
    values = score_words(scores, gold, distractor)
    precision, recall, _ = precision_recall_curve(gold, scores)
    constant = len(set(scores)) == 1
    assert values["auprc"] == pytest.approx(density(gold) if constant else auc(recall, precision))
    assert values["auroc"] == pytest.approx(roc_auc_score(gold, scores))
    assert values["average_precision"] == pytest.approx(average_precision_score(gold, scores))
    for metric in METRICS:
        assert metric.bounds[0] <= values[metric.name] <= metric.bounds[1]


@settings(deadline=None)
@given(PAIRS.filter(lambda pairs: len(pairs) <= 9))
def test_f1_is_the_mean_over_all_tie_breaks(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([float(score) for score, _ in pairs])
    gold = np.array([mark for _, mark in pairs])
    k = int(gold.sum())
    best = sorted(scores, reverse=True)[:k]
    choices = [
        list(c) for c in combinations(range(len(pairs)), k) if sorted(scores[list(c)], reverse=True) == best
    ]
    values = [f1_score(gold, np.isin(np.arange(len(pairs)), choice)) for choice in choices]
    assert f1_at_gold(scores, gold, gold) == pytest.approx(np.mean(values))


@settings(deadline=None)
@given(PAIRS.filter(lambda pairs: len(pairs) <= 7))
def test_metrics_of_ties_are_means_over_all_orders(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([float(score) for score, _ in pairs])
    gold = np.array([mark for _, mark in pairs])
    orders = [p for p in permutations(range(len(pairs))) if all(np.diff(scores[list(p)]) <= 0)]
    ranks = [1 + next(i for i, word in enumerate(p) if gold[word]) for p in orders]
    assert reciprocal_rank(scores, gold, gold) == pytest.approx(np.mean([1 / rank for rank in ranks]))
    hits = [gold[list(p[:2])].mean() for p in orders]
    assert precision_at_k(scores, gold, gold, k=2) == pytest.approx(np.mean(hits))


@settings(deadline=None)
@given(PAIRS)
def test_monotone_maps_change_no_order_metric(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([float(score) for score, _ in pairs])
    gold = np.array([mark for _, mark in pairs])
    for function in (
        auprc,
        auroc,
        f1_at_gold,
        average_precision,
        precision_at_k,
        reciprocal_rank,
        span_iou_f1,
    ):
        assert function(np.exp(scores) * 7, gold, gold) == pytest.approx(function(scores, gold, gold))
