"""What a model's config alone says: sizes, parameters, work and what is refused, without a single weight."""

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.constants import HF_HUB_OFFLINE
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from heat.errors import ModelNotFoundError, UnsupportedModelError
from heat.internals.attention import one_attention_a_block
from heat.internals.state import text_decoder
from heat.loading import gguf
from heat.model import UNLOADABLE, check_reachable, first_line
from heat.shipped import shipped

# How many experts a token passes through, by the names that configs give it.
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k", "top_k_experts")
_BESIDE = (
    "lets tokens meet in other ways than through attention (a state, a convolution), so its attention alone does not "
    "tell what came from where; use a method that needs no attention, for example no-gate, kl-only or "
    "integrated-gradients"
)


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder-only model.

    Attributes:
        name: As it was asked for.
        family: `model_type` of the config.
        n_layers: L, number of blocks.
        width: d, of the residual stream.
        n_heads: H.
        key_width: Numbers in all keys of a token, H_kv · d_head.
        query_width: Numbers in all queries of a token, H · d_head.
        inner: f, of the MLP.
        vocabulary: V.
        context: The longest input in tokens; None for no limit.
        parameters: Exact number of weights; tied ones count once.
        linear: Those of them that stand in the blocks' matrices, experts apart: the ones that are quantized.
        experts: Those that stand in experts, of which a token passes through some.
        active_experts: Those of the experts that one token passes through.
        obstacles: What cannot be taken from the model ("forward", "gradients" or "attention", as in `Method.needs`) to
            the reason, as far as a config tells.
    """

    name: str
    family: str
    n_layers: int
    width: int
    n_heads: int
    key_width: int
    query_width: int
    inner: int
    vocabulary: int
    context: int | None
    parameters: int
    linear: int
    experts: int = 0
    active_experts: int = 0
    obstacles: Mapping[str, str] = field(default_factory=dict)

    @property
    def active(self) -> int:
        """Weights that one token passes through."""
        return self.parameters - self.experts + self.active_experts

    def forward_flops(self, n_tokens: int, n_targets: int = 1) -> float:
        """Floating-point operations of one forward pass over a text.

        Two for each weight of a matrix that a token passes through; the two products of causal attention, half of n²
        each; the head at the targets alone.

        Args:
            n_tokens: n.
            n_targets: Places where the head is read.

        Returns:
            FLOPs.
        """
        attention = 2.0 * self.n_layers * n_tokens**2 * self.query_width
        head = 2.0 * self.vocabulary * self.width * n_targets
        return 2.0 * (self.linear + self.active_experts) * n_tokens + attention + head


def known_configs() -> dict[str, Path]:
    """Configs that ship, by name: those of the four models of the method's poster."""
    return {path.stem: path for path in sorted(shipped("models/configs").glob("*.json"))}


def load_config(name_or_path: str | Path) -> PretrainedConfig:
    """A config from a file or folder, of a model whose config ships, or from the hub.

    Args:
        name_or_path: config.json, a model folder, a GGUF file, a name of `known_configs`, or a hub name.

    Returns:
        The config.

    Raises:
        ModelNotFoundError: There is no such config, or it cannot be fetched.
        UnsupportedModelError: It is no config of a known family.
    """
    if (file := gguf.find(name_or_path)) is not None:
        gguf.check(file)
        with gguf.alone(file) as folder:
            return _read(folder, name_or_path, gguf_file=gguf.NAME)
    known = known_configs()
    source = str(known.get(str(name_or_path).lower(), name_or_path))
    absent = (
        f"there is no config '{name_or_path}'; give a config.json, a model folder, a GGUF file, a hub name, "
    )
    absent += f"or one of: {', '.join(known)}"
    if not Path(source).exists():
        if source.endswith(".json") or source.count("/") > 1:
            raise ModelNotFoundError(absent)
        if not HF_HUB_OFFLINE:
            check_reachable(source)
    try:
        return _read(source, name_or_path)
    except OSError as error:
        if Path(source).is_file():
            raise ModelNotFoundError(
                f"'{name_or_path}' is a file and holds no config ({first_line(error)})"
            ) from error
        raise ModelNotFoundError(absent) from error


