"""A model with one part exchanged, beside the caller's own, which stays as it is."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from torch import Tensor, nn

from annotate.files import canonical_hash
from heat.errors import UnsupportedModelError

if TYPE_CHECKING:
    from transformers import GenerationConfig

    from heat import LanguageModel

M = TypeVar("M", bound=nn.Module)

NoiseKind = Literal["gaussian", "uniform"]


@dataclass(frozen=True)
class Noise:
    """What is added to the table of token embeddings.

    Attributes:
        kind: ``gaussian``: N(0, (radius · RMS)²) an entry. ``uniform``: U(-radius · RMS, radius · RMS), which is a draw
            from the L∞ ball of captum's max-sensitivity.
        radius: Size relative to the root mean square of the table's entries (ours: an absolute radius means
            different things to models whose embeddings differ in size).
        seed: Same seed, same noise.
    """

    kind: NoiseKind
    radius: float
    seed: int


def noisy(lm: LanguageModel, noise: Noise) -> LanguageModel:
    """The same model with noise on its input embeddings; every other weight is shared, none is written to.

    The noise belongs to a token of the vocabulary, not to a place: methods that cut, move or replace tokens
    meet the same disturbed words in every pass. Special tokens (beginning of text, padding) get none. An output
    head that shares the table keeps the clean one. Costs the memory of one more table.

    Args:
        lm: The model.
        noise: What is added.

    Returns:
        The view, whose revision names the noise, so that its results are never taken for the model's own.

    Raises:
        UnsupportedModelError: The model's modules were rewired by a library that spreads it over devices.
    """
    embedding = lm.model.get_input_embeddings()
    place = next(name for name, module in lm.model.named_modules() if module is embedding)
    root = _without_children(lm.model)
    root.config = copy.copy(lm.model.config)
    # The head keeps the clean table; whoever saves the view must not tie the two again.
    root.config.tie_word_embeddings = False
    parent: nn.Module = root
    *path, last = place.split(".")
    for name in path:
        inner = _without_children(parent._modules[name])
        parent._modules[name] = inner
        parent = inner
    changed = _without_children(embedding)
    weight: Tensor = embedding.weight  # type: ignore[assignment]
    special = () if lm.tokenizer is None else lm.tokenizer.all_special_ids
    changed._parameters["weight"] = nn.Parameter(_with_noise(weight, noise, special), requires_grad=False)
    parent._modules[last] = changed
    return replace(lm, model=root, revision=f"{lm.revision}+{noise.kind}-{noise.radius:g}-{noise.seed}")


def decoding(lm: LanguageModel, config: GenerationConfig) -> LanguageModel:
    """The same model with another generation config, every weight shared.

    Args:
        lm: The model.
        config: How it generates.

    Returns:
        The view, whose revision names the config.
    """
    root = _without_children(lm.model)
    root.generation_config = config
    digest = canonical_hash(config.to_diff_dict())[:12]
    return replace(lm, model=root, revision=f"{lm.revision}+decoding-{digest}")


def _without_children(module: M | None) -> M:
    """A copy that shares weights and inner modules, but in which they can be exchanged."""
    if module is None or "forward" in vars(module):
        raise UnsupportedModelError(
            "the model was spread over devices, so that its embeddings cannot be exchanged without changing it; "
            "load it on one device"
        )
    clone = copy.copy(module)
    for name, value in vars(module).items():
        if isinstance(value, dict):
            vars(clone)[name] = copy.copy(value)
    return clone


def _with_noise(weight: Tensor, noise: Noise, special: list[int] | tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(noise.seed)
    table = weight.detach().float().cpu()
    size = noise.radius * table.square().mean().sqrt()
    if noise.kind == "gaussian":
        added = size * torch.randn(table.shape, generator=generator)
    else:
        added = size * (2 * torch.rand(table.shape, generator=generator) - 1)
    added[[token for token in special if token < len(added)]] = 0.0
    return (table + added).to(weight)
