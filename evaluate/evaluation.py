"""What every evaluation shares: attribute once, score, average with intervals, compare, keep."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from annotate.files import canonical_hash, read_records, write_atomic, write_records
from annotate.schema import Record
from evaluate.comparison import Difference, compare_all
from evaluate.engine import Engine, engine_of
from evaluate.errors import EvaluateError, NothingScoredError
from evaluate.intervals import Interval, log_ratio_interval, mean_interval
from evaluate.metrics.metric import Metric
from evaluate.runner import Progress, default_config, no_progress, prepare, settings_on
from evaluate.scoring import score_methods
from evaluate.store import (
    Item,
    Score,
    ScoreStatus,
    Scratch,
    Settings,
    Store,
    Timing,
    attribution_key,
)
from evaluate.tasks.task import Example, GoldSource, Target, Task
from evaluate.versions import versions

if TYPE_CHECKING:
    import pandas as pd

    from heat import Attribution, LanguageModel

Values = NDArray[np.float64]

UNSCORED = ("refused", "failed")
PERSON = "a person"


class Measure(ABC):
    """A family of metrics: how an attribution of an example is scored.

    Attributes:
        kind: Name of the family, and of the files a run leaves.
        metrics: What is measured; the first one orders the table.
        ratios: Metrics that are also reported as the log-ratio of their sum to that of random scores.
    """

    kind: ClassVar[str]
    metrics: tuple[Metric, ...]
    ratios: ClassVar[tuple[str, ...]] = ()

    def begin(
        self,
        store: Store,
        engine: Engine,
        examples: Sequence[Example],
        settings: Settings,
        on_progress: Progress,
    ) -> None:
        """What is made once for all methods; called with the examples that the run keeps."""
        return None

    def attribute_copies(
        self, store: Scratch, lm: LanguageModel, examples: Sequence[Example], method: str
    ) -> int:
        """Attribute what a chunk of examples is compared with; how many attributions were computed."""
        return 0

    def n_copies(self, example: Example) -> int:
        """With how many copies an example is compared."""
        return 0

    def copies(self) -> tuple[Copies, ...]:
        """What the examples were compared with; empty where a metric looks at them alone."""
        return ()

    def aggregates(self, rows: Sequence[Score], clusters: Sequence[str], seed: int) -> dict[str, Interval]:
        """Figures of one method that are no means over examples, by name."""
        return {}

    def obstacle(self, example: Example) -> tuple[str, str] | None:
        """Why an example cannot be scored: a reason to count and a sentence; ``None`` where it can."""
        return None

    @abstractmethod
    def depends(self, example: Example) -> dict[str, Any]:
        """What the values depend on beside the attribution."""

    @abstractmethod
    def score(
        self, lm: LanguageModel, example: Example, attribution: Attribution | None
    ) -> tuple[dict[str, float], ScoreStatus]:
        """Values by metric name, and what kind of scores they are of; ``None``: the scores are not numbers."""

    def chance(self, example: Example) -> dict[str, float]:
        """What no information gets, by metric name; empty where only `random` can say."""
        return {}

    def person(self, example: Example) -> dict[str, float]:
        """What a person gets, by metric name; empty where nobody, or one alone, marked the example."""
        return {}


class Copies(Record):
    """One kind of changed copies that examples were compared with.

    Attributes:
        name: What was changed.
        made: Examples that have such a copy which the model can take.
        survived: Copies on which the model still says the same first token.
        coverage: Mean share of an example's words that have a partner in the copy.
        failed: Why a copy could not be had, to how many examples; only where someone is asked for it.
    """

    name: str
    made: int
    survived: int
    coverage: float
    failed: dict[str, int] = Field(default_factory=dict)


class MethodResult(Record):
    """One row of the table.

    Attributes:
        metrics: Metric name to mean and interval.
        ratios: Metric name to the log-ratio to random scores, with its interval.
        aggregates: Figures that are no means over examples, with their intervals.
        versus: Metric name to the comparison with the best baseline, adjusted for all pairs of methods.
        ranks: Metric name to the best and worst place that the examples allow.
        constant: Examples whose words or tokens all got the same score.
        not_finite: Examples with a score that is not a number; metrics that have a worst value hold it there.
        refused: Examples that the method did not take, or that broke it; they are in no mean.
        refused_example: Why, of one of them.
        unscored: Mean share of the absolute scores that lies on tokens of no scored word; ``None`` where there are no
            scores.
        collapsed: Examples whose transition lies on the first two tokens.
        seconds_per_1000: Wall-clock seconds for 1,000 examples, as measured when they were computed. Not
            part of the file, which is to be the same when made again; `with_seconds` finds it again.
    """

    method: str
    method_kind: str
    config: dict[str, Any]
    metrics: dict[str, Interval]
    ratios: dict[str, Interval]
    versus: dict[str, Difference]
    ranks: dict[str, tuple[int, int]]
    constant: int
    not_finite: int
    refused: int = 0
    refused_example: str = ""
    unscored: float | None = None
    collapsed: int = 0
    aggregates: dict[str, Interval] = Field(default_factory=dict)
    seconds_per_1000: float | None = Field(default=None, exclude=True)


class Evaluation(Record):
    """What an evaluation found, and all that is needed to find it again.

    Attributes:
        kind: Family of metrics.
        command: The command line, or the call.
        task: Name of the benchmark.
        source: Where its rows came from.
        folder: The benchmark's folder; empty where it has none.
        examples: File beside this one that holds the examples scored.
        task_sha256: Checksum over prompts, targets, words and gold that were used.
        options: What the measure was asked for.
        gold: Where the gold words come from.
        asked: Number of examples looked at.
        texts: Number of unique texts among those scored; the intervals draw these.
        scored: Number of examples scored.
        undecided: Number of scored examples whose gold is empty or full, for which no alignment is defined.
        skipped: Reason to number of examples that could not be scored.
        skipped_example: One sentence on one of them.
        left_out: Reason to number of rows that did not become examples.
        accuracy: Share of the scored examples whose benchmark answer is the model's own, both normalised.
        answer_f1: Mean F1 of the words that the two share.
        answer_probability: Mean probability of the benchmark's answer.
        chance: What no information gets: the baseline of every metric that has one.
        person: What one person gets against the others; empty where no text was marked by several.
        best_baseline: Metric name to the method that the others are compared with.
        copies: What the examples were compared with; empty where a metric looks at them alone.
        methods: Rows, best first.
        rows: Method to one row of values an example, of the call that made it; not part of the file.
        computed: Attributions computed by this call; not part of the file, which is to be the same when made
            again.
        reused: Attributions found in the store.
    """

    schema_version: Literal[3] = 3
    kind: str
    command: str
    task: str
    source: str
    folder: str
    examples: str
    task_sha256: str
    settings: Settings
    options: dict[str, Any]
    gold: GoldSource | None
    asked: int
    texts: int
    scored: int
    undecided: int
    skipped: dict[str, int]
    skipped_example: str
    left_out: dict[str, int]
    accuracy: Interval
    answer_f1: Interval
    answer_probability: Interval
    chance: dict[str, Interval]
    person: dict[str, Interval] = Field(default_factory=dict)
    best_baseline: dict[str, str]
    copies: tuple[Copies, ...] = ()
    methods: tuple[MethodResult, ...]
    versions: dict[str, str]
    rows: dict[str, tuple[Score, ...]] = Field(default_factory=dict, exclude=True, repr=False)
    computed: int = Field(default=0, exclude=True)
    reused: int = Field(default=0, exclude=True)

    @property
    def frame(self) -> pd.DataFrame:
        """The table as a DataFrame: a row a method, columns ``metric``, ``metric_low``, ``metric_high``, ..."""
        import pandas as pd

        rows = [
            {
                "method": row.method,
                "method_kind": row.method_kind,
                **_flat(row.metrics),
                **_flat({f"{name}_log_ratio": each for name, each in row.ratios.items()}),
                **_flat(row.aggregates),
                **{f"{name}_rank_best": best for name, (best, _) in row.ranks.items()},
                **{f"{name}_rank_worst": worst for name, (_, worst) in row.ranks.items()},
                **_flat({f"{name}_difference": each.difference for name, each in row.versus.items()}),
                **{f"{name}_effect": each.effect for name, each in row.versus.items()},
                **{f"{name}_p_adjusted": each.p_adjusted for name, each in row.versus.items()},
                "constant": row.constant,
                "not_finite": row.not_finite,
                "refused": row.refused,
                "seconds_per_1000": row.seconds_per_1000,
            }
            for row in self.methods
        ]
        others = {"chance": self.chance, PERSON: self.person}
        return pd.DataFrame(
            [*rows, *({"method": name, **_flat(each)} for name, each in others.items() if each)]
        )

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values, with what the clock and the store said of this call."""
        values = self.model_dump(mode="json")
        for row, method in zip(values["methods"], self.methods, strict=True):
            row["seconds_per_1000"] = method.seconds_per_1000
        return values | {"computed": self.computed, "reused": self.reused}


