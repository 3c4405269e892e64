"""Coefficients of agreement as functions of summed counts, one row a replicate; NaN where undefined."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Counts: TypeAlias = NDArray[np.float64]


def ratio(above: Counts, below: Counts) -> Counts:
    """``above / below``, NaN where ``below`` is 0."""
    undefined: Counts = np.full(np.shape(above), np.nan)
    return np.divide(above, below, out=undefined, where=below != 0)


def pooled_f1(counts: Counts) -> Counts:
    """Pooled word F1 of each row, 2·n11 / (2·n11 + n10 + n01); NaN where neither marks any word.

    Args:
        counts: Shape (rows, 4 or more): n11 (both mark), n10 (first only), n01 (second only), n00 (neither).
    """
    n11, n10, n01 = counts[:, 0], counts[:, 1], counts[:, 2]
    return ratio(2 * n11, 2 * n11 + n10 + n01)


def negative_agreement(counts: Counts) -> Counts:
    """Pooled F1 of unmarked words, 2·n00 / (2·n00 + n10 + n01) (Cicchetti and Feinstein 1990).

    Args:
        counts: As in :func:`pooled_f1`; NaN where both mark every word.
    """
    n10, n01, n00 = counts[:, 1], counts[:, 2], counts[:, 3]
    return ratio(2 * n00, 2 * n00 + n10 + n01)


def pooled_iou(counts: Counts) -> Counts:
    """Pooled intersection over union of each row, n11 / (n11 + n10 + n01); NaN where nothing is marked.

    Args:
        counts: As in :func:`pooled_f1`.
    """
    n11, n10, n01 = counts[:, 0], counts[:, 1], counts[:, 2]
    return ratio(n11, n11 + n10 + n01)


def cohen_kappa(counts: Counts) -> Counts:
    """Cohen's kappa of each row (Cohen 1960): (po - pe) / (1 - pe).

    With agreement po = (n11 + n00) / n and chance agreement pe from the two marked shares; NaN where pe is 1.

    Args:
        counts: As in :func:`pooled_f1`.
    """
    n11, n10, n01, n00 = counts[:, 0], counts[:, 1], counts[:, 2], counts[:, 3]
    n = n11 + n10 + n01 + n00
    chance = (n11 + n10) * (n11 + n01) + (n01 + n00) * (n10 + n00)
    return ratio(n * (n11 + n00) - chance, n * n - chance)


def first_share(counts: Counts) -> Counts:
    """Share of words that the first marks; ``counts`` as in :func:`pooled_f1`, NaN without words."""
    return ratio(counts[:, 0] + counts[:, 1], counts[:, :4].sum(axis=1))


def second_share(counts: Counts) -> Counts:
    """Share of words that the second marks; ``counts`` as in :func:`pooled_f1`, NaN without words."""
    return ratio(counts[:, 0] + counts[:, 2], counts[:, :4].sum(axis=1))


def mean(counts: Counts) -> Counts:
    """Sum over number; ``counts`` has the columns sum and number."""
    return ratio(counts[:, 0], counts[:, 1])


def fleiss_kappa(votes: Counts) -> Counts:
    """Fleiss' kappa of each row (Fleiss 1971) for k raters and the categories marked and not marked.

    A word with v marks has v·(v - 1) + (k - v)·(k - v - 1) agreeing among its k·(k - 1) ordered pairs of
    raters; chance agreement comes from the share of marks over all raters. NaN where all marks are equal.

    Args:
        votes: Shape (rows, k + 1): number of words with 0, 1, ..., k marks.
    """
    raters = votes.shape[1] - 1
    marks = np.arange(raters + 1)
    agreeing = marks * (marks - 1) + (raters - marks) * (raters - marks - 1)
    words = votes.sum(axis=1)
    observed = ratio(votes @ agreeing, words * raters * (raters - 1))
    share = ratio(votes @ marks, words * raters)
    chance = share**2 + (1 - share) ** 2
    return ratio(observed - chance, 1 - chance)


def krippendorff_alpha(counts: Counts) -> Counts:
    """Krippendorff's alpha, nominal, of each row: 1 - (n - 1)·o / (n0·n1).

    From the coincidences of two categories (Krippendorff 2011, "Computing Krippendorff's alpha-reliability",
    section C). Words that fewer than two rated are not counted. NaN where all marks are equal.

    Args:
        counts: Shape (rows, 3): o, the sum over words of zeros·ones / (ratings - 1); n0 and n1, the numbers
            of ratings "not marked" and "marked".
    """
    coincidences, zeros, ones = counts[:, 0], counts[:, 1], counts[:, 2]
    return 1 - ratio((zeros + ones - 1) * coincidences, zeros * ones)
