"""The engine on Ray: each worker holds the model once; Ray schedules, restarts dead workers and tries again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

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


class RayEngine:
    """Does the work on the workers of a Ray cluster; a context manager.

    Ray restarts a worker that dies and retries its job up to ``tries`` times; then the job is a `Failure`. A lost node
    counts as a worker that dies. A program that has already joined a cluster uses that one, and stays in it.

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
        except (ConnectionError, ValueError) as error:
            raise EngineError(f"cannot join a Ray cluster at {cluster.address!r}: {error}") from error
        try:
            self._check_room(dict(ray.cluster_resources()))
            worker = ray.remote(_Worker).options(
                num_cpus=cluster.cpus_per_worker,
                num_gpus=cluster.gpus_per_worker,
                resources=dict(cluster.resources),
                max_restarts=-1,
                max_task_retries=self._tries - 1,
            )
            self._workers = [
                worker.remote(self._load, cluster.cpus_per_worker, self._tries)
                for _ in range(cluster.num_workers)
            ]
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

    def _leave(self) -> None:
        """A cluster that was joined before stays joined."""
        import ray

        if self._own:
            ray.shutdown()

    def map(self, start: Start[Job, Result], jobs: Iterable[Job]) -> Iterator[tuple[Job, Result | Failure]]:
        """Do every job on the workers; see `Engine.map`."""
        import ray

        # One piece at a time a worker: what waits at a worker that dies would count as tried.
        free = list(self._workers)
        pending: dict[Any, tuple[Job, Any]] = {}
        shipped = [ray.put(start)]  # in a list, as Ray would else unpack it for every job
        for job in jobs:
            done = [] if free else [self._next(pending, free)]
            worker = free.pop()
            pending[worker.run.remote(shipped, job)] = (job, worker)
            yield from done  # after the worker has its next piece, as the caller may take its time
        while pending:
            yield self._next(pending, free)

    def _next(self, pending: dict[Any, tuple[Job, Any]], free: list[Any]) -> tuple[Job, Any]:
        """The next piece that is finished; its worker is free."""
        import ray

        (ref,), _ = ray.wait(list(pending), num_returns=1)
        job, worker = pending.pop(ref)
        free.append(worker)
        try:
            return job, ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayActorError as error:
            reason = " ".join(str(error).split())
            if "creation task" in reason or "__init__" in reason:
                raise EngineError(f"a worker could not load the model: {reason[-500:]}") from error
            return job, Failure(f"the worker died: {reason[:500]}", self._tries)

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
