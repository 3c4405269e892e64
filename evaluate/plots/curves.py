"""Precision over recall, averaged over examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.plots.canvas import DASHES, GRID, SERIES, SOFT, new_figure, singled, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from evaluate.word_scores import WordScores


def precision_recall(words: WordScores) -> Figure:
    """Mean precision–recall curve of every method; a few in colour, the others in grey; dashed: density of gold.

    Args:
        words: Word scores of an alignment run.
    """
    curves = words.curves
    with style():
        figure = new_figure(7.4, 4.0, right=2.3, top=0.15)
        axes = figure.subplots()
        axes.grid()
        coloured = [name for name in singled(words.result) if name in curves]
        for name in curves.columns.difference(coloured):
            axes.plot(curves.index, curves[name], color=GRID, linewidth=0.9, zorder=1)
        for name, colour, dash in zip(coloured, SERIES, DASHES, strict=False):
            axes.plot(curves.index, curves[name], color=colour, linestyle=dash, linewidth=1.8, label=name)
        axes.axhline(words.density, color=SOFT, linestyle="--", linewidth=1, label="density of gold")
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1),
            xlabel=f"recall of gold {words.result.settings.unit}s",
            ylabel="precision, mean over examples",
        )
        figure.legend(loc="upper right")
    return figure
