"""ALTI (Ferrando et al. 2022; decoders: Ferrando et al. 2023): contributions of tokens, walked through the blocks."""

from functools import partial

from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import Batch
from heat.components.contributions import one_at_targets, shares_of_parts, taken_apart, walked

token_shares = partial(shares_of_parts, parts="tokens")


def alti_flow(model: PreTrainedModel, batch: Batch, layers: int | None = None) -> Tensor:
    """Row t of C_L ⋯ C_1, where C_ij ∝ max(0, ‖y_i‖₁ - ‖y_i - T_i(x_j)‖₁) and T_i(x_j) = Σ_h f_ij^h + δ_ij x_i.

    What an MLP does stays at its position.

    Args:
        model: The model, frozen, without gradients.
        batch: B sequences with R targets.
        layers: Walk through the top N blocks only; None for all.

    Returns:
        [R, T]; rows sum to 1.
    """
    _, blocks = taken_apart(model, batch)
    return walked(blocks[-(layers or len(blocks)) :], batch, token_shares, one_at_targets(blocks, batch))


def token_cost(n_tokens: int) -> float:
    """Forward passes that the matrices are worth, in multiply-adds, for heads of 64 numbers.

    A pass takes 12 d² n a block; V W_O takes d² n, and Σ_h f_ij^h of n²/2 pairs takes n² H d / 2.
    """
    return 1 / 12 + n_tokens / (24 * 64)
