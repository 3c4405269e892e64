"""The inner functions of components in one graph: no number goes back to the host on the way."""

import torch
from fakes.batches import batch_of

from heat.components.adaptive import _heaviest
from heat.components.masked import kl


def compiled(function: object) -> object:
    # Tracing alone; what a backend makes of the graph is not in question.
    return torch.compile(function, fullgraph=True, backend="eager")


def test_divergences_are_one_graph() -> None:
    batch = batch_of([5, 17, 200, 31], n_targets=2)
    generator = torch.Generator().manual_seed(0)
    unmasked, masked = torch.randn(2, 2, 50, generator=generator).log_softmax(-1).unbind()
    assert torch.equal(compiled(kl)(unmasked, masked, batch), kl(unmasked, masked, batch))


def test_the_choice_of_the_heaviest_is_one_graph() -> None:
    values = torch.tensor([[1.0, 5.0, 3.0, 1.0], [0.0, 0.0, 2.0, 0.0]])
    expected = torch.tensor([[False, True, True, False], [False, False, True, False]])
    assert torch.equal(compiled(_heaviest)(values, 0.7), expected)
