"""How alike the methods order words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluate.plots.canvas import INK, diverging, name_width, new_figure, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from evaluate.word_scores import WordScores

# With more methods than this the cells are too small for their numbers.
NUMBERED = 14
# Inches.
CELL = 0.19


def rank_correlation(words: WordScores) -> Figure:
    """Mean Spearman correlation between the word scores of every two methods; like ones stand side by side.

    Args:
        words: Word scores of a run.
    """
    frame = words.correlations
    names = [str(frame.index[i]) for i in _order(frame)]
    values = frame.loc[names, names].to_numpy()
    with style():
        margin, side = 0.9 * name_width(names), CELL * max(len(names), 8)
        figure = new_figure(
            margin + side + 1.1, side + margin, left=margin, right=1.1, top=0.1, bottom=margin
        )
        axes = figure.subplots()
        shown = axes.imshow(values, cmap=diverging(), vmin=-1, vmax=1, interpolation="none")
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0, labelsize=8)
        if len(names) <= NUMBERED:
            for (row, column), value in np.ndenumerate(values):
                text = "" if np.isnan(value) else f"{value:.1f}".replace("0.", ".")
                axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=INK)
        bar = axes.inset_axes((1 + 0.2 / side, 0.2, 0.15 / side, 0.6))
        figure.colorbar(shown, cax=bar, label="Spearman, mean over examples")
    return figure


def _order(frame: pd.DataFrame) -> list[int]:
    """Leaves of an average-linkage tree over 1 - rho, arranged so that neighbours are alike (scipy)."""
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    if len(frame) < 3:
        return list(range(len(frame)))
    distance = 1.0 - np.nan_to_num(frame.to_numpy(), nan=0.0)
    distance = (distance + distance.T) / 2
    np.fill_diagonal(distance, 0.0)
    condensed = np.maximum(squareform(distance, checks=False), 0.0)
    return [
        int(leaf) for leaf in leaves_list(optimal_leaf_ordering(linkage(condensed, "average"), condensed))
    ]
