"""Tokens that go through a model's blocks, counted while a computation runs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from heat.internals.attention import decoder_blocks


@dataclass
class Passes:
    """Tokens that went through a model's blocks, averaged over the blocks.

    Attributes:
        forward: Forwards.
        backward: Backwards; a Hessian-vector product goes back twice, through the backward pass and the forward one.
    """

    forward: float = 0.0
    backward: float = 0.0


@contextmanager
def counted_passes(
    model: PreTrainedModel, tick: Callable[[Passes], object] | None = None
) -> Iterator[Passes]:
    """Count tokens that go forwards and backwards through the blocks, until the end of the context.

    Args:
        model: The model; its hooks are gone afterwards.
        tick: Progress callback, called after every block with the count so far. What it raises ends the computation
            there.

    Yields:
        The count, complete when the context ends.
    """
    passes = Passes()
    blocks = decoder_blocks(model)
    share = 1.0 / len(blocks)
    tell = tick or (lambda _: None)

    def backward(gradient: Tensor) -> None:
        passes.backward += share * _tokens(gradient)
        if gradient.requires_grad:
            # The graph of a gradient is gone through by each second derivative.
            gradient.register_hook(again)
        tell(passes)

    def again(gradient: Tensor) -> None:
        passes.backward += share * _tokens(gradient)
        tell(passes)

    def forward(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        passes.forward += share * _tokens(hidden)
        if hidden.requires_grad:
            hidden.register_hook(backward)
        tell(passes)

    with ExitStack() as stack:
        for block in blocks:
            handle = block.register_forward_hook(forward, with_kwargs=True)
            stack.callback(handle.remove)
        yield passes


def _tokens(hidden: Tensor) -> int:
    """B · T of [B, T, d], times the vectors that a batch of products carries along unseen."""
    width = hidden.shape[-1]
    if torch._C._functorch.is_legacy_batchedtensor(hidden):
        hidden = torch._remove_batch_dim(hidden, 1, 0, 0)
    return hidden.numel() // width
