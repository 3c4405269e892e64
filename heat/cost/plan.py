"""What an attribution will cost, said before any of it is spent."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from heat.batch import DEFAULT_BATCH_TOKENS, Batch, collate, rows_within
from heat.cost.footprint import footprints
from heat.cost.shape import Shape, shape_of
from heat.encoding import Encoded, count_units
from heat.internals.forward import target_log_probs, token_vectors
from heat.internals.state import frozen
from heat.method import Method
from heat.model import LanguageModel

CALIBRATION_SECONDS = 2.0
# Parts that pass a text through the model alone; the others fill a batch.
ONE_BY_ONE = frozenset({"log-probability", "transition", "curvature", "attention", "matrices"})


@dataclass(frozen=True)
class Speed:
    """What a forward pass costs here.

    Attributes:
        single: Seconds a token, one text at a time.
        batched: Seconds a token, as many copies of the text as a pass may hold.
    """

    single: float
    batched: float


@dataclass(frozen=True)
class Plan:
    """What one text will cost under one method.

    Attributes:
        method: Registered name.
        n_tokens: Length of the prompt.
        n_targets: Number of target tokens.
        forward_equivalents: Part to forward passes over the text; a backward pass counts 1.
        seconds: Part to estimated seconds.
        peak_bytes: Peak of memory, weights included; see `heat.cost.footprint`.
    """

    method: str
    n_tokens: int
    n_targets: int
    forward_equivalents: Mapping[str, float]
    seconds: Mapping[str, float]
    peak_bytes: int


def calibrate(
    lm: LanguageModel,
    encoded: Encoded,
    *,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    seconds: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Time forward passes over a text, half of the time alone and half in a full batch.

    Args:
        lm: The model.
        encoded: A text as long as those to come; of one longer than the context only the end is passed through.
        batch_tokens: Tokens that one pass may hold.
        seconds: How long to measure (default two); each of the two passes runs twice at least.
        clock: Seconds, monotonic.

    Returns:
        Median seconds a token.
    """
    budget = CALIBRATION_SECONDS if seconds is None else seconds
    batch = collate([encoded], lm.device)
    length = min(batch.token_ids.shape[1], lm.context_length or batch.token_ids.shape[1])
    ids = batch.token_ids[:, -length:]
    rows = rows_within(batch_tokens, length)
    single, batched = (
        _seconds_per_token(lm, ids.repeat(copies, 1), budget / 2, clock) for copies in (1, rows)
    )
    return Speed(single, batched)


def plan(
    lm: LanguageModel,
    encoded: Encoded,
    method: Method,
    speed: Speed,
    *,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    shape: Shape | None = None,
) -> Plan:
    """What a method will spend on a text, part by part.

    Args:
        lm: The model.
        encoded: Prompt and target.
        method: The method with its options.
        speed: What `calibrate` found.
        batch_tokens: Tokens that one pass may hold.
        shape: The model's sizes, where they are known already: finding them takes longer than the rest.

    Returns:
        The plan; its seconds are estimates from forward passes alone.
    """
    n_tokens, n_targets = encoded.n_prompt, len(encoded.wanted)
    shape = shape or shape_of(lm.model.config, lm.name)
    costs = costs_of(method, n_tokens, n_targets, shape.n_layers)
    if method.masks != "token":
        n_units = count_units(encoded, method.masks)
        costs = method.with_units(costs, n_tokens, n_targets, n_units)
    seconds = {
        part: cost * n_tokens * (speed.single if part in ONE_BY_ONE else speed.batched)
        for part, cost in costs.items()
    }
    dtype = str(lm.dtype).removeprefix("torch.")
    parts = footprints(shape, method, n_tokens, n_targets, dtype=dtype, batch_tokens=batch_tokens)
    return Plan(
        method=method.name,
        n_tokens=n_tokens,
        n_targets=n_targets,
        forward_equivalents=costs,
        seconds=seconds,
        peak_bytes=max(part.total for part in parts),
    )


def costs_of(method: Method, n_tokens: int, n_targets: int, n_layers: int) -> dict[str, float]:
    """Forward-equivalents of a text's attribution by part: the method's own, and the pass for log p(target)."""
    beside = {} if method.gives_log_probs else {"log-probability": 1.0}
    return beside | method.costs_in(n_tokens, n_targets, n_layers)


def _seconds_per_token(
    lm: LanguageModel, ids: torch.Tensor, budget: float, clock: Callable[[], float]
) -> float:
    rows = torch.zeros(1, dtype=torch.long, device=ids.device)
    last = torch.full_like(rows, ids.shape[1] - 1)
    batch = Batch(ids, torch.ones_like(ids), rows, last, ids[0, -1:])
    taken: list[float] = []
    began = clock()
    with frozen(lm.model), torch.no_grad():
        while len(taken) < 2 or clock() - began < budget:
            start = clock()
            # The number is read, so that a device that works behind the scenes has finished.
            float(target_log_probs(lm.model, batch, token_vectors(lm.model, batch)).sum())
            taken.append(clock() - start)
    return statistics.median(taken) / ids.numel()
