"""What an evaluation found, as it is written and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from annotate.files import read_records
from annotate.schema import Record
from evaluate.errors import EvaluateError
from evaluate.pipeline.store import Score, Settings, Timing, attribution_key
from evaluate.statistics.comparison import Difference
from evaluate.statistics.intervals import Interval
from evaluate.tasks.task import Example, GoldSource

if TYPE_CHECKING:
    import pandas as pd

PERSON = "a person"


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
        scores: Key of each example's row in the store, in the order of the examples.
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
    scores: tuple[str, ...]
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

    schema_version: Literal[4] = 4
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
                **_flat({f"{name}_log_ratio": interval for name, interval in row.ratios.items()}),
                **_flat(row.aggregates),
                **{f"{name}_rank_best": best for name, (best, _) in row.ranks.items()},
                **{f"{name}_rank_worst": worst for name, (_, worst) in row.ranks.items()},
                **_flat(
                    {f"{name}_difference": difference.difference for name, difference in row.versus.items()}
                ),
                **{f"{name}_effect": difference.effect for name, difference in row.versus.items()},
                **{f"{name}_p_adjusted": difference.p_adjusted for name, difference in row.versus.items()},
                "constant": row.constant,
                "not_finite": row.not_finite,
                "refused": row.refused,
                "seconds_per_1000": row.seconds_per_1000,
            }
            for row in self.methods
        ]
        others = {"chance": self.chance, PERSON: self.person}
        return pd.DataFrame(
            [*rows, *({"method": name, **_flat(figures)} for name, figures in others.items() if figures)]
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
        return result  # reading the examples reports what is wrong
    methods = []
    for row in result.methods:
        keys = [attribution_key(example, result.settings, row.method, row.config) for example in examples]
        methods.append(row.model_copy(update={"seconds_per_1000": seconds_per_1000(keys, timings)}))
    return result.model_copy(update={"methods": tuple(methods)})


def seconds_per_1000(keys: Sequence[str], timings: Mapping[str, Timing]) -> float | None:
    """Wall-clock seconds for 1,000 attributions.

    Args:
        keys: Keys of the attributions.
        timings: What each took, by key; those put together from stored parts have none.

    Returns:
        Their mean, times 1,000; ``None`` where none was timed.
    """
    seconds = [timings[key].seconds for key in keys if key in timings]
    return 1000 * sum(seconds) / len(seconds) if seconds else None
