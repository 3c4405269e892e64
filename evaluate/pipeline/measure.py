"""A family of metrics: how an attribution of an example is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from evaluate.engine import Engine
from evaluate.metrics.metric import Metric
from evaluate.pipeline.case import Case
from evaluate.pipeline.records import Copies
from evaluate.pipeline.runner import Progress
from evaluate.pipeline.store import Score, ScoreStatus, Settings, Store
from evaluate.statistics.intervals import Interval
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from heat import Attribution, LanguageModel
    from heat.errors import HeatError


class Scorer(Protocol):
    """Scores attributions on one worker."""

    def __call__(
        self, case: Case, attribution: Attribution | None, variants: Mapping[str, Attribution | HeatError]
    ) -> tuple[dict[str, float], ScoreStatus]:
        """Every metric of one attribution.

        Args:
            case: What it is of.
            attribution: The attribution; ``None`` where its scores are not numbers.
            variants: Name of a variant to its attribution, or to the error by which the method refused it.

        Returns:
            Values by metric name, ``nan`` where one is not defined, and what kind of scores they are of.
        """
        ...


@dataclass(frozen=True)
class Context:
    """What making cases may use.

    Attributes:
        store: The results folder; what a model says to a variant is kept there.
        engine: Holds the model.
        settings: Of the run.
        on_progress: Progress callback.
    """

    store: Store
    engine: Engine
    settings: Settings
    on_progress: Progress


@dataclass(frozen=True)
class Cases:
    """The cases of a run.

    Attributes:
        cases: One an example, in order.
        copies: How many variants of each kind there are; empty where a measure looks at the examples alone.
    """

    cases: tuple[Case, ...]
    copies: tuple[Copies, ...] = ()


def as_they_are(context: Context, examples: Sequence[Example]) -> Cases:
    """Cases without variants."""
    return Cases(tuple(Case(example) for example in examples))


def nothing(example: Example) -> dict[str, float]:
    """No value for any metric."""
    return {}


def no_aggregates(rows: Sequence[Score], clusters: Sequence[str], seed: int) -> dict[str, Interval]:
    """No figure beside the means."""
    return {}


@dataclass(frozen=True)
class Measure:
    """A family of metrics.

    Attributes:
        kind: Name of the family, and of the files a run leaves.
        metrics: What is measured; the first one orders the table.
        score: Starts scoring on a worker that holds a model: called once a worker, it returns the scorer. What it
            keeps between examples lives in there. It must be possible to pickle it.
        cache_key: What the values of a case depend on beside the attribution.
        cases: Makes the cases, once for all methods, of the examples that the run keeps.
        chance: What no information gets, by metric name; empty where only `random` can say.
        person: What a person gets, by metric name; empty where nobody, or one alone, marked the example.
        ratios: Metrics that are also reported as the log-ratio of their sum to that of random scores.
        aggregates: Figures of one method that are no means over examples, by name.
        options: What was asked for, kept with the result.
    """

    kind: str
    metrics: tuple[Metric, ...]
    score: Callable[[LanguageModel], Scorer]
    cache_key: Callable[[Case], dict[str, Any]]
    cases: Callable[[Context, Sequence[Example]], Cases] = as_they_are
    chance: Callable[[Example], dict[str, float]] = nothing
    person: Callable[[Example], dict[str, float]] = nothing
    ratios: tuple[str, ...] = ()
    aggregates: Callable[[Sequence[Score], Sequence[str], int], dict[str, Interval]] = no_aggregates
    options: Mapping[str, Any] = field(default_factory=dict)
