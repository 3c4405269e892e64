"""Information I: how much the next-token distribution changes when a token is masked."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import kl_div
from transformers import DynamicCache, PreTrainedModel

from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.forward import embed, log_probs, replacement
from heat.state import frozen

Mask = Literal["zero", "mean", "attention", "pad"]
KeysAndValues = list[tuple[Tensor, Tensor]]

# A text's masked passes are made in so many parts, each behind a prefix that is computed once. More parts recompute
# less of it (9/16 of all tokens are passed through with 8, 1/2 at best) but make smaller batches.
PARTS = 8


def information(
    model: PreTrainedModel,
    batch: Batch,
    *,
    mask: Mask = "zero",
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    prefix_cache: bool = True,
) -> Tensor:
    """I_i = KL( p(· | E) ‖ p(· | E with token i masked) ) at each target's position (HETA).

    A masked pass serves every target behind the masked token, except under `mean`, whose embedding depends
    on the target.

    Args:
        model: The model; left as it was.
        batch: B sequences with R targets.
        mask: `zero`, `mean` or `pad` embedding in the token's place, or `attention`, which hides the token
            from every query.
        batch_tokens: Tokens that one pass may hold.
        prefix_cache: Compute what stands before the masked tokens once and keep its keys and values; the same numbers
            to rounding. Models that carry a state instead of keys and values do without.

    Returns:
        In nats, [R, T], non-negative, 0 outside each target's context; float32 (float64 for a float64 model).
    """
    if mask == "mean":
        batch = batch.one_target_per_row()
    n_tokens = batch.token_ids.shape[1]
    most = rows_within(batch_tokens, n_tokens)
    with frozen(model), torch.no_grad():
        embeddings = embed(model, batch)
        blank = None if mask == "attention" else replacement(model, batch, embeddings, mask)
        unmasked = _unmasked(model, batch, embeddings, most)
        result = torch.zeros(len(batch.rows), n_tokens, dtype=unmasked.dtype, device=unmasked.device)
        jobs = _masked_tokens(batch)
        if prefix_cache and not model._is_stateful:
            passes = _passes_with_prefix(model, batch, embeddings, jobs, most)
        else:
            passes = ((some, []) for some in torch.split(jobs, most))
        for some, prefix in passes:
            row, token = some.unbind(1)
            place, target = _served_targets(batch, row, token)
            masked = _masked_log_probs(
                model, batch, embeddings, some, place, batch.positions[target], blank, prefix
            )
            divergence = kl_div(masked, unmasked[target], reduction="none", log_target=True).sum(-1)
            # Rounding leaves about -1e-8 where nothing changed.
            result[target, token[place]] = divergence.clamp_min(0)
    return result


def _passes_with_prefix(
    model: PreTrainedModel, batch: Batch, embeddings: Tensor, jobs: Tensor, most: int
) -> Iterator[tuple[Tensor, KeysAndValues]]:
    """Some masked tokens of one text after another, with the keys and values of all before the first of them."""
    for row in jobs[:, 0].unique().tolist():
        mine = jobs[jobs[:, 0] == row]
        text = slice(row, row + 1)
        whole = _keys_and_values(
            model, embeddings[text], batch.attention_mask[text], batch.position_ids[text]
        )
        for some in torch.split(mine, min(most, -(-len(mine) // PARTS))):
            start = int(some[0, 1])
            yield (
                some,
                [(keys[:, :, :start], values[:, :, :start]) for keys, values in whole] if start else [],
            )


def _keys_and_values(
    model: PreTrainedModel, embeddings: Tensor, attention_mask: Tensor, position_ids: Tensor
) -> KeysAndValues:
    """Every layer's keys and values of one unmasked text, each [1, heads, T, d].

    Without the model's config the cache has no sliding layers: all keys are kept, and the model's mask hides those
    that are out of a layer's window.
    """
    cache = DynamicCache()
    nowhere = torch.zeros(0, dtype=torch.long, device=embeddings.device)
    log_probs(model, embeddings, attention_mask, position_ids, nowhere, nowhere, past_key_values=cache)
    return [(layer.keys, layer.values) for layer in cache.layers]  # type: ignore[union-attr,misc]


def _unmasked(model: PreTrainedModel, batch: Batch, embeddings: Tensor, n_rows: int) -> Tensor:
    """Give log p(· | E) of every target, [R, V]."""
    parts = []
    for targets in torch.split(torch.arange(len(batch.rows), device=batch.rows.device), n_rows):
        rows, local = torch.unique(batch.rows[targets], return_inverse=True)
        parts.append(
            log_probs(
                model,
                embeddings[rows],
                batch.attention_mask[rows],
                batch.position_ids[rows],
                local,
                batch.positions[targets],
            )
        )
    return torch.cat(parts)


def _masked_tokens(batch: Batch) -> Tensor:
    """(row, column) of every token that some target's context holds, int64 [J, 2]."""
    needed = torch.zeros_like(batch.token_ids).index_add(0, batch.rows, batch.context.long())
    return needed.nonzero()


def _served_targets(batch: Batch, row: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs (masked pass, target) where the pass says something about the target, int64 [P] each."""
    serves = (row[:, None] == batch.rows) & (token[:, None] <= batch.positions)
    place, target = serves.nonzero().unbind(1)
    return place, target


def _masked_log_probs(
    model: PreTrainedModel,
    batch: Batch,
    embeddings: Tensor,
    masked: Tensor,
    place: Tensor,
    positions: Tensor,
    blank: Tensor | None,
    prefix: KeysAndValues,
) -> Tensor:
    """Give log p(· | E with one token masked), [P, V], from one pass over the J sequences of `masked`.

    `blank` [B, d] stands in the masked token's place; None hides the token from attention instead. Only what stands
    behind `prefix` is passed through the model.
    """
    row, token = masked.unbind(1)
    pick = torch.arange(len(row), device=row.device)
    start = prefix[0][0].shape[2] if prefix else 0
    changed = embeddings[row, start:]
    attention_mask = batch.attention_mask[row]
    if blank is None:
        attention_mask[pick, token] = 0
    else:
        changed[pick, token - start] = blank[row]
    options = {"past_key_values": _repeated(prefix, len(row))} if prefix else {}
    position_ids = batch.position_ids[row, start:]
    return log_probs(model, changed, attention_mask, position_ids, place, positions - start, **options)


def _repeated(prefix: KeysAndValues, times: int) -> DynamicCache:
    """One text's keys and values for so many sequences; each layer copies them when it appends its own."""
    return DynamicCache([(k.expand(times, -1, -1, -1), v.expand(times, -1, -1, -1)) for k, v in prefix])
