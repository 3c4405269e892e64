"""Controls that look at nothing: what any method must beat."""

import hashlib
from dataclasses import dataclass

import torch

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register


@register("random")
@dataclass(frozen=True)
class Random(Method):
    """Uniform numbers in [0, 1), drawn from a generator seeded by the seed and the text's own token ids."""

    summary = "uniform noise (control)"
    source = "control"
    needs = ()
    kind = "control"

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        scores = torch.zeros(batch.context.shape)
        for index, inside in enumerate(batch.context.cpu()):
            token_ids = batch.token_ids[batch.rows[index]].cpu()[inside].tolist()
            digest = hashlib.sha256(f"{seed}:{token_ids}:{int(batch.target_ids[index])}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
            scores[index, inside] = torch.rand(len(token_ids), generator=generator)
        return Scores(scores)

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents; see `Method.costs`."""
        return {}
