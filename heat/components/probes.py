"""Random probes of the curvature, and how many of them are enough."""

import hashlib

import torch
from torch import Tensor

# n_probes="auto": so many probes at a time, until the ranking is this sure (a correlation), and so many at most. On
# a real model that takes 2 to 4 (docs/heat.md).
PROBES_A_TURN = 2
SETTLED = 0.99
MOST_PROBES = 64
EXPECTED_PROBES = 4


def rademacher(n_probes: int, n_tokens: int, width: int, seed: int) -> Tensor:
    """Random signs; a longer text's probes begin with a shorter one's.

    Args:
        n_probes: m.
        n_tokens: n.
        width: d.
        seed: Seed of a generator of its own.

    Returns:
        float32 [m, n, d] of -1 and 1, on CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(0, 2, (n_tokens, n_probes, width), generator=generator)
    return (2.0 * bits - 1.0).permute(1, 0, 2)


def probes_of_turn(turn: int, n_tokens: int, width: int, seed: int) -> Tensor:
    """The probes of one turn; no turn's are another seed's.

    Args:
        turn: Which turn, from 0.
        n_tokens: n.
        width: d.
        seed: The run's seed.

    Returns:
        float32 [`PROBES_A_TURN`, n, d] of -1 and 1, on CPU.
    """
    digest = hashlib.sha256(f"{seed}:{turn}".encode()).digest()
    return rademacher(PROBES_A_TURN, n_tokens, width, int.from_bytes(digest[:8], "big") >> 1)


def certainty(sizes: Tensor) -> float:
    """How well the mean over probes ranks the tokens: its expected correlation with infinitely many (ours).

    The mean's logarithm is the true one plus noise. Of its variance over the tokens, the share that is no noise is
    1 - E_i[(s_i / S_i)²] / Var_i[log S_i], with s_i the standard error of S_i over the probes; the root of that share
    is the correlation with what is measured (the reliability of classical test theory). Tokens of size 0 say nothing.

    Args:
        sizes: [m, n], m >= 2 probes' own sizes of a text's n tokens.

    Returns:
        In [0, 1]; 1 where nothing is left to rank.
    """
    sizes = sizes[:, (sizes > 0).all(0)].double().cpu()
    if sizes.shape[1] < 2:
        return 1.0
    mean = sizes.mean(0)
    noise = (sizes.var(0) / len(sizes) / mean.square()).mean()
    spread = mean.log().var()
    return float((1 - noise / spread).clamp(0, 1).sqrt()) if spread > 0 else 1.0
