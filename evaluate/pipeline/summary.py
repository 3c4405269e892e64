"""From the scores of every example to the rows of a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluate.pipeline.measure import Measure
from evaluate.pipeline.records import MethodResult, seconds_per_1000
from evaluate.pipeline.store import Score, Timing
from evaluate.statistics.comparison import Difference, compare_all
from evaluate.statistics.intervals import log_ratio_interval, mean_interval

Values = NDArray[np.float64]

UNSCORED = ("refused", "failed")


def summarise(
    measure: Measure,
    rows: Mapping[str, Sequence[Score]],
    texts: Sequence[str],
    timings: Mapping[str, Timing],
    seed: int,
) -> tuple[MethodResult, ...]:
    """Means with intervals, tests of all pairs and places, a row a method, best first.

    Args:
        measure: Which metrics there are.
        rows: Method to the scores of its examples, in the same order for all.
        texts: The text of each example; examples that share one are not independent.
        timings: Seconds by key of the attribution.
        seed: Seed of bootstrap and permutations.
    """
    import heat

    kinds = heat.methods()
    best = best_baselines(measure, rows)
    versus: dict[str, dict[str, Difference]] = {name: {} for name in rows}
    places: dict[str, dict[str, tuple[int, int]]] = {name: {} for name in rows}
    for metric in measure.metrics:
        values = {name: _column(scores, metric.name) for name, scores in rows.items()}
        pairs = compare_all(values, texts, seed=seed)
        if metric.name in best:
            for name, difference in pairs.against(best[metric.name]).items():
                versus[name][metric.name] = difference
        for name, place in pairs.places(higher_is_better=metric.higher_is_better).items():
            places[name][metric.name] = place
    results = []
    for name, scores in rows.items():
        statuses = Counter(row.status for row in scores)
        results.append(
            MethodResult(
                method=name,
                method_kind=kinds[name].kind,
                config=scores[0].config,
                metrics={
                    metric.name: mean_interval(_column(scores, metric.name), texts, seed=seed)
                    for metric in measure.metrics
                },
                ratios={
                    ratio: log_ratio_interval(
                        _column(scores, ratio), _column(scores, f"random_{ratio}"), texts, seed=seed
                    )
                    for ratio in measure.ratios
                },
                aggregates=measure.aggregates(scores, texts, seed),
                versus=versus[name],
                ranks=places[name],
                constant=statuses["constant"],
                not_finite=statuses["not_finite"],
                refused=statuses["refused"] + statuses["failed"],
                refused_example=next((row.detail for row in scores if row.status in UNSCORED), ""),
                unscored=_mean([row.unscored for row in scores]),
                collapsed=sum(row.collapsed for row in scores),
                scores=tuple(row.key for row in scores),
                seconds_per_1000=seconds_per_1000([row.attribution for row in scores], timings),
            )
        )
    first = measure.metrics[0]

    def order(row: MethodResult) -> tuple[bool, float, str]:
        mean = row.metrics[first.name].mean
        # What says nothing, or no numbers, stands last, however the numbers that stand in for it fall.
        failed = row.not_finite + row.refused > 0 or row.constant == len(texts) or mean is None
        return failed, -first.better(mean) if mean is not None else 0.0, row.method

    return tuple(sorted(results, key=order))


def best_baselines(measure: Measure, rows: Mapping[str, Sequence[Score]]) -> dict[str, str]:
    """Metric to the method of kind "baseline" with the best mean, for metrics that have one."""
    import heat

    kinds = heat.methods()
    best: dict[str, str] = {}
    for metric in measure.metrics:
        means = {
            name: metric.better(float(np.nanmean(column)))
            for name, scores in rows.items()
            if kinds[name].kind == "baseline"
            and not np.isnan(column := _column(scores, metric.name)).all()
            and not any(row.status in ("not_finite", *UNSCORED) for row in scores)
        }
        if means:
            best[metric.name] = max(means, key=lambda name: (means[name], name))
    return best


def _column(rows: Sequence[Score], name: str) -> Values:
    return np.array([math.nan if (v := row.values.get(name)) is None else v for row in rows])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return float(np.mean(known)) if known else None
