"""A baseline that compares hidden states."""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.errors import ConfigError
from heat.internals.attention import block_input, decoder_blocks
from heat.internals.forward import at_least_float32, at_targets, token_vectors
from heat.internals.state import frozen, hooked
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register


@register("peering")
@dataclass(frozen=True)
class Peering(Method):
    """Cosine between the hidden states of each context token and of the target token, at a middle layer; adapted.

    a_i = cos(h_i, h_target). The paper reads the answer's own tokens in one pass over document, question and answer,
    and so do we: h_target is the state of the target token itself, behind its context. The paper then takes answer
    tokens above a threshold as anchors and ranks windows of the document around their peers; as a score for tokens
    (ours) the cosine stands alone. A foil says nothing here and is ignored.

    Attributes:
        layer: How many blocks the states have passed, from 0 (embeddings) to one less than there are; None for half of
            them (the paper tunes it by model).
    """

    summary = "likeness of hidden states to the target's (adapted)"
    source = "Phukan et al. 2024 (adapted)"
    needs = ("forward", "hidden-states")
    signed = True

    layer: Annotated[int, Field(ge=0)] | None = None

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token.

        Raises:
            ConfigError: The model has no such layer.
        """
        blocks = decoder_blocks(lm.model)
        layer = len(blocks) // 2 if self.layer is None else self.layer
        if layer >= len(blocks):
            raise ConfigError(
                f"method 'peering', option 'layer' = {layer}: '{lm.name}' has the layers 0 to {len(blocks) - 1}"
            )
        states: list[Tensor] = []

        def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states.append(at_least_float32(block_input(args, kwargs)))

        with frozen(lm.model), torch.no_grad(), hooked(blocks[layer], keep):
            at_targets(lm.model, batch, token_vectors(lm.model, batch))
        unit = torch.nn.functional.normalize(states[0], dim=-1)
        rows = batch.rows.to(unit.device)
        target_states = unit[rows, batch.positions.to(unit.device) + 1]
        return Scores(torch.einsum("rtd,rd->rt", unit[rows], target_states))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"states": 1.0}
