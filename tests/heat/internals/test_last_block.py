"""The last MLP at the columns that are read: the same predictions and derivatives, and fewer rows through it."""

import pytest
import torch
from fakes.tiny_models import FAMILIES, tiny_model
from torch import Tensor

from heat.internals.forward import log_probs
from heat.internals.last_block import _last_mlp, last_mlp_at
from heat.internals.state import eager_attention, frozen

WHOLE = {"opt", "bloom"}
# Their attention is computed in float32, whatever the model's dtype.
IN_FLOAT32 = {"gptj", "gpt_neo"}


@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_and_second_derivatives_are_those_of_the_whole(family: str) -> None:
    model = tiny_model(family).double()
    ids = torch.randint(3, 300, (2, 9), generator=torch.Generator().manual_seed(0))
    embeddings = model.get_input_embeddings()(ids).detach()
    mask, rows, positions = torch.ones_like(ids), torch.tensor([0, 1]), torch.tensor([8, 5])

    def both(values: Tensor, point: Tensor) -> list[Tensor]:
        (first,) = torch.autograd.grad(values[:, 7].sum(), point, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), point)
        return [values.detach(), first.detach(), second]

    with frozen(model), eager_attention(model):
        point = embeddings.clone().requires_grad_()
        found = both(log_probs(model, point, mask, mask.cumsum(-1) - 1, rows, positions), point)
        point = embeddings.clone().requires_grad_()
        expected = both(model(inputs_embeds=point).logits.log_softmax(-1)[rows, positions], point)
    for a, b in zip(found, expected, strict=True):
        bound = 1e-4 if family in IN_FLOAT32 else 1e-9
        torch.testing.assert_close(a, b, rtol=bound, atol=bound * float(b.abs().max()))


@pytest.mark.parametrize("family", FAMILIES)
def test_which_families_have_one(family: str) -> None:
    model = tiny_model(family)
    mlp = _last_mlp(model)
    assert (mlp is None) == (family in WHOLE)
    if mlp is None:
        return
    seen: list[int] = []
    inner = next(module for module in mlp.modules() if module is not mlp)
    handle = inner.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-2]))
    with torch.no_grad(), last_mlp_at(model, torch.tensor([3])):
        model(torch.arange(3, 10)[None])
    with torch.no_grad():
        model(torch.arange(3, 10)[None])
    handle.remove()
    assert seen == [1, 7]


def test_a_forward_of_its_own_comes_back_after_an_error() -> None:
    model = tiny_model("llama")
    mlp = model.model.layers[-1].mlp
    own = mlp.forward
    with pytest.raises(KeyboardInterrupt), last_mlp_at(model, torch.tensor([0])):
        raise KeyboardInterrupt
    assert "forward" not in vars(mlp)
    mlp.forward = own
    with last_mlp_at(model, torch.tensor([0])):
        assert mlp.forward is not own
    assert vars(mlp)["forward"] is own
