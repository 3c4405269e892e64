"""How faithful attributions are to the model: every method, every metric, each mean with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluate.faithfulness.options import MetricGroup, Options
from evaluate.metrics.faithfulness import METRICS
from evaluate.pipeline.case import Case
from evaluate.pipeline.measure import Measure, Scorer
from evaluate.pipeline.records import Evaluation
from evaluate.pipeline.run import RunConfig, evaluate
from evaluate.pipeline.runner import Progress, no_progress
from evaluate.pipeline.store import ScoreStatus
from evaluate.tasks.task import Task

if TYPE_CHECKING:
    from evaluate.engine import Engine
    from heat import Attribution, LanguageModel
    from heat.errors import HeatError

# Raise it when the same input comes to give other figures.
VERSION = 1


def faithfulness_measure(options: Options, seed: int) -> Measure:
    """What becomes of the prediction when tokens are taken away.

    Args:
        options: What is done.
        seed: Seed of every draw.
    """
    return Measure(
        kind="faithfulness",
        metrics=METRICS,
        score=partial(_start, options=options, seed=seed),
        cache_key=partial(_cache_key, options=options),
        ratios=tuple(
            f"{group}_{name}"
            for group in (MetricGroup.SOFT, MetricGroup.REAGENT)
            if options.computes(group)
            for name in ("nc", "ns")
        ),
        options=options.model_dump(mode="json"),
    )


def _cache_key(case: Case, options: Options) -> dict[str, Any]:
    """The options; model and seed are in the attribution's own key."""
    # What is left out is named only where something is, so that older results are found again.
    named = options.model_dump(exclude=None if options.without else {"without"})
    return {"options": named, "version": VERSION}


def _start(lm: LanguageModel, options: Options, seed: int) -> Scorer:
    from evaluate.faithfulness.measure import Faithfulness

    faithfulness = Faithfulness(lm, options, seed)

    def score(
        case: Case, attribution: Attribution | None, variants: Mapping[str, Attribution | HeatError]
    ) -> tuple[dict[str, float], ScoreStatus]:
        """Every metric; scores that are not numbers get the worst value where there is one."""
        if attribution is None:
            return {metric.name: metric.worst for metric in METRICS}, "not_finite"
        first, last = attribution.target_span
        rows = [attribution.scores[row, : first + row].numpy() for row in range(last - first)]
        constant = all(bool(np.all(row == row[0])) for row in rows)
        return faithfulness.measure(attribution), "constant" if constant else "ok"

    return score


def faithfulness(
    task: Task,
    lm: LanguageModel | Engine,
    methods: Sequence[str],
    run: RunConfig,
    *,
    options: Options | None = None,
    on_progress: Progress = no_progress,
) -> Evaluation:
    """Score attribution methods by what the model says without the tokens they name; see `evaluate`.

    Args:
        task: Examples; they need no gold.
        lm: The model that is explained, and asked again, or an engine that holds it.
        methods: Registered names.
        run: Folder, seed and filters; the seed is also that of the perturbations.
        options: What is taken away, how often; ``None`` for the defaults.
        on_progress: Progress callback.
    """
    measure = faithfulness_measure(options or Options(), run.seed)
    return evaluate(measure, task, lm, methods, run, on_progress=on_progress)
