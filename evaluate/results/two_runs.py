"""Two runs side by side: what differs in how they were made, and in what they found on shared examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluate.errors import ReportError
from evaluate.metrics.alignment import METRICS as ALIGNMENT
from evaluate.metrics.faithfulness import METRICS as FAITHFULNESS
from evaluate.metrics.metric import Metric
from evaluate.pipeline.records import Evaluation, read_examples
from evaluate.pipeline.store import Score
from evaluate.results.folder import KINDS, Results, score_rows
from evaluate.statistics.comparison import compare_pairs
from evaluate.statistics.intervals import Interval
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    import pandas as pd

METRICS: Mapping[str, Sequence[Metric]] = {"alignment": ALIGNMENT, "faithfulness": FAITHFULNESS}

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """One method and metric in both runs, on the examples that both scored.

    Attributes:
        first: Mean in the first run.
        second: Mean in the second.
        difference: Mean of second minus first, example by example; its interval holds for all methods of the metric at
            once.
        p_adjusted: Two-sided, by sign flips over texts, adjusted for all methods of the metric; ``None`` where no
            example has both values.
    """

    first: float | None
    second: float | None
    difference: Interval
    p_adjusted: float | None


@dataclass(frozen=True)
class KindComparison:
    """Two evaluations of one kind.

    Attributes:
        kind: ``"alignment"`` or ``"faithfulness"``.
        first: The first run's.
        second: The second run's.
        shared: Number of examples in both: same prompt, same target.
        texts: Unique texts among them.
        metrics: What is compared: the metrics that tables show.
        methods: Methods in both, in the order of the second run.
        kinds: Method to its kind.
        only_first: Methods in the first run alone.
        only_second: Methods in the second run alone.
        changes: (method, metric) to what changed.
        settings: What differs in how they were made: name to both values.
        seed: Seed of the statistics.
    """

    kind: str
    first: Evaluation
    second: Evaluation
    shared: int
    texts: int
    metrics: tuple[Metric, ...]
    methods: tuple[str, ...]
    kinds: Mapping[str, str]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    changes: Mapping[tuple[str, str], Change]
    settings: Mapping[str, tuple[str, str]]
    seed: int

    @property
    def frame(self) -> pd.DataFrame:
        """A row a method and metric: both means, difference with interval, adjusted p."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "method": method,
                    "metric": metric,
                    "first": change.first,
                    "second": change.second,
                    "difference": change.difference.mean,
                    "difference_low": change.difference.low,
                    "difference_high": change.difference.high,
                    "examples": change.difference.n,
                    "p_adjusted": change.p_adjusted,
                }
                for (method, metric), change in self.changes.items()
            ]
        )


def compare(first: Results, second: Results) -> list[KindComparison]:
    """Compare two runs, kind by kind of evaluation.

    Examples are shared where prompt and target are the same; gold, model and settings may differ, and are named.

    Args:
        first: One run.
        second: The other.

    Returns:
        A comparison for each kind that both hold.

    Raises:
        ReportError: They share no kind, no example, or no method; or a row is missing.
    """
    kinds = [kind for kind in KINDS if getattr(first, kind) and getattr(second, kind)]
    if not kinds:
        raise ReportError(
            f"{first.folder} holds {first.main.kind} and {second.folder} {second.main.kind}; "
            "runs are compared by an evaluation that both hold"
        )
    return [_compare(kind, first, second) for kind in kinds]


def _compare(kind: str, first: Results, second: Results) -> KindComparison:
    a, b = getattr(first, kind), getattr(second, kind)
    examples_a, examples_b = read_examples(first.folder, a), read_examples(second.folder, b)
    pairs = shared(examples_a, examples_b)
    if not pairs:
        raise ReportError(
            f"{first.folder} and {second.folder} share no example of {kind} (no prompt with the same target), "
            "so there is nothing to compare"
        )
    rows_a, rows_b = score_rows(first.folder, a), score_rows(second.folder, b)
    methods = [name for name in rows_b if name in rows_a]
    if not methods:
        raise ReportError(f"{first.folder} and {second.folder} share no method of {kind}")
    texts = [examples_b[j].text_key for _, j in pairs]
    shown = tuple(metric for metric in METRICS[kind] if metric.shown)
    changes: dict[tuple[str, str], Change] = {}
    for metric in shown:
        values = {
            name: (
                _column([rows_a[name][i] for i, _ in pairs], metric.name),
                _column([rows_b[name][j] for _, j in pairs], metric.name),
            )
            for name in methods
        }
        for name, change in _changes(values, texts, b.settings.seed).items():
            changes[name, metric.name] = change
    return KindComparison(
        kind=kind,
        first=a,
        second=b,
        shared=len(pairs),
        texts=len(set(texts)),
        metrics=shown,
        methods=tuple(methods),
        kinds={row.method: row.method_kind for row in b.methods},
        only_first=tuple(name for name in rows_a if name not in rows_b),
        only_second=tuple(name for name in rows_b if name not in rows_a),
        changes=changes,
        settings=_settings(a, b),
        seed=b.settings.seed,
    )


def shared(first: Sequence[Example], second: Sequence[Example]) -> list[tuple[int, int]]:
    """Places of the examples with the same prompt and target; those that stand there twice pair up in order."""
    places: dict[tuple[str, str], list[int]] = {}
    for index, example in enumerate(first):
        places.setdefault((example.prompt, example.target), []).append(index)
    pairs = []
    for index, example in enumerate(second):
        matches = places.get((example.prompt, example.target))
        if matches:
            pairs.append((matches.pop(0), index))
    return pairs


def _column(rows: Sequence[Score], name: str) -> Values:
    return np.array([np.nan if (value := row.values.get(name)) is None else value for row in rows])


def _changes(
    values: Mapping[str, tuple[Values, Values]], texts: Sequence[str], seed: int
) -> dict[str, Change]:
    changes = {}
    for name, tested in compare_pairs(values, texts, seed=seed).items():
        first, second = values[name]
        both = ~np.isnan(first) & ~np.isnan(second)
        changes[name] = Change(
            first=float(first[both].mean()) if both.any() else None,
            second=float(second[both].mean()) if both.any() else None,
            difference=tested.difference,
            p_adjusted=tested.p_adjusted,
        )
    return changes


def _settings(a: Evaluation, b: Evaluation) -> dict[str, tuple[str, str]]:
    """What differs, in words; the commands always stand there."""
    settings = {"command": (a.command, b.command)}
    described = [_described(result) for result in (a, b)]
    for name in {**described[0], **described[1]}:
        pair = described[0].get(name, "-"), described[1].get(name, "-")
        if pair[0] != pair[1]:
            settings[name] = pair
    return settings


def _described(result: Evaluation) -> dict[str, str]:
    settings = result.settings
    return {
        "benchmark": f"{result.task}, {result.source}",
        "examples": f"{result.scored} scored, checksum {result.task_sha256[:16]}",
        "gold": result.gold.note if result.gold is not None else "-",
        "model": settings.model,
        "revision": settings.revision,
        "dtype": settings.dtype,
        "seed": str(settings.seed),
        "target": settings.target,
        "prompt": settings.prompt,
        "explained answer": settings.answer,
        "against a foil": "yes" if settings.contrast else "no",
        "unit": settings.unit,
        "scores of units": settings.aggregation,
        **{f"option {name}": str(value) for name, value in result.options.items()},
        **{f"version of {name}": version for name, version in result.versions.items()},
        **{f"options of {row.method}": str(row.config) for row in result.methods if row.config},
    }
