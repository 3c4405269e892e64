"""How robust attributions are: every probe, every method, each figure with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluate.engine import Engine, engine_of
from evaluate.metrics.metric import Metric
from evaluate.pipeline.records import Evaluation
from evaluate.pipeline.run import evaluate
from evaluate.pipeline.runner import Progress, no_progress
from evaluate.robustness.copies import CopyMeasure
from evaluate.robustness.edits import EDITS
from evaluate.robustness.llm import Asking
from evaluate.robustness.metrics import DECODING, NOISE, rewriting_metrics
from evaluate.robustness.options import Options, Probe
from evaluate.robustness.paraphrase import VOICE, ParaphraseMeasure, kinds_of, paraphraser
from evaluate.robustness.perturbation import EditsMeasure, NoiseMeasure
from evaluate.tasks.task import Target, Task

if TYPE_CHECKING:
    from heat import LanguageModel


def robustness(
    task: Task,
    lm: LanguageModel | Engine,
    methods: Sequence[str],
    *,
    out: Path,
    probe: Probe = "all",
    options: Options | None = None,
    target: Target | None = None,
    seed: int = 0,
    only_correct: bool | None = None,
    single_token: bool | None = None,
    command: str = "",
    retry_failed: bool = False,
    asking: Asking | None = None,
    on_progress: Progress = no_progress,
) -> list[Evaluation]:
    """Score attribution methods by how far their scores move; see `evaluate` for the arguments.

    Args:
        task: Examples; gold is used by the decoding probe alone, where there is some.
        lm: The model, left as it is, or an engine that holds it.
        methods: Registered names.
        out: Results folder.
        probe: Which probe; ``perturbation`` is noise and edits.
        options: What is disturbed; ``None`` for the defaults.
        target: Which target tokens are attributed.
        seed: Seed of noise, drawing, methods and statistics.
        only_correct: See `evaluate`; the decoding probe explains whatever the model says.
        single_token: See `evaluate`; not for the decoding probe.
        command: How this was called.
        retry_failed: See `evaluate`.
        asking: How language models are asked for paraphrases; ``None`` for the defaults.
        on_progress: Told how far the work has come.

    Returns:
        A table a probe, in ``out`` as ``robustness-noise``, ``-edits``, ``-paraphrase``, ``-decoding``.

    Raises:
        NothingScoredError: A probe finds no example it can change.
        EvaluateError: There is no such paraphraser.
        AnnotateError: A language model was asked for paraphrases, and the asking ended early; see `LLMParaphraser`.
    """
    options = options or Options()
    common: dict[str, Any] = {
        "out": out,
        "target": target,
        "seed": seed,
        "options": options.model_dump(mode="json"),
        "command": command,
        "retry_failed": retry_failed,
    }
    asking = asking or Asking(on_progress=on_progress)
    paraphrasers = [paraphraser(name, out, asking) for name in options.paraphrasers]
    measures: list[CopyMeasure] = []
    if probe in ("noise", "perturbation", "all"):
        measures.append(NoiseMeasure(options))
    if probe in ("edits", "perturbation", "all"):
        measures.append(EditsMeasure())
    if probe in ("paraphrase", "all"):
        measures.append(ParaphraseMeasure(paraphrasers))
    found = [
        evaluate(
            measure,
            task,
            lm,
            methods,
            only_correct=only_correct,
            single_token=single_token,
            on_progress=_named(measure, on_progress),
            **common,
        )
        for measure in measures
    ]
    if probe in ("decoding", "all"):
        from evaluate.robustness.decoding import DecodingMeasure, answered

        said, answers = answered(task, engine_of(lm).lm, options, seed, out, on_progress)
        decoding = DecodingMeasure(options, answers, seed)
        found.append(
            evaluate(
                decoding,
                said,
                lm,
                methods,
                only_correct=False,
                single_token=False,
                on_progress=_named(decoding, on_progress),
                **common,
            )
        )
    return found


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


def _named(measure: CopyMeasure, on_progress: Progress) -> Progress:
    probe = measure.kind.removeprefix("robustness-")

    def told(what: str, done: int, total: int) -> None:
        on_progress(f"{probe}: {what}", done, total)

    return told
