"""Predicted passes beside those that go through the blocks, for every method."""

import pytest
import torch
from fakes.tiny_models import tiny_lm

import heat
from heat.batch import collate
from heat.components.pieces import has_pieces
from heat.internals.passes import counted_passes
from heat.measure import LiveBytes

N = 40
# Chosen while they run, or drawn: what is predicted bounds what is counted, or is its mean.
ADAPTIVE = {"reagent", "context-cite", "owen", "heat-adaptive"}
OPTIONS: dict[str, dict[str, object]] = {
    "at2": {"weights": "uniform"},
    "heat-low-rank": {"rank": 6},
    "heat-windowed": {"window": 16, "tail": 4},
    "heat-lr-win": {"window": 16, "tail": 4, "rank": 6},
    "heat-layer-sampling": {"layers": 2},
}


def counted(name: str, n_layers: int, n_targets: int, **options: object) -> tuple[float, float, float]:
    """Forward and backward passes over the prompt, and how many there should be."""
    changes = {"n_layer": n_layers} if n_targets > 1 else {"num_hidden_layers": n_layers}
    lm = tiny_lm("gpt2" if n_targets > 1 else "llama", **changes)
    method = heat.methods()[name](**{**OPTIONS.get(name, {}), **options})
    encoded = heat.encode(lm, [5 + 3 * i % 40 for i in range(N)], [9, 8, 7][:n_targets])
    batch = collate([encoded])
    has_pieces(lm.model)  # asked once a model, on two texts of its own
    with counted_passes(lm.model) as passes:
        method.score(lm, batch)
    assert not any(module._forward_hooks for module in lm.model.modules())
    costs = method.costs_in(N, n_targets, n_layers)
    # What is computed beside the passes.
    costs.pop("matrices", None)
    predicted = sum(costs.values())
    return passes.forward / N, passes.backward / N, predicted


def agrees(found: float, predicted: float, width: int, n_targets: int) -> bool:
    """Equal, but that a pass may hold the targets, which the prompt's length does not count."""
    return predicted * (1 - 1e-6) <= found <= predicted * (width + n_targets) / width * (1 + 1e-6)


@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("name", sorted(set(heat.methods()) - ADAPTIVE))
def test_predicted_passes_are_those_counted(name: str, n_targets: int) -> None:
    forward, backward, predicted = counted(name, 4, n_targets)
    width = 20 if heat.methods()[name].splits_prompt else N
    assert agrees(forward + backward, predicted, width, n_targets)


@pytest.mark.parametrize("products", ["double-backward", "batched", "finite-difference"])
@pytest.mark.parametrize("mode", ["row", "block"])
@pytest.mark.parametrize("name", ["hessian-only", "heat-layer-sampling"])
def test_every_kind_of_product_is_counted(name: str, mode: str, products: str) -> None:
    found = counted(name, 3, 1, mode=mode, products=products, n_probes=2)
    assert agrees(found[0] + found[1], found[2], N, 1)


@pytest.mark.parametrize("mask", ["zero", "mean", "attention"])
def test_a_mean_mask_pays_for_each_target(mask: str) -> None:
    forward, backward, predicted = counted("kl-only", 2, 3, mask=mask)
    assert backward == 0
    assert agrees(forward, predicted, N, 3)


@pytest.mark.parametrize("layer", [None, 0, 2, 3])
def test_the_way_back_ends_at_the_layer(layer: int | None) -> None:
    forward, backward, predicted = counted("layer-integrated-gradients", 4, 1, layer=layer, n_steps=10)
    assert agrees(forward + backward, predicted, N, 1)
    assert backward == pytest.approx(10 * (1 - (2 if layer is None else layer) / 4) * (N + 1) / N)


def test_the_adaptive_ones_are_bounded() -> None:
    forward, _, predicted = counted("reagent", 2, 1)
    assert 0 < forward <= predicted
    forward, _, predicted = counted("owen", 2, 1, budget=50)
    assert 44 < forward <= predicted == 50
    forward, _, predicted = counted("context-cite", 2, 1)
    # Padded to the longest draw, of at most all tokens.
    assert 0.5 * 64 <= forward <= 64
    assert predicted == pytest.approx(forward, rel=0.25)


def test_gradients_and_products_are_told_apart() -> None:
    # A gradient: once each way. Ten products: back through the backward pass and the forward one.
    forward, backward, _ = counted("hessian-only", 2, 1)
    assert (forward, backward) == pytest.approx(((N + 1) / N, 21 * (N + 1) / N))


def test_live_bytes_are_those_of_storages() -> None:
    outside = torch.ones(100)
    with LiveBytes() as live:
        kept = torch.zeros(1000)
        assert live.now == 4000
        view = kept[10:].reshape(-1, 10)
        outside.add_(1)
        assert live.now == 4000
        other = outside + 1
        assert live.now == 4400
        del kept
        assert live.now == 4400
        del view
        assert live.now == 400
        del other
    assert (live.now, live.peak) == (0, 4400)
