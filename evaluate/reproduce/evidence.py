"""What was measured here, in a form that claims can be set against."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluate.efficiency.result import Efficiency
from evaluate.metrics.alignment import METRICS as ALIGNMENT
from evaluate.metrics.faithfulness import METRICS as FAITHFULNESS
from evaluate.metrics.metric import Metric
from evaluate.pipeline.records import Evaluation, read_examples
from evaluate.pipeline.store import Score
from evaluate.results.folder import score_rows
from evaluate.robustness.metrics import NOISE, rewriting_metrics
from evaluate.statistics.intervals import Interval, mean_interval

Values = NDArray[np.float64]
METRICS = (*ALIGNMENT, *FAITHFULNESS, *NOISE, *rewriting_metrics(("voice",)))


@dataclass(frozen=True)
class Measurement:
    """One evaluation with the values of its examples, so that any two methods can be paired.

    Attributes:
        result: The table.
        texts: Text of each example.
        scores: Method to one row an example.
        remark: What is unusual about it; empty where nothing is.
    """

    result: Evaluation
    texts: tuple[str, ...]
    scores: Mapping[str, tuple[Score, ...]]
    remark: str = ""

    def metric(self, name: str) -> Metric:
        """A metric of this kind by its name."""
        return next(metric for metric in METRICS if metric.name == name)

    def best_baseline(self, metric: str) -> str | None:
        """The method of kind baseline with the best mean; ``None`` where none has one."""
        return self.result.best_baseline.get(metric)

    def values(self, method: str, metric: str) -> Values:
        """One value an example; ``nan`` where it is not defined."""
        rows = self.scores[method]
        return np.array([math.nan if (v := row.values.get(metric)) is None else v for row in rows])

    def mean(self, method: str, metric: str) -> Interval:
        """Mean and interval of a method."""
        return mean_interval(self.values(method, metric), self.texts, seed=self.result.settings.seed)

    def better(self, method: str, other: str, metric: str) -> Interval:
        """Paired difference of two methods, above 0 where the first is better."""
        difference = self.values(method, metric) - self.values(other, metric)
        turned = difference if self.metric(metric).higher_is_better else -difference
        return mean_interval(turned, self.texts, seed=self.result.settings.seed)

    def better_than_best(self, method: str, metric: str) -> Interval:
        """The same against the best baseline; the interval allows for its having been chosen on these texts."""
        versus = next(row.versus for row in self.result.methods if row.method == method).get(metric)
        if versus is None:
            return Interval(mean=None, low=None, high=None, n=0, undefined=len(self.texts))
        return versus.difference if self.metric(metric).higher_is_better else versus.difference.turned()


def measurement_of(folder: Path, result: Evaluation, remark: str = "") -> Measurement:
    """An evaluation with its examples' values, from the results folder it was written to."""
    return Measurement(
        result=result,
        texts=tuple(example.text_key for example in read_examples(folder, result)),
        scores={method: tuple(rows) for method, rows in score_rows(folder, result).items()},
        remark=remark,
    )


@dataclass(frozen=True)
class Evidence:
    """All that was measured.

    Attributes:
        evaluations: Name, such as ``curated-alignment``, to what was found.
        missing: Name to what it would take, for those not run.
        costs: ``default`` and ``long`` to the costs.
        agreement: Figure to value, interval and a remark on who the annotators are.
        paragraphs: How many the benchmark has, and a remark on them.
        highest: Prompt to its words, highest score first.
    """

    evaluations: Mapping[str, Measurement] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    costs: Mapping[str, Efficiency] = field(default_factory=dict)
    agreement: Mapping[str, str] = field(default_factory=dict)
    agreement_remark: str = ""
    paragraphs: str = ""
    highest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
