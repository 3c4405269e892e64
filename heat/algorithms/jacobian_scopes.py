"""Jacobian Scopes: how far a token's embedding moves the next-token distribution, or its temperature."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.component import Component
from heat.components.fisher import Fisher
from heat.internals.forward import at_least_float32, at_targets, token_vectors
from heat.internals.memory import in_parts
from heat.internals.state import frozen, hooked
from heat.method import MadeOfParts, Method, Scores
from heat.model import LanguageModel
from heat.registry import register

_SOURCE = "Jacobian Scopes, arXiv 2601.16407"


@register("fisher")
@dataclass(frozen=True)
class FisherScope(MadeOfParts):
    """Trace of each token's block of the Fisher information, or its root.

    Attributes:
        n_probes: Number of random directions, a backward pass each; with a foil one pass gives the trace exactly.
        scale: `root` is √tr F_i, in the units of a gradient norm; `trace` is tr F_i. They rank tokens alike.
    """

    summary = "how far the next-token distribution moves with the embedding"
    source = _SOURCE + ", Fisher; estimator ours"
    needs = ("forward", "gradients")

    n_probes: Annotated[int, Field(ge=1)] = 10
    scale: Literal["root", "trace"] = "root"

    @override
    def components(self) -> dict[str, Component]:
        return {"fisher": Fisher(self.n_probes)}

    @override
    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        return Scores(parts["fisher"] if self.scale == "root" else parts["fisher"].square(), parts)


@register("temperature")
@dataclass(frozen=True)
class TemperatureScope(Method):
    """L2 norm of the gradient of ‖h‖₂, where h is the vector that the vocabulary head reads: no target is looked at."""

    summary = "how far the norm of the last hidden state moves with the embedding (looks at no target)"
    source = _SOURCE + ", temperature"
    needs = ("forward", "gradients", "hidden-states")
    kind = "control"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        rows = batch.one_target_per_row()
        result = torch.zeros(rows.context.shape)
        everything = torch.arange(len(rows.rows), device=rows.rows.device)
        size = max(1, batch_tokens // rows.token_ids.shape[1])

        def work(some: Tensor) -> tuple[Tensor, Tensor]:
            part, _ = rows.of_rows(some)
            return some, _norm_gradients(lm, part)

        for some, norms in in_parts(everything, size, work):
            result = result.to(norms)
            result[some.to(result.device)] = norms
        return Scores(torch.where(batch.context.to(result.device), result, 0.0))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"gradients": 2.0 * n_targets}


def _norm_gradients(lm: LanguageModel, batch: Batch) -> Tensor:
    """∂‖h‖₂/∂E of one target a sequence, its L2 norm at every token, [R, T]."""
    entering: list[Tensor] = []
    head = lm.model.get_output_embeddings()

    def keep(module: torch.nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        entering.append(args[0] if args else kwargs["input"])

    with frozen(lm.model), torch.enable_grad():
        embeddings = token_vectors(lm.model, batch).requires_grad_()
        with hooked(head, keep):
            at_targets(lm.model, batch, embeddings)
        # The head reads the columns of all targets, in order (`log_probs`).
        columns = torch.unique(batch.positions)
        index = torch.searchsorted(columns, batch.positions)
        hidden = entering[-1]
        at = hidden[batch.rows.to(hidden.device), index.to(hidden.device)]
        length = torch.linalg.vector_norm(at_least_float32(at), dim=-1).sum()
        (gradient,) = torch.autograd.grad(length, embeddings)
    norms: Tensor = torch.linalg.vector_norm(at_least_float32(gradient), dim=-1)
    return norms
