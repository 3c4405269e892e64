"""Every method's mean with its interval, a panel a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.plots.canvas import (
    INK,
    KIND_COLOURS,
    KIND_MARKERS,
    PAPER,
    SOFT,
    method_axis,
    name_width,
    new_figure,
    style,
)
from evaluate.statistics.comparison import ALPHA
from evaluate.statistics.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from evaluate.metrics.metric import Metric
    from evaluate.pipeline.records import Evaluation
    from evaluate.statistics.comparison import Difference

PANEL = 2.2
LINE = 0.19
FILLED = "filled: differs from the best baseline"


@dataclass(frozen=True)
class Whisker:
    """A mean with its interval on the line of its method; filled where it is significant."""

    place: int
    interval: Interval
    kind: str
    filled: bool


def forest(
    result: Evaluation, metrics: Sequence[Metric], panel: float = PANEL, filled: str = FILLED
) -> Figure:
    """Means with 95 % intervals, methods in the order of the table; a panel a metric.

    Filled marks: significantly different from the best baseline of the metric (all pairs). Dashed: chance.

    Args:
        result: An evaluation.
        metrics: What to show; each must be measured in it.
        panel: Inches of a panel.
        filled: What the legend says of filled marks; nothing where it is empty.
    """
    methods = {row.method: row.method_kind for row in result.methods}
    panels = {}
    for metric in metrics:
        panels[metric.label] = [
            Whisker(place, row.metrics[metric.name], row.method_kind, _significant(row.versus, metric.name))
            for place, row in enumerate(result.methods)
        ]
    with style():
        figure, all_axes = whisker_panels(methods, panels, filled, panel)
        for axes, metric in zip(all_axes, metrics, strict=True):
            chance = result.chance.get(metric.name)
            if chance is not None and chance.mean is not None:
                axes.axvline(chance.mean, color=SOFT, linestyle="--", linewidth=1)
    return figure


def _significant(versus: Mapping[str, Difference], metric: str) -> bool:
    return metric in versus and versus[metric].p_adjusted < ALPHA


def whisker_panels(
    methods: Mapping[str, str],
    panels: Mapping[str, Sequence[Whisker]],
    filled: str,
    panel: float = PANEL,
) -> tuple[Figure, list[Axes]]:
    """Panels side by side that share a line a method.

    Args:
        methods: Method to kind, from the top.
        panels: Title to what stands in it.
        filled: What a filled mark says.
        panel: Inches of a panel.
    """
    left = name_width(list(methods))
    figure = new_figure(
        left + panel * len(panels), 1.0 + LINE * max(3, len(methods)), left=left, top=0.35, bottom=0.65
    )
    all_axes = list(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0])
    for axes, (title, whiskers) in zip(all_axes, panels.items(), strict=True):
        axes.grid(axis="x")
        _draw(axes, whiskers)
        axes.set_title(title)
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(axis="y", length=0)
    method_axis(all_axes[0], list(methods))
    _legend(figure, [kind for kind in KIND_COLOURS if kind in methods.values()], filled)
    return figure, all_axes


def _draw(axes: Axes, whiskers: Sequence[Whisker]) -> None:
    for kind, colour in KIND_COLOURS.items():
        of_kind = [
            whisker for whisker in whiskers if whisker.kind == kind and whisker.interval.mean is not None
        ]
        ended = [whisker for whisker in of_kind if whisker.interval.low is not None]
        axes.hlines(
            [whisker.place for whisker in ended],
            [whisker.interval.low or 0.0 for whisker in ended],
            [whisker.interval.high or 0.0 for whisker in ended],
            color=colour,
            linewidth=1.4,
        )
        for filled in (False, True):
            marked = [whisker for whisker in of_kind if whisker.filled == filled]
            axes.plot(
                [whisker.interval.mean or 0.0 for whisker in marked],
                [whisker.place for whisker in marked],
                marker=KIND_MARKERS[kind],
                markersize=4.5,
                color=colour,
                markerfacecolor=colour if filled else PAPER,
                markeredgewidth=1.1,
                linestyle="none",
            )


def _legend(figure: Figure, kinds: Sequence[str], filled: str) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=KIND_COLOURS[kind], marker=KIND_MARKERS[kind], markersize=5, label=kind)
        for kind in kinds
    ]
    if filled:
        handles.append(Line2D([], [], color=INK, marker="o", markersize=5, linestyle="none", label=filled))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), columnspacing=1.2)
