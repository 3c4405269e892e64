"""Threads that make attempts while one thread decides and writes: results come back through one queue."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class Workers(Generic[Job, Result]):
    """A fixed number of threads; they end with the process, so an attempt in flight never holds up its end.

    Args:
        work: What is done to each job; it must not raise.
        count: Number of threads.
    """

    def __init__(self, work: Callable[[Job], Result], count: int) -> None:
        self._work = work
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Job, Result] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Hand in a job."""
        self._jobs.put(job)

    def receive(self, timeout: float | None) -> tuple[Job, Result] | None:
        """The next job done with its result; ``None`` after ``timeout`` seconds or when woken."""
        try:
            return self._results.get(timeout=timeout)
        except queue.Empty:
            return None

    def wake(self) -> None:
        """Make :meth:`receive` return at once; allowed in a signal handler."""
        self._results.put(None)

    def close(self) -> None:
        """Let the threads end when they have done what they are at."""
        for _ in self._threads:
            self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._results.put((job, self._work(job)))


@contextmanager
def first_interrupt(react: Callable[[], object]) -> Iterator[None]:
    """Call ``react`` at the first Ctrl-C or SIGTERM (`docker stop`, Slurm); the second interrupts as usual.

    Only the main thread is told of one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        restore()
        react()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        restore()
