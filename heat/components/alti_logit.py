"""ALTI-Logit (Ferrando et al., ACL 2023): what attention adds to a logit, traced to the tokens by ALTI."""

from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import Batch
from heat.components.alti import token_shares
from heat.components.contributions import Block, one_at_targets, taken_apart, walked
from heat.errors import UnsupportedModelError
from heat.internals.readout import directions, recorded_readout


def alti_logit_flow(model: PreTrainedModel, batch: Batch, layers: int | None = None) -> Tensor:
    """M_i = Σ_l Σ_j Δ^l_j (C_{l-1} ⋯ C_1)_ji with Δ^l_j = ⟨w_target - w_foil, LN(Σ_h f_tj^h)⟩, LN the final norm.

    The final norm's divisor is held constant, and its mean is subtracted where it subtracts one. What MLPs, biases and
    the position's first residual add to the logit belongs to no token, as in the authors' code. The logit is the one
    before a family caps or scales it.

    Args:
        model: The model, frozen, without gradients.
        batch: B sequences with R targets.
        layers: The top N blocks only; None for all.

    Returns:
        [R, T], signed, in logits.

    Raises:
        UnsupportedModelError: A block changes the residual stream otherwise than by adding to it, or the model does not
            end in a norm and a head.
    """
    with recorded_readout(model) as readout:
        _, blocks = taken_apart(model, batch)
    if not all(block.addition.ends_in_sum for block in blocks):
        raise UnsupportedModelError(
            f"{type(model).__name__} does not only add to its residual stream, so what one block writes is not what "
            "the logit reads; use alti or ifr"
        )
    direction = directions(model, batch, readout)
    start = torch.zeros_like(one_at_targets(blocks, batch))
    effects = partial(logit_effects, batch=batch, direction=direction)
    return walked(blocks[-(layers or len(blocks)) :], batch, token_shares, start, effects)


def logit_effects(block: Block, batch: Batch, direction: Tensor) -> Tensor:
    """Δ_j = ⟨u, Σ_h f_tj^h⟩ of every token j, at each target's position t.

    Args:
        block: The block.
        batch: B sequences with R targets.
        direction: u, [R, d].

    Returns:
        [R, T], 0 behind each target's position.
    """
    attention, device = block.attention, block.device
    rows, positions, direction = batch.rows.to(device), batch.positions.to(device), direction.to(device)
    n_tokens = batch.token_ids.shape[1]
    effects = direction.new_zeros(len(rows), n_tokens)
    for queries, weights in attention.by_queries():
        here = ((positions >= queries.start) & (positions < queries.stop)).nonzero()[:, 0]
        for target in here.tolist():
            text, place = int(rows[target]), positions[target]
            u, alpha = direction[target], weights[text, :, place - queries.start]
            if block.addition.factor is not None:
                u = u * block.addition.factor[text, place]
            # ⟨u, A V g W_O⟩ = A ⟨W_O u ⊙ g, V⟩.
            pulled = block.projection @ u
            if block.gate is not None:
                pulled = pulled * block.gate[text, :, place]
            values = block.values(text, slice(0, n_tokens))
            effects[target] = torch.einsum("ht,hte,he->t", alpha, values, pulled)
    columns = torch.arange(n_tokens, device=device)
    return torch.where(columns <= positions[:, None], effects, 0.0)