def _flat(metrics: Mapping[str, Interval]) -> dict[str, float | None]:
    flat: dict[str, float | None] = {}
    for name, interval in metrics.items():
        flat |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return flat


def evaluate(
    measure: Measure,
    task: Task,
    lm: LanguageModel | Engine,
    methods: Sequence[str],
    *,
    out: Path,
    target: Target | None = None,
    seed: int = 0,
    only_correct: bool | None = None,
    single_token: bool | None = None,
    options: Mapping[str, Any] | None = None,
    command: str = "",
    retry_failed: bool = False,
    name: str = "",
    on_progress: Progress = no_progress,
) -> Evaluation:
    """Score attribution methods on a task; what the store in ``out`` holds already is not computed again.

    Args:
        measure: Which family of metrics.
        task: Examples.
        lm: The model whose answers are attributed, or an engine that holds it.
        methods: Registered names.
        out: Results folder; made where it is missing.
        target: ``"first"`` attributes the first target token, ``"all"`` every one; ``None``: as the task has it.
        seed: Seed of the methods, of the bootstrap and of the permutations.
        only_correct: Leave out examples whose answer is not what the model says; ``None``: as the task has it.
        single_token: Leave out examples whose target is more than one token; ``None``: as the task has it.
        options: What the measure was asked for, kept with the result.
        command: How this was called, kept with the result.
        retry_failed: Try again what failed in an earlier run.
        name: Name of the files it leaves; the family's by default.
        on_progress: Told how far the work has come.

    Returns:
        The table and its provenance. It is also in ``out``, as JSON, CSV, Markdown and LaTeX.

    Raises:
        UnknownMethodError: A method is not registered.
        NothingScoredError: Every example was skipped.
        StoreError: The results folder cannot be used.
    """
    names = list(dict.fromkeys(methods))
    configs = {name: default_config(name) for name in names}
    engine = engine_of(lm)
    settings = settings_on(engine, seed, target=task.target(target), task=task)
    only_correct = task.only_correct if only_correct is None else only_correct
    single_token = task.single_token if single_token is None else single_token
    with Store(out) as store:
        if retry_failed:
            store.forget_failed()
        items = prepare(store, engine, task.examples, settings, on_progress)
        examples = explained(task, items)
        to_run = items if task.answer == "gold" else prepare(store, engine, examples, settings, on_progress)
        left_out = [
            _left_out(example, item, run, only_correct, single_token)
            for example, item, run in zip(examples, items, to_run, strict=True)
        ]
        able = [each for each, why in zip(examples, left_out, strict=True) if why is None]
        measure.begin(store, engine, able, settings, on_progress)
        obstacles = [
            why or measure.obstacle(example) for example, why in zip(examples, left_out, strict=True)
        ]
        kept = [index for index, obstacle in enumerate(obstacles) if obstacle is None]
        usable = [examples[index] for index in kept]
        found = [obstacle for obstacle in obstacles if obstacle is not None]
        skipped = dict(sorted(Counter(reason for reason, _ in found).items()))
        example = found[0][1] if found else ""
        if not usable:
            reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "there are none"
            raise NothingScoredError(
                f"none of the {len(task.examples)} examples could be scored: {reasons}; {example}"
            )
        keys = {
            name: [attribution_key(example, settings, name, configs[name]) for example in usable]
            for name in names
        }
        computed, rows = score_methods(measure, store, engine, usable, names, settings, on_progress)
        timings = store.timings
    texts = [example.text_key for example in usable]
    results = _summarise(measure, rows, keys, configs, texts, timings, seed)
    chances = [measure.chance(example) for example in usable]
    persons = [measure.person(example) for example in usable]

    def of_answers(values: Sequence[float | bool | None]) -> Interval:
        return mean_interval([float(value or 0) for value in values], texts, seed=seed)

    stored = [example.model_dump(mode="json") for example in usable]
    digest = canonical_hash(stored)
    result = Evaluation(
        kind=measure.kind,
        command=command,
        task=task.name,
        source=task.source,
        folder=task.folder,
        examples=f"examples-{digest[:12]}.jsonl",
        task_sha256=digest,
        settings=settings,
        options=dict(options or {}),
        gold=task.gold,
        asked=len(task.examples),
        texts=len(set(texts)),
        scored=len(usable),
        undecided=sum(row.status == "undecided" for row in rows[names[0]]),
        skipped=skipped,
        skipped_example=example,
        left_out={reason: len(each) for reason, each in task.left_out.items()},
        accuracy=of_answers([items[index].correct for index in kept]),
        answer_f1=of_answers([items[index].f1 for index in kept]),
        answer_probability=of_answers([items[index].probability for index in kept]),
        chance={
            metric.name: mean_interval([each[metric.name] for each in chances], texts, seed=seed)
            for metric in measure.metrics
            if chances[0]
        },
        person={
            metric.name: mean_interval(
                [each.get(metric.name, math.nan) for each in persons], texts, seed=seed
            )
            for metric in measure.metrics
            if any(persons)
        },
        best_baseline=_best_baselines(measure, rows),
        copies=measure.copies(),
        methods=results,
        versions=versions(),
        rows={name: tuple(each) for name, each in rows.items()},
        computed=computed,
        reused=len(names) * sum(1 + measure.n_copies(example) for example in usable) - computed,
    )
    write_records(out / result.examples, usable)
    _write(result, measure.metrics, out, name or result.kind)
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
    example: Example, item: Item, to_run: Item, only_correct: bool, single_token: bool
) -> tuple[str, str] | None:
    """Why an example is not scored whatever the measure: a reason to count, and a sentence.

    Args:
        example: With the target that is explained.
        item: What the model makes of the benchmark's answer.
        to_run: What it makes of the target.
        only_correct: Leave out wrong answers.
        single_token: Leave out targets of several tokens.
    """
    for each in (item, to_run):
        if each.status == "skipped":
            return each.reason, f"for instance {example.id}: {each.detail}"
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


