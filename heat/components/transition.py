"""Transition M: how much of what reaches the target position came from each token."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heat.attention import BlockAttention, capture_attention
from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.errors import UnsupportedModelError
from heat.forward import at_least_float32, embed
from heat.state import frozen

Kind = Literal["value", "gradient", "uniform"]
Residual = Literal["full", "half", "without-self"]


def transition(
    model: PreTrainedModel,
    batch: Batch,
    *,
    kind: Kind = "gradient",
    residual: Residual = "full",
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> Tensor:
    """Share of each context token in the paths that end at the target position.

    `value` (HETA): M_i ∝ Σ_{l,h} Φ^{(l,h)}_{i→T} ‖V_i W_O‖₁ with Φ^{(l,h)} = ρ_l A^{(l,h)} and
    ρ_{l-1} = ½ρ_l + ½ρ_l Ā^{(l)} from the target position down; vectors times matrices only.
    `gradient` (Chefer et al. 2021, eq. 5-6): the same walk with Ā' = mean_h (A ⊙ ∂g/∂A)⁺ and ρ ← ρ + ρĀ'.
    `uniform`: 1/n for every context token (ablation).

    Args:
        model: The model; left as it was.
        batch: B sequences with R targets.
        kind: Which of the three.
        residual: For `gradient`, the weight of the residual path: `full` as published; `half` with Ā'
            normalised by row and ρ ← ½ρ + ½ρĀ'; `without-self` as `full`, less the path that never leaves the
            target position.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        [R, T], non-negative, each row sums to 1 over the target's context and is 0 elsewhere;
        float32 (float64 for a float64 model).

    Raises:
        UnsupportedModelError: The model's attention cannot be read.
    """
    if kind == "uniform":
        return _shares(batch.context.to(torch.float32), batch)
    rows = batch.one_target_per_row()
    flow = _value_flow if kind == "value" else _gradient_flow
    parts = [
        flow(model, part, residual) for part in rows.split(rows_within(batch_tokens, rows.token_ids.shape[1]))
    ]
    return _shares(torch.cat(parts), batch)


def rollout(matrices: Sequence[Tensor], positions: Tensor, *, keep: float, follow: float) -> list[Tensor]:
    """Walk from the target position down through the blocks: ρ ← keep · ρ + follow · ρ Ā.

    Args:
        matrices: Ā of each block, first to last, [R, T, T] with rows as queries.
        positions: int64 [R], where ρ starts.
        keep: Weight of the residual path.
        follow: Weight of the attention path.

    Returns:
        ρ below the first block, below the second, ..., above the last: entry 0 is the result at the tokens,
        entry -1 the start; each [R, T].
    """
    start = torch.zeros(matrices[0].shape[:2], dtype=matrices[0].dtype, device=matrices[0].device)
    steps = [start.scatter(1, positions[:, None], 1.0)]
    for matrix in reversed(matrices):
        rho = steps[-1]
        steps.append(keep * rho + follow * torch.einsum("rq,rqk->rk", rho, matrix))
    return steps[::-1]


def _value_flow(model: PreTrainedModel, batch: Batch, residual: Residual) -> Tensor:
    with frozen(model), torch.no_grad():
        _, blocks = capture_attention(model, batch, embed(model, batch))
    weights = [at_least_float32(block.weights) for block in blocks]
    steps = rollout([heads.mean(1) for heads in weights], batch.positions, keep=0.5, follow=0.5)
    flow = torch.zeros_like(steps[0])
    for rho, heads, block in zip(steps[1:], weights, blocks, strict=True):
        paths = torch.einsum("rq,rhqk->rhk", rho, heads)
        flow += (paths * at_least_float32(block.value_norms())).sum(1)
    return flow


def _gradient_flow(model: PreTrainedModel, batch: Batch, residual: Residual) -> Tensor:
    relevance = _relevance(model, batch)
    if residual == "half":
        normalised = [matrix / _positive(matrix.sum(-1, keepdim=True)) for matrix in relevance]
        return rollout(normalised, batch.positions, keep=0.5, follow=0.5)[0]
    steps = rollout(relevance, batch.positions, keep=1.0, follow=1.0)
    return steps[0] - steps[-1] if residual == "without-self" else steps[0]


def _relevance(model: PreTrainedModel, batch: Batch) -> list[Tensor]:
    """mean_h (A ⊙ ∂g/∂A)⁺ of every block, [R, T, T]."""
    with frozen(model), torch.enable_grad():
        values, blocks = capture_attention(model, batch, embed(model, batch).requires_grad_())
        g = values.gather(1, batch.target_ids[:, None]).sum()
        gradients = torch.autograd.grad(g, [block.weights for block in blocks], allow_unused=True)
    return [_block_relevance(block, gradient) for block, gradient in zip(blocks, gradients, strict=True)]


def _block_relevance(block: BlockAttention, gradient: Tensor | None) -> Tensor:
    if gradient is None:
        raise UnsupportedModelError(
            "the attention weights this model shows are not those it computes with; use transition='uniform'"
        )
    return (at_least_float32(block.weights.detach()) * gradient).clamp_min(0).mean(1)


def _shares(flow: Tensor, batch: Batch) -> Tensor:
    """Divide by the sum over the context; where nothing flows, the target position keeps everything."""
    inside = torch.where(batch.context, flow, 0.0).clamp_min(0)
    total = inside.sum(-1, keepdim=True)
    alone = torch.zeros_like(inside).scatter(1, batch.positions[:, None], 1.0)
    return torch.where(total > 0, inside / _positive(total), alone)


def _positive(tensor: Tensor) -> Tensor:
    return torch.where(tensor > 0, tensor, 1.0)
