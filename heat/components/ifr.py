"""Information flow routes (Ferrando & Voita 2024), and the form of them that leaves the routing out."""

from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import Batch
from heat.components.contributions import Block, Rows, one_at_targets, shares_of_parts, taken_apart, walked


def ifr_flow(
    model: PreTrainedModel, batch: Batch, layers: int | None = None, threshold: float = 0.0
) -> Tensor:
    """ρ ← e_res ρ + ρ Σ_h e^h from the target position down, e ∝ max(0, ‖y_i‖₁ - ‖y_i - part‖₁).

    The parts are every f_ij^h and the residual x_i. An MLP's share stays at its position, as its residual's does.

    Args:
        model: The model, frozen, without gradients.
        batch: B sequences with R targets.
        layers: Walk through the top N blocks only; None for all.
        threshold: Parts whose share is below it are left out of a row, and the others sum to 1 (0 in FlashTrace).

    Returns:
        [R, T]; rows sum to 1.
    """

    def shares(block: Block, wanted: Tensor) -> Iterator[Rows]:
        return shares_of_parts(block, wanted, "heads", threshold)

    _, blocks = taken_apart(model, batch)
    return walked(blocks[-(layers or len(blocks)) :], batch, shares, one_at_targets(blocks, batch))


def direct_flow(model: PreTrainedModel, batch: Batch, layers: int | None = None) -> Tensor:
    """Σ_l Σ_h e_tj^{l,h} at the target position t, without a way through other positions.

    The row that FlashTrace (2602.01914) reports as IFR.

    Args:
        model: The model, frozen, without gradients.
        batch: B sequences with R targets.
        layers: Sum over the top N blocks only; None for all.

    Returns:
        [R, T], non-negative.
    """
    _, blocks = taken_apart(model, batch)
    start = one_at_targets(blocks, batch)
    total = torch.zeros_like(start)
    for block in blocks[-(layers or len(blocks)) :]:
        total = total.to(block.device)
        rows, positions = batch.rows.to(block.device), batch.positions.to(block.device)
        wanted = torch.zeros(batch.token_ids.shape, dtype=torch.bool, device=block.device)
        wanted[rows, positions] = True
        for part in shares_of_parts(block, wanted, "heads"):
            # A target's row is one of the part's queries or none.
            at = (rows == part.text)[:, None] & (positions[:, None] == part.queries)
            total += at.to(total) @ part.moved.to(total)
    return total


def head_cost(n_tokens: int) -> float:
    """Forward passes that the matrices are worth, in multiply-adds, for heads of 64 numbers.

    A pass takes 12 d² n a block; V W_O takes d² n, and the distances of n²/2 · H parts three operations a number.
    """
    return 1 / 12 + 3 * n_tokens / (24 * 64)


def direct_cost(n_tokens: int) -> float:
    """The same, where only the targets' rows are made: V W_O is what counts."""
    return 1 / 12
