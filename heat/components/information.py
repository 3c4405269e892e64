"""Information I: how much the next-token distribution changes when a token is masked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.component import Component
from heat.components.masked import Mask, jobs_of, jobs_of_units, masked_passes
from heat.components.prefix import keeps_prefixes, suffix_cost, suffix_rows
from heat.cost.terms import FLOAT32, PLAIN, Terms, Workload, floats, held_bytes
from heat.errors import ConfigError
from heat.internals.activations import fused_activations
from heat.internals.precision import Precision
from heat.internals.state import frozen
from heat.units import Unit

if TYPE_CHECKING:
    from heat.cost.shape import Shape


def information(
    model: PreTrainedModel,
    batch: Batch,
    *,
    mask: Mask = "zero",
    span: int = 1,
    refine: float = 0.9,
    groups: Tensor | None = None,
    precision: Precision = "float32",
    by_unit: bool = False,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    prefix_cache: bool = True,
) -> Tensor:
    """I_i = KL( p(· | E) ‖ p(· | E with token i masked) ) at each target's position (HETA).

    A masked pass serves every target behind the masked token, except under `mean`, whose embedding depends
    on the target. With a foil the two distributions are those over target and foil alone.

    Coarse to fine (ours): with `span` > 1 that many neighbours are masked together, and only the spans that hold
    `refine` of the divergence are then masked token by token; elsewhere a span's divergence is shared out evenly.

    Args:
        model: The model; left as it was.
        batch: B sequences with R targets.
        mask: `zero`, `mean` or `pad` embedding in the token's place, or `attention`, which hides the token
            from every query.
        span: Tokens masked together at first; 1 masks each alone.
        refine: Share of a target's divergence that is looked into, from 0 to 1; only where `span` is above 1.
        precision: Of the passes' matrix products: `float32`, `bfloat16`, or `auto`, which is bfloat16 where the device
            is faster in it. Tokens whose divergence is near bfloat16's rounding (less than `ABOVE_NOISE` times the
            divergence of the unmasked text from itself) are masked again in float32.
        by_unit: Mask the units of the batch, each at once, in place of tokens; a unit's divergence is shared evenly by
            its tokens, and tokens of no unit have 0.
        groups: int64 [R], targets whose spans are ranked together (windows of one text); None: each by itself.
        batch_tokens: Tokens that one pass may hold.
        prefix_cache: Compute what stands before the masked tokens once and keep its keys and values; the same numbers
            to rounding. Models that keep something else instead of keys and values do without.

    Returns:
        In nats, [R, T], non-negative, 0 outside each target's context; float32 (float64 for a float64 model).

    Raises:
        ConfigError: `span` or `refine` is out of range.
        OutOfMemoryError: A single pass does not fit.
    """
    if span < 1 or not 0 <= refine <= 1:
        raise ConfigError(
            f"span is {span} and refine {refine}; give a span of 1 or more, and a share from 0 to 1"
        )
    if mask == "mean":
        batch = batch.one_target_per_row()
    with frozen(model), fused_activations(model), torch.no_grad():
        passes = masked_passes(
            model, batch, mask, precision, batch_tokens, prefix_cache=prefix_cache and keeps_prefixes(model)
        )
        everything = torch.ones_like(batch.context)
        if by_unit:
            return passes.divergence(jobs_of_units(batch), everything)
        if span == 1:
            return passes.divergence(jobs_of(batch, everything, 1), everything)
        coarse = passes.divergence(jobs_of(batch, everything, span), everything)
        if groups is None:
            groups = torch.arange(len(batch.rows))
        chosen = _that_matter(batch, coarse, span, refine, groups)
        fine = passes.divergence(jobs_of(batch, chosen, 1), chosen)
        return torch.where(chosen, fine, coarse)


@dataclass(frozen=True)
class Information(Component):
    """I as a component of a method; the options are those of `information`.

    Attributes:
        mask: What stands in a token's place.
        precision: Of the passes' matrix products.
        mask_unit: What is masked at once.
    """

    mask: Mask = "zero"
    precision: Precision = "float32"
    mask_unit: Unit = "token"

    @override
    def key(self) -> dict[str, Any]:
        # The precision came later: results in float32 are found by what they were stored by.
        key: dict[str, Any] = {"mask": self.mask}
        key |= {} if self.precision == "float32" else {"precision": self.precision}
        return key | ({} if self.mask_unit == "token" else {"mask_unit": self.mask_unit})

    @override
    def compute(self, model: PreTrainedModel, batch: Batch, *, seed: int, batch_tokens: int) -> Tensor:
        return information(
            model,
            batch,
            mask=self.mask,
            precision=self.precision,
            by_unit=self.mask_unit != "token",
            batch_tokens=batch_tokens,
        )

    @override
    def cost(self, n_tokens: int, n_targets: int, n_layers: int | None = None) -> float:
        # One unmasked pass, which leaves the prefixes too, and what stands behind them.
        if self.mask == "mean":
            alone = [suffix_cost(n_tokens, n, DEFAULT_BATCH_TOKENS) for n in range(1, n_targets + 1)]
            return n_targets + sum(alone)
        return 1.0 + suffix_cost(n_tokens, n_targets, DEFAULT_BATCH_TOKENS)

    @override
    def memory(self, work: Workload) -> dict[str, float]:
        shape = work.shape
        terms = information_terms(shape, work.n_tokens - work.n_targets, work.batch_tokens)
        held = held_bytes(shape, "information", terms, work.itemsize)
        cached = 2 * shape.n_layers * shape.key_width * work.n_texts * work.n_tokens * work.itemsize
        held["KV cache"] = held.get("KV cache", 0.0) + cached
        held["logits"] += FLOAT32 * work.n_texts * work.n_targets * shape.vocabulary
        return held


def information_terms(shape: "Shape", n_tokens: int, batch_tokens: int) -> Terms:
    """Masked suffixes of one text together, each copy with keys and values of its own, at the fullest time.

    Args:
        shape: The model's sizes.
        n_tokens: Length of the context.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        Numbers by term (see `heat.cost.terms`), without the keys and values of the unmasked texts.
    """
    fullest: Terms = {}
    done = 0
    while done < n_tokens:
        length = n_tokens - done
        together = min(suffix_rows(length, batch_tokens), length)
        tokens = together * length
        terms = {
            "width": tokens * shape.width,
            "inner": tokens * shape.inner,
            "vocabulary": together * shape.vocabulary,
            # The first suffixes are whole texts, and need no cache.
            "cache": 2 * shape.n_layers * shape.key_width * together * n_tokens if done else 0,
            "cache width": together * n_tokens * shape.query_width if done else 0,
            "mask": tokens * n_tokens if done else 0,
        }
        if shape.family in PLAIN:
            terms["attention"] = tokens * n_tokens * shape.n_heads
        if not fullest or _guess(terms) > _guess(fullest):
            fullest = floats(terms)
        done += together
    return fullest


def _guess(terms: Mapping[str, float]) -> float:
    """Which of several moments is the fullest, roughly."""
    rough = {
        "width": 5.0,
        "inner": 3.0,
        "attention": 3.0,
        "vocabulary": 4.0,
        "cache": 1.0,
        "cache width": 3.0,
    }
    return sum(rough.get(name, 0.0) * value for name, value in terms.items())


def _that_matter(batch: Batch, coarse: Tensor, span: int, refine: float, groups: Tensor) -> Tensor:
    """Tokens in the fewest spans that hold a share of each group's divergence, bool [R, T].

    The spans of a shorter context, cut by the target's position, count as they are.
    """
    spans = batch.position_ids[batch.rows] // span
    sums = torch.zeros(len(coarse), int(spans.max()) + 1, dtype=coarse.dtype, device=coarse.device)
    sums = sums.scatter_add(1, spans.to(coarse.device), coarse)
    keep = torch.zeros_like(sums, dtype=torch.bool)
    for group in groups.unique().tolist():
        mine = (groups == group).to(sums.device)
        values, order = sums[mine].flatten().sort(descending=True, stable=True)
        before = values.cumsum(0) - values
        selected = (before < refine * values.sum()) & (values > 0)
        flat = torch.zeros_like(selected).scatter(0, order, selected)
        keep[mine] = flat.reshape(-1, sums.shape[1])
    return keep.gather(1, spans.to(keep.device)) & batch.context.to(keep.device)
