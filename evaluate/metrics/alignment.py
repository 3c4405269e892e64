"""How well word scores find the gold words: pure functions of scores and sets of words.

Every metric takes ``scores`` (one finite number a word), ``gold`` and ``distractor`` (boolean masks over the
same words) and returns one number. Gold that is empty or holds every word decides nothing: each metric is
then ``nan``. Where all scores are equal there is no order, and the metrics that read one give what a random
order gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import comb

import numpy as np
from numpy.typing import NDArray

from evaluate.errors import MetricError
from evaluate.metrics.metric import Metric

Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]

TOP_K = 5
TIE_BREAKS = 100


@dataclass(frozen=True)
class AlignmentMetric(Metric):
    """A metric of scores against gold.

    Attributes:
        function: ``(scores, gold, distractor) -> float``; what it gives for equal scores is chance.
    """

    function: Callable[[Scores, Mask, Mask], float] = field(kw_only=True)


def density(gold: Mask, distractor: Mask | None = None) -> float:
    """Share of the words that are gold: the area under the precision-recall curve of a random order."""
    return float(gold.mean())


def decides(gold: Mask) -> bool:
    """Whether gold has both kinds of word, so that an order can be right or wrong."""
    return bool(gold.any() and not gold.all())


def auprc(scores: Scores, gold: Mask, distractor: Mask) -> float:
    """Area under the precision-recall curve by trapezoids (DeYoung et al. 2020, ERASER).

    Words with the same score enter together. The trapezoids join the points by straight lines, which flatters
    scores with many ties; scores that are all equal therefore get the density, not ``(1 + density) / 2``
    (ours).

    Returns:
        A number in [0, 1], higher is better; ``nan`` if gold is empty or full.
    """
    if not decides(gold):
        return float("nan")
    if is_constant(scores):
        return density(gold)
    precision, recall = precision_recall(scores, gold)
    return min(1.0, float(np.trapezoid(np.append(1.0, precision), np.append(0.0, recall))))


def auroc(scores: Scores, gold: Mask, distractor: Mask) -> float:
    """Probability that a gold word scores above another word, ties counted half (Fawcett 2006).

    Returns:
        A number in [0, 1], 0.5 at chance, higher is better; ``nan`` if gold is empty or full.
    """
    if not decides(gold):
        return float("nan")
    from scipy.stats import rankdata

    n_gold, n_others = int(gold.sum()), int((~gold).sum())
    above = float(rankdata(scores)[gold].sum()) - n_gold * (n_gold + 1) / 2
    return above / (n_gold * n_others)


def f1_at_gold(scores: Scores, gold: Mask, distractor: Mask) -> float:
    """Word F1 of the k best words, k = number of gold words (ERASER token F1 with k per instance).

    With that k precision, recall and F1 are the same number. Words tied at the k-th score share the places
    that are left: the value is the expectation over all orders of the tied words (ours).

    Returns:
        A number in [0, 1], higher is better; ``nan`` if gold is empty or full.
    """
    if not decides(gold):
        return float("nan")
    k = int(gold.sum())
    return _expected_hits(scores, gold, k) / k


def dsa(scores: Scores, gold: Mask, distractor: Mask) -> float:
    """Share of the positive score mass on gold words less its share on distractor words (HETA release).

    Scores below zero are set to zero first, because shares of a signed mass have no meaning (ours). Without
    any positive mass the value is 0. Distractor words are those of the narrative; a word that is both counts
    in both.

    Returns:
        A number in [-1, 1], higher is better; ``nan`` if gold is empty or full.
    """
    if not decides(gold):
        return float("nan")
    positive = np.clip(scores, 0.0, None)
    largest = float(positive.max())
    if largest == 0.0:
        return 0.0
    # By the largest first: the sum of very large or very small scores would leave the range of floats.
    positive = positive / largest
    difference = (positive[gold].sum() - positive[distractor].sum()) / positive.sum()
    return float(np.clip(difference, -1.0, 1.0))


def average_precision(scores: Scores, gold: Mask, distractor: Mask) -> float:
    """Mean over the gold words of the precision at their place, ties entering together (ERASER, scikit-learn).

    Returns:
        A number in (0, 1], the density of gold for equal scores, higher is better; ``nan`` if gold is empty or full.
    """
    if not decides(gold):
        return float("nan")
    precision, recall = precision_recall(scores, gold)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def precision_at_k(scores: Scores, gold: Mask, distractor: Mask, k: int = TOP_K) -> float:
    """Share of gold among the k best words; ties at the k-th score count in expectation (ours).

    With fewer than k words all of them are taken.

    Returns:
        A number in [0, 1], higher is better; ``nan`` if gold is empty or full.
    """
    if not decides(gold):
        return float("nan")
    k = min(k, len(scores))
    return _expected_hits(scores, gold, k) / k


def reciprocal_rank(scores: Scores, gold: Mask, distractor: Mask) -> float:
    """One over the place of the first gold word; its mean over examples is the mean reciprocal rank.

    Words tied with it share their places: the value is the expectation over all orders of the tied words (ours).

    Returns:
        A number in (0, 1], higher is better; ``nan`` if gold is empty or full.
    """
    if not decides(gold):
        return float("nan")
    best = scores[gold].max()
    above, tied = int((scores > best).sum()), scores == best
    n_tied, n_gold = int(tied.sum()), int((tied & gold).sum())
    # The first of g gold words among t shuffled ones stands at place j in C(t - j, g - 1) of C(t, g) cases.
    places = range(1, n_tied - n_gold + 2)
    return sum(comb(n_tied - j, n_gold - 1) / (above + j) for j in places) / comb(n_tied, n_gold)


def span_iou_f1(scores: Scores, gold: Mask, distractor: Mask) -> float:
    """F1 of spans: runs of the |gold| best words against runs of gold words, matched at IoU of a half or more.

    Precision is the share of predicted spans that match some gold span, recall counts the same matches over the gold
    spans, as ERASER's code does (DeYoung et al. 2020); at most 1. Ties at the last place are broken 100 times at
    random, from a fixed seed, and averaged (ours).

    Returns:
        A number in [0, 1], higher is better; ``nan`` if gold is empty or full.
    """
    if not decides(gold):
        return float("nan")
    k = int(gold.sum())
    threshold = np.partition(scores, -k)[-k]
    above, tied = scores > threshold, np.flatnonzero(scores == threshold)
    places = k - int(above.sum())
    spans = _runs(gold)
    if places == len(tied):
        return _span_f1(_runs(scores >= threshold), spans)
    generator = np.random.default_rng(0)
    values = []
    for _ in range(TIE_BREAKS):
        chosen = above.copy()
        chosen[generator.choice(tied, places, replace=False)] = True
        values.append(_span_f1(_runs(chosen), spans))
    return float(np.mean(values))


def _runs(chosen: Mask) -> list[tuple[int, int]]:
    """``[start, end)`` of each run of neighbouring words."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _span_f1(predicted: list[tuple[int, int]], gold: list[tuple[int, int]]) -> float:
    def iou(a: tuple[int, int], b: tuple[int, int]) -> float:
        both = min(a[1], b[1]) - max(a[0], b[0])
        return max(0, both) / (a[1] - a[0] + b[1] - b[0] - max(0, both))

    matched = sum(max(iou(span, gold_span) for gold_span in gold) >= 0.5 for span in predicted)
    # Runs do not touch, so no two of them can each share half with the same one: at most len(gold) match.
    precision, recall = matched / len(predicted), matched / len(gold)
    return 2 * precision * recall / (precision + recall) if matched else 0.0


