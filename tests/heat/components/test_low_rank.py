"""Lanczos and the closed form against explicit Hessians."""

import math

import pytest
import torch
from fakes.batches import random_batch
from fakes.hessians import explicit_hessian
from fakes.tiny_models import WIDTH, tiny_model
from torch import Tensor

from heat.batch import Batch
from heat.components import curvature
from heat.components.low_rank import lanczos, low_rank_size
from heat.errors import ConfigError

N = 4


def text() -> Batch:
    return random_batch(N + 1, seed=4)


@pytest.mark.parametrize("products", ["batched", "forward-over-reverse"])
def test_full_rank_equals_the_explicit_hessian(products: str) -> None:
    model, batch = tiny_model("llama").double(), text()
    hessian = explicit_hessian(model, batch)[:N, :, :N]
    row = math.sqrt(2 / math.pi) * hessian.flatten(2).norm(dim=-1).sum(-1)
    found = curvature(model, batch, rank=N * WIDTH, products=products)
    torch.testing.assert_close(found[0, :N], row, rtol=1e-6, atol=1e-9)
    own = torch.stack([hessian[i, :, i] for i in range(N)])
    block = math.sqrt(2 / math.pi) * own.norm(dim=-1).sum(-1)
    found = curvature(model, batch, rank=N * WIDTH, mode="block", products=products)
    torch.testing.assert_close(found[0, :N], block, rtol=1e-6, atol=1e-9)


def test_many_probes_approach_the_closed_form() -> None:
    model, batch = tiny_model("llama").double(), text()
    exact = curvature(model, batch, rank=N * WIDTH)
    torch.testing.assert_close(curvature(model, batch, n_probes=400), exact, rtol=0.1, atol=0)


def test_error_falls_with_the_rank() -> None:
    model, batch = tiny_model("llama").double(), text()
    exact = curvature(model, batch, rank=N * WIDTH)
    errors = [float((curvature(model, batch, rank=rank) - exact).abs().sum()) for rank in (2, 16, 48, 96)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * errors[0]


def test_eigenvalues_of_a_matrix_of_low_rank_and_its_exhaustion() -> None:
    # Rank 2 with eigenvalues 3 and -1: whatever is drawn after the second step adds zeros only.
    Q = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)).double()).Q
    H = 3 * torch.outer(Q[:, 0], Q[:, 0]) - torch.outer(Q[:, 1], Q[:, 1])

    def product(vectors: Tensor) -> Tensor:
        return (vectors.flatten(2) @ H).reshape(vectors.shape)

    basis, T = lanczos(product, torch.ones(1, 2, 3).double(), torch.ones(1, 2).bool(), 6, seed=0)
    basis = basis.reshape(6, 6)
    torch.testing.assert_close(basis.T @ basis, torch.eye(6).double())
    torch.testing.assert_close(basis @ T[0] @ basis.T, H)
    # The start has a part in what H maps to zero, so three steps find all; nothing leads to what is drawn then.
    assert (T[0].diagonal(1)[:2] > 0.1).all()
    assert T[0].diagonal(1)[2:].tolist() == [0, 0, 0]
    assert torch.equal(T[0].diagonal(1), T[0].diagonal(-1))


def test_the_seed_draws_where_an_exhausted_iteration_goes_on() -> None:
    # The start is an eigenvector, so one step finds all that it leads to; the second direction is drawn.
    H = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0])).double()

    def product(vectors: Tensor) -> Tensor:
        return (vectors.flatten(2) @ H).reshape(vectors.shape)

    start = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]).double()
    context = torch.ones(1, 2).bool()
    second = [lanczos(product, start, context, 2, seed=seed)[0][0, :, :, 1] for seed in (0, 0, 1)]
    assert torch.equal(second[0], second[1])
    assert not torch.allclose(second[0].abs(), second[2].abs(), rtol=0.01)
    sizes = [low_rank_size(product, start, context, 2, "row", seed) for seed in (0, 1)]
    assert not torch.allclose(sizes[0], sizes[1], rtol=0.01)


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, 1e-14), (torch.float32, 1e-5)])
def test_directions_stay_orthonormal_where_eigenvalues_differ_by_orders(
    dtype: torch.dtype, precision: float
) -> None:
    # Eigenvalues from 1 down to 1e-12: what is left of an image is far shorter than the image, and projected out once
    # it would still lie along the earlier directions.
    n = 20
    Q = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(0)).double()).Q
    H = ((Q * 10.0 ** (-12 * torch.arange(n).double() / (n - 1))) @ Q.T).to(dtype)

    def product(vectors: Tensor) -> Tensor:
        return (vectors.flatten(2) @ H).reshape(vectors.shape)

    start = torch.randn(1, n // 2, 2, generator=torch.Generator().manual_seed(1)).to(dtype)
    basis, T = lanczos(product, start, torch.ones(1, n // 2).bool(), n, seed=0)
    basis = basis.reshape(n, n)
    torch.testing.assert_close(basis.T @ basis, torch.eye(n, dtype=dtype), rtol=0, atol=precision)
    torch.testing.assert_close(basis @ T[0] @ basis.T, H, rtol=0, atol=precision)


def test_a_rank_above_the_size_is_refused() -> None:
    with pytest.raises(ConfigError, match=f"rank 129 exceeds the Hessian's size n·d = {N * WIDTH}"):
        curvature(tiny_model("llama"), text(), rank=N * WIDTH + 1)
