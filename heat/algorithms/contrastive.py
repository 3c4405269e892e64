"""Gradients that ask why this token and not that one."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.internals.forward import at_least_float32, at_targets, token_vectors
from heat.internals.memory import in_parts
from heat.internals.state import frozen
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register


@register("contrastive-gradient")
@dataclass(frozen=True)
class ContrastiveGradient(Method):
    """L1 norm of the gradient of log p(target) - log p(foil) at each embedding: a_i = ‖∂g/∂e_i‖₁, the paper's norm.

    The difference of log-probabilities is that of logits. Without a foil (ours) each target's is the token that the
    model holds most probable among all others, so that a single text needs no pair. The paper's contrastive input ×
    gradient is `input-x-gradient` with a foil.
    """

    summary = "L1 norm of the gradient of target against foil"
    source = "Yin & Neubig 2022, contrastive gradient norm; the foil where none is given ours"
    needs = ("forward", "gradients")

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        rows = batch.one_target_per_row()

        def work(chosen: Tensor) -> Tensor:
            part, _ = rows.of_rows(chosen)
            embeddings = token_vectors(lm.model, part).requires_grad_()
            values = at_targets(lm.model, part, embeddings)
            targets = part.target_ids.to(values.device)[:, None]
            if part.foil_ids is None:
                foils = values.detach().scatter(1, targets, -torch.inf).argmax(-1, keepdim=True)
            else:
                foils = part.foil_ids.to(values.device)[:, None]
            contrast = values.gather(1, targets) - values.gather(1, foils)
            (gradient,) = torch.autograd.grad(contrast.sum(), embeddings)
            return at_least_float32(gradient).abs().sum(-1)

        with frozen(lm.model), torch.enable_grad():
            size = rows_within(batch_tokens, batch.token_ids.shape[1])
            return Scores(torch.cat(list(in_parts(rows.rows, size, work))))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"gradients": 2.0 * n_targets}
