"""Information I: how much the next-token distribution changes when a token is masked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import kl_div
from transformers import PreTrainedModel
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.components.component import Component
from heat.components.prefix import (
    KeysAndValues,
    empty_cache,
    keeps_prefixes,
    keys_and_values,
    prefix_before,
    repeated_cache,
    suffix_cost,
    suffix_parts,
    suffix_rows,
)
from heat.cost.terms import FLOAT32, PLAIN, Terms, Workload, floats, held_bytes
from heat.errors import ConfigError
from heat.internals.activations import fused_activations
from heat.internals.forward import at_targets, log_probs, replacement, token_vectors
from heat.internals.memory import in_parts
from heat.internals.precision import Precision, bfloat16_products, multiplies_in_bfloat16
from heat.internals.state import frozen

if TYPE_CHECKING:
    from heat.cost.shape import Shape

Mask = Literal["zero", "mean", "attention", "pad"]

# A divergence that many times bfloat16's own is off by a few tenths at most, and by less the larger it is.
ABOVE_NOISE = 25


def information(
    model: PreTrainedModel,
    batch: Batch,
    *,
    mask: Mask = "zero",
    span: int = 1,
    refine: float = 0.9,
    groups: Tensor | None = None,
    precision: Precision = "float32",
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
        passes = _Passes(model, batch, mask, batch_tokens, prefix_cache and keeps_prefixes(model))
        everything = torch.ones_like(batch.context)
        if span == 1 and multiplies_in_bfloat16(model, precision):
            return _mostly_in_bfloat16(passes, everything)
        if span == 1:
            return passes.divergence(_jobs(batch, everything, 1), everything)
        coarse = passes.divergence(_jobs(batch, everything, span), everything)
        if groups is None:
            groups = torch.arange(len(batch.rows))
        chosen = _that_matter(batch, coarse, span, refine, groups)
        fine = passes.divergence(_jobs(batch, chosen, 1), chosen)
        return torch.where(chosen, fine, coarse)


def _mostly_in_bfloat16(passes: "_Passes", everything: Tensor) -> Tensor:
    """All tokens by products in bfloat16, and those that drown in its rounding once more in float32."""
    batch = passes.batch
    with bfloat16_products(passes.model):
        rounded = _Passes(passes.model, batch, passes.mask, passes.batch_tokens, passes.prefix_cache)
        result = rounded.divergence(_jobs(batch, everything, 1), everything)
    noise = _kl(passes.unmasked, rounded.unmasked, batch)
    drowned = batch.context & (result < ABOVE_NOISE * noise[:, None]).to(batch.context.device)
    exact = passes.divergence(_jobs(batch, drowned, 1), drowned)
    return torch.where(drowned.to(result.device), exact, result)


@dataclass(frozen=True)
class Information(Component):
    """I as a component of a method; the options are those of `information`.

    Attributes:
        mask: What stands in a token's place.
        precision: Of the passes' matrix products.
    """

    mask: Mask = "zero"
    precision: Precision = "float32"

    @override
    def key(self) -> dict[str, Any]:
        # The precision came later: results in float32 are found by what they were stored by.
        return {"mask": self.mask} | ({} if self.precision == "float32" else {"precision": self.precision})

    @override
    def compute(self, model: PreTrainedModel, batch: Batch, *, seed: int, batch_tokens: int) -> Tensor:
        return information(model, batch, mask=self.mask, precision=self.precision, batch_tokens=batch_tokens)

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


class _Passes:
    """Masked passes through a model, and the unmasked one they are compared with."""

    def __init__(
        self, model: PreTrainedModel, batch: Batch, mask: Mask, batch_tokens: int, prefix_cache: bool
    ) -> None:
        self.model, self.batch, self.mask = model, batch, mask
        self.embeddings = token_vectors(model, batch)
        self.blank = None if mask == "attention" else replacement(model, batch, self.embeddings, mask)
        self.batch_tokens, self.prefix_cache = batch_tokens, prefix_cache
        self.cached: dict[int, KeysAndValues] = {}
        self.unmasked = self._unmasked()

    def divergence(self, jobs: Tensor, wanted: Tensor) -> Tensor:
        """KL of each job, shared out evenly over its tokens.

        Args:
            jobs: int64 [J, 3]: sequence, first column, number of columns.
            wanted: Bool [R, T], tokens that each target is to hear of.

        Returns:
            [R, T]; 0 where no job was, or it was not wanted.
        """
        batch = self.batch
        result = torch.zeros(batch.context.shape, dtype=self.unmasked.dtype, device=self.unmasked.device)
        for neighbours, prefix in self._parts(jobs):

            def work(part: Tensor, prefix: KeysAndValues = prefix) -> tuple[Tensor, Tensor, Tensor, Tensor]:
                return part, *self._divergences(part, prefix)

            for part, job, target, divergence in in_parts(neighbours, len(neighbours), work):
                first, length = part[job, 1], part[job, 2]
                # Tokens of a span that stand behind a target say nothing to it, and take no share.
                length = torch.minimum(length, batch.positions[target] - first + 1)
                share = divergence / length.to(divergence)
                for offset in range(int(length.max())):
                    column = (first + offset).clamp_max(batch.token_ids.shape[1] - 1)
                    concerned = (offset < length) & wanted[target, column] & batch.context[target, column]
                    result[target[concerned], column[concerned]] = share[concerned.to(share.device)]
        return result

    def _divergences(self, jobs: Tensor, prefix: KeysAndValues) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs of a job and a target that it serves, int64 [P] each, and the KL there, [P]."""
        batch = self.batch
        row, first, length = jobs.unbind(1)
        serves = (row[:, None] == batch.rows) & (first[:, None] <= batch.positions)
        job, target = serves.nonzero().unbind(1)
        start = prefix[0][0].shape[2] if prefix else 0
        # What stands behind the last target of these texts says nothing to any.
        end = int(batch.positions[target].max()) + 1
        columns = torch.arange(start, end, device=row.device)
        hidden = (columns >= first[:, None]) & (columns < (first + length)[:, None])
        embeddings, attention_mask = self.embeddings[row, start:end], batch.attention_mask[row, :end]
        if self.blank is None:
            attention_mask = attention_mask.clone()
            attention_mask[:, start:] *= ~hidden
        else:
            embeddings = torch.where(hidden[..., None], self.blank[row][:, None], embeddings)
        masked = log_probs(
            self.model,
            embeddings,
            attention_mask,
            batch.position_ids[row, start:end],
            job,
            batch.positions[target] - start,
            **({"past_key_values": repeated_cache(prefix, len(row))} if prefix else {}),
        )
        return (
            job,
            target,
            _kl(self.unmasked[target.to(self.unmasked.device)], masked, batch.of_targets(target)),
        )

    def _parts(self, jobs: Tensor) -> Iterator[tuple[Tensor, KeysAndValues]]:
        """Some jobs of one text after another, with the keys and values of all before the first of them."""
        if not self.prefix_cache:
            size = rows_within(self.batch_tokens, self.batch.token_ids.shape[1])
            yield from ((part, []) for part in torch.split(jobs, size) if len(part))
            return
        for row in jobs[:, 0].unique().tolist():
            mine = jobs[jobs[:, 0] == row]
            end = int(self.batch.positions[self.batch.rows == row].max()) + 1
            done = 0
            for columns in suffix_parts(mine[:, 1], end, self.batch_tokens):
                part = mine[done : done + len(columns)]
                done += len(columns)
                yield part, prefix_before(self.cached[row], int(columns[0]))

    def _unmasked(self) -> Tensor:
        """Give log p(· | E) of every target, [R, V]; on the way, keep the keys and values of every text."""
        batch = self.batch
        result: list[Tensor] = [torch.zeros(0)] * len(batch.rows)

        def work(rows: Tensor) -> tuple[Tensor, Tensor]:
            part, targets = batch.of_rows(rows)
            options = {"past_key_values": empty_cache()} if self.prefix_cache else {}
            values = at_targets(self.model, part, self.embeddings[rows], **options)
            if self.prefix_cache:
                cached = keys_and_values(options["past_key_values"])
                self.cached |= {
                    int(row): [(keys[i : i + 1], values[i : i + 1]) for keys, values in cached]
                    for i, row in enumerate(rows)
                }
            return targets, values

        everything = batch.rows.unique()
        size = rows_within(self.batch_tokens, batch.token_ids.shape[1])
        for targets, values in in_parts(everything, size, work):
            for target, value in zip(targets.tolist(), values, strict=True):
                result[target] = value
        return torch.stack(result)


