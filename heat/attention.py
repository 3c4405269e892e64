"""Attention weights and value vectors of every block, for any family, from one forward pass.

The weights are what each attention module itself returns under plain attention, and the values are what it
writes to a key/value cache: after the block's norm, with bias, after a fused projection was split. So no
family needs code of its own, and scores that a family caps or biases are capped and biased here too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from heat.batch import Batch
from heat.errors import UnsupportedModelError
from heat.forward import log_probs
from heat.state import eager_attention

_PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense")


@dataclass(frozen=True, eq=False)
class BlockAttention:
    """What one block's attention did.

    Attributes:
        weights: A, [B, H, T, T], rows are queries.
        values: V, [B, H, T, d_head], each key/value head repeated for the query heads that share it.
        projection: W_O, [H, d_head, d]; the block adds `sum_h A V W_O` (and a bias) to the residual stream.
    """

    weights: Tensor
    values: Tensor
    projection: Tensor

    def value_norms(self) -> Tensor:
        """‖V_i W_O‖₁ of every head and token, [B, H, T]."""
        heads = [
            (self.values[:, head] @ self.projection[head]).abs().sum(-1)
            for head in range(len(self.projection))
        ]
        return torch.stack(heads, dim=1)


def capture_attention(
    model: PreTrainedModel, batch: Batch, embeddings: Tensor
) -> tuple[Tensor, list[BlockAttention]]:
    """One forward pass that keeps each block's attention, in the graph of `embeddings` if gradients are on.

    Args:
        model: The model, loaded with any attention implementation.
        batch: B sequences of T tokens with R targets.
        embeddings: [B, T, d].

    Returns:
        Next-token log-probabilities at the targets' positions [R, V], and the blocks from first to last.

    Raises:
        UnsupportedModelError: The model's attention modules were not found or do not give their weights.
    """
    modules = attention_modules(model)
    cache = DynamicCache()
    with eager_attention(model), _recorded_weights(modules) as weights:
        values = log_probs(
            model,
            embeddings,
            batch.attention_mask,
            batch.position_ids,
            batch.rows,
            batch.positions,
            past_key_values=cache,
        )
    if len(weights) != len(modules) or len(cache.layers) != len(modules):
        raise UnsupportedModelError(
            f"{type(model).__name__} does not give its attention weights; "
            'load it with attn_implementation="eager" or use a method that needs no attention'
        )
    blocks = []
    for index, module in enumerate(modules):
        n_heads = weights[index].shape[1]
        held: Any = cache.layers[index]
        shared = held.values.repeat_interleave(n_heads // held.values.shape[1], dim=1)
        blocks.append(BlockAttention(weights[index], shared, output_projection(module, n_heads)))
    return values, blocks


def attention_modules(model: PreTrainedModel) -> list[nn.Module]:
    """The attention module of every block, first to last: each holds its own output projection.

    Raises:
        UnsupportedModelError: None was found.
    """
    found = [
        module
        for module in model.modules()
        if "Attention" in type(module).__name__ and any(hasattr(module, name) for name in _PROJECTIONS)
    ]
    if not found:
        raise UnsupportedModelError(
            f"no attention module known here was found in {type(model).__name__}; "
            "use a method that needs no attention"
        )
    return found


def output_projection(module: nn.Module, n_heads: int) -> Tensor:
    """W_O of an attention module, split by heads.

    Args:
        module: An attention module.
        n_heads: H.

    Returns:
        [H, d_head, d].
    """
    layer = next(getattr(module, name) for name in _PROJECTIONS if hasattr(module, name))
    # Linear stores [out, in], GPT-2's Conv1D [in, out].
    weight: Tensor = layer.weight.T if isinstance(layer, nn.Linear) else layer.weight
    return weight.detach().reshape(n_heads, -1, weight.shape[1])


@contextmanager
def _recorded_weights(modules: list[nn.Module]) -> Iterator[list[Tensor]]:
    """A list that the modules' attention weights are appended to as they run."""
    weights: list[Tensor] = []
    handles = []
    try:
        for module in modules:
            handles.append(module.register_forward_hook(_append_to(weights)))
        yield weights
    finally:
        for handle in handles:
            handle.remove()


def _append_to(weights: list[Tensor]) -> Callable[[nn.Module, Any, Any], None]:
    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, tuple) and isinstance(output[1], Tensor):
            weights.append(output[1])

    return keep
