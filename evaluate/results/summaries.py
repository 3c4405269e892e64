"""What word scores say beside the metrics: curves, mass by segment, likeness of methods. Pure functions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluate.metrics.alignment import Mask, Scores, decides, density, is_constant, precision_recall
from evaluate.statistics.intervals import mean_interval

if TYPE_CHECKING:
    import pandas as pd

# Points at which curves are averaged: the middles of 200 steps, so that hardly one falls on a jump.
RECALL: NDArray[np.float64] = (np.arange(200) + 0.5) / 200

ByMethod = Mapping[str, Sequence[Scores | None]]


def mean_curves(scores: ByMethod, golds: Sequence[Mask]) -> pd.DataFrame:
    """Mean over examples of precision at given recall (ours).

    An example's curve joins its points by straight lines, as the AUPRC does, and is flat at the density where all
    scores are equal: the mean of a column is the mean AUPRC, up to the width of a step.

    Args:
        scores: Method to one array a word for each example; ``None`` is left out.
        golds: Which words are gold, for each example; examples whose gold is empty or full are left out.

    Returns:
        Index ``recall``, a column a method; methods without any example are left out.
    """
    import pandas as pd

    columns: dict[str, NDArray[np.float64]] = {}
    for method, arrays in scores.items():
        curves = [
            _curve(array, gold)
            for array, gold in zip(arrays, golds, strict=True)
            if array is not None and decides(gold)
        ]
        if curves:
            columns[method] = np.mean(curves, axis=0)
    return pd.DataFrame(columns, index=pd.Index(RECALL, name="recall"))


def _curve(scores: Scores, gold: Mask) -> NDArray[np.float64]:
    if is_constant(scores):
        return np.full(len(RECALL), density(gold))
    precision, recall = precision_recall(scores, gold)
    return np.asarray(np.interp(RECALL, np.append(0.0, recall), np.append(1.0, precision)))


def segment_mass(
    scores: ByMethod, roles: Sequence[Sequence[str]], texts: Sequence[Hashable], seed: int = 0
) -> pd.DataFrame:
    """Share of a method's positive word mass that falls in each segment (ours).

    Args:
        scores: Method to one array a word for each example; scores below zero count as 0. An example without any
            positive score says nothing and is left out.
        roles: Role of each word's segment, for each example.
        texts: Text of each example, for the intervals.
        seed: Seed of the bootstrap.

    Returns:
        A row a method and role, roles in the order in which they appear: ``method``, ``segment``, ``share`` with
            ``share_low`` and ``share_high``, ``examples``. The method ``(words)`` holds the shares of the words
            themselves: what equal scores get.
    """
    import pandas as pd

    named = list(dict.fromkeys(role for word_roles in roles for role in word_roles))
    member = [
        np.array([[role == name for role in word_roles] for name in named], dtype=float)
        for word_roles in roles
    ]
    even: ByMethod = {"(words)": [np.ones(len(word_roles)) for word_roles in roles]}
    rows = []
    for method, arrays in {**even, **scores}.items():
        shares = np.array([_shares(array, inside) for array, inside in zip(arrays, member, strict=True)])
        for column, name in enumerate(named):
            interval = mean_interval(shares[:, column], texts, seed=seed)
            rows.append(
                {
                    "method": method,
                    "segment": name or "other",
                    "share": interval.mean,
                    "share_low": interval.low,
                    "share_high": interval.high,
                    "examples": interval.n,
                }
            )
    return pd.DataFrame(rows)


def _shares(scores: Scores | None, inside: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the positive mass in each row's words; ``nan`` without any."""
    positive = np.clip(np.zeros(inside.shape[1]) if scores is None else scores, 0.0, None)
    largest = positive.max()
    if largest == 0:
        return np.full(len(inside), np.nan)
    positive = positive / largest
    return np.asarray(inside @ positive / positive.sum())


def rank_correlations(scores: ByMethod) -> pd.DataFrame:
    """Mean over examples of Spearman's rho between the word scores of every two methods.

    Args:
        scores: Method to one array a word for each example. Where one of two methods has no scores or equal ones for
            all words, the example is left out of their mean.

    Returns:
        A square frame, methods on both sides; ``nan`` for a pair that shares no example.
    """
    import pandas as pd
    from scipy.stats import rankdata

    names = list(scores)
    total = np.zeros((len(names), len(names)))
    count = np.zeros_like(total)
    for arrays in zip(*scores.values(), strict=True):
        usable = [i for i, array in enumerate(arrays) if array is not None and not is_constant(array)]
        if not usable:
            continue
        ranked = rankdata(np.stack([arrays[i] for i in usable]), axis=1)
        centred = ranked - ranked.mean(axis=1, keepdims=True)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        places = np.ix_(usable, usable)
        total[places] += unit @ unit.T
        count[places] += 1
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return pd.DataFrame(mean, index=pd.Index(names, name="method"), columns=names)
