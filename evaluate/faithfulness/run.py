"""How faithful attributions are to the model: every method, every metric, each mean with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluate.faithfulness.options import Options
from evaluate.metrics.faithfulness import METRICS
from evaluate.pipeline.measure import Measure
from evaluate.pipeline.records import Evaluation
from evaluate.pipeline.run import evaluate
from evaluate.pipeline.runner import Progress, no_progress
from evaluate.pipeline.store import ScoreStatus
from evaluate.tasks.task import Example, Target, Task

if TYPE_CHECKING:
    from evaluate.engine import Engine
    from evaluate.faithfulness.measure import Faithfulness
    from heat import Attribution, LanguageModel

# Raise it when the same input comes to give other figures.
VERSION = 1


def depends_on(options: Options) -> dict[str, Any]:
    """What faithfulness values depend on beside the attribution."""
    return {"options": options.model_dump(), "version": VERSION}


class FaithfulnessMeasure(Measure):
    """What becomes of the prediction when tokens are taken away.

    Args:
        options: What is done.
        seed: Seed of every draw.
    """

    kind = "faithfulness"
    metrics = METRICS
    ratios = ("soft_nc", "soft_ns", "reagent_nc", "reagent_ns")

    def __init__(self, options: Options, seed: int) -> None:
        self._options = options
        self._seed = seed
        self._faithfulness: Faithfulness | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to this process's model."""
        return self.__dict__ | {"_faithfulness": None}

    def depends(self, example: Example) -> dict[str, Any]:
        """The options; model and seed are in the attribution's own key."""
        return depends_on(self._options)

    def score(
        self, lm: LanguageModel, example: Example, attribution: Attribution | None
    ) -> tuple[dict[str, float], ScoreStatus]:
        """Every metric; scores that are not numbers get the worst value where there is one."""
        if attribution is None:
            return {metric.name: metric.worst for metric in METRICS}, "not_finite"
        first, last = attribution.target_span
        rows = [attribution.scores[row, : first + row].numpy() for row in range(last - first)]
        constant = all(bool(np.all(row == row[0])) for row in rows)
        if self._faithfulness is None or self._faithfulness.lm is not lm:
            from evaluate.faithfulness.measure import Faithfulness

            self._faithfulness = Faithfulness(lm, self._options, self._seed)
        return self._faithfulness.measure(attribution), "constant" if constant else "ok"


def faithfulness(
    task: Task,
    lm: LanguageModel | Engine,
    methods: Sequence[str],
    *,
    out: Path,
    options: Options | None = None,
    target: Target | None = None,
    seed: int = 0,
    only_correct: bool | None = None,
    single_token: bool | None = None,
    command: str = "",
    retry_failed: bool = False,
    name: str = "",
    on_progress: Progress = no_progress,
) -> Evaluation:
    """Score attribution methods by what the model says without the tokens they name; see `evaluate`.

    Args:
        task: Examples; they need no gold.
        lm: The model that is explained, and asked again, or an engine that holds it.
        methods: Registered names.
        out: Results folder.
        options: What is taken away, how often; ``None`` for the defaults.
        target: Which target tokens are attributed.
        seed: Seed of the methods, of the perturbations and of the statistics.
        only_correct: See `evaluate`.
        single_token: See `evaluate`.
        command: How this was called.
        retry_failed: See `evaluate`.
        name: See `evaluate`.
        on_progress: Told how far the work has come.
    """
    options = options or Options()
    return evaluate(
        FaithfulnessMeasure(options, seed),
        task,
        lm,
        methods,
        out=out,
        target=target,
        seed=seed,
        only_correct=only_correct,
        single_token=single_token,
        options=options.model_dump(mode="json"),
        command=command,
        retry_failed=retry_failed,
        name=name,
        on_progress=on_progress,
    )