def precision_recall(scores: Scores, gold: Mask) -> tuple[Scores, Scores]:
    """Precision and recall at every distinct score from the highest down; scikit-learn's, without its checks.

    Those cost ten times the arithmetic on texts of a hundred words.

    Args:
        scores: One number a word.
        gold: Which words are gold; at least one.

    Returns:
        Precision and recall, one of each for every distinct score.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(gold[order])[last]
    return hits / (last + 1), hits / hits[-1]


def _expected_hits(scores: Scores, gold: Mask, k: int) -> float:
    """Gold words among the k best, in expectation over all orders of the words tied at the k-th score."""
    threshold = np.partition(scores, -k)[-k]
    above, tied = scores > threshold, scores == threshold
    places = k - int(above.sum())
    return float((above & gold).sum()) + places * float((tied & gold).sum()) / float(tied.sum())


_UNIT = (0.0, 1.0)
METRICS: tuple[AlignmentMetric, ...] = (
    AlignmentMetric(
        "auprc", "AUPRC", _UNIT, True, "ERASER (DeYoung et al. 2020), trapezoids", function=auprc
    ),
    AlignmentMetric("auroc", "AUROC", _UNIT, True, "Fawcett 2006", function=auroc),
    AlignmentMetric(
        "f1_at_gold", "F1@|gold|", _UNIT, True, "ERASER token F1, k = |gold|", function=f1_at_gold
    ),
    AlignmentMetric("dsa", "DSA", (-1.0, 1.0), True, "HETA release, on positive mass (ours)", function=dsa),
    AlignmentMetric(
        "average_precision", "AP", _UNIT, True, "ERASER, scikit-learn", False, function=average_precision
    ),
    AlignmentMetric(
        "precision_at_5", "P@5", _UNIT, True, "top-5 precision; ties ours", False, function=precision_at_k
    ),
    AlignmentMetric(
        "span_iou_f1", "IoU-F1", _UNIT, True, "ERASER, spans of the |gold| best", False, function=span_iou_f1
    ),
    AlignmentMetric(
        "reciprocal_rank", "MRR", _UNIT, True, "Voorhees 1999; ties ours", False, function=reciprocal_rank
    ),
)


def is_constant(scores: Scores) -> bool:
    """Whether all scores are equal, so that they order nothing."""
    return bool((scores == scores[0]).all())


def score_words(scores: Scores, gold: Mask, distractor: Mask) -> dict[str, float]:
    """Every metric of one paragraph.

    Args:
        scores: One number a word. Where one is not finite the method has failed here: every metric gets its
            worst value, so that a failure cannot raise a mean.
        gold: Which words are gold.
        distractor: Which words are narrative.

    Returns:
        Metric name to value; ``nan`` where gold is empty or full.

    Raises:
        MetricError: The arrays differ in length or are empty.
    """
    if not len(scores) == len(gold) == len(distractor) > 0:
        raise MetricError(
            f"{len(scores)} scores do not fit {len(gold)} gold and {len(distractor)} distractor marks"
        )
    if decides(gold) and not np.isfinite(scores).all():
        return {metric.name: metric.worst for metric in METRICS}
    return {metric.name: metric.function(scores, gold, distractor) for metric in METRICS}


def chance(gold: Mask, distractor: Mask) -> dict[str, float]:
    """What equal scores get from every metric; ``nan`` where gold is empty or full."""
    return {metric.name: metric.function(np.ones(len(gold)), gold, distractor) for metric in METRICS}
