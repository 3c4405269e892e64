"""Fused activation functions give what the written-out ones give, twice differentiated too."""

import pytest
import torch
from fakes.tiny_models import FAMILIES, tiny_model
from torch import Tensor, nn
from transformers import PreTrainedModel, activations

from heat.internals.activations import _FUSED, fused_activations


class One(nn.Module):
    """A model of one activation."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x)


def derivatives(model: nn.Module, x: Tensor, vector: Tensor) -> list[Tensor]:
    point = x.clone().requires_grad_()
    y = model(point)
    (first,) = torch.autograd.grad((y**2).sum(), point, create_graph=True)
    (second,) = torch.autograd.grad(first, point, vector, retain_graph=True)
    (batched,) = torch.autograd.grad(first, point, torch.stack([vector, 2 * vector]), is_grads_batched=True)
    return [y.detach(), first.detach(), second, batched]


@pytest.mark.parametrize("kind", _FUSED, ids=lambda kind: kind.__name__)
def test_values_and_derivatives(kind: type[nn.Module]) -> None:
    model = One(kind())
    generator = torch.Generator().manual_seed(0)
    x, vector = torch.randn(2, 3, 50, generator=generator, dtype=torch.float64) * 3
    expected = derivatives(model, x, vector)
    with fused_activations(model, differentiated_twice=True):
        found = derivatives(model, x, vector)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)
    with fused_activations(model):
        torch.testing.assert_close(model(x), expected[0], rtol=1e-8, atol=1e-10)
    assert "forward" not in vars(model.activation)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"bloom"}))
def test_families_whose_activation_is_fused(family: str) -> None:
    model: PreTrainedModel = tiny_model(family)
    with fused_activations(model):
        replaced = [module for module in model.modules() if "forward" in vars(module)]
    # OPT's is a ReLU, which is one kernel already.
    assert replaced == [] if family == "opt" else all("forward" not in vars(module) for module in replaced)


def test_a_forward_of_its_own_comes_back_after_an_error() -> None:
    model = One(activations.NewGELUActivation())
    own = model.activation.forward
    model.activation.forward = own
    with pytest.raises(KeyboardInterrupt), fused_activations(model):
        raise KeyboardInterrupt
    assert vars(model.activation)["forward"] is own
