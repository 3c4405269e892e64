"""Robustness: the probes of `evaluate robustness` as evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evaluate.engine import Engine
from evaluate.errors import NothingScoredError
from evaluate.metrics.metric import Metric
from evaluate.pipeline.records import read_examples
from evaluate.pipeline.run import RunConfig
from evaluate.pipeline.runner import Progress, no_progress
from evaluate.reproduce.evidence import Measurement
from evaluate.robustness.decoding import figures_by_setting, variation_difference
from evaluate.robustness.options import Options
from evaluate.robustness.run import robustness as probed
from evaluate.statistics.intervals import Interval
from evaluate.tasks.task import Task

if TYPE_CHECKING:
    from heat import LanguageModel

Probe = Literal["noise", "paraphrase", "decoding"]
PROBES: tuple[Probe, ...] = ("noise", "paraphrase", "decoding")
_VARIATION = "_variation"


class VariationMeasurement(Measurement):
    """The decoding probe, whose variations are figures of all examples together, not means over them."""

    def metric(self, name: str) -> Metric:
        """A variation as a metric; lower is better."""
        source = (
            "max_s |mean_s - mean_greedy| / |mean_greedy| over the settings s (the poster's max variation)"
        )
        return Metric(name, name, (0.0, float("inf")), False, source, small=True)

    def best_baseline(self, metric: str) -> str | None:
        """The baseline that varies least."""
        import heat

        kinds = heat.methods()
        means = {
            row.method: mean
            for row in self.result.methods
            if kinds[row.method].kind == "baseline" and (mean := row.aggregates[metric].mean) is not None
        }
        return min(means, key=lambda name: (means[name], name), default=None)

    def mean(self, method: str, metric: str) -> Interval:
        """A method's variation."""
        return next(row.aggregates[metric] for row in self.result.methods if row.method == method)

    def better(self, method: str, other: str, metric: str, *, confidence: float = 0.95) -> Interval:
        """How much less the first varies, on the same texts in every draw."""
        options = Options.model_validate(self.result.options)
        figure = metric.removesuffix(_VARIATION)
        more, less = (figures_by_setting(self.scores[name], figure, options) for name in (other, method))
        return variation_difference(more, less, self.texts, self.result.settings.seed, confidence=confidence)

    def better_than_best(self, method: str, metric: str) -> Interval:
        """The same against the baseline that varies least, by Bonferroni's interval for all baselines."""
        import heat

        kinds = heat.methods()
        n = sum(kinds[row.method].kind == "baseline" for row in self.result.methods)
        best = self.best_baseline(metric)
        assert best is not None, "a claim about a best baseline is judged only where there is one"
        return self.better(method, best, metric, confidence=1 - 0.05 / n)


def robustness(
    task: Task,
    lm: LanguageModel | Engine,
    methods: Sequence[str],
    probe: Probe,
    *,
    options: Options,
    out: Path,
    seed: int,
    on_progress: Progress = no_progress,
) -> Measurement | str:
    """What a probe found, with each method's value an example; or why it found nothing.

    Args:
        task: Examples.
        lm: The model.
        methods: Registered names.
        probe: One of `PROBES`.
        options: What is disturbed, and how often.
        out: Results folder.
        seed: Seed of the probe and of the statistics.
        on_progress: Progress callback.
    """
    try:
        (result,) = probed(
            task,
            lm,
            methods,
            RunConfig(out, seed=seed),
            probe=probe,
            options=options,
            on_progress=on_progress,
        )
    except NothingScoredError as error:
        return str(error)
    kind = VariationMeasurement if probe == "decoding" else Measurement
    baselines = [row.method for row in result.methods if row.method_kind == "baseline"]
    return kind(
        result=result,
        texts=tuple(example.text_key for example in read_examples(out, result)),
        scores=result.rows,
        remark=f"best of the baselines {', '.join(sorted(baselines))} only",
    )
