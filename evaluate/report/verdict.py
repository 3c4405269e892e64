"""What a run found, in three sentences: what was asked, who is ahead, how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from evaluate.metrics.metric import Metric
from evaluate.pipeline.records import Evaluation, MethodResult
from evaluate.pipeline.table import WARNING, in_words, notes, place
from evaluate.plots.canvas import LEADING, singled
from evaluate.statistics.comparison import ALPHA
from evaluate.statistics.intervals import FEW_TEXTS

# Rows that a table shows before it folds, and names that a sentence lists.
TEN = 10
NAMED = 3


def verdict(result: Evaluation, metrics: Sequence[Metric]) -> tuple[str, str, str]:
    """Three sentences on an evaluation by its first metric.

    Args:
        result: The evaluation.
        metrics: Its metrics.

    Returns:
        What was asked; which methods may be first, and where HEAT stands; how far the examples carry that.
    """
    metric = metrics[0]
    return _asked(result, metric), _ahead(result, metric), _sure(result, metric)


def warnings(result: Evaluation, metrics: Sequence[Metric]) -> list[str]:
    """The notes that must not be missed."""
    return [note for note in notes(result, metrics) if note.startswith(WARNING)]


def that_matter(result: Evaluation) -> list[MethodResult]:
    """Up to ten rows in the order of the table: those that figures single out, then the best of the others."""
    named = singled(result)
    others = [row.method for row in result.methods if row.method not in named]
    chosen = set([*named, *others][:TEN])
    return [row for row in result.methods if row.method in chosen]


def _asked(result: Evaluation, metric: Metric) -> str:
    what = (
        f"finds the gold {result.settings.unit}s best"
        if result.kind == "alignment"
        else "names the tokens that the model's answer rests on best"
    )
    return (
        f"Asked: which of {len(result.methods)} methods {what}, by {metric.label}, in {result.scored} examples of "
        f"{result.task}, model {result.settings.model}."
    )


def _ahead(result: Evaluation, metric: Metric) -> str:
    first = _firsts(result, metric)
    named = [f"{row.method} ({in_words(row.metrics[metric.name])})" for row in first[:NAMED]]
    more = f" and {len(first) - NAMED} more" if len(first) > NAMED else ""
    text = (
        f"Ahead: {named[0]} is above all others"
        if len(first) == 1
        else f"Ahead: {', '.join(named)}{more} may each be first"
    )
    heat = next((row for row in result.methods if row.method == LEADING), None)
    if heat is None:
        return text + "."
    text += f"; HEAT ({in_words(heat.metrics[metric.name])}) stands at place {place(heat, metric)}"
    versus = heat.versus.get(metric.name)
    if versus is None or versus.difference.mean is None:
        return text + "."
    if versus.p_adjusted >= ALPHA:
        return f"{text}, and cannot be told from the best baseline, {versus.reference}."
    better = metric.better(versus.difference.mean) > 0
    return (
        f"{text}, significantly {'better' if better else 'worse'} than the best baseline, {versus.reference}."
    )


def _sure(result: Evaluation, metric: Metric) -> str:
    behind = len(result.methods) - len(_firsts(result, metric))
    text = (
        f"How sure: {behind} of {len(result.methods)} methods are certainly not first; places of all hold at once with "
        f"probability .95 over {result.texts} unique texts"
    )
    return text + (
        ", which are few: only large differences can be shown." if result.texts < FEW_TEXTS else "."
    )


def _firsts(result: Evaluation, metric: Metric) -> list[MethodResult]:
    """The methods that the examples allow to be first; the first row where they allow none."""
    return [row for row in result.methods if row.ranks[metric.name][0] == 1] or [result.methods[0]]
