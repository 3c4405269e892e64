"""The engine on Ray: each worker holds the model once; Ray places them, and who is lost is replaced."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from evaluate.engine.engine import TRIES, Failure, Start, attempt
from evaluate.errors import EngineError

if TYPE_CHECKING:
    from heat import LanguageModel

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Cluster:
    """What is asked of Ray.

    Attributes:
        address: Of a running cluster, as `ray.init` takes it; ``None`` starts one on this machine.
        num_workers: Number of workers; each holds the model once.
        cpus_per_worker: Cores of a worker, and threads it computes with.
        gpus_per_worker: GPUs of a worker, may be a fraction.
        resources: Custom resources of a worker.
    """

    address: str | None = None
    num_workers: int = 2
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0.0
    resources: Mapping[str, float] = field(default_factory=dict)


class _Worker:
    """Holds a model and does pieces of work with it."""

    def __init__(self, load: Callable[[], LanguageModel], threads: int, tries: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._lm = load()
        self._tries = tries
        self._started: tuple[Any, Callable[[Any], Any]] | None = None

    def run(self, shipped: list[Any], job: Any) -> Any:
        import ray

        (ref,) = shipped
        if self._started is None or self._started[0] != ref:
            self._started = (ref, ray.get(ref)(self._lm))
        return attempt(self._started[1], job, self._tries)

    def ready(self) -> None:
        """Nothing; answered once the model is loaded."""


@dataclass
class _Piece(Generic[Job]):
    """A job, and how many workers were lost over it."""

    job: Job
    lost: int = 0


class RayEngine:
    """Does the work on the workers of a Ray cluster; a context manager.

    A worker that dies is replaced as soon as the cluster has room for it, and its job is given to the next that is
    free, up to ``tries`` times; then it is a `Failure`. A node that is lost, or out of reach, counts as a worker that
    dies. A program that has already joined a cluster uses that one, and stays in it.

    Args:
        load: Loads the model; called once on every worker.
        cluster: What is asked of Ray.
        tries: How often a piece of work is tried.

    Raises:
        EngineError: The extra is not installed, no cluster can be joined, or it lacks what is asked for.
    """

    def __init__(self, load: Callable[[], LanguageModel], cluster: Cluster, tries: int = TRIES) -> None:
        self._load = load
        self._cluster = cluster
        self._tries = tries
        self._workers: list[Any] = []
        self._starting: dict[
            Any, Any
        ] = {}  # workers that load the model, by what they answer when they have it

    @cached_property
    def lm(self) -> LanguageModel:
        """The model, loaded in this process too."""
        return self._load()

    def __enter__(self) -> Self:
        try:
            import ray
        except ImportError as error:
            raise EngineError("--engine ray needs an extra: pip install 'heat-alignment[ray]'") from error
        cluster = self._cluster
        local: dict[str, Any] = {}
        if cluster.address is None:
            cores = cluster.num_workers * cluster.cpus_per_worker
            local = {"num_cpus": cores, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        self._own = not ray.is_initialized()
        try:
            if self._own:
                ray.init(
                    address=cluster.address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **local,
                )
        except Exception as error:  # Ray raises no narrower one where its processes start too slowly
            what = (
                f"join a Ray cluster at {cluster.address!r}"
                if cluster.address
                else "start Ray on this machine"
            )
            raise EngineError(f"cannot {what}: {' '.join(str(error).split())}") from error
        try:
            self._check_room(dict(ray.cluster_resources()))
            for _ in range(cluster.num_workers):
                self._start_worker()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        for worker in self._workers:
            ray.kill(worker)
        self._leave()

    def _start_worker(self) -> None:
        import ray

        cluster = self._cluster
        # No restarts or retries by Ray: these wait for room for that very worker, with other workers idle.
        options = ray.remote(_Worker).options(
            num_cpus=cluster.cpus_per_worker,
            num_gpus=cluster.gpus_per_worker,
            resources=dict(cluster.resources),
            max_restarts=0,
            max_task_retries=0,
        )
        worker = options.remote(self._load, cluster.cpus_per_worker, self._tries)
        self._workers.append(worker)
        self._starting[worker.ready.remote()] = worker

    def _replace_worker(self, worker: Any) -> None:
        """Start another in its place. One that is only out of reach may live on: it is ended."""
        import ray

        self._workers.remove(worker)
        ray.kill(worker)
        self._start_worker()

    def _leave(self) -> None:
        """A cluster that was joined before stays joined."""
        import ray

        if self._own:
            ray.shutdown()

    def map(self, start: Start[Job, Result], jobs: Iterable[Job]) -> Iterator[tuple[Job, Result | Failure]]:
        """Do every job on the workers; see `Engine.map`."""
        import ray

        shipped = [ray.put(start)]  # in a list, as Ray would else unpack it for every job
        new = map(_Piece, jobs)
        again: list[_Piece[Job]] = []
        pending: dict[Any, tuple[_Piece[Job], Any]] = {}
        starting = list(self._starting.values())
        free = [worker for worker in self._workers if worker not in starting]
        done: list[tuple[Job, Any]] = []
        while True:
            # One piece at a time a worker: what waits at a worker that dies would count as tried.
            while free and (piece := again.pop() if again else next(new, None)) is not None:
                worker = free.pop()
                pending[worker.run.remote(shipped, piece.job)] = (piece, worker)
            yield from done  # after the workers have their next pieces, as the caller may take its time
            if free and not pending:  # nobody took a piece: there is none
                return
            done = self._wait(pending, again, free)

    def _wait(
        self, pending: dict[Any, tuple[_Piece[Job], Any]], again: list[_Piece[Job]], free: list[Any]
    ) -> list[tuple[Job, Any]]:
        """Wait until a piece is finished or lost, or a worker has started.

        Args:
            pending: The pieces that are worked at, by their results to come, with their workers.
            again: Pieces whose worker was lost.
            free: Workers without a piece.

        Returns:
            The piece that is finished, if one is, with its result.
        """
        import ray

        (ref,), _ = ray.wait([*pending, *self._starting], num_returns=1)
        piece, worker = pending.pop(ref) if ref in pending else (None, self._starting.pop(ref))
        try:
            result = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
            reason = " ".join(str(error).split())
            if "creation task" in reason or "__init__" in reason:
                raise EngineError(f"a worker could not load the model: {reason[-500:]}") from error
            self._replace_worker(worker)
            if piece is None:
                return []
            piece.lost += 1
            if piece.lost < self._tries:
                again.append(piece)
                return []
            return [(piece.job, Failure(f"the worker died: {reason[:500]}", self._tries))]
        free.append(worker)
        return [] if piece is None else [(piece.job, result)]

    def _check_room(self, there: Mapping[str, float]) -> None:
        cluster = self._cluster
        asked = {"CPU": cluster.cpus_per_worker, "GPU": cluster.gpus_per_worker, **cluster.resources}
        for name, amount in asked.items():
            if amount * cluster.num_workers > there.get(name, 0.0):
                raise EngineError(
                    f"{cluster.num_workers} workers with {amount:g} {name} each need "
                    f"{amount * cluster.num_workers:g}, and the cluster has {there.get(name, 0.0):g}; "
                    "ask for fewer workers or less for each"
                )
