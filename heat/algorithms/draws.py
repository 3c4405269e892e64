"""Random numbers that depend on a target's own text and the seed, and on nobody's global state."""

import hashlib
from collections.abc import Sequence

import torch

from heat.batch import Batch


def generator_of(batch: Batch, target: int, seed: int) -> torch.Generator:
    """A generator for one target, the same in any batch.

    Args:
        batch: B sequences with R targets.
        target: Which of them.
        seed: Seed of the run.

    Returns:
        A CPU generator seeded by the seed, the target's context and the target.
    """
    token_ids = batch.token_ids[batch.rows[target]].cpu()[batch.context[target].cpu()].tolist()
    return generator_for(token_ids, int(batch.target_ids[target]), seed)


def generator_for(token_ids: Sequence[int], target_id: int, seed: int) -> torch.Generator:
    """The same for a target whose context is at hand.

    Args:
        token_ids: The context.
        target_id: The target.
        seed: Seed of the run.
    """
    digest = hashlib.sha256(f"{seed}:{list(token_ids)}:{target_id}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
