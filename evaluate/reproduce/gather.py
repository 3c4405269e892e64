"""Run what the machine can run; what the results folder holds already is not computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.benchmark import open_benchmark
from annotate.words import split_words
from evaluate.alignment.run import alignment
from evaluate.engine import Engine, engine_of
from evaluate.errors import EvaluateError, NothingScoredError
from evaluate.faithfulness.run import faithfulness
from evaluate.pipeline.run import RunConfig
from evaluate.pipeline.runner import Progress, chosen_methods, no_progress, without_obstacle
from evaluate.reproduce.evidence import Evidence, Measurement, measurement_of
from evaluate.reproduce.poster import PosterTable, Words
from evaluate.reproduce.robustness import PROBES, robustness
from evaluate.reproduce.scope import Scope
from evaluate.tasks.task import Task

if TYPE_CHECKING:
    from annotate.agreement import Estimate
    from heat import LanguageModel

CURATED = "curated"
LONG_AOPC = (
    "a benchmark of texts of 2,048 tokens and a model whose window holds them: "
    "`evaluate faithfulness --benchmark FOLDER --model MODEL --method heat --method heat-lr-win`"
)


def gather(
    tables: Sequence[PosterTable],
    curated: Task,
    others: Mapping[str, Task],
    lm: LanguageModel | Engine,
    scope: Scope,
    *,
    out: Path,
    seed: int = 0,
    on_progress: Progress = no_progress,
) -> Evidence:
    """Measure all that the poster's tables need.

    Args:
        tables: The poster.
        curated: The benchmark with gold.
        others: Name to the benchmarks that are looked at for faithfulness alone.
        lm: The model, or an engine that holds it.
        scope: How much of it.
        out: Results folder, of the same kind as that of every evaluation.
        seed: Seed of everything.
        on_progress: Progress callback.

    Returns:
        What was found, and what it would take where nothing was.
    """
    evaluations: dict[str, Measurement] = {}
    missing: dict[str, str] = {"long-faithfulness": LONG_AOPC}
    few = without_obstacle(chosen_methods(scope.other_methods), lm)
    for name, task in others.items():
        cut = replace(task, examples=task.examples[: scope.others_limit])
        key = f"{name}-faithfulness"
        outcome = _faithfulness(cut, lm, few, out, seed, _one_bar(key, len(few), on_progress))
        _keep(key, outcome, evaluations, missing)
    methods = without_obstacle(chosen_methods(scope.methods), lm)
    cut = replace(curated, examples=curated.examples[: scope.limit])
    key = f"{CURATED}-alignment"
    try:
        aligned = alignment(
            cut, lm, methods, RunConfig(out, seed=seed), on_progress=_one_bar(key, len(methods), on_progress)
        )
        evaluations[key] = measurement_of(out, aligned)
    except NothingScoredError as error:
        missing[key] = str(error)
    key = f"{CURATED}-faithfulness"
    outcome = _faithfulness(cut, lm, methods, out, seed, _one_bar(key, len(methods), on_progress))
    _keep(key, outcome, evaluations, missing)
    few = without_obstacle(chosen_methods(scope.robust_methods), lm)
    cut = replace(curated, examples=curated.examples[: scope.robust_limit])
    for probe in PROBES:
        key = f"robustness-{probe}"
        outcome = robustness(
            cut,
            lm,
            few,
            probe,
            options=scope.robust_options,
            out=out,
            seed=seed,
            on_progress=on_progress,
        )
        _keep(key, outcome, evaluations, missing)
    agreement, remark = _agreement(curated.folder)
    return Evidence(
        evaluations=evaluations,
        missing=missing,
        agreement=agreement,
        agreement_remark=remark,
        paragraphs=f"{len(curated.examples)} ({curated.source.split()[0]})",
        highest=_highest(tables, engine_of(lm).lm, seed),
    )


def _keep(
    name: str, outcome: Measurement | str, evaluations: dict[str, Measurement], missing: dict[str, str]
) -> None:
    if isinstance(outcome, str):
        missing[name] = outcome
    else:
        evaluations[name] = outcome


def _faithfulness(
    task: Task,
    lm: LanguageModel | Engine,
    methods: Sequence[str],
    out: Path,
    seed: int,
    on_progress: Progress,
) -> Measurement | str:
    """As the benchmark has it; with what the model gets wrong where it gets nothing right."""
    try:
        result = faithfulness(task, lm, methods, RunConfig(out, seed=seed), on_progress=on_progress)
        return measurement_of(out, result)
    except NothingScoredError:
        pass
    try:
        everything = RunConfig(out, seed=seed, only_correct=False, single_token=False)
        result = faithfulness(task, lm, methods, everything, on_progress=on_progress)
    except NothingScoredError as error:
        return str(error)
    return measurement_of(out, result, "the model gets none right, so its wrong answers are kept")


def _one_bar(name: str, n_methods: int, on_progress: Progress) -> Progress:
    """One line of progress for all methods of an evaluation."""
    done: dict[str, int] = {}

    def update(what: str, finished: int, total: int) -> None:
        done[what] = finished
        on_progress(name, sum(done.values()), total * (n_methods + 1))

    return update


def _agreement(folder: str) -> tuple[dict[str, str], str]:
    """F1 and kappa of the first two annotators as text, and who they are."""
    from annotate.agreement import agreement
    from annotate.label_files import read_labels

    if not folder or not Path(folder).is_dir():
        return {}, ""
    benchmark = open_benchmark(Path(folder))
    if len(list(benchmark.labels_dir.glob("*.jsonl"))) < 2:
        return {}, ""
    paragraphs = benchmark.paragraphs()
    pair = agreement(paragraphs, read_labels(benchmark.labels_dir, paragraphs)).pairs[0]
    remark = (
        f"ours is of {pair.annotators[0]} and {pair.annotators[1]} on {pair.valid} paragraphs, "
        "not of GPT-4o and GPT-5"
    )
    return {"f1": _in_words(pair.f1), "kappa": _in_words(pair.kappa)}, remark


def _in_words(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undefined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _highest(tables: Sequence[PosterTable], lm: LanguageModel, seed: int) -> dict[str, tuple[str, ...]]:
    """Words of the poster's example texts, by HEAT's score, highest first."""
    import heat
    from heat.errors import HeatError

    highest = {}
    for check in (cell.check for table in tables for cell in table.cell):
        if not isinstance(check, Words):
            continue
        words = split_words(check.prompt)
        try:
            attribution = heat.attribute(lm, check.prompt, check.target, "heat", seed=seed, max_targets=1)
            scores = attribution.on_words(words)[0]
        except (HeatError, EvaluateError):
            continue
        ranked = sorted(range(len(words)), key=lambda index: -scores[index])
        spelled = (check.prompt[slice(*words[index])].lower() for index in ranked)
        highest[check.prompt] = tuple(dict.fromkeys(spelled))
    return highest
