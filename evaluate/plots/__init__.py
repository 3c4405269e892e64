"""Figures of results: each function takes what was read from a results folder and returns a matplotlib Figure.

Nothing here touches `matplotlib.pyplot`; save with `figure.savefig`, or show in a notebook by naming the figure.
"""

from evaluate.plots.correlation import rank_correlation
from evaluate.plots.cost import cost
from evaluate.plots.curves import precision_recall
from evaluate.plots.differences import differences
from evaluate.plots.forest import forest
from evaluate.plots.mass import segment_mass
from evaluate.plots.strips import strips

__all__ = [
    "cost",
    "differences",
    "forest",
    "precision_recall",
    "rank_correlation",
    "segment_mass",
    "strips",
]