def _column(rows: Sequence[Score], name: str) -> Values:
    return np.array([math.nan if (v := row.values.get(name)) is None else v for row in rows])


def _summarise(
    measure: Measure,
    rows: Mapping[str, Sequence[Score]],
    keys: Mapping[str, Sequence[str]],
    configs: Mapping[str, dict[str, Any]],
    texts: Sequence[str],
    timings: Mapping[str, Timing],
    seed: int,
) -> tuple[MethodResult, ...]:
    import heat

    kinds = heat.methods()
    best = _best_baselines(measure, rows)
    versus: dict[str, dict[str, Difference]] = {name: {} for name in rows}
    places: dict[str, dict[str, tuple[int, int]]] = {name: {} for name in rows}
    for metric in measure.metrics:
        values = {name: _column(each, metric.name) for name, each in rows.items()}
        pairs = compare_all(values, texts, seed=seed)
        if metric.name in best:
            for name, difference in pairs.against(best[metric.name]).items():
                versus[name][metric.name] = difference
        for name, place in pairs.places(higher_is_better=metric.higher_is_better).items():
            places[name][metric.name] = place
    found = []
    for name, each in rows.items():
        statuses = Counter(row.status for row in each)
        found.append(
            MethodResult(
                method=name,
                method_kind=kinds[name].kind,
                config=configs[name],
                metrics={
                    metric.name: mean_interval(_column(each, metric.name), texts, seed=seed)
                    for metric in measure.metrics
                },
                ratios={
                    ratio: log_ratio_interval(
                        _column(each, ratio), _column(each, f"random_{ratio}"), texts, seed=seed
                    )
                    for ratio in measure.ratios
                },
                aggregates=measure.aggregates(each, texts, seed),
                versus=versus[name],
                ranks=places[name],
                constant=statuses["constant"],
                not_finite=statuses["not_finite"],
                refused=statuses["refused"] + statuses["failed"],
                refused_example=next((row.detail for row in each if row.status in UNSCORED), ""),
                unscored=_mean([row.unscored for row in each]),
                collapsed=sum(row.collapsed for row in each),
                seconds_per_1000=_seconds_per_1000(keys[name], timings),
            )
        )
    first = measure.metrics[0]

    def order(row: MethodResult) -> tuple[bool, float, str]:
        mean = row.metrics[first.name].mean
        # What says nothing, or no numbers, stands last, however the numbers that stand in for it fall.
        failed = row.not_finite + row.refused > 0 or row.constant == len(texts) or mean is None
        return failed, -first.better(mean) if mean is not None else 0.0, row.method

    return tuple(sorted(found, key=order))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return float(np.mean(known)) if known else None


