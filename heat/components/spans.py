"""Contributions to a span of positions as to one (FlashTrace, 2602.01914): their cost does not grow with the span."""

from collections.abc import Sequence

import torch
from torch import Tensor

from heat.components.contributions import Block, moved_vectors, nearness, vectors_at_once
from heat.internals.attention import BlockAttention
from heat.internals.forward import at_least_float32


def span_contributions(blocks: Sequence[Block], text: int, columns: Tensor, weights: Tensor) -> Tensor:
    """Σ_l Σ_h e_j^{l,h} of a span S with weights w: shares of the parts of Σ_s w_s y_s by how near they bring it.

    The parts are f_j^h = Σ_s w_s f_sj^h and the residual Σ_s w_s x_s; in every block they sum to 1.

    Args:
        blocks: Of the model.
        text: Index of the text.
        columns: int64 [s], the span's positions.
        weights: [s], non-negative, at least float32.

    Returns:
        [T], non-negative, 0 behind the span.
    """
    total = weights.new_zeros(blocks[0].addition.after.shape[1])
    for block in blocks:
        places, factors = columns.to(block.device), weights.to(block.device)
        after = factors @ at_least_float32(block.addition.after[text, places])
        before = factors @ at_least_float32(block.addition.before[text, places])
        parts = _parts(block, text, places, factors, after)
        whole = parts.sum() + nearness(after, before)
        total = total.to(block.device) + parts / torch.where(whole > 0, whole, 1.0)
    return total


def _parts(block: Block, text: int, columns: Tensor, factors: Tensor, after: Tensor) -> Tensor:
    """Σ_h of the nearness of f_j^h, [T]."""
    attended = _attended(block.attention, text, columns)
    plain = block.gate is None and block.addition.factor is None
    together = torch.einsum("s,hst->ht", factors, attended)
    parts = torch.zeros_like(together[0])
    last, step = int(columns.max()) + 1, vectors_at_once(block, block.attention.n_heads)
    for first in range(0, last, step):
        keys = slice(first, min(first + step, last))
        if plain:
            vectors = block.values(text, keys) @ block.projection * together[:, keys, None]
        else:
            # Gates and norms are those of each position, so these families pay for the span's length.
            vectors = torch.zeros_like(after)
            for place, factor in enumerate(factors):
                only = slice(place, place + 1)
                vectors = (
                    vectors
                    + factor * moved_vectors(block, text, columns[only], attended[:, only], keys)[:, 0]
                )
        parts[keys] = nearness(after, vectors).sum(0)
    return parts


def _attended(attention: BlockAttention, text: int, columns: Tensor) -> Tensor:
    """A of some positions, at least float32 [H, s, T]."""
    weights = at_least_float32(attention.values).new_zeros(
        attention.n_heads, len(columns), attention.values.shape[2]
    )
    for queries, part in attention.by_queries():
        here = (columns >= queries.start) & (columns < queries.stop)
        weights[:, here] = part[text, :, columns[here] - queries.start]
    return weights
