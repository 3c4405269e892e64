"""What a method finds against what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluate.plots.canvas import INK, KIND_COLOURS, KIND_MARKERS, SOFT, new_figure, singled, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from evaluate.metrics.metric import Metric
    from evaluate.word_scores import WordScores

Box = tuple[float, float, float, float]
"""Left, bottom, right and top, in points."""

# Points.
NAME_SIZE = 8
MARKER = 5.0


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
        axes.set(xlabel="forward passes an example", ylabel=metric.label)
        figure.legend(loc="upper center", ncols=len(KIND_COLOURS))
        # The limits are worked out when they are asked for, and the names' places depend on them.
        axes.get_xlim(), axes.get_ylim()
        ends = [
            (passes, mean if low is None else low, mean if high is None else high)
            for passes, interval, _ in points
            for mean, low, high in [(interval.mean or 0.0, interval.low, interval.high)]
        ]
        _write_names(axes, {name: places[name] for name in named}, ends, [places[name] for name in front])
    return figure


def _write_names(
    axes: Axes,
    places: Mapping[str, tuple[float, float]],
    points: Sequence[tuple[float, float, float]],
    front: Sequence[tuple[float, float]],
) -> None:
    """Names beside their points, where they cover neither a marker, a whisker, another name nor the frame.

    Args:
        axes: With its final limits.
        places: Name to passes and mean.
        points: Passes, low and high end of every method, named or not.
        front: The corners of the line.
    """
    from matplotlib.textpath import TextPath

    pixels_a_point = axes.figure.dpi / 72

    def spot(x: float, y: float) -> tuple[float, float]:
        across, up = axes.transData.transform((x, y)) / pixels_a_point
        return float(across), float(up)

    frame = np.asarray(axes.get_window_extent().extents) / pixels_a_point
    taken: list[Box] = []
    for passes, low, high in points:
        (x, bottom), (_, top) = spot(passes, low), spot(passes, high)
        taken.append((x - MARKER, bottom - MARKER, x + MARKER, top + MARKER))
    for (x, y), (next_x, next_y) in pairwise([spot(*corner) for corner in front]):
        for share in np.linspace(0, 1, 2 + int(np.hypot(next_x - x, next_y - y) / 3)):
            across, up = x + share * (next_x - x), y + share * (next_y - y)
            taken.append((across - 1, up - 1, across + 1, up + 1))
    for name, place in sorted(places.items(), key=lambda item: -item[1][1]):
        x, y = spot(*place)
        width = float(TextPath((0, 0), name, size=NAME_SIZE).get_extents().width) + 2
        boxes = [
            (left, y + shift - NAME_SIZE / 2, left + width, y + shift + NAME_SIZE / 2)
            for shift in sorted(range(-90, 91, 3), key=abs)
            for left in (x + MARKER + 1, x - MARKER - 1 - width, x - width / 2)
        ]
        free = [box for box in boxes if _inside(box, frame) and not any(_meet(box, other) for other in taken)]
        box = (free or boxes)[0]
        taken.append(box)
        axes.annotate(
            name,
            place,
            xytext=(box[0] - x + 1, (box[1] + box[3]) / 2 - y),
            textcoords="offset points",
            va="center",
            color=INK,
            fontsize=NAME_SIZE,
            arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.5}
            if abs((box[1] + box[3]) / 2 - y) > 2 * NAME_SIZE
            else None,
        )


def _inside(box: Box, frame: NDArray[np.float64]) -> bool:
    return bool(box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3])


def _meet(box: Box, other: Box) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def _front(places: dict[str, tuple[float, float]]) -> list[str]:
    """Names that nothing cheaper is as good as, cheapest first."""
    front: list[str] = []
    best = -np.inf
    for name, (_, value) in sorted(places.items(), key=lambda item: (item[1][0], -item[1][1], item[0])):
        if value > best:
            front.append(name)
            best = value
    return front
