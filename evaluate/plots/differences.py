"""What changed from one run to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.plots.canvas import SOFT, style
from evaluate.plots.forest import Whisker, whisker_panels
from evaluate.statistics.comparison import ALPHA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from evaluate.results.two_runs import KindComparison


def differences(comparison: KindComparison) -> Figure:
    """Second run minus first on shared examples, with paired 95 % intervals; a panel a metric.

    Intervals hold for all methods of a panel at once; filled marks are those that leave out 0.

    Args:
        comparison: Of one kind of evaluation.
    """
    panels = {}
    for metric in comparison.metrics:
        changes = [comparison.changes[method, metric.name] for method in comparison.methods]
        panels[metric.label] = [
            Whisker(
                place,
                change.difference,
                comparison.kinds[method],
                change.p_adjusted is not None and change.p_adjusted < ALPHA,
            )
            for place, (method, change) in enumerate(zip(comparison.methods, changes, strict=True))
        ]
    with style():
        methods = {method: comparison.kinds[method] for method in comparison.methods}
        figure, all_axes = whisker_panels(methods, panels, "filled: significant")
        for axes in all_axes:
            axes.axvline(0, color=SOFT, linewidth=1)
    return figure
