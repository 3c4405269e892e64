"""Second derivatives by differences in models that break off or choose."""

from collections.abc import Callable

import pytest
import torch
from fakes.tiny_models import tiny_model
from torch import Tensor
from torch.nn import functional

from heat.batch import Batch
from heat.components import curvature
from heat.components.pieces import Tape, has_pieces, held, recorded
from heat.errors import UnsupportedModelError

HERE = torch.tensor([[-2.0, 3.0, 0.5, -0.1]])
THERE = torch.tensor([[1.0, -4.0, 9.0, 2.0]])
HELD: dict[str, tuple[Callable[[Tensor], Tensor], list[float]]] = {
    "relu": (torch.relu, [0.0, -4, 9, 0]),
    "relu as a function": (functional.relu, [0.0, -4, 9, 0]),
    "leaky": (lambda x: functional.leaky_relu(x, 0.1), [0.1, -4, 9, 0.2]),
    "relu6": (functional.relu6, [0.0, -4, 9, 0]),
    "clamp": (lambda x: x.clamp(min=-1, max=1), [-1.0, 1, 9, 2]),
    "abs": (lambda x: x.abs(), [-1.0, -4, 9, -2]),
    "comparison": (lambda x: torch.where(x > 0, 10 * x, x), [1.0, -40, 90, 2]),
    "greater of two": (lambda x: torch.maximum(x, 1 - x), [0.0, -4, 9, -1]),
    "less of two": (lambda x: torch.min(x, 1 - x), [1.0, 5, 9, 2]),
    "two largest": (lambda x: x.topk(2, dim=-1).values, [-4.0, 9]),
    "two largest, by place": (lambda x: x.topk(2).values, [-4.0, 9]),
    "largest": (lambda x: x.max(dim=-1).values, [-4.0]),
    "largest, kept": (lambda x: x.max(dim=-1, keepdim=True)[0][:, 0], [-4.0]),
    "largest of all": (lambda x: x.max()[None], [-4.0]),
    "sorted": (lambda x: x.sort(-1).values, [1.0, 2, 9, -4]),
    "place of the largest": (lambda x: x.argmax(-1).float(), [1.0]),
    "rounded": (lambda x: x + torch.round(x), [-1.0, -1, 9, 2]),
}


@pytest.mark.parametrize("name", HELD)
def test_a_choice_is_made_as_it_was_at_the_point(name: str) -> None:
    function, expected = HELD[name]
    tape: Tape = []
    with recorded(tape):
        function(HERE)
    with held(tape):
        found = function(THERE)
    torch.testing.assert_close(found.flatten(), torch.tensor(expected))
    with held(tape):
        again = function(HERE)
    torch.testing.assert_close(again, function(HERE))


def test_another_way_through_the_model_is_noticed() -> None:
    tape: Tape = []
    with recorded(tape):
        torch.relu(HERE)
    with held(tape), pytest.raises(UnsupportedModelError, match="'topk' where there was 'relu'"):
        HERE.topk(1)


def text(n_tokens: int) -> Batch:
    token_ids = torch.randint(3, 320, (2, n_tokens), generator=torch.Generator().manual_seed(3))
    ends = torch.tensor([n_tokens - 2, n_tokens - 5])
    return Batch(token_ids, torch.ones_like(token_ids), torch.arange(2), ends, token_ids[:, -1])


@pytest.mark.parametrize("family", ["opt", "nemotron", "mixtral", "phimoe", "gpt_oss", "gpt_neo", "llama"])
def test_differences_agree_with_second_derivatives_to_a_hundredth(family: str) -> None:
    model, batch = tiny_model(family), text(24)
    assert has_pieces(model) == (family not in ("gpt_neo", "llama"))
    exact = curvature(model, batch, products="double-backward", n_probes=3)
    found = curvature(model, batch, products="finite-difference", n_probes=3)
    assert float((found - exact).abs().max()) < 0.01 * float(exact.max())


def test_longer_texts_take_them_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(curvature.__globals__, "LONGEST_SECOND_DERIVATIVE", 10)
    model, batch = tiny_model("mixtral"), text(24)
    exact = curvature(model, batch, products="double-backward", n_probes=2)
    found = curvature(model, batch, n_probes=2)
    assert not torch.equal(found, exact)
    assert float((found - exact).abs().max()) < 0.01 * float(exact.max())
