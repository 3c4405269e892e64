"""What a computation really spends: bytes of live tensors, and passes through the model's blocks."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import PreTrainedModel

from heat.internals.attention import decoder_blocks


class LiveBytes(TorchDispatchMode):
    """Bytes of the tensors that live at one time, of those made while the mode is on.

    Each storage counts once, however many views it has, from the operation that made it until it is freed. What a
    kernel takes and gives back within one operation is not seen.

    Attributes:
        now: Bytes alive.
        peak: The most there ever were.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._held: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation and count what it made."""
        kwargs = kwargs or {}
        # What came from outside is not ours, also where an operation returns a view of it.
        given = {
            leaf.untyped_storage()._cdata for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Tensor)
        }
        result = func(*args, **kwargs)
        for leaf in tree_iter(result):
            if isinstance(leaf, Tensor):
                self._count(leaf, given)
        return result

    def _count(self, tensor: Tensor, given: set[int]) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._held or key in given:
            return
        self._held[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, key)

    def _freed(self, key: int) -> None:
        self.now -= self._held.pop(key, 0)


@dataclass
class Passes:
    """Tokens that went through a model's blocks, averaged over the blocks.

    Attributes:
        forward: Forwards.
        backward: Backwards; a Hessian-vector product goes back twice, through the backward pass and the forward one.
    """

    forward: float = 0.0
    backward: float = 0.0
    _handles: list[Any] = field(default_factory=list, repr=False)


@contextmanager
def counted_passes(model: PreTrainedModel) -> Iterator[Passes]:
    """Count tokens that go forwards and backwards through the blocks, until the end of the context.

    Args:
        model: The model; its hooks are gone afterwards.

    Yields:
        The count, complete when the context ends.
    """
    passes = Passes()
    blocks = decoder_blocks(model)
    share = 1.0 / len(blocks)

    def backward(gradient: Tensor) -> None:
        passes.backward += share * _tokens(gradient)
        if gradient.requires_grad:
            # The graph of a gradient is gone through by each second derivative.
            gradient.register_hook(again)

    def again(gradient: Tensor) -> None:
        passes.backward += share * _tokens(gradient)

    def forward(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        passes.forward += share * _tokens(hidden)
        if hidden.requires_grad:
            hidden.register_hook(backward)

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
