"""The poster's other benchmarks, from the samples that ship or from rows that are named."""

from __future__ import annotations

from collections.abc import Sequence

from evaluate.tasks.catalog import load_task
from evaluate.tasks.errors import TaskError
from evaluate.tasks.task import Task

NAMES = ("longra", "tellmewhy", "wikibio")


def other_tasks(rows: Sequence[str], *, seed: int = 0) -> dict[str, Task]:
    """The benchmarks by name.

    Args:
        rows: ``NAME=WHERE`` for those whose rows are not the sample.
        seed: Seed of what is drawn at random.

    Raises:
        TaskError: An entry names no such benchmark, or its rows cannot be had.
    """
    sources = dict.fromkeys(NAMES, "sample")
    for entry in rows:
        name, equals, where = entry.partition("=")
        if name not in sources or not equals or not where:
            raise TaskError(f"--rows {entry!r} is not NAME=WHERE with one of {', '.join(NAMES)} as the name")
        sources[name] = where
    return {name: load_task(name, source=source, gold="none", seed=seed) for name, source in sources.items()}
