"""The rows of attention that predict the targets, without the n × n matrix around them."""

from collections.abc import Iterator

from torch import Tensor

from heat.batch import Batch
from heat.internals.attention import WEIGHTS_AT_ONCE, BlockAttention
from heat.internals.forward import at_least_float32


def target_rows(block: BlockAttention, batch: Batch) -> Tensor:
    """A of each target's position in one block.

    Args:
        block: The block's attention.
        batch: B sequences of T tokens with R targets.

    Returns:
        At least float32 [R, H, T], on the block's device.
    """
    device = block.values.device
    rows, positions = batch.rows.to(device), batch.positions.to(device)
    weights_at_targets = at_least_float32(block.values).new_zeros(
        len(rows), block.n_heads, batch.token_ids.shape[1]
    )
    for queries in _queries(block, batch.positions.tolist()):
        weights = at_least_float32(block.weights_of(queries))
        here = (positions >= queries.start) & (positions < queries.stop)
        weights_at_targets[here] = weights[rows[here], :, positions[here] - queries.start]
    return weights_at_targets


def _queries(block: BlockAttention, positions: list[int]) -> Iterator[slice]:
    """Runs of neighbouring positions, no longer than may be in memory; all queries where some cost as much."""
    n_rows, _, n_tokens, _ = block.values.shape
    if not block.blockwise:
        yield slice(0, n_tokens)
        return
    most = max(1, WEIGHTS_AT_ONCE // (n_rows * block.n_heads * n_tokens))
    start = stop = min(positions)
    for position in sorted(set(positions)):
        if position > stop or position - start >= most:
            yield slice(start, stop)
            start = position
        stop = position + 1
    yield slice(start, stop)