def _best_baselines(measure: Measure, rows: Mapping[str, Sequence[Score]]) -> dict[str, str]:
    """Metric to the method of kind "baseline" with the best mean, for metrics that have one."""
    import heat

    kinds = heat.methods()
    found: dict[str, str] = {}
    for metric in measure.metrics:
        means = {
            name: metric.better(float(np.nanmean(column)))
            for name, each in rows.items()
            if kinds[name].kind == "baseline"
            and not np.isnan(column := _column(each, metric.name)).all()
            and not any(row.status in ("not_finite", *UNSCORED) for row in each)
        }
        if means:
            found[metric.name] = max(means, key=lambda name: (means[name], name))
    return found


def _seconds_per_1000(keys: Sequence[str], timings: Mapping[str, Timing]) -> float | None:
    seconds = [timings[key].seconds for key in keys if key in timings]
    return 1000 * sum(seconds) / len(seconds) if seconds else None


def _write(result: Evaluation, metrics: Sequence[Metric], out: Path, name: str) -> None:
    from evaluate.table import as_latex, as_markdown

    write_atomic(out / f"{name}.json", result.model_dump_json(indent=2) + "\n")
    write_atomic(out / f"{name}.csv", result.frame.drop(columns="seconds_per_1000").to_csv(index=False))
    write_atomic(out / f"{name}.md", as_markdown(result, metrics))
    write_atomic(out / f"{name}.tex", as_latex(result, metrics))


