"""The one place where robustness enters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluate.reproduce.evidence import Measured
from evaluate.tasks.task import Task

if TYPE_CHECKING:
    from heat import LanguageModel

PROBES = ("perturbation", "paraphrase", "decoding")


def robustness(
    task: Task, lm: LanguageModel, methods: Sequence[str], probe: str, *, out: Path, seed: int
) -> Measured | str:
    """What a probe found, with each method's value an example; or what it would take to run it.

    Args:
        task: Examples.
        lm: The model.
        methods: Registered names.
        probe: One of `PROBES`.
        out: Results folder.
        seed: Seed of the probe and of the statistics.
    """
    return f"`evaluate robustness --probe {probe}`, which this version does not have"
