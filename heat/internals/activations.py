"""Activation functions in one kernel, and with their derivatives computed once for all Hessian-vector products.

Some families write their activation out as half a dozen operations on the widest tensors of the model. Differentiated
twice these become dozens, and cost as much as the matrix products do.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import gelu, silu
from transformers import PreTrainedModel, activations

Function = Callable[[Tensor], Tensor]

_tanh_gelu = partial(gelu, approximate="tanh")
_FUSED: dict[type[nn.Module], Function] = {
    activations.NewGELUActivation: _tanh_gelu,
    activations.FastGELUActivation: _tanh_gelu,
    activations.GELUTanh: _tanh_gelu,
    activations.GELUActivation: gelu,
    activations.SiLUActivation: silu,
    nn.SiLU: silu,
}


@contextmanager
def fused_activations(model: PreTrainedModel, *, differentiated_twice: bool = False) -> Iterator[None]:
    """The same activation functions, to rounding, each in one kernel.

    Args:
        model: The model; its modules get their own `forward` back.
        differentiated_twice: Keep σ' and σ'' from the forward pass, so that a backward pass and each backward pass
            through that one cost a product each. Neither `torch.func` nor a third derivative passes through them.
    """
    replaced: list[tuple[nn.Module, Any]] = []
    try:
        for module in model.modules():
            function = _FUSED.get(type(module))
            if function is not None:
                replaced.append((module, vars(module).get("forward")))
                module.forward = partial(_twice, function) if differentiated_twice else function
        yield
    finally:
        for module, forward in replaced:
            if forward is None:
                del module.forward
            else:
                module.forward = forward


def _twice(function: Function, x: Tensor) -> Tensor:
    result: Tensor = _Activation.apply(x, function)  # type: ignore[no-untyped-call]
    return result


class _Activation(torch.autograd.Function):
    """y = σ(x), with σ'(x) and σ''(x) computed beside it."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, function: Function) -> Tensor:
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            y = function(point)
            (first,) = torch.autograd.grad(y.sum(), point, create_graph=True)
            (second,) = torch.autograd.grad(first.sum(), point)
        ctx.save_for_backward(x, first.detach(), second)
        return y.detach()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return _Slope.apply(upstream, *ctx.saved_tensors), None  # type: ignore[no-untyped-call]


class _Slope(torch.autograd.Function):
    """g σ'(x), whose derivatives are σ'(x) by g and g σ''(x) by x."""

    @staticmethod
    def forward(ctx: FunctionCtx, upstream: Tensor, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward(first, upstream * second)
        return upstream * first

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, vector: Tensor) -> tuple[Tensor, Tensor, None, None]:
        first, bend = ctx.saved_tensors
        return vector * first, vector * bend, None, None
