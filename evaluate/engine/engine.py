"""What an engine is: it holds a model and does pieces of work with it, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from evaluate.errors import EngineError, EvaluateError

if TYPE_CHECKING:
    from heat import LanguageModel

TRIES = 3

Job = TypeVar("Job")
Result = TypeVar("Result")

Start: TypeAlias = "Callable[[LanguageModel], Callable[[Job], Result]]"
"""Called once on a worker, with its model; returns what does a job there."""


@dataclass(frozen=True)
class Failure:
    """A piece of work that could not be done, however often it was tried.

    Attributes:
        error: What went wrong the last time.
        tries: How often it was tried.
    """

    error: str
    tries: int


class Engine(Protocol):
    """Does pieces of work with a model. What a piece gives depends on the piece alone, not on where it is done."""

    @property
    def lm(self) -> LanguageModel:
        """The model in this process; an engine that works elsewhere loads it when it is asked for."""
        ...

    def map(self, start: Start[Job, Result], jobs: Iterable[Job]) -> Iterator[tuple[Job, Result | Failure]]:
        """Do every job.

        Args:
            start: Called once on every worker, with its model; returns what does a job there. What is to be kept
                from job to job lives in that. ``start``, jobs and results can be pickled.
            jobs: Taken one by one, as there is room for them.

        Yields:
            Each job with its result, in the order in which they are finished.
        """
        ...


def engine_of(lm: LanguageModel | Engine) -> Engine:
    """An engine as it is, and for a model the one that works in this process."""
    from heat import LanguageModel

    return LocalEngine(lm) if isinstance(lm, LanguageModel) else lm


class LocalEngine:
    """Does the work in this process, in order.

    Args:
        lm: The model.
        tries: How often a piece is tried before it is given up.
    """

    def __init__(self, lm: LanguageModel, tries: int = TRIES) -> None:
        self.lm = lm
        self._tries = tries

    def map(self, start: Start[Job, Result], jobs: Iterable[Job]) -> Iterator[tuple[Job, Result | Failure]]:
        """Do every job in this process, in order; see `Engine.map`."""
        work = start(self.lm)
        for job in jobs:
            yield job, attempt(work, job, self._tries)


def stateless(work: Callable[[LanguageModel, Job], Result]) -> Start[Job, Result]:
    """Start work that keeps nothing from job to job: a function of the model and the job."""
    return partial(partial, work)


def attempt(work: Callable[[Job], Result], job: Job, tries: int) -> Result | Failure:
    """Try a job up to ``tries`` times; an exception becomes a `Failure`.

    Raises:
        EvaluateError: It was asked for something that cannot be, which would be the same for every piece.
    """
    error = ""
    for _ in range(tries):
        try:
            return work(job)
        except EvaluateError:
            raise
        except Exception as raised:  # whatever one item breaks, the others go on
            error = " ".join(f"{type(raised).__name__}: {raised}".split())
    return Failure(error, tries)


def only(engine: Engine, work: Callable[[LanguageModel, Job], Result], job: Job) -> Result:
    """Do one piece of work, a function of the model and the job.

    Raises:
        EngineError: It failed.
    """
    ((_, result),) = engine.map(stateless(work), [job])
    if isinstance(result, Failure):
        raise EngineError(f"a worker failed {result.tries} times: {result.error}")
    return result
