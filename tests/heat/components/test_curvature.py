import sys
from dataclasses import replace

import pytest
import torch
from fakes.batches import random_batch
from fakes.hessians import explicit_hessian
from fakes.tiny_models import FAMILIES, WIDTH, tiny_model
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from heat.batch import Batch
from heat.components import curvature, rademacher
from heat.components.curvature import _at_positions, _finite_difference
from heat.errors import PrecisionError, UnsupportedModelError
from heat.internals.forward import embed, explained
from heat.internals.state import eager_attention

N = 6


def text(n_targets: int = 1) -> Batch:
    return random_batch(N + 1, n_targets=n_targets, seed=1)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return tiny_model("llama").double()


def test_row_equals_the_explicit_hessian(model: torch.nn.Module) -> None:
    batch = text()
    probes = rademacher(5, N + 1, WIDTH, seed=3).double()
    expected = torch.einsum("pid,idje->pje", probes, explicit_hessian(model, batch)).abs().sum(-1).mean(0)
    torch.testing.assert_close(curvature(model, batch, probes=probes)[0], expected, rtol=1e-6, atol=1e-9)


def test_block_equals_the_explicit_hessian(model: torch.nn.Module) -> None:
    batch = text()
    probes = rademacher(3, N + 1, WIDTH, seed=3).double()
    blocks = explicit_hessian(model, batch)
    own = torch.stack([blocks[i, :, i] for i in range(N + 1)])  # [n, d, d]
    expected = torch.einsum("ide,kie->kid", own, probes).abs().sum(-1).mean(0)
    torch.testing.assert_close(
        curvature(model, batch, mode="block", probes=probes)[0], expected, rtol=1e-6, atol=1e-9
    )


def test_many_probes_approach_the_row_norms(model: torch.nn.Module) -> None:
    # Khinchine: ‖h‖₂ / √2 <= E|h·r| <= ‖h‖₂ for every row h of the Hessian; so for sums over a token's rows.
    batch = text()
    norms = explicit_hessian(model, batch).flatten(2).norm(dim=-1).sum(1)[:-1]
    found = curvature(model, batch, n_probes=300)[0, :-1]
    assert (found < norms * 1.05).all()
    assert (found > norms / 2**0.5 * 0.95).all()
    # With some 200 coordinates a row's product is close to normal, whose mean absolute value is √(2/π) σ.
    torch.testing.assert_close(found, norms * (2 / torch.pi) ** 0.5, rtol=0.1, atol=0)


@pytest.mark.parametrize("mode", ["row", "block"])
@pytest.mark.parametrize(
    ("dtype", "family"), [(torch.float64, "llama"), (torch.float32, "llama"), (torch.float32, "gpt2")]
)
def test_finite_differences_agree_to_a_percent(dtype: torch.dtype, family: str, mode: str) -> None:
    model, batch = tiny_model(family).to(dtype), text()
    exact = curvature(model, batch, mode=mode, n_probes=4)[0, :-1]
    found = curvature(model, batch, mode=mode, n_probes=4, products="finite-difference")[0, :-1]
    torch.testing.assert_close(found, exact, rtol=0.01, atol=0.01 * float(exact.max()))


def test_a_small_budget_changes_nothing(model: torch.nn.Module) -> None:
    batch = text(n_targets=3)
    for mode in ("row", "block"):
        whole = curvature(model, batch, mode=mode, n_probes=4)
        torch.testing.assert_close(curvature(model, batch, mode=mode, n_probes=4, batch_tokens=1), whole)


def test_several_targets_equal_one_at_a_time(model: torch.nn.Module) -> None:
    batch = text(n_targets=3)
    together = curvature(model, batch)
    for index in range(3):
        alone = Batch(
            batch.token_ids,
            batch.attention_mask,
            batch.rows[:1],
            batch.positions[index, None],
            batch.target_ids[index, None],
        )
        torch.testing.assert_close(curvature(model, alone)[0], together[index])
        assert (together[index, batch.positions[index] + 1 :] == 0).all()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("mode", ["row", "block"])
