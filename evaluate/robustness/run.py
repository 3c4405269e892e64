"""How robust attributions are: every probe, every method, each figure with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evaluate.engine import Engine, engine_of
from evaluate.metrics.metric import Metric
from evaluate.pipeline.measure import Measure
from evaluate.pipeline.records import Evaluation
from evaluate.pipeline.run import RunConfig, evaluate
from evaluate.pipeline.runner import Progress, no_progress
from evaluate.robustness.edits import EDITS
from evaluate.robustness.llm import Asking
from evaluate.robustness.metrics import DECODING, NOISE, rewriting_metrics
from evaluate.robustness.options import Options, Probe
from evaluate.robustness.paraphrase import VOICE, kinds_of, paraphrase_measure, paraphraser
from evaluate.robustness.perturbation import edits_measure, noise_measure
from evaluate.tasks.task import Task

if TYPE_CHECKING:
    from heat import LanguageModel


def robustness(
    task: Task,
    lm: LanguageModel | Engine,
    methods: Sequence[str],
    run: RunConfig,
    *,
    probe: Probe = "all",
    options: Options | None = None,
    asking: Asking | None = None,
    on_progress: Progress = no_progress,
) -> list[Evaluation]:
    """Score attribution methods by how far their scores move; see `evaluate` for the arguments.

    Args:
        task: Examples; gold is used by the decoding probe alone, where there is some.
        lm: The model, left as it is, or an engine that holds it.
        methods: Registered names.
        run: Folder, seed and filters; the decoding probe explains whatever the model says, and filters nothing.
        probe: Which probe; ``perturbation`` is noise and edits.
        options: What is disturbed; ``None`` for the defaults.
        asking: How language models are asked for paraphrases; ``None`` for the defaults.
        on_progress: Progress callback.

    Returns:
        A table a probe, in the folder as ``robustness-noise``, ``-edits``, ``-paraphrase``, ``-decoding``.

    Raises:
        NothingScoredError: A probe finds no example it can change.
        EvaluateError: There is no such paraphraser.
        AnnotateError: A language model was asked for paraphrases, and the asking ended early; see `LLMParaphraser`.
    """
    options = options or Options()
    asking = asking or Asking(on_progress=on_progress)
    paraphrasers = [paraphraser(name, run.out, asking) for name in options.paraphrasers]
    measures: list[Measure] = []
    if probe in ("noise", "perturbation", "all"):
        measures.append(noise_measure(options))
    if probe in ("edits", "perturbation", "all"):
        measures.append(edits_measure(options))
    if probe in ("paraphrase", "all"):
        measures.append(paraphrase_measure(paraphrasers, options))
    evaluations = [
        evaluate(measure, task, lm, methods, run, on_progress=_named(measure, on_progress))
        for measure in measures
    ]
    if probe in ("decoding", "all"):
        from evaluate.robustness.decoding import answered, decoding_measure

        said, answers = answered(task, engine_of(lm).lm, options, run.seed, run.out, on_progress)
        measure = decoding_measure(options, answers, run.seed)
        whatever = replace(run, only_correct=False, single_token=False)
        evaluations.append(
            evaluate(measure, said, lm, methods, whatever, on_progress=_named(measure, on_progress))
        )
    return evaluations


def metrics_of(result: Evaluation) -> tuple[Metric, ...]:
    """The metrics of a robustness table."""
    options = Options.model_validate(result.options)
    kinds = dict.fromkeys(kind for name in options.paraphrasers for kind in kinds_of(name))
    by_kind: Mapping[str, tuple[Metric, ...]] = {
        "robustness-noise": NOISE,
        "robustness-edits": rewriting_metrics(tuple(EDITS)),
        "robustness-paraphrase": rewriting_metrics(tuple(kinds), VOICE),
        "robustness-decoding": DECODING,
    }
    return by_kind[result.kind]


def _named(measure: Measure, on_progress: Progress) -> Progress:
    probe = measure.kind.removeprefix("robustness-")

    def told(what: str, done: int, total: int) -> None:
        on_progress(f"{probe}: {what}", done, total)

    return told
