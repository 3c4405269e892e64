"""What can go wrong while rows are made into examples."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from annotate.errors import RowsError
from evaluate.errors import EvaluateError


class TaskError(RowsError, EvaluateError):
    """The rows of a benchmark cannot be had, or none of them can be used."""


class UnknownTaskError(TaskError):
    """A benchmark was named that is neither known nor a folder.

    Args:
        name: The name that was asked for.
        known: The names that exist.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = list(known)
        super().__init__(
            f"no benchmark is called {name!r} and no folder is; {_meant(name, known)}"
            f"there are: {', '.join(known)}, or name the"
            " folder of one made with `annotate build-dataset`"
        )


class UnknownSubsetError(TaskError):
    """A benchmark has no subset of the name that was asked for.

    Args:
        name: The benchmark.
        subset: The name that was asked for.
        known: The subsets that it has.
    """

    def __init__(self, name: str, subset: str, known: Iterable[str]) -> None:
        known = list(known)
        names = ", ".join(f"{name}/{part}" for part in known)
        there = f"there are: {names}; or say {name} alone" if names else f"it has none; say {name}"
        super().__init__(f"{name} has no subset {subset!r}; {_meant(subset, known)}{there}")


def _meant(name: str, known: Iterable[str]) -> str:
    """What a mistyped name was meant to be, as the beginning of a sentence; empty where nothing is close."""
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}? " if close else ""
