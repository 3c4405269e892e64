"""The vocabulary head at the places that are read: the same logits, and fewer rows through it."""

import pytest
import torch
from fakes.tiny_models import FAMILIES, tiny_model

from heat.internals.forward import logits
from heat.internals.head import head_at
from heat.internals.state import frozen


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_of_unlike_lengths_pay_for_their_own_places(family: str) -> None:
    model = tiny_model(family)
    ids = torch.randint(3, 300, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    rows, positions = torch.tensor([0, 1, 2, 2]), torch.tensor([8, 5, 3, 5])
    embeddings = model.get_input_embeddings()(ids).detach()
    read: list[int] = []
    handle = model.get_output_embeddings().register_forward_hook(
        lambda _, args, output: read.append(output.shape[:-1].numel())
    )
    with frozen(model), torch.no_grad():
        values = logits(model, embeddings, mask, mask.cumsum(-1) - 1, rows, positions)
        whole = model(inputs_embeds=embeddings).logits[rows, positions]
    handle.remove()
    torch.testing.assert_close(values, whole, rtol=1e-5, atol=1e-5)
    # Three columns of three texts would be nine.
    assert read == [4, 27]


def test_a_head_that_was_not_called_is_read_from_all_columns() -> None:
    model = tiny_model("llama")
    with head_at(model, torch.tensor([1]), torch.tensor([0])) as places:
        assert torch.equal(places.of(torch.arange(12.0).reshape(2, 2, 3)), torch.tensor([[6.0, 7.0, 8.0]]))
    assert not model.get_output_embeddings()._forward_pre_hooks
