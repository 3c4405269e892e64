"""A family of metrics: how an attribution of an example is scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evaluate.engine import Engine
from evaluate.metrics.metric import Metric
from evaluate.pipeline.records import Copies
from evaluate.pipeline.runner import Progress
from evaluate.pipeline.store import Score, ScoreStatus, Scratch, Settings, Store
from evaluate.statistics.intervals import Interval
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from heat import Attribution, LanguageModel


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
