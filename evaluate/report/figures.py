"""The figures of a report, and the tables of the numbers in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from evaluate import plots
from evaluate.metrics.metric import Metric
from evaluate.pipeline.records import Evaluation
from evaluate.report.parts import Picture, picture
from evaluate.report.verdict import that_matter
from evaluate.results.two_runs import KindComparison
from evaluate.word_scores import WordScores

if TYPE_CHECKING:
    import pandas as pd

# Inches of the only panel of the first picture.
FIRST_PANEL = 3.1


def forest(result: Evaluation, metrics: Sequence[Metric]) -> Picture:
    """Means with intervals, of the metrics that tables show."""
    shown = [metric for metric in metrics if metric.shown]
    caption = (
        "Mean and 95 % interval of every method, in the order of the table. Filled: significantly different from the "
        "best baseline of that metric (sign flips of all pairs of methods, max-T, p < 0.05)."
        + (" Dashed: chance." if result.chance else "")
    )
    return picture(f"{result.kind}-forest", caption, result.command, plots.forest(result, shown))


def first_picture(result: Evaluation, metric: Metric) -> Picture:
    """The methods that matter by one metric, for the top of the page."""
    rows = tuple(that_matter(result))
    caption = (
        f"{metric.label} with 95 % interval, filled where it differs significantly from the best baseline's; dashed: "
        "chance."
    )
    figure = plots.forest(result.model_copy(update={"methods": rows}), [metric], panel=FIRST_PANEL, filled="")
    return picture(f"{result.kind}-first", caption, result.command, figure)


def precision_recall(words: WordScores) -> Picture:
    """Mean precision–recall curves."""
    unit = words.result.settings.unit
    caption = (
        f"Precision at given recall of the gold {unit}s, mean over examples; the area under a curve is the mean AUPRC. "
        "Named: HEAT, its best ablation, the best baselines and random; grey: all other methods. Steps stand where few "
        f"gold {unit}s allow few values of recall. Dashed: density of gold, {words.density:.3f}."
    )
    return picture("precision-recall", caption, words.result.command, plots.precision_recall(words))


def segment_mass(words: WordScores) -> Picture:
    """Positive mass by segment."""
    unit = words.result.settings.unit
    caption = (
        f"Where a method's positive {unit} mass falls, mean over examples. (words): the shares of the {unit}s "
        "themselves, which equal scores would get."
    )
    return picture("segment-mass", caption, words.result.command, plots.segment_mass(words))


def cost(words: WordScores, metric: Metric) -> Picture:
    """A metric over forward passes."""
    caption = (
        f"{metric.label} with 95 % interval against the forward passes that an example took (a backward pass counts 1; "
        "mean over examples). The line joins the methods that no cheaper one beats in the mean."
    )
    return picture("cost", caption, words.result.command, plots.cost(words, metric))


def rank_correlation(words: WordScores) -> Picture:
    """Likeness of methods."""
    unit = words.result.settings.unit
    caption = (
        f"Spearman's rank correlation between the {unit} scores of every two methods, mean over examples. Methods "
        f"that order {unit}s alike stand side by side (average linkage)."
    )
    return picture("rank-correlation", caption, words.result.command, plots.rank_correlation(words))


def strips(words: WordScores, index: int) -> Picture:
    """One example, all methods above the gold."""
    caption = (
        f"Every method above the gold {words.result.settings.unit}s, in the order of the table: orange is above zero "
        "and blue below, by the largest score of the method."
    )
    return picture(f"paragraph-{index + 1}", caption, words.result.command, plots.strips(words, index))


def differences(comparison: KindComparison, command: str) -> Picture:
    """What changed between two runs."""
    caption = (
        "B minus A on shared examples, with paired 95 % intervals that hold for all methods of a panel at once; right "
        "of 0, B is higher. Filled: the interval leaves out 0 (sign flips, max-T)."
    )
    return picture(f"{comparison.kind}-differences", caption, command, plots.differences(comparison))


def cost_frame(words: WordScores, metric: Metric) -> pd.DataFrame:
    """The numbers of the cost figure."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "method": row.method,
                "forward_equivalents": words.passes[row.method],
                metric.name: row.metrics[metric.name].mean,
                f"{metric.name}_low": row.metrics[metric.name].low,
                f"{metric.name}_high": row.metrics[metric.name].high,
            }
            for row in words.result.methods
        ]
    )


def figure_frames(words: WordScores, metric: Metric) -> Mapping[str, Callable[[], pd.DataFrame]]:
    """Name of a figure to the numbers it shows, with their index as the first column."""
    return {
        "precision-recall": lambda: words.curves.reset_index(),
        "segment-mass": lambda: words.segment_mass,
        "cost": lambda: cost_frame(words, metric),
        "rank-correlation": lambda: words.correlations.reset_index(),
    }
