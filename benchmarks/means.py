"""The mean of a method over several tables, and how far the others are below it, from finished results folders.

    python benchmarks/means.py defaults/lambada-smollm2 defaults/lambada-gemma3 defaults/sst-smollm2 \
      defaults/sst-gemma3 defaults/dynasent-smollm2 defaults/dynasent-gemma3

Every folder counts the same. Differences are paired by text and resampled by text; a text that several models read is
one. Intervals are not corrected for the number of methods.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

if TYPE_CHECKING:
    from evaluate.statistics.intervals import Interval


def values_of(folder: Path, metric: str) -> dict[str, dict[str, float]]:
    """Method to example to value, of one folder's alignment scores."""
    values: dict[str, dict[str, float]] = {}
    for line in (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        value = row["values"].get(metric)
        if row["kind"] == "alignment" and value is not None:
            values.setdefault(row["method"], {})[row["example_id"]] = value
    return values


def shown(interval: Interval) -> str:
    """The mean and, where there are texts enough for one, its interval."""
    mean = "undefined" if interval.mean is None else f"{interval.mean:.3f}"
    if interval.low is None or interval.high is None:
        return mean
    return f"{mean} ({interval.low:.3f} to {interval.high:.3f})"


def main(
    folders: Annotated[
        list[Path], typer.Argument(help="Results folders of `evaluate alignment`, as SET-MODEL.")
    ],
    method: Annotated[str, typer.Option(help="The method that the others are compared with.")] = "heat",
    metric: Annotated[str, typer.Option(help="Name of the metric.")] = "auprc",
    seed: Annotated[int, typer.Option(help="Seed of the intervals.")] = 0,
) -> None:
    """Print Markdown rows: the method's mean, and each other method's distance from it."""
    from evaluate.statistics.intervals import mean_interval

    tables = {folder.name: values_of(folder, metric) for folder in folders}
    means = [float(np.mean(list(table[method].values()))) for table in tables.values()]
    print(f"| {method} ({np.mean(means):.3f}) less | difference |\n|---|---|")
    shared = set.intersection(*(set(table) for table in tables.values())) - {method}
    rows = []
    for other in shared:
        parts, texts = [], []
        for name, table in tables.items():
            examples = sorted(table[method].keys() & table[other].keys())
            parts.append(np.array([table[method][one] - table[other][one] for one in examples]))
            texts += [f"{name.split('-')[0]}:{one}" for one in examples]
        total = sum(map(len, parts))
        weighted = np.concatenate([part * total / (len(parts) * len(part)) for part in parts])
        rows.append((mean_interval(weighted, texts, seed=seed), other))
    for interval, other in sorted(rows, key=lambda row: row[0].mean or 0.0):
        print(f"| {other} | {shown(interval)} |")


if __name__ == "__main__":
    typer.run(main)
