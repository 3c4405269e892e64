"""What a run will cost, method by method, before any of it is spent."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.errors import EvaluateError, NothingScoredError
from evaluate.pipeline.runner import encode
from evaluate.tasks.task import Example, Target

if TYPE_CHECKING:
    from rich.table import Table

    from heat import LanguageModel


@dataclass(frozen=True)
class MethodPlan:
    """What one method will spend on all examples that fit the model.

    Attributes:
        examples: How many those are.
        forward_equivalents: Part to mean forward passes over an example; a backward pass counts 1.
        seconds: Estimated seconds for all of them.
        peak_bytes: Rough peak of memory at the longest, weights included.
    """

    method: str
    examples: int
    forward_equivalents: Mapping[str, float]
    seconds: float
    peak_bytes: int


def plan(
    lm: LanguageModel,
    examples: Sequence[Example],
    methods: Sequence[str],
    target: Target,
    *,
    contrast: bool = False,
) -> list[MethodPlan]:
    """What each method will spend, from its own count of passes and two seconds of timing on a median example.

    Args:
        lm: The model.
        examples: What is to be attributed.
        methods: Registered names.
        target: Which answer tokens.
        contrast: Whether they are explained against the foil.

    Returns:
        One plan a method. What a results folder holds already is not taken off; a method that is read off the parts
        of another before it takes nothing.

    Raises:
        NothingScoredError: No example fits the model.
    """
    from heat.cost.plan import calibrate
    from heat.cost.plan import plan as plan_one
    from heat.cost.shape import shape_of
    from heat.errors import HeatError
    from heat.parts import sources
    from heat.registry import build

    encodings = []
    for example in examples:
        try:
            encoded = encode(lm, example, target, contrast=contrast)
        except (HeatError, EvaluateError):
            continue
        if lm.context_length is None or len(encoded.token_ids) <= lm.context_length:
            encodings.append(encoded)
    if not encodings:
        raise NothingScoredError(f"none of the {len(examples)} examples fits the model '{lm.name}'")
    encodings.sort(key=lambda encoded: len(encoded.token_ids))
    speed = calibrate(lm, encodings[len(encodings) // 2])
    shape = shape_of(lm.model.config, lm.name)
    # A plan depends on the lengths alone.
    lengths = Counter((encoded.n_prompt, encoded.n_targets) for encoded in encodings)
    one_of_length = {(encoded.n_prompt, encoded.n_targets): encoded for encoded in encodings}
    rows: list[MethodPlan] = []
    for name in methods:
        method = build(name, {})
        before = [row.method for row in rows]
        shared = [source for source in sources(method, len(encodings[-1].token_ids)) if source in before]
        if shared:
            rows.append(MethodPlan(name, len(encodings), {f"parts of {shared[0]}": 0.0}, 0.0, 0))
            continue
        plans = {
            length: plan_one(lm, encoded, method, speed, shape=shape)
            for length, encoded in one_of_length.items()
        }
        parts = {
            part: statistics.fmean(
                [one.forward_equivalents[part] for one in plans.values()],
                [lengths[length] for length in plans],
            )
            for part in next(iter(plans.values())).forward_equivalents
        }
        seconds = sum(sum(one.seconds.values()) * lengths[length] for length, one in plans.items())
        peak_bytes = max(one.peak_bytes for one in plans.values())
        rows.append(MethodPlan(name, len(encodings), parts, seconds, peak_bytes))
    return rows


def plan_table(rows: Sequence[MethodPlan]) -> Table:
    """A row a method for people at a terminal."""
    from rich.table import Table

    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        caption=f"{rows[0].examples} examples, passes an example (backward counts 1); nothing computed yet",
        caption_justify="left",
    )
    for column in ("method", "passes", "of these"):
        table.add_column(column)
    table.add_column("seconds, about", justify="right")
    table.add_column("peak GiB, about", justify="right")
    for row in rows:
        parts = ", ".join(f"{part} {cost:,.0f}" for part, cost in row.forward_equivalents.items())
        table.add_row(
            row.method,
            f"{sum(row.forward_equivalents.values()):,.0f}",
            parts,
            f"{row.seconds:,.1f}",
            f"{row.peak_bytes / 2**30:.2f}",
        )
    table.add_row(
        "all",
        f"{sum(sum(row.forward_equivalents.values()) for row in rows):,.0f}",
        "",
        f"{sum(row.seconds for row in rows):,.1f}",
        f"{max(row.peak_bytes for row in rows) / 2**30:.2f}",
    )
    return table
