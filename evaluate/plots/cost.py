"""What a method finds against what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from evaluate.plots.canvas import INK, KIND_COLOURS, KIND_MARKERS, SOFT, new_figure, singled, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from evaluate.metrics.metric import Metric
    from evaluate.word_scores import WordScores


def cost(words: WordScores, metric: Metric) -> Figure:
    """A metric over forward passes an example (a backward pass counts 1), a point a method.

    The line joins the methods that no cheaper one beats; they and the singled-out ones have names.

    Args:
        words: Word scores of a run.
        metric: A metric of its result.
    """
    points = [
        (words.passes[row.method], row.metrics[metric.name], row)
        for row in words.result.methods
        if words.passes[row.method] > 0 and row.metrics[metric.name].mean is not None
    ]
    with style():
        figure = new_figure(7.4, 4.6, top=0.35)
        axes = figure.subplots()
        axes.grid()
        axes.set_xscale("log")
        for kind, colour in KIND_COLOURS.items():
            of_kind = [(passes, interval) for passes, interval, row in points if row.method_kind == kind]
            if not of_kind:
                continue
            x = [passes for passes, _ in of_kind]
            y = np.array([interval.mean for _, interval in of_kind], dtype=float)
            low = np.array(
                [interval.mean if interval.low is None else interval.low for _, interval in of_kind], float
            )
            high = np.array(
                [interval.mean if interval.high is None else interval.high for _, interval in of_kind], float
            )
            axes.errorbar(
                x,
                y,
                yerr=np.maximum(0.0, [y - low, high - y]),
                fmt=KIND_MARKERS[kind],
                color=colour,
                markersize=5,
                elinewidth=0.9,
                label=kind,
            )
        places = {row.method: (passes, float(interval.mean or 0.0)) for passes, interval, row in points}
        front = _front({name: (x, metric.better(y)) for name, (x, y) in places.items()})
        axes.plot(*zip(*(places[name] for name in front), strict=True), color=SOFT, linewidth=1, zorder=1)
        axes.margins(x=0.12)
        axes.xaxis.set_major_formatter("{x:g}")
        named = [name for name in dict.fromkeys([*front, *singled(words.result)]) if name in places]
        _write_names(axes, {name: places[name] for name in named})
        axes.set(xlabel="forward passes an example", ylabel=metric.label)
        figure.legend(loc="upper center", ncols=len(KIND_COLOURS))
    return figure


def _write_names(axes: Axes, places: Mapping[str, tuple[float, float]]) -> None:
    """Names right of their points, each moved down until it is clear of those written before."""
    pixels_a_point = axes.figure.dpi / 72
    taken: list[tuple[float, float]] = []
    for name, place in sorted(places.items(), key=lambda item: -item[1][1]):
        x, y = axes.transData.transform(place) / pixels_a_point
        lowered = y + 4
        while any(abs(x - other_x) < 6 * len(name) and abs(lowered - other) < 9 for other_x, other in taken):
            lowered -= 1
        taken.append((x, lowered))
        axes.annotate(name, place, xytext=(6, lowered - y), textcoords="offset points", color=INK, fontsize=8)


def _front(places: dict[str, tuple[float, float]]) -> list[str]:
    """Names that nothing cheaper is as good as, cheapest first."""
    front: list[str] = []
    best = -np.inf
    for name, (_, value) in sorted(places.items(), key=lambda item: (item[1][0], -item[1][1], item[0])):
        if value > best:
            front.append(name)
            best = value
    return front
