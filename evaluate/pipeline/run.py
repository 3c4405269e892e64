"""Score methods on a task: attribute once, score, average with intervals, compare, keep."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.files import canonical_hash, write_atomic, write_records
from evaluate.engine import Engine, engine_of
from evaluate.errors import NothingScoredError
from evaluate.metrics.metric import Metric
from evaluate.pipeline.case import Case
from evaluate.pipeline.measure import Context, Measure
from evaluate.pipeline.records import Evaluation
from evaluate.pipeline.runner import Progress, no_progress, prepare, settings_on
from evaluate.pipeline.scoring import score_methods
from evaluate.pipeline.store import Item, Store
from evaluate.pipeline.summary import best_baselines, summarise
from evaluate.pipeline.table import as_latex, as_markdown
from evaluate.statistics.intervals import Interval, mean_interval
from evaluate.tasks.task import Example, Target, Task
from evaluate.versions import versions

if TYPE_CHECKING:
    from heat import LanguageModel


@dataclass(frozen=True)
class RunConfig:
    """How a measure is run. What shapes the examples themselves (prompt, answer, aggregation) is the task's.

    Attributes:
        out: Results folder; made where it is missing.
        target: ``"first"`` attributes the first target token, ``"all"`` every one; ``None``: as the task has it.
        seed: Seed of the methods, of the bootstrap and of the permutations.
        only_correct: Leave out examples whose answer is not what the model says; ``None``: as the task has it.
        single_token: Leave out examples whose target is more than one token; ``None``: as the task has it.
        retry_failed: Try again what failed in an earlier run.
        command: How this was called, kept with the result.
        name: Name of the files it leaves; empty for the family's.
    """

    out: Path
    target: Target | None = None
    seed: int = 0
    only_correct: bool | None = None
    single_token: bool | None = None
    retry_failed: bool = False
    command: str = ""
    name: str = ""


def evaluate(
    measure: Measure,
    task: Task,
    lm: LanguageModel | Engine,
    methods: Sequence[str],
    run: RunConfig,
    *,
    on_progress: Progress = no_progress,
) -> Evaluation:
    """Score attribution methods on a task; what the results folder holds already is not computed again.

    Args:
        measure: Which family of metrics.
        task: Examples.
        lm: The model whose answers are attributed, or an engine that holds it.
        methods: Registered names.
        run: Folder, seed and filters.
        on_progress: Progress callback.

    Returns:
        The table and its provenance. It is also in the folder, as JSON, CSV, Markdown and LaTeX.

    Raises:
        UnknownMethodError: A method is not registered.
        NothingScoredError: Every example was skipped.
        StoreError: The results folder cannot be used.
    """
    names = list(dict.fromkeys(methods))
    engine, seed = engine_of(lm), run.seed
    settings = settings_on(engine, seed, target=task.target(run.target), task=task)
    with Store(run.out) as store:
        if run.retry_failed:
            store.forget_failed()
        items = prepare(store, engine, task.examples, settings, on_progress)
        examples = explained(task, items)
        to_run = items if task.answer == "gold" else prepare(store, engine, examples, settings, on_progress)
        left_out = [
            _left_out(example, item, asked, task, run)
            for example, item, asked in zip(examples, items, to_run, strict=True)
        ]
        able = [example for example, why in zip(examples, left_out, strict=True) if why is None]
        made = measure.cases(Context(store, engine, settings, on_progress), able)
        whole = {case.example.id: case for case in made.cases}
        cases = [
            Case(example, skipped=why) if why else whole[example.id]
            for example, why in zip(examples, left_out, strict=True)
        ]
        skipped = Counter(case.skipped[0] for case in cases if case.skipped)
        first = next((case.skipped[1] for case in cases if case.skipped), "")
        scorable = [index for index, case in enumerate(cases) if case.skipped is None]
        if not scorable:
            reasons = ", ".join(f"{n} {why}" for why, n in sorted(skipped.items())) or "there are none"
            raise NothingScoredError(
                f"none of the {len(task.examples)} examples could be scored: {reasons}; {first}"
            )
        scored = [cases[index] for index in scorable]
        computed, rows = score_methods(measure, store, engine, scored, names, settings, on_progress)
        timings = store.timings
    usable = [case.example for case in scored]
    texts = [example.text_key for example in usable]
    chances = [measure.chance(example) for example in usable]
    persons = [measure.person(example) for example in usable]

    def of_answers(values: Sequence[float | bool | None]) -> Interval:
        return mean_interval([float(value or 0) for value in values], texts, seed=seed)

    stored = [example.model_dump(mode="json") for example in usable]
    digest = canonical_hash(stored)
    result = Evaluation(
        kind=measure.kind,
        command=run.command,
        task=task.name,
        source=task.source,
        folder=task.folder,
        examples=f"examples-{digest[:12]}.jsonl",
        task_sha256=digest,
        settings=settings,
        options=dict(measure.options),
        gold=task.gold,
        asked=len(task.examples),
        texts=len(set(texts)),
        scored=len(usable),
        undecided=sum(row.status == "undecided" for row in rows[names[0]]),
        skipped=dict(sorted(skipped.items())),
        skipped_example=first,
        left_out={reason: len(ids) for reason, ids in task.left_out.items()},
        accuracy=of_answers([items[index].correct for index in scorable]),
        answer_f1=of_answers([items[index].f1 for index in scorable]),
        answer_probability=of_answers([items[index].probability for index in scorable]),
        chance={
            metric.name: mean_interval([values[metric.name] for values in chances], texts, seed=seed)
            for metric in measure.metrics
            if chances[0]
        },
        person={
            metric.name: mean_interval(
                [values.get(metric.name, math.nan) for values in persons], texts, seed=seed
            )
            for metric in measure.metrics
            if any(persons)
        },
        best_baseline=best_baselines(measure, rows),
        copies=made.copies,
        methods=summarise(measure, rows, texts, timings, seed),
        versions=versions(),
        rows={name: tuple(scores) for name, scores in rows.items()},
        computed=computed,
        reused=len(names) * sum(1 + len(case.variants) for case in scored) - computed,
    )
    write_records(run.out / result.examples, usable)
    _write(result, measure.metrics, run.out, run.name or result.kind)
    return result


def explained(task: Task, items: Sequence[Item]) -> list[Example]:
    """The examples with the target that is explained: the benchmark's, or what the model itself says.

    Args:
        task: The examples.
        items: What the model makes of each.

    Returns:
        The examples in order; one to which the model says nothing keeps its target.
    """
    if task.answer == "gold":
        return list(task.examples)
    return [
        example.model_copy(update={"target": item.answer}) if item.answer.strip() else example
        for example, item in zip(task.examples, items, strict=True)
    ]


def _left_out(
    example: Example, item: Item, to_run: Item, task: Task, run: RunConfig
) -> tuple[str, str] | None:
    """Why an example is not scored whatever the measure: a reason to count, and a sentence.

    Args:
        example: With the target that is explained.
        item: What the model makes of the benchmark's answer.
        to_run: What it makes of the target.
        task: Whose filters hold where the run names none.
        run: Its filters.
    """
    only_correct = task.only_correct if run.only_correct is None else run.only_correct
    single_token = task.single_token if run.single_token is None else run.single_token
    for record in (item, to_run):
        if record.status == "skipped":
            return record.reason, f"for instance {example.id}: {record.detail}"
    if to_run is not item and not item.answer.strip():
        return "empty answer", f"for instance {example.id}: the model ends its answer before it says anything"
    if single_token and to_run.target_tokens > 1:
        return (
            "target of several tokens",
            f"for instance {example.id}: {example.target!r} is {to_run.target_tokens} tokens",
        )
    if only_correct and not item.correct:
        said = item.answer.strip() or "nothing"
        return "wrong answer", f"for instance {example.id}: the model says {said!r}"
    return None


def _write(result: Evaluation, metrics: Sequence[Metric], out: Path, name: str) -> None:
    write_atomic(out / f"{name}.json", result.model_dump_json(indent=2) + "\n")
    write_atomic(out / f"{name}.csv", result.frame.drop(columns="seconds_per_1000").to_csv(index=False))
    write_atomic(out / f"{name}.md", as_markdown(result, metrics))
    write_atomic(out / f"{name}.tex", as_latex(result, metrics))
