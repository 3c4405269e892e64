"""First-order baselines, computed by captum on the input embeddings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from pydantic import Field
from torch import Tensor

from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.forward import Replacement, at_least_float32, embed, log_probs, replacement
from heat.memory import in_parts
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register
from heat.state import frozen


@register("integrated-gradients")
@dataclass(frozen=True)
class IntegratedGradientsMethod(Method):
    """Integrated gradients of the target's log-probability, summed over the embedding.

    Attributes:
        n_steps: Points on the path (Gauss-Legendre).
        baseline: Where the path starts, at every token: `zero`, `pad` or `mean` (as `replacement` says).
    """

    summary = "gradients summed on the straight path from a baseline"
    source = "Sundararajan et al. 2017, eq. 1 (captum)"
    needs = ("forward", "gradients")
    signed = True

    n_steps: Annotated[int, Field(ge=1)] = 50
    baseline: Replacement = "zero"

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""

        def explain(part: Batch, embeddings: Tensor, arguments: dict[str, Any]) -> Tensor:
            start = replacement(lm.model, part, embeddings, self.baseline)
            result: Tensor = IntegratedGradients(_forward(lm)).attribute(
                embeddings,
                baselines=start[:, None].expand_as(embeddings),
                n_steps=self.n_steps,
                internal_batch_size=rows_within(batch_tokens, embeddings.shape[1]),
                **arguments,
            )
            return result.sum(-1)

        return Scores(
            _by_parts(lm, batch, rows_within(batch_tokens, self.n_steps * batch.token_ids.shape[1]), explain)
        )

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents; see `Method.costs`."""
        return {"gradients": 2.0 * self.n_steps * n_targets}


@register("input-x-gradient")
@dataclass(frozen=True)
class InputXGradientMethod(Method):
    """Embedding times gradient of the target's log-probability, summed over the embedding."""

    summary = "embedding times gradient"
    source = "Shrikumar et al. 2016 (captum)"
    needs = ("forward", "gradients")
    signed = True

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""

        def explain(part: Batch, embeddings: Tensor, arguments: dict[str, Any]) -> Tensor:
            result: Tensor = InputXGradient(_forward(lm)).attribute(embeddings, **arguments)
            return result.sum(-1)

        return Scores(_by_parts(lm, batch, rows_within(batch_tokens, batch.token_ids.shape[1]), explain))

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents; see `Method.costs`."""
        return {"gradients": 2.0 * n_targets}


@register("gradient-norm")
@dataclass(frozen=True)
class GradientNorm(Method):
    """Euclidean length of the gradient of the target's log-probability at each embedding."""

    summary = "length of the gradient"
    source = "Simonyan et al. 2014 (captum); norm over the embedding ours"
    needs = ("forward", "gradients")

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""

        def explain(part: Batch, embeddings: Tensor, arguments: dict[str, Any]) -> Tensor:
            result: Tensor = Saliency(_forward(lm)).attribute(embeddings, abs=False, **arguments)
            norms: Tensor = torch.linalg.vector_norm(at_least_float32(result), dim=-1)
            return norms

        return Scores(_by_parts(lm, batch, rows_within(batch_tokens, batch.token_ids.shape[1]), explain))

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents; see `Method.costs`."""
        return {"gradients": 2.0 * n_targets}


def _forward(lm: LanguageModel) -> Callable[..., Tensor]:
    """What captum differentiates: [B, T, d] -> [B, V] at each row's own position.

    Log-probabilities, less the foil's where there is one.
    """

    def forward(
        embeddings: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        positions: Tensor,
        foil_ids: Tensor | None = None,
    ) -> Tensor:
        rows = torch.arange(len(embeddings), device=embeddings.device)
        values = log_probs(lm.model, embeddings, attention_mask, position_ids, rows, positions)
        return values if foil_ids is None else values - values.gather(1, foil_ids[:, None])

    return forward


def _by_parts(
    lm: LanguageModel, batch: Batch, n_rows: int, explain: Callable[[Batch, Tensor, dict[str, Any]], Tensor]
) -> Tensor:
    """Call `explain` with a row of its own for each target, some rows at a time; [R, T]."""
    rows = batch.one_target_per_row()

    def work(some: Tensor) -> Tensor:
        part, _ = rows.of_rows(some)
        given = (part.attention_mask, part.position_ids, part.positions, part.foil_ids)
        arguments = {
            "target": part.target_ids,
            "additional_forward_args": given if part.foil_ids is not None else given[:3],
        }
        return explain(part, embed(lm.model, part).requires_grad_(), arguments).detach()

    with frozen(lm.model), torch.enable_grad():
        return torch.cat(list(in_parts(rows.rows, n_rows, work)))
