"""Information I: how much the next-token distribution changes when a token is masked."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import kl_div
from transformers import PreTrainedModel

from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.forward import embed, log_probs, replacement
from heat.state import frozen

Mask = Literal["zero", "mean", "attention", "pad"]


def information(
    model: PreTrainedModel, batch: Batch, *, mask: Mask = "zero", batch_tokens: int = DEFAULT_BATCH_TOKENS
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

    Returns:
        In nats, [R, T], non-negative, 0 outside each target's context; float32 (float64 for a float64 model).
    """
    if mask == "mean":
        batch = batch.one_target_per_row()
    n_tokens = batch.token_ids.shape[1]
    with frozen(model), torch.no_grad():
        embeddings = embed(model, batch)
        blank = None if mask == "attention" else replacement(model, batch, embeddings, mask)
        unmasked = _unmasked(model, batch, embeddings, rows_within(batch_tokens, n_tokens))
        result = torch.zeros(len(batch.rows), n_tokens, dtype=unmasked.dtype, device=unmasked.device)
        for some in torch.split(_masked_tokens(batch), rows_within(batch_tokens, n_tokens)):
            row, token = some.unbind(1)
            place, target = _served_targets(batch, row, token)
            masked = _masked_log_probs(model, batch, embeddings, some, place, batch.positions[target], blank)
            divergence = kl_div(masked, unmasked[target], reduction="none", log_target=True).sum(-1)
            # Rounding leaves about -1e-8 where nothing changed.
            result[target, token[place]] = divergence.clamp_min(0)
    return result


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
) -> Tensor:
    """Give log p(· | E with one token masked), [P, V], from one pass over the J sequences of `masked`.

    `blank` [B, d] stands in the masked token's place; None hides the token from attention instead.
    """
    row, token = masked.unbind(1)
    pick = torch.arange(len(row), device=row.device)
    changed = embeddings[row]
    attention_mask = batch.attention_mask[row]
    if blank is None:
        attention_mask[pick, token] = 0
    else:
        changed[pick, token] = blank[row]
    return log_probs(model, changed, attention_mask, batch.position_ids[row], place, positions)
