"""What every block's attention did, for any family, from one forward pass and without keeping an n × n matrix.

Families that call transformers' attention interface hand over queries, keys and values after norm, rotation, bias
and splitting, and their weights are made again, some queries at a time, when they are asked for. Families with an
attention of their own (GPT-J, GPT-Neo, BLOOM, Falcon) run that module once more for its weights, a block at a time.
So no family needs code of its own, and scores that a family caps, biases or masks are so here too.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, Cache, DynamicCache, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from heat.batch import Batch
from heat.errors import UnsupportedModelError
from heat.internals.forward import at_least_float32, at_targets
from heat.internals.state import attention_implementation, eager_attention, hooked, text_decoder

_PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense", "Wo")
_CROSS = ("encoder_attn", "crossattention", "cross_attn")
_INTERFACE = "heat-recorded"
# Attention weights that may be in memory at once, as a count of numbers: 64 MiB in float32.
WEIGHTS_AT_ONCE = 1 << 24


@dataclass(frozen=True, eq=False)
class BlockAttention:
    """What one block's attention did.

    Attributes:
        n_heads: H.
        values: V, [B, H_kv, T, d_head]; key/value heads are shared by H / H_kv query heads each.
        projection: W_O, [H, d_head, d]; the block adds `sum_h A V W_O` (and a bias) to the residual stream.
        residual: What enters the block, [B, T, d], in the graph of the embeddings.
        mixed: `A V` of all heads, [B, T, H, d_head] or [B, T, H·d_head], in the graph of the embeddings.
        weights_of: Gives A of some queries, [B, H, q, T].
        blockwise: Whether some queries cost less than all of them.
        projected: What enters W_O where it may be another than `A V`, [B, T, H·d_head]: what a gate or norm made of it.
    """

    n_heads: int
    values: Tensor
    projection: Tensor
    residual: Tensor
    mixed: Tensor
    weights_of: Callable[[slice], Tensor]
    blockwise: bool
    projected: Tensor | None = None

    @property
    def weights(self) -> Tensor:
        """A of all queries, [B, H, T, T]: quadratic in memory, for short texts and tests."""
        return self.weights_of(slice(0, self.values.shape[2]))

    def by_queries(self, n_copies: int = 1) -> Iterator[tuple[slice, Tensor]]:
        """A, at least float32, some queries at a time.

        Args:
            n_copies: How many arrays of that size the caller makes of each part.

        Yields:
            The queries and their weights [B, H, q, T].
        """
        n_rows, _, n_tokens, _ = self.values.shape
        width = n_rows * self.n_heads * n_tokens * n_copies
        step = max(1, WEIGHTS_AT_ONCE // width) if self.blockwise else n_tokens
        for start in range(0, n_tokens, step):
            queries = slice(start, min(start + step, n_tokens))
            yield queries, at_least_float32(self.weights_of(queries))

    def value_norms(self) -> Tensor:
        """‖V_i W_O‖₁ of every head and token, [B, H, T], at least float32."""
        shared = self.n_heads // self.values.shape[1]
        heads = [
            at_least_float32(self.values[:, head // shared] @ self.projection[head]).abs().sum(-1)
            for head in range(self.n_heads)
        ]
        return torch.stack(heads, dim=1)

    def per_head(self, mixed: Tensor) -> Tensor:
        """[B, T, H·d_head], the layout of the projection's input, or [B, T, H, d_head] as [B, H, T, d_head]."""
        heads: Tensor = mixed.reshape(*mixed.shape[:2], self.n_heads, -1)
        return heads.transpose(1, 2)

    def gate(self) -> Tensor | None:
        """What `A V` is multiplied with before W_O takes it, [B, H, T, d_head]; None where nothing stands between.

        A gate is a factor for each entry, and so is an RMS norm at the length that it has here.
        """
        if self.projected is None:
            return None
        mixed, projected = self.per_head(self.mixed.detach()), self.per_head(self.projected.detach())
        if torch.equal(mixed, projected):
            return None
        return at_least_float32(projected) / torch.where(mixed == 0, 1.0, at_least_float32(mixed))

    def expanded_values(self) -> Tensor:
        """V with each key/value head repeated for the query heads that share it, [B, H, T, d_head]."""
        return self.values.repeat_interleave(self.n_heads // self.values.shape[1], dim=1)


def capture_attention(
    model: PreTrainedModel, batch: Batch, embeddings: Tensor
) -> tuple[Tensor, list[BlockAttention]]:
    """One forward pass that records each block's attention, in the graph of `embeddings` if gradients are on.

    Args:
        model: The model, loaded with any attention implementation.
        batch: B sequences of T tokens with R targets.
        embeddings: [B, T, d].

    Returns:
        Next-token log-probabilities at the targets' positions [R, V], and the blocks from first to last.

    Raises:
        UnsupportedModelError: The model's attention modules were not found or do not give their weights.
    """
    modules = one_attention_a_block(model)
    record = _by_interface if model._supports_attention_backend else _by_module
    return record(model, modules, batch, embeddings)


def attention_modules(model: PreTrainedModel) -> list[nn.Module]:
    """The attention module of every block, first to last: each holds its own output projection.

    Raises:
        UnsupportedModelError: None was found.
    """
    modules = [
        module
        # Of the part that reads text: an image's tokens have an attention of their own.
        for name, module in text_decoder(model).named_modules()
        if "Attention" in type(module).__name__
        and any(hasattr(module, projection) for projection in _PROJECTIONS)
        # Decoders that were made to read an encoder's answer keep a place for it, which is left out.
        and not name.endswith(_CROSS)
    ]
    if not modules:
        raise UnsupportedModelError(
            f"no attention module known here was found in {type(model).__name__}; "
            "use a method that needs no attention"
        )
    return modules


def decoder_blocks(model: PreTrainedModel) -> list[nn.Module]:
    """The blocks of the model, first to last.

    Raises:
        UnsupportedModelError: They were not found.
    """
    decoder = text_decoder(model)
    n_blocks = getattr(decoder.config.get_text_config(), "num_hidden_layers", None)
    lists = [module for module in decoder.modules() if isinstance(module, nn.ModuleList)]
    blocks = next((modules for modules in lists if len(modules) == n_blocks), None)
    if blocks is None:
        raise UnsupportedModelError(
            f"the blocks of {type(model).__name__} are not in one list; use a method that needs neither its "
            "attention nor its layers"
        )
    return list(blocks)


def one_attention_a_block(model: PreTrainedModel) -> list[nn.Module]:
    """The same as `attention_modules`, where attention may be the only way from one token to another.

    Raises:
        UnsupportedModelError: There is not one in each block.
    """
    attentions, blocks = attention_modules(model), decoder_blocks(model)
    held = [
        [module for module in attentions if any(part is module for part in block.modules())]
        for block in blocks
    ]
    if any(len(modules) != 1 for modules in held) or len(attentions) != len(blocks):
        raise UnsupportedModelError(
            f"{type(model).__name__} has not one attention in each of its {len(blocks)} blocks, so tokens meet in "
            "other ways too and no path through its attention tells what came from where; use a method that needs no "
            "attention, for example no-gate, kl-only or integrated-gradients"
        )
    return attentions


def output_projection(module: nn.Module, n_heads: int) -> Tensor:
    """W_O of an attention module, split by heads.

    Args:
        module: An attention module.
        n_heads: H.

    Returns:
        [H, d_head, d].
    """
    layer = projection_of(module)
    weight: Any = layer.weight
    if type(weight).__name__ in ("Params4bit", "Int8Params"):
        # What the bits stand for: the stored bytes are codes, not numbers.
        from transformers.integrations.bitsandbytes import dequantize_bnb_weight

        weight = dequantize_bnb_weight(weight, state=getattr(layer, "state", None))
    # Linear stores [out, in], GPT-2's Conv1D [in, out].
    weight = weight.T if isinstance(layer, nn.Linear) else weight
    split: Tensor = weight.detach().reshape(n_heads, -1, weight.shape[1])
    return split


def projection_of(module: nn.Module) -> Any:
    """The layer W_O of an attention module."""
    return next(getattr(module, name) for name in _PROJECTIONS if hasattr(module, name))


def block_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The hidden states a block is called with, [B, T, d].

    Raises:
        UnsupportedModelError: The block takes something else.
    """
    hidden = _entering(args, kwargs)
    if hidden is None or hidden.dim() != 3:
        raise UnsupportedModelError(
            "this model's blocks do not hand on one vector a token; use a method that does not read its layers"
        )
    return hidden


def _entering(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    hidden = args[0] if args else kwargs.get("hidden_states")
    return hidden if isinstance(hidden, Tensor) else None


@contextmanager
def _streams(model: PreTrainedModel, modules: list[nn.Module]) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Lists that the blocks' inputs and the projections' inputs are appended to as the model runs."""
    residuals: list[Tensor] = []
    projected: list[Tensor] = []

    def keep_residual(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = _entering(args, kwargs)
        if hidden is not None:
            residuals.append(hidden)

    def keep_projected(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        projected.append(args[0])

    with ExitStack() as stack:
        for block, module in zip(decoder_blocks(model), modules, strict=True):
            stack.enter_context(hooked(block, keep_residual))
            stack.enter_context(hooked(projection_of(module), keep_projected))
        yield residuals, projected


# --- families on the attention interface --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Call:
    """The arguments of one block's attention, cut from the graph.

    Attributes:
        query: [B, H, T, d_head].
        key: [B, H_kv, T, d_head].
        value: [B, H_kv, T, d_head].
        mask: Bool or added to the scores, [B, 1, T, T]; None for causal.
        scaling: Of the scores.
        softcap: Bound of the scores, or None.
        sinks: Scores of a column that takes attention and gives nothing, [1, H, 1, 1] or [B, H, T, 1]; None without.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scaling: float
    softcap: float | None
    sinks: Tensor | None

    def weights(self, queries: slice) -> Tensor:
        """Softmax of the masked scores of some queries, [B, H, q, T], in the softmax's own precision.

        With a sink the rows sum to less than 1: the sink has the rest.
        """
        shared = self.query.shape[1] // self.key.shape[1]
        key = self.key.repeat_interleave(shared, dim=1) if shared > 1 else self.key
        scores = self.query[:, :, queries] @ key.transpose(2, 3) * self.scaling
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        hidden = _hidden(self.mask, queries, scores.shape[-1], scores.device)
        # Not -inf: a padding token that sees nothing must not become NaN, as its rows are multiplied by zero later.
        seen = at_least_float32(scores.masked_fill(hidden, torch.finfo(scores.dtype).min))
        if self.sinks is None:
            return seen.softmax(-1).to(scores.dtype)
        sinks = self.sinks if self.sinks.shape[2] == 1 else self.sinks[:, :, queries]
        together = torch.cat([seen, sinks.to(seen).expand(*seen.shape[:-1], 1)], -1)
        return together.softmax(-1)[..., :-1].to(scores.dtype)


_CALLS: ContextVar[list[tuple[_Call, Tensor]] | None] = ContextVar("recorded attention calls", default=None)


def _hidden(mask: Tensor | None, queries: slice, n_tokens: int, device: torch.device) -> Tensor:
    """Which tokens the queries do not see; without a mask attention is causal."""
    if mask is None:
        columns = torch.arange(n_tokens, device=device)
        return columns[None, :] > columns[queries, None]
    part = mask[:, :, queries, :n_tokens]
    return ~part if part.dtype == torch.bool else part < 0


def _recorded_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Fused attention that leaves its arguments, and what came of them, where `capture_attention` finds them."""
    if options.get("position_bias") is not None:
        raise UnsupportedModelError(
            "this model's attention uses 'position_bias', which is not known here; "
            "use a method that needs no attention"
        )
    scaling = options.get("scaling")
    live = _Call(
        query,
        key,
        value,
        attention_mask,
        float(query.shape[-1] ** -0.5 if scaling is None else scaling),
        options.get("softcap"),
        _sinks(options),
    )
    if live.softcap is None and live.sinks is None:
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    else:
        # Fused kernels neither cap nor have sinks; these families pay for n × n.
        shared = query.shape[1] // key.shape[1]
        mixed = live.weights(slice(0, query.shape[2])) @ value.repeat_interleave(shared, dim=1)
        output = mixed.transpose(1, 2).contiguous()
    calls = _CALLS.get()
    if calls is not None:
        sinks = None if live.sinks is None else live.sinks.detach()
        cut = replace(live, query=query.detach(), key=key.detach(), value=value.detach(), sinks=sinks)
        calls.append((cut, output))
    return output, None


def _sinks(options: Mapping[str, Any]) -> Tensor | None:
    """The sink's scores, one a head (GPT-OSS) or one a head and query."""
    given: Tensor | None = options.get("s_aux")
    if given is None:
        given = options.get("sinks")
    return given.reshape(1, -1, 1, 1) if given is not None and given.dim() == 1 else given


AttentionInterface.register(_INTERFACE, _recorded_attention)
# Without its mask a registered attention runs non-causal, and says nothing.
AttentionMaskInterface.register(_INTERFACE, sdpa_mask)


def _by_interface(
    model: PreTrainedModel, modules: list[nn.Module], batch: Batch, embeddings: Tensor
) -> tuple[Tensor, list[BlockAttention]]:
    calls: list[tuple[_Call, Tensor]] = []
    token = _CALLS.set(calls)
    try:
        with attention_implementation(model, _INTERFACE), _streams(model, modules) as (residuals, projected):
            values = at_targets(model, batch, embeddings)
    finally:
        _CALLS.reset(token)
    if not len(calls) == len(modules) == len(projected) == len(residuals):
        raise UnsupportedModelError(
            f"{type(model).__name__} called its attention {len(calls)} times in {len(modules)} blocks; "
            "use a method that needs no attention"
        )
    blocks = [
        BlockAttention(
            n_heads=call.query.shape[1],
            values=call.value,
            projection=output_projection(module, call.query.shape[1]),
            residual=residual,
            mixed=output,
            projected=stream,
            weights_of=call.weights,
            blockwise=True,
        )
        for (call, output), module, residual, stream in zip(calls, modules, residuals, projected, strict=True)
    ]
    return values, blocks


# --- families with an attention of their own ----------------------------------------------------------------------


def _by_module(
    model: PreTrainedModel, modules: list[nn.Module], batch: Batch, embeddings: Tensor
) -> tuple[Tensor, list[BlockAttention]]:
    cache = DynamicCache()
    called: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def keep_arguments(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        called.append((_cut(args), {name: _cut(value) for name, value in kwargs.items()}))

    with eager_attention(model), _streams(model, modules) as (residuals, projected), ExitStack() as stack:
        for module in modules:
            stack.enter_context(hooked(module, keep_arguments))
        try:
            values = at_targets(model, batch, embeddings, past_key_values=cache)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise UnsupportedModelError(
                f"{type(model).__name__} keeps no plain cache of keys and values; use a method that needs no attention"
            ) from error
    if not len(called) == len(modules) == len(cache.layers) == len(projected) == len(residuals):
        raise UnsupportedModelError(
            f"{type(model).__name__} does not give its attention weights; "
            'load it with attn_implementation="eager" or use a method that needs no attention'
        )
    blocks = []
    for index, module in enumerate(modules):
        held: Any = cache.layers[index]
        n_heads = _n_heads(module)
        args, kwargs = called[index]
        blocks.append(
            BlockAttention(
                n_heads=n_heads,
                values=held.values.detach(),
                projection=output_projection(module, n_heads),
                residual=residuals[index],
                # These have no hook behind A V itself; `heat.checks` refuses those that put something between.
                mixed=projected[index],
                weights_of=partial(_module_weights, model, module, args, kwargs),
                blockwise=False,
            )
        )
    return values, blocks


def _n_heads(module: nn.Module) -> int:
    for name in ("num_attention_heads", "num_heads", "n_heads", "n_head"):
        if isinstance(getattr(module, name, None), int):
            return int(getattr(module, name))
    raise UnsupportedModelError(
        f"{type(module).__name__} does not say how many heads it has; use a method that needs no attention"
    )


def _module_weights(
    model: PreTrainedModel, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], queries: slice
) -> Tensor:
    """Run an attention module once more and take the weights it returns."""
    with eager_attention(model), torch.no_grad():
        output = module(*args, **kwargs)
    if not (isinstance(output, tuple) and len(output) > 1 and isinstance(output[1], Tensor)):
        raise UnsupportedModelError(
            f"{type(module).__name__} does not return its weights; use a method that needs no attention"
        )
    return output[1][:, :, queries]


def _cut(value: Any) -> Any:
    """An argument to call a module with again: out of the graph, and without the cache it would append to."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, tuple):
        return tuple(_cut(part) for part in value)
    return None if isinstance(value, Cache) else value
