"""Baselines that read attention weights."""

from dataclasses import dataclass

import torch

from heat.attention import capture_attention
from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.forward import at_least_float32, embed
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register
from heat.state import frozen


@register("attention-rollout")
@dataclass(frozen=True)
class AttentionRollout(Method):
    """Product of the blocks' attention matrices, each averaged over heads and mixed with identity.

    The row of the target's position is the score: a = e_T Â_L ... Â_1 with Â = ½ Ā + ½ I. In most models
    the first token collects mass ("sink").
    """

    summary = "attention multiplied through the blocks"
    source = "Abnar & Zuidema 2020, eq. 1"
    needs = ("forward", "attention")

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        with frozen(lm.model), torch.no_grad():
            _, blocks = capture_attention(lm.model, batch, embed(lm.model, batch))
            rho = torch.nn.functional.one_hot(batch.positions, batch.token_ids.shape[1])
            rho = rho.to(at_least_float32(blocks[0].values).dtype)
            for block in reversed(blocks):
                rho = rho.to(block.values.device)
                rows = batch.rows.to(rho.device)
                moved = torch.zeros_like(rho)
                for queries, weights in block.by_queries():
                    moved += torch.einsum("rq,rqk->rk", rho[:, queries], weights.mean(1)[rows])
                rho = 0.5 * rho + 0.5 * moved
        return Scores(rho)

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents; see `Method.costs`."""
        return {"attention": 1.0}
