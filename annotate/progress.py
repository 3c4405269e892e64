"""Progress on stderr: bars on a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text
from typing_extensions import override

# Seconds between two lines where there is no terminal.
LINE_EVERY = 30.0
# What is counted within this many seconds was there already, and says nothing about the pace.
_REUSED_WITHIN = 1.0
_PACE = "pace"


class PacedProgress(Progress):
    """Bars whose remaining time is that of the mean pace of this run."""

    @override
    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        task = self._tasks[task_id]
        if (task.elapsed or 0.0) < _REUSED_WITHIN:
            task.fields[_PACE] = (task.elapsed or 0.0, task.completed)


class ProgressLines(PacedProgress):
    """The same counts where there is no terminal: a line for each unfinished task every `interval` seconds."""

    def __init__(self, console: Console, interval: float = LINE_EVERY) -> None:
        super().__init__(console=console, disable=True)
        self._interval = interval
        self._stopped = threading.Event()
        self._speaker = threading.Thread(target=self._speak, daemon=True)

    @override
    def start(self) -> None:
        self._speaker.start()

    @override
    def stop(self) -> None:
        self._stopped.set()
        if self._speaker.is_alive():
            self._speaker.join()

    def _speak(self) -> None:
        while not self._stopped.wait(self._interval):
            for task in self.tasks:
                if not task.finished:
                    self.console.print(line(task), markup=False, highlight=False, soft_wrap=True)


class RemainingColumn(ProgressColumn):
    """Time that is left, once anything is done."""

    max_refresh = 0.5

    @override
    def render(self, task: Task) -> Text:
        return Text(_clock(seconds_left(task)), style="progress.remaining")


def make_progress(quiet: bool) -> Progress:
    """A progress display for stderr: bars, lines where that is no terminal, or nothing."""
    console = Console(stderr=True, emoji=False)
    if not quiet and not console.is_terminal:
        return ProgressLines(console)
    return PacedProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        RemainingColumn(),
        console=console,
        disable=quiet,
    )


def seconds_left(task: Task) -> float | None:
    """Seconds to go at the mean pace; what was there when the task began does not count towards it.

    Args:
        task: A task of a `PacedProgress`.

    Returns:
        The seconds; ``None`` while nothing is done or nobody knows how much there is.
    """
    if task.finished:
        return 0.0
    if task.elapsed is None or task.remaining is None:
        return None
    began, reused = task.fields.get(_PACE, (0.0, 0.0))
    if task.completed <= reused:
        began, reused = 0.0, 0.0
    done = task.completed - reused
    return (task.elapsed - began) / done * task.remaining if done > 0 else None


def line(task: Task) -> str:
    """How far a task is, in words."""
    total = "?" if task.total is None else f"{task.total:,.0f}"
    return (
        f"{task.description}: {task.completed:,.0f} of {total}, "
        f"{_clock(task.elapsed)} elapsed, ETA {_clock(seconds_left(task))}"
    )


def _clock(seconds: float | None) -> str:
    return "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))
