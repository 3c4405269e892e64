"""Where methods stand by faithfulness over several tables and metrics, from finished results folders.

    python benchmarks/places.py faithful/sst-smollm2 faithful/sst-gemma3 faithful/lambada-gemma3

A method's place in one column of one table is its rank by the mean, 1 the best; equal means share a place. The last
table is the mean place over all columns and tables, each counting the same: a summary, not a test.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluate.metrics.metric import Metric
    from evaluate.pipeline.records import Evaluation

SHOWN = (
    "comprehensiveness",
    "sufficiency",
    "log_prob_drop",
    "soft_nc",
    "soft_ns",
    "insertion",
    "deletion",
    "mas",
)


def places(result: Evaluation, metrics: list[Metric]) -> NDArray[np.float64]:
    """Rank of each method by each metric's mean, [methods, metrics]."""
    from scipy.stats import rankdata

    means = np.array(
        [
            [-metric.better(row.metrics[metric.name].mean or 0.0) for metric in metrics]
            for row in result.methods
        ]
    )
    return np.asarray(rankdata(means, axis=0), dtype=np.float64)


def table(result: Evaluation, metrics: list[Metric]) -> list[str]:
    """Markdown rows of the means, the best of each column bold."""
    columns = []
    for metric in metrics:
        digits = 2 if np.isfinite(metric.bounds).any() else 1
        # Adding 0 turns what is rounded to -0 into 0.
        shown = [
            f"{round(row.metrics[metric.name].mean or 0.0, digits) + 0.0:.{digits}f}"
            for row in result.methods
        ]
        best = max(shown, key=lambda text: metric.better(float(text)))
        columns.append([f"**{text}**" if float(text) == float(best) else text for text in shown])
    head = [
        f"| method | {' | '.join(metric.label for metric in metrics)} |",
        "|---" * (len(metrics) + 1) + "|",
    ]
    rows = zip([row.method for row in result.methods], *columns, strict=True)
    return head + [f"| {' | '.join(cells)} |" for cells in rows]


def main(
    folders: Annotated[list[Path], typer.Argument(help="Results folders of `evaluate faithfulness`.")],
) -> None:
    """Print Markdown: a table of each folder, and the methods by their mean place."""
    from evaluate.metrics.faithfulness import METRICS
    from evaluate.pipeline.records import Evaluation

    metrics = [next(metric for metric in METRICS if metric.name == name) for name in SHOWN]
    found: dict[str, list[NDArray[np.float64]]] = {}
    for folder in folders:
        result = Evaluation.model_validate_json((folder / "faithfulness.json").read_text(encoding="utf-8"))
        print(f"{folder.name}, {result.scored} examples", *table(result, metrics), sep="\n", end="\n\n")
        for row, ranks in zip(result.methods, places(result, metrics), strict=True):
            found.setdefault(row.method, []).append(ranks)
    means = {name: float(np.mean(rows)) for name, rows in found.items() if len(rows) == len(folders)}
    print("| method | mean place |", "|---|---|", sep="\n")
    for name, mean in sorted(means.items(), key=lambda item: item[1]):
        print(f"| {name} | {mean:.1f} |")


if __name__ == "__main__":
    typer.run(main)