def _jobs(batch: Batch, tokens: Tensor, span: int) -> Tensor:
    """Spans of the tokens that some target's context holds and `tokens` [R, T] names, int64 [J, 3].

    Spans are counted from a text's first token, so that padding shifts none, and end with the longest context.
    """
    chosen = batch.context & tokens
    needed = torch.zeros_like(batch.token_ids).index_add(0, batch.rows, chosen.long()) > 0
    inside = torch.zeros_like(batch.token_ids).index_add(0, batch.rows, batch.context.long()) > 0
    first = needed & (batch.position_ids % span == 0)
    row, column = first.nonzero().unbind(1)
    length = (inside.sum(-1)[row] - batch.position_ids[row, column]).clamp_max(span)
    return torch.stack([row, column, length], 1)


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


def _kl(unmasked: Tensor, masked: Tensor, batch: Batch) -> Tensor:
    """KL in nats, [P]; with foils over the two outcomes target and foil."""
    if batch.foil_ids is not None:
        outcomes = torch.stack([batch.target_ids, batch.foil_ids], 1).to(masked.device)
        unmasked = unmasked.gather(1, outcomes).log_softmax(-1)
        masked = masked.gather(1, outcomes).log_softmax(-1)
    # Rounding leaves about -1e-8 where nothing changed.
    return kl_div(masked, unmasked, reduction="none", log_target=True).sum(-1).clamp_min(0)
