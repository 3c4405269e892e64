"""How well word scores find the gold words: pure functions of scores and sets of words.

Every metric takes ``scores`` (one finite number a word), ``gold`` and ``distractor`` (boolean masks over the
same words) and returns one number. Gold that is empty or holds every word decides nothing: each metric is
then ``nan``. Where all scores are equal there is no order, and the metrics that read one give what a random
order gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluate.errors import MetricError

Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Metric:
    """A metric and what a reader must know of it.

    Attributes:
        name: Key in every output.
        label: Column head.
        function: ``(scores, gold, distractor) -> float``.
        chance: ``(gold, distractor) -> float``, the value to set beside it: what equal scores give.
        bounds: Smallest and largest possible value; the smallest is what scores that are not finite get.
        higher_is_better: Direction.
        source: Where the definition comes from.
    """

    name: str
    label: str
    function: Callable[[Scores, Mask, Mask], float]
    chance: Callable[[Mask, Mask], float]
    bounds: tuple[float, float]
    higher_is_better: bool
    source: str


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
    from sklearn.metrics import auc, precision_recall_curve

    precision, recall, _ = precision_recall_curve(gold, scores)
    return min(1.0, float(auc(recall, precision)))


def auroc(scores: Scores, gold: Mask, distractor: Mask) -> float:
    """Probability that a gold word scores above another word, ties counted half (Fawcett 2006).

    Returns:
        A number in [0, 1], 0.5 at chance, higher is better; ``nan`` if gold is empty or full.
    """
    if not decides(gold):
        return float("nan")
    from sklearn.metrics import roc_auc_score

    return min(1.0, float(roc_auc_score(gold, scores)))


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
    threshold = np.partition(scores, -k)[-k]
    above, tied = scores > threshold, scores == threshold
    places = k - int(above.sum())
    hits = float((above & gold).sum()) + places * float((tied & gold).sum()) / float(tied.sum())
    return hits / k


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


def _half(gold: Mask, distractor: Mask) -> float:
    return 0.5


def _uniform_dsa(gold: Mask, distractor: Mask) -> float:
    return float(gold.mean() - distractor.mean())


METRICS: tuple[Metric, ...] = (
    Metric("auprc", "AUPRC", auprc, density, (0.0, 1.0), True, "ERASER (DeYoung et al. 2020), trapezoids"),
    Metric("auroc", "AUROC", auroc, _half, (0.0, 1.0), True, "Fawcett 2006"),
    Metric("f1_at_gold", "F1@|gold|", f1_at_gold, density, (0.0, 1.0), True, "ERASER token F1, k = |gold|"),
    Metric("dsa", "DSA", dsa, _uniform_dsa, (-1.0, 1.0), True, "HETA release, on positive mass (ours)"),
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
        return {metric.name: metric.bounds[0] for metric in METRICS}
    return {metric.name: metric.function(scores, gold, distractor) for metric in METRICS}


def chance(gold: Mask, distractor: Mask) -> dict[str, float]:
    """What equal scores get from every metric; ``nan`` where gold is empty or full."""
    if not decides(gold):
        return {metric.name: float("nan") for metric in METRICS}
    return {metric.name: metric.chance(gold, distractor) for metric in METRICS}
