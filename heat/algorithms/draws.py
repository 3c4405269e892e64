"""Random numbers that depend on a target's own text and the seed, and on nobody's global state."""

import hashlib

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
    digest = hashlib.sha256(f"{seed}:{token_ids}:{int(batch.target_ids[target])}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
