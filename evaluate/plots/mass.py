"""Where the positive mass of each method falls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.plots.canvas import INK, PAPER, method_axis, name_width, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from evaluate.word_scores import WordScores

_COLOURS = {"narrative": "#7a7f87", "support": "#0072b2", "question": "#d55e00", "other": "#b0578d"}
_HATCHES = {"narrative": "///", "support": "", "question": "...", "other": "xxx"}


def segment_mass(words: WordScores) -> Figure:
    """Share of the positive word mass in each segment, a bar a method; first what equal scores would get.

    Args:
        words: Word scores of a run on examples with segments.

    Raises:
        ReportError: The examples name no segments.
    """
    shares = words.segment_mass.pivot(index="method", columns="segment", values="share").astype(float)
    order = ["(words)", *(row.method for row in words.result.methods)]
    segments = [name for name in _COLOURS if name in shares]
    with style():
        figure = new_figure(7.2, 0.95 + 0.19 * len(order), left=name_width(order), top=0.35)
        axes = figure.subplots()
        left = shares.loc[order, segments].cumsum(axis=1).shift(axis=1, fill_value=0.0)
        for name in segments:
            axes.barh(
                range(len(order)),
                shares.loc[order, name],
                left=left[name],
                height=0.78,
                color=_COLOURS[name],
                hatch=_HATCHES[name],
                edgecolor=PAPER,
                linewidth=0.6,
                label=name,
            )
        method_axis(axes, order)
        axes.axhline(0.5, color=INK, linewidth=0.8)
        axes.set(xlim=(0, 1), xlabel="share of the positive word mass, mean over examples")
        figure.legend(loc="upper center", ncols=len(segments))
    return figure
