"""Attention, weighted head by head with what was learned from a model's own ablations."""

from dataclasses import dataclass
from pathlib import Path

import torch
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.errors import FitError
from heat.fitting.head_weights import HeadWeights, fit_command, stored
from heat.internals.attention import BlockAttention, capture_attention
from heat.internals.forward import at_least_float32, token_vectors
from heat.internals.state import frozen
from heat.internals.target_rows import target_rows
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register

UNIFORM = "uniform"


@register("at2")
@dataclass(frozen=True)
class At2(Method):
    """Attention at the target's position, summed over all heads with weights that predict ablations.

    a_j = Σ_{l,h} θ_lh A^{lh}_{tj}. θ is learned once for a model (`heat fit at2`), so that attention predicts what
    random ablations of words do to the log-odds of the target; one forward pass serves all targets of a text. The
    published method averages over the tokens of a target; here each target token has a row of its own. A foil says
    nothing here and is ignored.

    Attributes:
        weights: A file that `heat fit at2` wrote, or `uniform` for equal weights (the mean over all heads, for which
            nothing is learned); None for the file that lies in the cache for the model's revision.
    """

    summary = "attention with head weights learned from the model's ablations (`heat fit at2`)"
    source = "Cohen-Wang et al. 2025"
    needs = ("forward", "attention")
    signed = True
    only_named = "needs weights that are learned once for a model (heat fit at2)"

    weights: str | None = None

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token.

        Raises:
            FitError: There are no weights for the model, or they are another model's.
        """
        learned = None if self.weights == UNIFORM else self._learned(lm)
        with frozen(lm.model), torch.no_grad():
            _, blocks = capture_attention(lm.model, batch, token_vectors(lm.model, batch))
            scores = at_least_float32(blocks[0].values).new_zeros(batch.context.shape)
            for block, weights in zip(blocks, _by_block(learned, blocks, lm), strict=True):
                rows = target_rows(block, batch)
                scores += torch.einsum("h,rht->rt", weights.to(rows), rows).to(scores.device)
        return Scores(scores)

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        # What learning the weights took is not counted.
        return {"attention": 1.0}

    @classmethod
    @override
    def obstacle(cls, lm: LanguageModel) -> str:
        if stored(lm).is_file():
            return ""
        return f"'at2' has no weights for '{lm.name}' of revision {lm.revision}: run `{fit_command(lm)}`"

    def _learned(self, lm: LanguageModel) -> HeadWeights:
        if self.weights is None and (obstacle := self.obstacle(lm)):
            raise FitError(f"{obstacle}, name a file of weights, or take equal ones (weights=uniform)")
        path = stored(lm) if self.weights is None else Path(self.weights).expanduser()
        learned = HeadWeights.load(path)
        if learned.revision != lm.revision:
            raise FitError(
                f"'{path}' holds weights of '{learned.model}' (revision {learned.revision}), and '{lm.name}' has "
                f"revision {lm.revision}: run `{fit_command(lm)}`"
            )
        return learned


def _by_block(
    learned: HeadWeights | None, blocks: list[BlockAttention], lm: LanguageModel
) -> tuple[torch.Tensor, ...]:
    """Weights of each block, [H]."""
    n_heads = tuple(block.n_heads for block in blocks)
    if learned is None:
        return tuple(torch.full((heads,), 1 / sum(n_heads)) for heads in n_heads)
    if learned.n_heads != n_heads:
        raise FitError(
            f"the weights are for {len(learned.n_heads)} blocks and {sum(learned.n_heads)} heads, and '{lm.name}' has "
            f"{len(n_heads)} and {sum(n_heads)}: run `{fit_command(lm)}`"
        )
    return learned.by_block()
