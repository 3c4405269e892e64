"""Curvature from a low-rank approximation of the Hessian, H ≈ Q T Qᵀ, found by Lanczos iteration."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor


def low_rank_size(
    product: Callable[[Tensor], Tensor],
    start: Tensor,
    context: Tensor,
    rank: int,
    mode: Literal["row", "block"],
    seed: int,
) -> Tensor:
    """Mean curvature over normal probes r, in closed form from the factors (ours).

    (H r)_ic is normal with the standard deviation ‖H_ic‖₂, the norm of a row, and E|x| = √(2/π) σ. So the limit of
    many probes is S_i = √(2/π) Σ_c ‖(Q T)_ic‖₂, as Q's columns are orthonormal; in `block` mode the row is cut to
    token i's own columns. Rademacher probes tend to the same where a row has many entries.

    Args:
        product: From v to H v, both [1, R, T, d].
        start: [R, T, d], the first direction.
        context: Bool [R, T], where H is not zero.
        rank: r, number of products.
        mode: `row` or `block`.
        seed: Seed of the directions that are drawn when the iteration is exhausted.

    Returns:
        [R, T], non-negative.
    """
    Q, T = lanczos(product, start, context, rank, seed)
    left = torch.einsum("rtdk,rkl->rtdl", Q, T)
    if mode == "row":
        squares = left.square().sum(-1)
    else:
        gram = torch.einsum("rtdk,rtdl->rtkl", Q, Q)
        squares = torch.einsum("rtdk,rtkl,rtdl->rtd", left, gram, left).clamp_min(0)
    return math.sqrt(2 / math.pi) * squares.sqrt().sum(-1)


def lanczos(
    product: Callable[[Tensor], Tensor], start: Tensor, context: Tensor, rank: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Orthonormal Q and tridiagonal T with Qᵀ H Q = T, for R symmetric matrices at once.

    All earlier directions are projected out twice ("full reorthogonalisation"; Golub & Van Loan, Matrix Computations,
    10.3), since without it copies of the greatest eigenvalues return.

    Args:
        product: From v to H v, both [1, R, T, d].
        start: [R, T, d], the first direction.
        context: Bool [R, T], where H is not zero.
        rank: r.
        seed: Seed of the directions that are drawn when the iteration is exhausted.

    Returns:
        Q [R, T, d, r] and T [R, r, r].
    """
    inside = context[..., None].to(start.device)
    generator = torch.Generator().manual_seed(seed)
    first = product(_unit(torch.where(inside, start, 0.0))[None])[0]
    n_rows = len(start)
    Q = torch.zeros(n_rows, rank, first[0].numel(), dtype=first.dtype, device=first.device)
    T = torch.zeros(n_rows, rank, rank, dtype=first.dtype, device=first.device)
    Q[:, 0] = _unit(torch.where(inside, start, 0.0)).flatten(1).to(Q)
    image = first.flatten(1)
    scale = image.norm(dim=-1)
    for step in range(rank):
        T[:, step, step] = (Q[:, step] * image).sum(-1)
        if step + 1 == rank:
            break
        rest = _without(_without(image, Q), Q)
        length = rest.norm(dim=-1)
        scale = torch.maximum(scale, length)
        exhausted = length <= scale * torch.finfo(Q.dtype).eps * 100
        # H maps what was found into itself: go on anywhere else, with nothing that leads there.
        drawn = torch.randn(start.shape, generator=generator).to(Q) * inside
        fresh = _without(_without(drawn.flatten(1), Q), Q)
        rest = torch.where(exhausted[:, None], fresh, rest)
        length = torch.where(exhausted, 0.0, length)
        Q[:, step + 1] = _unit(rest)
        T[:, step, step + 1] = T[:, step + 1, step] = length
        image = product(Q[:, step + 1].reshape(start.shape)[None])[0].flatten(1)
    return Q.transpose(1, 2).reshape(*start.shape, rank), T


def _without(vectors: Tensor, Q: Tensor) -> Tensor:
    """Vectors [R, N] less their parts along the rows of Q [R, r, N]."""
    return vectors - torch.einsum("rk,rkn->rn", torch.einsum("rkn,rn->rk", Q, vectors), Q)


def _unit(vectors: Tensor) -> Tensor:
    """Each of R vectors divided by its length; a zero vector stays."""
    length = vectors.flatten(1).norm(dim=-1)
    length = torch.where(length > 0, length, 1.0)
    return vectors / length.reshape(-1, *[1] * (vectors.dim() - 1))
