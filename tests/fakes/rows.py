"""Rows of benchmarks made by hand, and the words that an example's indices stand for."""

from collections.abc import Iterable, Mapping
from typing import Any

from annotate.rationales.rows import Row, Rows
from evaluate.tasks.task import Example


def rows_of(*values: Mapping[str, Any]) -> Rows:
    """Rows as a file would give them, numbered from 1."""
    return Rows("made", lambda: [Row(n, f"row {n}", value) for n, value in enumerate(values, start=1)])


def words_of(example: Example, indices: Iterable[int] | None) -> list[str]:
    """The words at some indices."""
    return [example.prompt[slice(*example.words[index])] for index in indices or ()]
