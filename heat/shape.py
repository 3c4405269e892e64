"""What a model's config alone says: sizes, parameters and work, without a single weight."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.constants import HF_HUB_OFFLINE
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig
from transformers.pytorch_utils import Conv1D

from heat import gguf
from heat.errors import ModelNotFoundError, UnsupportedModelError
from heat.model import UNLOADABLE, check_reachable, first_line
from heat.shipped import shipped


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
        linear: Those of them that stand in the blocks' matrices: the ones that quantization squeezes.
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

    def forward_flops(self, n_tokens: int, n_targets: int = 1) -> float:
        """Floating-point operations of one forward pass over a text.

        Two for each weight of a matrix and token; the two products of causal attention, half of n² each; the head
        at the targets alone.

        Args:
            n_tokens: n.
            n_targets: Places where the head is read.

        Returns:
            FLOPs.
        """
        attention = 2.0 * self.n_layers * n_tokens**2 * self.query_width
        head = 2.0 * self.vocabulary * self.width * n_targets
        return 2.0 * self.linear * n_tokens + attention + head


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
    linear = [
        module for module in model.modules() if isinstance(module, (nn.Linear, Conv1D)) and module is not head
    ]
    n_heads, width = text.num_attention_heads, text.hidden_size
    head_width = getattr(text, "head_dim", None) or width // n_heads
    n_kv_heads = getattr(text, "num_key_value_heads", None) or n_heads
    inner = next(
        (
            getattr(text, key)
            for key in ("intermediate_size", "n_inner", "ffn_dim")
            if getattr(text, key, None)
        ),
        4 * width,
    )
    return Shape(
        name=name,
        family=text.model_type,
        n_layers=text.num_hidden_layers,
        width=width,
        n_heads=n_heads,
        key_width=n_kv_heads * head_width,
        query_width=n_heads * head_width,
        inner=inner,
        vocabulary=text.vocab_size,
        context=getattr(text, "max_position_embeddings", None),
        parameters=sum(weight.numel() for weight in model.parameters()),
        linear=sum(module.weight.numel() for module in linear),
    )


def _read(source: str, name: str | Path, **options: str) -> PretrainedConfig:
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(source, **options)
    except UNLOADABLE as error:
        raise UnsupportedModelError(f"'{name}' is no config that can be read: {first_line(error)}") from error
    return config
