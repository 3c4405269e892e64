"""One thread that runs requests on the model, one at a time, in the order they came."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque

from heat.console import describe, lacks_memory
from heat.errors import HeatError
from heat.internals.memory import is_out_of_memory
from heat.model import LanguageModel
from heat.serve.explain import explain, methods_of
from heat.serve.history import Asked, Ended, Ending, History, KeptAnswer
from heat.serve.runs import Run, Runs
from heat.serve.wire import ExplainRequest

# Seconds between two reports of progress: the page asks more seldom.
_TELL = 0.1
# Requests that may wait.
MOST_QUEUED = 50


class BusyError(HeatError):
    """Too many requests wait."""


class _CancelledError(BaseException):
    """Ends a run between two blocks; no `except Exception` of a method keeps it."""


class Worker:
    """The queue and its thread.

    Args:
        lm: The model.
        history: Where requests and attributions go.
        model_lock: Held while the model runs.
    """

    def __init__(self, lm: LanguageModel, history: History, model_lock: threading.Lock) -> None:
        self.runs = Runs(history.events)
        self._lm = lm
        self._history = history
        self._model = model_lock
        self._changed = threading.Condition()
        self._queue: deque[str] = deque()
        self._cancelled: set[str] = set()
        self._stopped = False
        self._awaiting = threading.Event()
        self._thread = threading.Thread(target=self._work, name="heat-serve-worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Stop between two blocks; the run in work and those that wait are then interrupted, not lost.

        Args:
            seconds: How long to wait for the thread.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def awaits_the_model(self) -> bool:
        """Whether a run is to begin as soon as the model is free."""
        return self._awaiting.is_set()

    def submit(self, request: ExplainRequest, key: str) -> Run:
        """Take a request; it is in the history when this returns.

        Args:
            request: What to explain.
            key: The page's name for it: the same once more gives the run that is there.

        Raises:
            HeatError: A method or option cannot be used, or too many requests wait.
            OSError: The history cannot be written.
        """
        with self._changed:
            known = self.runs.by_key(key)
            if known is not None:
                return known
            methods_of(request, self._lm)
            if len(self._queue) >= MOST_QUEUED:
                raise BusyError(f"{MOST_QUEUED} requests wait already; cancel some, or ask again later")
            asked = Asked(
                run=time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3),
                time=time.time(),
                key=key,
                request=request,
                model=self._lm.name,
                revision=self._lm.revision,
            )
            self._history.add(asked)
            self.runs.take(asked)
            self._queue.append(asked.run)
            self._changed.notify()
            return self.runs.get(asked.run)

    def cancel(self, run: str) -> None:
        """Take a run out of the queue, or end it at the next block. One that is over stays as it is.

        Raises:
            NoSuchRunError: There is none of that name.
        """
        self.runs.get(run)
        with self._changed:
            if run in self._queue:
                self._queue.remove(run)
                self._end(run, "cancelled")
            elif self.runs.get(run).status == "running":
                self._cancelled.add(run)
                self.runs.change(run, phase="stopping")

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                run = self._queue.popleft()
                self.runs.change(run, status="running", began=time.monotonic(), phase="starting")
            try:
                self._awaiting.set()
                with self._model:
                    self._awaiting.clear()
                    self._run(run)
                self._end(run, "done")
            except _CancelledError:
                if self._stopped:
                    return
                self._end(run, "cancelled")
            except Exception as error:
                self._end(run, "failed", _sentence(error))

    def _run(self, run: str) -> None:
        told = 0.0

        def progress(phase: str, fraction: float) -> None:
            nonlocal told
            if self._stopped or run in self._cancelled:
                raise _CancelledError
            now = time.monotonic()
            if now - told >= _TELL:
                told = now
                self.runs.change(run, phase=phase, fraction=fraction)

        for found in explain(self._lm, self.runs.get(run).asked.request, progress):
            kept = self._history.keep(
                run,
                found.index,
                found.attribution,
                notes=found.notes,
                answer=None if found.answer is None else KeptAnswer.of(found.answer),
                foils=found.foils,
            )
            self.runs.take(kept)

    def _end(self, run: str, status: Ending, error: str = "") -> None:
        event = Ended(run=run, time=time.time(), status=status, error=error)
        try:
            self._history.add(event)
        except OSError as full:
            event = event.model_copy(update={"error": f"{error} (not noted: {describe(full)})".strip()})
        self.runs.take(event)
        self._cancelled.discard(run)


def _sentence(error: Exception) -> str:
    """What to tell a person of a run that failed."""
    if isinstance(error, (HeatError, OSError)):
        return describe(error)
    if lacks_memory(error) or is_out_of_memory(error):
        return "memory ran out; use a shorter prompt, a windowed method (heat-windowed) or another dtype"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
