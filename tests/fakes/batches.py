"""Batches of one text, without a tokenizer."""

from collections.abc import Sequence

import torch

from heat.batch import Batch


def batch_of(token_ids: Sequence[int], *, n_targets: int = 1, n_padding: int = 0) -> Batch:
    """One text of which the last tokens are the targets, behind padding on the left."""
    ids = torch.tensor([[0] * n_padding + [*token_ids]])
    mask = torch.ones_like(ids)
    mask[0, :n_padding] = 0
    length = ids.shape[1]
    positions = torch.arange(length - n_targets - 1, length - 1)
    return Batch(ids, mask, torch.zeros(n_targets).long(), positions, ids[0, positions + 1])


def random_batch(n_tokens: int, *, n_targets: int = 1, seed: int = 0) -> Batch:
    """One text of random tokens, special ones left out."""
    ids = torch.randint(3, 320, (n_tokens,), generator=torch.Generator().manual_seed(seed))
    return batch_of(ids.tolist(), n_targets=n_targets)


def left_padded(batch: Batch, n_padding: int) -> Batch:
    """The same texts behind padding."""
    padding = torch.zeros(len(batch.token_ids), n_padding, dtype=torch.long)
    return Batch(
        torch.cat([padding, batch.token_ids], 1),
        torch.cat([padding, batch.attention_mask], 1),
        batch.rows,
        batch.positions + n_padding,
        batch.target_ids,
    )
