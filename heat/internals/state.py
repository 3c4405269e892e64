"""Borrow a model for a computation and give it back as it was, also after an exception or Ctrl-C."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from heat.errors import PrecisionError


@contextmanager
def frozen(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode, and no gradients for the weights.

    Args:
        model: The model; each module's mode and each weight's `requires_grad` are restored.
    """
    modes = [(module, module.training) for module in model.modules()]
    flags = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        model.train(False)
        for weight, _ in flags:
            weight.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for weight, requires_grad in flags:
            weight.requires_grad_(requires_grad)


def text_decoder(model: PreTrainedModel) -> PreTrainedModel:
    """The part of a model that reads text and holds the blocks: all of it but the head, and but an image's tower.

    Args:
        model: The model.
    """
    decoder: nn.Module = model.get_decoder()
    if not isinstance(decoder, PreTrainedModel):
        decoder = model.base_model  # encoders call their head "decoder"
    return cast(PreTrainedModel, decoder)


@contextmanager
def eager_attention(model: PreTrainedModel) -> Iterator[None]:
    """Plain attention, which shows its weights and can be differentiated twice (fused kernels do neither).

    Families whose attention is a class chosen at loading (GPT-J) are left alone: theirs is plain already, or
    is refused where the weights are read. Falcon has such classes too, but its `sdpa` is the plain one.

    Args:
        model: The model; the implementation in each of its configs is restored.
    """
    if model._can_set_attn_implementation() or model.config._attn_implementation_internal == "sdpa":
        with attention_implementation(model, "eager"):
            yield
    else:
        yield


@contextmanager
def attention_implementation(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Another attention implementation for a while.

    Args:
        model: The model; the implementation in each of its configs is restored.
        name: Name in transformers' attention interface.
    """
    configs = {id(part.config): part.config for part in model.modules() if isinstance(part, PreTrainedModel)}
    saved = [(config, config._attn_implementation_internal) for config in configs.values()]
    try:
        for config, _ in saved:
            config._attn_implementation_internal = name
        yield
    finally:
        for config, implementation in saved:
            config._attn_implementation_internal = implementation


@contextmanager
def hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    """A hook that is called with `(module, args, kwargs)` before a module runs, and is gone afterwards.

    Args:
        module: The module.
        hook: May return `(args, kwargs)` to call the module with instead, or None.
    """
    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def in_float32(model: PreTrainedModel) -> Iterator[None]:
    """bfloat16 weights upcast to float32, because second derivatives drown in bfloat16's rounding.

    Costs four bytes a weight while it lasts; a model in float32 or float64 is left alone.

    Args:
        model: The model; every weight and buffer gets its own storage back.

    Raises:
        PrecisionError: The model is in float16.
    """
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.dtype == torch.float16 for tensor in tensors):
        raise PrecisionError(
            "float16 has too little range for derivatives (they underflow to 0); "
            'load the model with dtype="bfloat16" or "float32"'
        )
    saved = [(tensor, tensor.data) for tensor in tensors if tensor.dtype == torch.bfloat16]
    try:
        for tensor, data in saved:
            tensor.data = data.float()
        yield
    finally:
        for tensor, data in saved:
            tensor.data = data
