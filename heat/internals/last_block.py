"""The last block at the places that are read: nothing behind its attention mixes tokens any more."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from heat.internals.state import text_decoder


@contextmanager
def last_mlp_at(model: PreTrainedModel, columns: Tensor) -> Iterator[None]:
    """Let the last block's MLP run at some columns only; elsewhere it gives zeros, which nobody reads.

    The MLP is two thirds of a block. Models whose last block has none of the usual kind (a module named `...MLP` in the
    block itself, called with the hidden states alone) run whole.

    Args:
        model: The model; the module gets its own `forward` back.
        columns: int64 [C], where the output will be read.
    """
    mlp = _last_mlp(model)
    if mlp is None:
        yield
        return
    instance_forward, run = vars(mlp).get("forward"), mlp.forward

    def forward(hidden: Tensor) -> Any:
        if hidden.shape[-2] <= len(columns):
            return run(hidden)
        at = columns.to(hidden.device)
        result = run(hidden.index_select(-2, at))
        # A mixture of experts gives its router's scores beside the output.
        output, *beside = result if isinstance(result, tuple) else (result,)
        output = torch.zeros_like(hidden).index_copy(-2, at, output)
        return (output, *beside) if isinstance(result, tuple) else output

    try:
        mlp.forward = forward
        yield
    finally:
        if instance_forward is None:
            del mlp.forward
        else:
            mlp.forward = instance_forward


def _last_mlp(model: PreTrainedModel) -> nn.Module | None:
    """The MLP of the last block; None where it is not the usual kind."""
    n_blocks = getattr(model.config.get_text_config(), "num_hidden_layers", 0)
    lists = [module for module in text_decoder(model).children() if isinstance(module, nn.ModuleList)]
    blocks = [modules for modules in lists if len(modules) == n_blocks]
    if len(blocks) != 1:
        return None
    mlps = [child for child in blocks[0][-1].children() if type(child).__name__.endswith("MLP")]
    if len(mlps) != 1 or len(inspect.signature(type(mlps[0]).forward).parameters) != 2:
        return None
    return mlps[0]
