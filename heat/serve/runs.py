"""The requests of a history with where each stands: the one state that worker, server and page speak of."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from heat.errors import HeatError
from heat.serve.history import Asked, Attributed, Ended

Status = Literal["queued", "running", "done", "cancelled", "failed", "interrupted"]
# Characters of a prompt in the list.
_EXCERPT = 120


class NoSuchRunError(HeatError):
    """The page names a run that the history does not hold."""


@dataclass
class Run:
    """One request.

    Attributes:
        asked: The request as it was taken.
        status: Where it stands.
        results: Position of a method to the line that says it is done.
        error: Why it failed.
        phase: What is being done, for people.
        fraction: How much of all its passes is done, from 0 to 1.
        began: When it began, `time.monotonic`; None before.
        version: Grows with every change of any run.
    """

    asked: Asked
    status: Status = "queued"
    results: dict[int, Attributed] = field(default_factory=dict)
    error: str = ""
    phase: str = ""
    fraction: float = 0.0
    began: float | None = None
    version: int = 0

    @property
    def id(self) -> str:
        """Its name."""
        return self.asked.run


class Runs:
    """All runs in the order they were asked; safe to use from several threads.

    Args:
        events: What the history holds. A run without an end was interrupted with its server.
    """

    def __init__(self, events: Iterable[Asked | Attributed | Ended] = ()) -> None:
        self._lock = threading.RLock()
        self._runs: dict[str, Run] = {}
        self._keys: dict[str, str] = {}
        self.version = 0
        for event in events:
            self.take(event)
        for run in self._runs.values():
            if run.status == "queued":
                self.change(run.id, status="interrupted")

    def take(self, event: Asked | Attributed | Ended) -> None:
        """Note what the log says. A line about a run that it does not hold is passed over."""
        with self._lock:
            if isinstance(event, Asked):
                self._runs[event.run] = Run(event)
                self._keys[event.key] = event.run
            elif event.run not in self._runs:
                return
            elif isinstance(event, Attributed):
                self._runs[event.run].results[event.index] = event
            else:
                self._runs[event.run].status = event.status
                self._runs[event.run].error = event.error
            self._bump(event.run, moved=isinstance(event, Ended))

    def change(self, run: str, **values: Any) -> None:
        """Change fields of a run."""
        with self._lock:
            for name, value in values.items():
                setattr(self._runs[run], name, value)
            self._bump(run, moved="status" in values)

    def get(self, run: str) -> Run:
        """One run.

        Raises:
            NoSuchRunError: There is none of that name.
        """
        with self._lock:
            if run not in self._runs:
                raise NoSuchRunError("the history holds no such run")
            return self._runs[run]

    def by_key(self, key: str) -> Run | None:
        """The run that the page has asked for under its own name, or None."""
        with self._lock:
            return self._runs.get(self._keys.get(key, ""))

    def since(self, version: int) -> dict[str, Any]:
        """What the page must hear of: the runs that changed after a version, and the version now."""
        with self._lock:
            waiting = [run.id for run in self._runs.values() if run.status == "queued"]
            return {
                "version": self.version,
                "runs": [_summary(run, waiting) for run in self._runs.values() if run.version > version],
            }

    def _bump(self, run: str, *, moved: bool) -> None:
        """A run changed; where it left the queue, those behind it moved up."""
        self.version += 1
        self._runs[run].version = self.version
        for other in self._runs.values() if moved else ():
            if other.status == "queued":
                other.version = self.version


def _summary(run: Run, waiting: list[str]) -> dict[str, Any]:
    request = run.asked.request
    text = request.prompt if request.messages is None else request.messages[-1].content
    spent = 0.0 if run.began is None else time.monotonic() - run.began
    return {
        "id": run.id,
        "status": run.status,
        "time": run.asked.time,
        "model": run.asked.model,
        "excerpt": " ".join((text or "")[: 4 * _EXCERPT].split())[:_EXCERPT],
        "methods": [method.name for method in request.methods],
        "results": sorted(run.results),
        "error": run.error,
        "phase": run.phase,
        "fraction": round(run.fraction, 4),
        "seconds": round(spent, 1),
        "ahead": waiting.index(run.id) if run.id in waiting else 0,
    }
