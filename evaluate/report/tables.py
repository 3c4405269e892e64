"""The tables of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evaluate.ablation import COLUMNS, ROWS, Ablation
from evaluate.errors import ReportError
from evaluate.metrics.metric import Metric
from evaluate.pipeline.records import Evaluation, MethodResult
from evaluate.pipeline.table import beside, cell, in_words, notes, place, seconds
from evaluate.plots.canvas import LEADING
from evaluate.report.parts import Cell, Table
from evaluate.report.verdict import that_matter
from evaluate.results.two_runs import Change, KindComparison
from evaluate.sanity import SanityChecks
from evaluate.statistics.comparison import ALPHA
from evaluate.statistics.intervals import few_texts_note

if TYPE_CHECKING:
    from annotate.agreement import Estimate


def evaluation_table(result: Evaluation, metrics: Sequence[Metric]) -> Table:
    """The ten methods that matter by the metrics of the tables; below it, all methods and metrics."""
    shown = [metric for metric in metrics if metric.shown]
    first = that_matter(result)
    whole = _methods_table(result, metrics, result.methods)
    table = _methods_table(result, shown, first)
    hidden = len(result.methods) - len(first)
    caption = f"mean over {result.scored} examples with 95 % interval; + and -: better or worse than the best baseline"
    return replace(
        table,
        caption=f"{len(first)} of {len(result.methods)} methods, {caption}"
        if hidden
        else f"{len(first)} methods, {caption}",
        notes=tuple(notes(result, metrics)),
        folded=replace(whole, caption=f"All {len(result.methods)} methods and {len(metrics)} metrics")
        if hidden or len(shown) < len(metrics)
        else None,
    )


def _methods_table(result: Evaluation, metrics: Sequence[Metric], methods: Sequence[MethodResult]) -> Table:
    """A row a method, then chance; hovering tells the comparison with the best baseline."""
    rows = [
        (
            Cell(place(row, metrics[0])),
            Cell(row.method, row.method_kind),
            *(Cell(cell(row, metric), _versus(row, metric)) for metric in metrics),
            Cell(seconds(row.seconds_per_1000)),
        )
        for row in methods
    ]
    rows += [
        (Cell(""), Cell(name), *(Cell(in_words(figures[metric.name])) for metric in metrics), Cell(""))
        for name, figures in beside(result).items()
    ]
    return Table(
        name=result.kind,
        caption="",
        head=(
            Cell("place", f"ranks by {metrics[0].label} that the examples allow"),
            Cell("method"),
            *(Cell(metric.label, metric.source) for metric in metrics),
            Cell("s per 1,000", "wall-clock seconds for 1,000 examples; empty where none were timed"),
        ),
        rows=tuple(rows),
        key=1,
        command=result.command,
        frame=result.frame.drop(columns="seconds_per_1000"),
        marked=LEADING,
    )


def _versus(row: MethodResult, metric: Metric) -> str:
    versus = row.versus.get(metric.name)
    if versus is None:
        return ""
    return f"{in_words(versus.difference)} against {versus.reference}; p {versus.p_adjusted:.2g} (all pairs)"


def ablation_table(result: Ablation) -> Table:
    """HEAT and what is left of it without a part."""
    rows = tuple(
        (
            Cell(ROWS[method], method),
            *(Cell(in_words(cells[name])) for name in COLUMNS),
            *(Cell(in_words(result.log_ratios[method][name])) for name in ("soft_nc", "soft_ns")),
        )
        for method, cells in result.rows.items()
    )
    n = next(iter(result.rows.values()))["dsa"].n
    return Table(
        name="ablation",
        caption=f"HEAT and its parts, mean over {n} examples with 95 % interval; log-ratios are to random scores",
        head=(
            Cell("row"),
            *(Cell(label) for label in COLUMNS.values()),
            Cell("log-ratio NC"),
            Cell("log-ratio NS"),
        ),
        rows=rows,
        command=result.command,
        frame=result.frame,
        notes=(few_texts_note(n).strip(),) if few_texts_note(n) else (),
    )


def sanity_table(result: SanityChecks) -> Table:
    """Does a method look at the model, repeat itself, and add up where it promises to."""
    import pandas as pd

    ordered = sorted(result.rows, key=lambda row: row.randomised.mean or 0.0)
    rows = tuple(
        (
            Cell(row.method),
            Cell(in_words(row.randomised)),
            Cell("yes" if row.repeats else "NO"),
            Cell("" if row.completeness is None else in_words(row.completeness)),
        )
        for row in ordered
    )
    frame = pd.DataFrame(
        [
            {
                "method": row.method,
                "randomised": row.randomised.mean,
                "randomised_low": row.randomised.low,
                "randomised_high": row.randomised.high,
                "repeats": row.repeats,
                "off_from_adding_up": None if row.completeness is None else row.completeness.mean,
                "examples": row.examples,
            }
            for row in ordered
        ]
    )
    return Table(
        name="sanity",
        caption=f"Checks on {result.rows[0].examples} examples",
        head=(
            Cell("method"),
            Cell("shuffled weights", "Spearman with the scores of the model with shuffled weights"),
            Cell("repeats itself"),
            Cell("off from adding up", "as a share of what the scores promise to add up to"),
        ),
        rows=rows,
        command=result.command,
        frame=frame,
        notes=(
            "shuffled weights: rank correlation with the scores of the same model with shuffled weights; low for a "
            "method that looks at the model." + few_texts_note(result.rows[0].examples),
        ),
    )


def agreement_table(folder: str) -> Table:
    """Agreement of the annotators of a benchmark.

    Raises:
        ReportError: There is nothing to measure it on.
        AnnotateError: The benchmark's files are not what they should be.
    """
    import pandas as pd

    from annotate.agreement import agreement
    from annotate.benchmark import open_benchmark
    from annotate.review.labels import read_labels_and_reviews

    if not folder:
        raise ReportError("The benchmark is not a folder with labels")
    if not Path(folder).is_dir():
        raise ReportError(f"The benchmark folder {folder} is gone, and the labels with it")
    benchmark = open_benchmark(Path(folder))
    if len(list(benchmark.labels_dir.glob("*.jsonl"))) < 2:
        raise ReportError("Fewer than two annotators have labelled this benchmark")
    paragraphs = benchmark.paragraphs()
    report = agreement(paragraphs, read_labels_and_reviews(benchmark, paragraphs))
    rows = tuple(
        (
            Cell(" and ".join(pair.annotators)),
            Cell(_estimate(pair.f1)),
            Cell(_estimate(pair.kappa)),
            Cell(" and ".join(f"{share:.2f}" for share in pair.marked_share)),
            Cell(f"{pair.valid} of {pair.paragraphs}"),
        )
        for pair in report.pairs
    )
    frame = pd.DataFrame(
        [
            {
                "first": pair.annotators[0],
                "second": pair.annotators[1],
                **{
                    f"{name}{end}": getattr(getattr(pair, name), field)
                    for name in ("f1", "kappa")
                    for end, field in (("", "value"), ("_low", "low"), ("_high", "high"))
                },
                "first_share": pair.marked_share[0],
                "second_share": pair.marked_share[1],
                "paragraphs": pair.valid,
            }
            for pair in report.pairs
        ]
    )
    return Table(
        name="agreement",
        caption="Agreement of the annotators on words",
        head=(
            Cell("annotators"),
            Cell("word F1"),
            Cell("Cohen's kappa"),
            Cell("marked share", "share of the words that each marks"),
            Cell("paragraphs both labelled"),
        ),
        rows=rows,
        command=f"annotate agreement --benchmark {folder}",
        frame=frame,
        notes=("Pooled over words; 95 % bootstrap intervals over unique paragraphs.",),
    )


def _estimate(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"undefined ({estimate.reason})"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def comparison_table(comparison: KindComparison, command: str) -> Table:
    """Second run minus first, a row a method."""
    rows = tuple(
        (
            Cell(method, comparison.kinds[method]),
            *(_change(comparison.changes[method, metric.name], metric) for metric in comparison.metrics),
        )
        for method in comparison.methods
    )
    return Table(
        name=f"{comparison.kind}-differences",
        caption=f"B minus A on {comparison.shared} shared examples, with paired 95 % interval",
        head=(Cell("method"), *(Cell(metric.label, metric.source) for metric in comparison.metrics)),
        rows=rows,
        command=command,
        frame=comparison.frame,
        notes=(
            f"{comparison.shared} examples are in both runs (same prompt, same target), {comparison.texts} unique "
            f"texts; A scored {comparison.first.scored}, B {comparison.second.scored}."
            + few_texts_note(comparison.texts),
            "Intervals hold for all methods of a column at once (sign flips of unique texts, max-T, seed "
            f"{comparison.seed}); + and -: B is better or worse than A, where the interval leaves out 0. Hovering "
            "tells both means.",
        ),
    )


def _change(change: Change, metric: Metric) -> Cell:
    difference = change.difference
    if difference.mean is None or change.first is None or change.second is None:
        return Cell("undefined", "no shared example has both values")
    text = in_words(difference)
    if change.p_adjusted is not None and change.p_adjusted < ALPHA:
        text += "+" if metric.better(difference.mean) > 0 else "-"
    return Cell(text, f"A {change.first:.3f}, B {change.second:.3f}; p {change.p_adjusted:.2g} (all methods)")