def read_result(folder: Path, kind: str = "alignment") -> Evaluation:
    """The result a run left in its results folder, with the seconds its attributions took.

    Args:
        folder: The folder given as ``--out``.
        kind: Which evaluation.

    Raises:
        EvaluateError: There is none, or it is of another schema version.
    """
    path = folder / f"{kind}.json"
    if not path.is_file():
        raise EvaluateError(f"{folder} holds no {kind}.json; run `evaluate {kind} --out {folder}` first")
    try:
        result = Evaluation.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise EvaluateError(f"{path} is not a result of this version; run `evaluate {kind}` again") from error
    return _with_seconds(result, folder)


def read_examples(folder: Path, result: Evaluation) -> list[Example]:
    """The examples a result is about.

    Raises:
        EvaluateError: The file that holds them is gone, or does not hold them all.
    """
    path = folder / result.examples
    if not path.is_file():
        raise EvaluateError(f"{path} is missing; run again: {result.command}")
    examples = read_records(path, Example)
    if len(examples) != result.scored:
        raise EvaluateError(
            f"{path} holds {len(examples)} of {result.scored} examples; run again: {result.command}"
        )
    return examples


def _with_seconds(result: Evaluation, folder: Path) -> Evaluation:
    path = folder / "timings.jsonl"
    if not path.exists() or not (folder / result.examples).exists():
        return result
    timings = {row.attribution: row for row in read_records(path, Timing)}
    try:
        examples = read_examples(folder, result)
    except EvaluateError:
        return result  # who asks for the examples is told
    methods = []
    for row in result.methods:
        keys = [attribution_key(each, result.settings, row.method, row.config) for each in examples]
        methods.append(row.model_copy(update={"seconds_per_1000": _seconds_per_1000(keys, timings)}))
    return result.model_copy(update={"methods": tuple(methods)})