@pytest.mark.parametrize("products", ["double-backward", "finite-difference"])
def test_left_padding_changes_nothing(family: str, products: str, mode: str) -> None:
    # In float32: under float64 several families turn a padding token's own, fully masked, attention into NaN.
    model, batch = tiny_model(family), text()
    padding = torch.zeros(1, 4, dtype=torch.long)
    padded = Batch(
        torch.cat([padding, batch.token_ids], 1),
        torch.cat([padding, batch.attention_mask], 1),
        batch.rows,
        batch.positions + 4,
        batch.target_ids,
    )
    found = curvature(model, padded, mode=mode, products=products)
    assert (found[:, :4] == 0).all()
    plain = curvature(model, batch, mode=mode, products=products)
    torch.testing.assert_close(found[:, 4:], plain, rtol=0.01, atol=1e-3 * float(plain.max()))


def test_probes_lie_on_tokens_and_not_on_padding() -> None:
    # A difference's step is measured by the length of its probe, which padding may not lengthen.
    ids = torch.tensor([[0, 0, 5, 6], [5, 6, 7, 0]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    batch = Batch(ids, mask, torch.tensor([0, 1]), torch.tensor([2, 1]), torch.tensor([6, 7]))
    probes = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]])
    assert _at_positions(probes, batch)[0, ..., 0].tolist() == [[0, 0, 1, 2], [1, 2, 3, 0]]


def test_a_seed_draws_its_own_probes(model: torch.nn.Module) -> None:
    batch = text()
    found = {seed: curvature(model, batch, n_probes=2, seed=seed) for seed in (0, 1)}
    assert not torch.allclose(found[0], found[1])
    for seed in (0, 1):
        probes = rademacher(2, N + 1, WIDTH, seed)
        torch.testing.assert_close(found[seed], curvature(model, batch, probes=probes))
    # Of 7 · 2 · 32 signs, half differ between two seeds.
    same = (rademacher(2, N + 1, WIDTH, 0) == rademacher(2, N + 1, WIDTH, 1)).float().mean()
    assert 0.35 < float(same) < 0.65


def test_bfloat16_is_computed_in_float32() -> None:
    model, batch = tiny_model("llama").bfloat16(), text()
    reference = curvature(tiny_model("llama").bfloat16().float(), batch)
    found = curvature(model, batch)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, reference, rtol=1e-4, atol=1e-5)
    assert all(weight.dtype == torch.bfloat16 for weight in model.parameters())


def test_float16_is_refused_with_a_reason() -> None:
    with pytest.raises(PrecisionError, match="underflow"):
        curvature(tiny_model("llama").half(), text())


@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31))
def test_probes_are_signs_and_begin_alike(n_probes: int, shorter: int, longer: int, seed: int) -> None:
    few, many = (rademacher(n_probes, n, 3, seed) for n in sorted((shorter, longer)))
    assert set(many.unique().tolist()) <= {-1.0, 1.0}
    assert torch.equal(many[:, : few.shape[1]], few)


@pytest.mark.parametrize("mode", ["row", "block"])
@pytest.mark.parametrize("products", ["double-backward", "batched", "forward-over-reverse"])
def test_every_product_strategy_equals_the_explicit_hessian(
    model: torch.nn.Module, products: str, mode: str
) -> None:
    batch = text(n_targets=2)
    probes = rademacher(3, N + 1, WIDTH, seed=0).double()
    found = curvature(model, batch, mode=mode, products=products, probes=probes)
    for target, one in enumerate(
        batch.one_target_per_row().of_rows(torch.tensor([row]))[0] for row in (0, 1)
    ):
        hessian = explicit_hessian(model, one)
        if mode == "row":
            expected = torch.einsum("idje,kje->kid", hessian, probes)
        else:
            expected = torch.einsum("idie,kie->kid", hessian, probes)
        sizes = expected.abs().sum(-1).mean(0)
        torch.testing.assert_close(found[target], sizes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_block_by_suffixes_equals_whole_products(family: str) -> None:
    model, batch = tiny_model(family).double(), text()
    found = curvature(model, batch, mode="block", n_probes=2)
    if family == "bloom":  # cannot be differentiated forwards
        whole = curvature(model, batch, mode="block", products="finite-difference", n_probes=2)
        torch.testing.assert_close(found, whole, rtol=1e-2, atol=1e-2 * float(whole.max()))
        return
    whole = curvature(model, batch, mode="block", products="forward-over-reverse", n_probes=2)
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-8)


