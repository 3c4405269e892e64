"""Passes with tokens masked, each compared with the unmasked one at every target that it serves."""

from collections.abc import Iterator
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn.functional import kl_div
from transformers import PreTrainedModel

from heat.batch import Batch, rows_within
from heat.components.prefix import (
    KeysAndValues,
    empty_cache,
    keys_and_values,
    prefix_before,
    repeated_cache,
    suffix_parts,
)
from heat.errors import UnitError
from heat.internals.forward import at_targets, logits, replacement, token_vectors
from heat.internals.memory import in_parts
from heat.internals.precision import Precision, bfloat16_products, multiplies_in_bfloat16

Mask = Literal["zero", "mean", "attention", "pad"]

# A divergence that many times bfloat16's own is off by a few tenths at most, and by less the larger it is.
ABOVE_NOISE = 25
# Numbers that the logits of one masked pass may hold (128 MiB of float32), and those that a step from them to the
# divergence may: at 262,144 entries the logits of 128 places, and 16 places a step.
LOGITS = 1 << 25
AT_ONCE = 1 << 22


class Passes(Protocol):
    """Something that masks tokens and says how far the prediction moves."""

    def divergence(self, jobs: Tensor, wanted: Tensor) -> Tensor:
        """KL of each job, shared out evenly over its tokens.

        Args:
            jobs: int64 [J, 3]: sequence, first column, number of columns; in the order of sequences and columns.
            wanted: Bool [R, T], tokens that each target is to hear of.

        Returns:
            In nats, [R, T]; 0 where no job was, or it was not wanted.
        """
        ...


def masked_passes(
    model: PreTrainedModel,
    batch: Batch,
    mask: Mask,
    precision: Precision,
    batch_tokens: int,
    *,
    prefix_cache: bool,
) -> Passes:
    """Passes in a precision; the unmasked one is made here.

    Args:
        model: The model, frozen.
        batch: B sequences with R targets; one target per row under `mean`.
        mask: What stands in a token's place.
        precision: Of the matrix products; see `heat.components.information.information`.
        batch_tokens: Tokens that one pass may hold.
        prefix_cache: Whether what stands before masked tokens is computed once.
    """
    passes = MaskedPasses(model, batch, mask, batch_tokens, prefix_cache)
    return _MostlyInBfloat16(passes) if multiplies_in_bfloat16(model, precision) else passes


class _MostlyInBfloat16:
    """All jobs by products in bfloat16, and those that drown in its rounding once more in float32."""

    def __init__(self, passes: "MaskedPasses") -> None:
        self.passes = passes
        with bfloat16_products(passes.model):
            self.rounded = MaskedPasses(
                passes.model, passes.batch, passes.mask, passes.batch_tokens, passes.prefix_cache
            )
        self.noise = kl(passes.unmasked, self.rounded.unmasked, passes.batch)

    def divergence(self, jobs: Tensor, wanted: Tensor) -> Tensor:
        """See `Passes`."""
        batch = self.passes.batch
        with bfloat16_products(self.passes.model):
            result = self.rounded.divergence(jobs, wanted)
        # A span's tokens have equal parts of its divergence, so it drowns where they do.
        small = (result < ABOVE_NOISE * self.noise[:, None]).to(batch.context.device)
        drowned = batch.context & wanted & small
        in_texts = torch.zeros_like(batch.token_ids).index_add(0, batch.rows, drowned.long()) > 0
        exact = self.passes.divergence(jobs[in_texts[jobs[:, 0], jobs[:, 1]]], drowned)
        return torch.where(drowned.to(result.device), exact, result)


class MaskedPasses:
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
        """See `Passes`."""
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
        values = logits(
            self.model,
            embeddings,
            attention_mask,
            batch.position_ids[row, start:end],
            job,
            batch.positions[target] - start,
            **({"past_key_values": repeated_cache(prefix, len(row))} if prefix else {}),
        )
        # Every step from logits to divergence makes another array of the vocabulary: some places at a time.
        divergences = [
            kl(
                self.unmasked[targets.to(self.unmasked.device)],
                some.log_softmax(-1),
                batch.of_targets(targets),
            )
            for some, targets in zip(
                values.split(self._places(AT_ONCE)), target.split(self._places(AT_ONCE)), strict=True
            )
        ]
        return job, target, torch.cat(divergences)

    def _places(self, numbers: int) -> int:
        """How many places' logits are no more than so many numbers; at least one's."""
        return max(1, numbers // self.unmasked.shape[1])

    def _parts(self, jobs: Tensor) -> Iterator[tuple[Tensor, KeysAndValues]]:
        """Some jobs of one text after another, with the keys and values of all before the first of them."""
        # Every job may be read at all targets of its text.
        most = max(1, self._places(LOGITS) // (int(self.batch.turns.max()) + 1))
        if not self.prefix_cache:
            size = min(most, rows_within(self.batch_tokens, self.batch.token_ids.shape[1]))
            yield from ((part, []) for part in torch.split(jobs, size) if len(part))
            return
        for row in jobs[:, 0].unique().tolist():
            mine = jobs[jobs[:, 0] == row]
            end = int(self.batch.positions[self.batch.rows == row].max()) + 1
            done = 0
            for columns in suffix_parts(mine[:, 1], end, self.batch_tokens):
                neighbours = mine[done : done + len(columns)]
                done += len(columns)
                for part in neighbours.split(most):
                    yield part, prefix_before(self.cached[row], int(part[0, 1]))

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


def jobs_of(batch: Batch, tokens: Tensor, span: int) -> Tensor:
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


def jobs_of_units(batch: Batch) -> Tensor:
    """Each unit that some target's context reaches into, int64 [J, 3] as `jobs_of` gives spans; none twice.

    Raises:
        UnitError: The batch does not say which token is masked with which unit.
    """
    if batch.units is None:
        raise UnitError("a unit can be masked at once in a text alone; attribute with heat.attribute")
    inside = torch.zeros_like(batch.token_ids).index_add(0, batch.rows, batch.context.long()) > 0
    units = torch.where(inside, batch.units, -1)
    before = torch.cat([torch.full_like(units[:, :1], -1), units[:, :-1]], 1)
    row, column = ((units >= 0) & (units != before)).nonzero().unbind(1)
    length = (units[row] == units[row, column][:, None]).sum(-1)
    return torch.stack([row, column, length], 1)


def kl(unmasked: Tensor, masked: Tensor, batch: Batch) -> Tensor:
    """KL in nats, [P]; with foils over the two outcomes target and foil."""
    if batch.foil_ids is not None:
        outcomes = torch.stack([batch.target_ids, batch.foil_ids], 1).to(masked.device)
        unmasked = unmasked.gather(1, outcomes).log_softmax(-1)
        masked = masked.gather(1, outcomes).log_softmax(-1)
    # Rounding leaves about -1e-8 where nothing changed.
    return kl_div(masked, unmasked, reduction="none", log_target=True).sum(-1).clamp_min(0)
