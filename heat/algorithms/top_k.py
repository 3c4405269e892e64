"""KL information over the most probable tokens, all of a prediction that a server shows."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.deletion import (
    TOP_K,
    ByDeletion,
    Deletions,
    contrast_kl,
    score_by_deletion,
    top_k_kl,
    without_each,
)
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register


@register("kl-top-k")
@dataclass(frozen=True)
class KlTopK(ByDeletion, Method):
    """How much the prediction changes when a token is deleted: a_i = KL(P ‖ P without token i) over the top k.

    `kl-only` sets a token's embedding to zero and compares whole distributions. Here the token is deleted, and of both
    distributions the k most probable tokens are known: the divergence is that of the tokens that both name and of the
    rest as one outcome, at most the whole one (`heat.deletion.top_k_kl`). With a foil it is that over target and foil.

    Attributes:
        top_k: How many tokens of a distribution are known.
    """

    summary = "KL over the most probable tokens when a token is deleted"
    source = "the information of HETA, by deletion (Li et al. 2016) and over the top k; that form ours"
    needs = ("forward",)

    top_k: Annotated[int, Field(ge=1)] = TOP_K

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        return score_by_deletion(self, lm, batch, seed=seed, batch_tokens=batch_tokens)

    @override
    def by_deletion(self, text: Deletions, *, seed: int) -> Tensor:
        scores = torch.zeros(text.n_tokens, dtype=torch.float64)
        kept = without_each(text.n_tokens, text.n_fixed)
        if text.foil_id is not None:
            g = text.g(kept)
            scores[text.n_fixed :] = contrast_kl(g[0], g[1:])
        else:
            whole, *others = text.top(kept, self.top_k)
            scores[text.n_fixed :] = torch.tensor([top_k_kl(whole, one) for one in others])
        return scores

    @override
    def deletions(self, n_tokens: int) -> int:
        return n_tokens + 1

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"deletions": (n_tokens + 1.0) * n_targets}