def shape_of(config: Any, name: str) -> Shape:
    """Sizes of the model that a config describes, counted on modules that hold no memory.

    Args:
        config: The config.
        name: What to call it.

    Returns:
        The sizes.

    Raises:
        UnsupportedModelError: No decoder-only model can be made of the config.
    """
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (*UNLOADABLE, AttributeError, TypeError) as error:
        raise UnsupportedModelError(
            f"no language model can be made of '{name}': {first_line(error)}"
        ) from error
    text: Any = config.get_text_config()
    head = model.get_output_embeddings()
    decoder = text_decoder(model)
    linear = [
        module
        for module in decoder.modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not head
    ]
    width = _first(text, "hidden_size", "d_model", "n_embd")
    # A model without attention has neither heads nor keys.
    n_heads = _first(text, "num_attention_heads", "n_head", "n_heads", default=0)
    head_width = _first(text, "head_dim", default=width // n_heads) if n_heads else 0
    if latent := _first(text, "qk_nope_head_dim", default=0):
        # Keys of two parts and values of another width: the mean of the two products' widths.
        head_width = (latent + text.qk_rope_head_dim + text.v_head_dim) // 2
    n_kv_heads = _first(text, "num_key_value_heads", default=n_heads)
    context = _first(text, "max_position_embeddings", "max_seq_len", default=0)
    experts = list(_experts(decoder, text))
    inner = _first(text, "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", default=4 * width)
    return Shape(
        name=name,
        family=text.model_type,
        n_layers=_first(text, "num_hidden_layers", "n_layer", "n_layers"),
        width=width,
        n_heads=n_heads,
        key_width=n_kv_heads * head_width,
        query_width=n_heads * head_width,
        inner=max(inner, min(matrix.active for matrix in experts) // width) if experts else inner,
        vocabulary=text.vocab_size,
        context=context if context > 0 else None,
        parameters=sum(weight.numel() for weight in model.parameters()),
        linear=sum(module.weight.numel() for module in linear),
        experts=sum(matrix.held for matrix in experts),
        active_experts=sum(matrix.active for matrix in experts),
        obstacles=_obstacles(config, model),
    )


@dataclass(frozen=True)
class _Experts:
    """One matrix of all experts of a block: its weights, and those that a token passes through."""

    held: int
    active: int


def _experts(decoder: nn.Module, text: Any) -> Iterator[_Experts]:
    ffn_config = getattr(text, "ffn_config", None) or text  # DBRX has a config for it
    chosen = _first(ffn_config, *_CHOSEN, default=1)
    for module in decoder.modules():
        kind = type(module).__name__
        if "Expert" not in kind:
            continue
        # Where nothing says which, all are computed, and what was not chosen is multiplied with zero (Llama-4).
        whole = "Shared" in kind or len(inspect.signature(module.forward).parameters) < 2
        one_above_another = getattr(module, "moe_num_experts", None) if kind.endswith("GLU") else None
        for weight in module.parameters(recurse=False):
            n_experts = one_above_another or weight.shape[0]
            if weight.dim() == (2 if one_above_another else 3):
                share = n_experts if whole else min(chosen, n_experts)
                yield _Experts(weight.numel(), weight.numel() // n_experts * share)


def _obstacles(config: Any, model: PreTrainedModel) -> dict[str, str]:
    """What cannot be taken from a model, by the config, the modules, and what a tiny one of its family did."""
    obstacles: dict[str, str] = {}
    tried = _tried().get(config.model_type, {"kind": "", "layers": ()})
    kinds = set(layer_kinds(config))
    right = tried["layers"] if tried["kind"] == "right" else ()
    beside = {kind for kind in kinds if not _is_attention(kind) and kind not in right}
    if beside or (model._is_stateful and not kinds):
        obstacles["attention"] = _BESIDE
    else:
        try:
            one_attention_a_block(model)
        except UnsupportedModelError as error:
            obstacles["attention"] = f"shows no attention that can be read: {error}"
    if not beside and any(not _is_attention(kind) for kind in tried["layers"]):
        return obstacles  # what was tried had blocks of another kind, and this one has none
    need = {
        "refused": "forward",
        "right, gradients refused": "gradients",
        "right, attention refused": "attention",
    }
    if tried["kind"] in need:
        obstacles.setdefault(need[tried["kind"]], tried["note"])
    return obstacles


def layer_kinds(config: Any) -> list[str]:
    """What the blocks are, where a config says it."""
    text = config.get_text_config()
    return list(getattr(text, "layer_types", None) or getattr(text, "layers_block_type", None) or [])


def _is_attention(kind: str) -> bool:
    return "attention" in kind and "linear" not in kind


@cache
def _tried() -> Mapping[str, Any]:
    """Family to what came of a tiny random model of it: the table of docs/families.md."""
    table: dict[str, Any] = json.loads(shipped("models/families.json").read_text(encoding="utf-8"))
    return table


def _first(config: Any, *names: str, default: int | None = None) -> int:
    """The first of some numbers that a config has; of different ones in different blocks the largest."""
    for name in names:
        try:
            value = getattr(config, name, None)
        except RuntimeError:  # Gemma-4's are asked for block by block
            blocks = config.per_layer_config
            value = [getattr(blocks[index], name) for index in range(len(blocks))]
        if isinstance(value, (list, tuple)):  # a number for each block
            value = max(value)
        if isinstance(value, int):
            return value
    if default is None:
        raise UnsupportedModelError(f"the config of a {config.model_type} model does not say its {names[0]}")
    return default


def _read(source: str, name: str | Path, **options: str) -> PretrainedConfig:
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(source, **options)
    except UNLOADABLE as error:
        raise UnsupportedModelError(f"'{name}' is no config that can be read: {first_line(error)}") from error
    return config