def test_a_model_that_cannot_be_differentiated_forwards_says_so() -> None:
    with pytest.raises(UnsupportedModelError, match="products='batched'"):
        curvature(tiny_model("bloom"), text(), products="forward-over-reverse")


def test_at_the_input_of_a_block_equals_the_explicit_hessian(model: torch.nn.Module) -> None:
    batch = text()
    block = model.model.layers[1]
    seen: list[Tensor] = []
    handle = block.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    with torch.no_grad():
        explained(model, batch, embed(model, batch))
    handle.remove()

    def g(hidden: Tensor) -> Tensor:
        handle = block.register_forward_pre_hook(lambda module, inputs: (hidden, *inputs[1:]))
        try:
            return explained(model, batch, embed(model, batch)).sum()
        finally:
            handle.remove()

    with eager_attention(model):
        hessian = torch.autograd.functional.hessian(g, seen[0])
    probes = rademacher(3, N + 1, WIDTH, seed=3).double()
    size = (N + 1) * WIDTH
    expected = (
        (probes.flatten(1) @ hessian.reshape(size, size)).reshape(3, N + 1, WIDTH).abs().sum(-1).mean(0)
    )
    found = curvature(model, batch, probes=probes, layers=1)
    torch.testing.assert_close(found[0], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_layers_bend_as_the_embeddings_do(family: str) -> None:
    # What enters the first block is the embedding plus a constant, but for a factor (Gemma) or a norm (BLOOM).
    model, batch = tiny_model(family).double(), text()
    found = curvature(model, batch, layers=9, n_probes=2)
    assert found.isfinite().all()
    if family not in ("gemma2", "bloom"):
        torch.testing.assert_close(found, curvature(model, batch, n_probes=2), rtol=1e-5, atol=1e-8)


def test_differences_of_several_foils_equal_exact_products() -> None:
    model, batch = (
        tiny_model("llama").double(),
        replace(text(n_targets=3), foil_ids=torch.tensor([9, 50, 200])),
    )
    exact = curvature(model, batch, n_probes=2, products="double-backward")
    found = curvature(model, batch, n_probes=2, products="finite-difference")
    torch.testing.assert_close(found, exact, rtol=0.01, atol=0.01 * float(exact.max()))


def test_a_difference_moves_by_a_two_thousandth_of_the_context_whatever_the_probe_s_length() -> None:
    # Of g = Σ x⁴ the difference is 12 x² v + 4 ε² v³, which tells how far the points were moved.
    generator = torch.Generator().manual_seed(0)
    point = torch.randn(1, 4, 3, generator=generator).double()
    ids = torch.tensor([[5, 6, 7, 8]])
    batch = Batch(ids, torch.ones_like(ids), torch.tensor([0]), torch.tensor([2]), ids[0, -1:])
    product = _finite_difference(lambda _, at: at.pow(4).sum((1, 2)), batch, point, pieces=False)
    direction = torch.randn(1, 1, 4, 3, generator=generator).double()
    direction[:, :, 3] = 0
    # ∛ε = 0.00492 of float32, a tenth of it, times the root mean square of the context's three tokens.
    moved = 0.1 * (2.0**-23) ** (1 / 3) * point[0, :3].square().mean().sqrt()
    for length in (1.0, 100.0):
        v = length * direction
        step = moved / v[0, 0, :3].square().mean().sqrt()
        beside = (product(v) - 12 * point.square() * v)[0, 0, :3] / (4 * v[0, 0, :3].pow(3))
        torch.testing.assert_close(beside.median(), step.square(), rtol=1e-3, atol=0)


def test_long_texts_take_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny_model("llama"), text()
    exact = curvature(model, batch)
    module = sys.modules["heat.components.curvature"]  # the package has a function of that name
    monkeypatch.setattr(module, "LONGEST_SECOND_DERIVATIVE", 3)
    found = curvature(model, batch)
    assert torch.equal(found, curvature(model, batch, products="finite-difference"))
    torch.testing.assert_close(found, exact, rtol=0.01, atol=0.01 * float(exact.max()))
