"""Information flow routes, with routing and without."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.ifr import direct_cost, direct_flow, head_cost, ifr_flow
from heat.internals.memory import by_sequences
from heat.internals.state import frozen
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register


@register("ifr")
@dataclass(frozen=True)
class InformationFlowRoutes(Method):
    """Importance of each token in the routes that end at the target's position; see `heat.components.ifr`.

    ρ ← e_res ρ + ρ Σ_h e^h through the blocks. It sums to 1 and looks at no target. The paper draws the graph of the
    edges; its importances at the bottom are ours to call scores.

    Attributes:
        threshold: Parts whose share in a position is below it are left out, and the others sum to 1.
    """

    summary = "contributions of every head and the residual, routed through the blocks"
    source = "Ferrando & Voita 2024, eq. 5-8"
    needs = ("forward", "attention")

    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        def work(part: Batch) -> Tensor:
            return ifr_flow(lm.model, part, threshold=self.threshold)

        with frozen(lm.model), torch.no_grad():
            return Scores(by_sequences(batch, batch_tokens, work))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"attention": 1.0, "matrices": head_cost(n_tokens)}


@register("ifr-direct")
@dataclass(frozen=True)
class DirectContributions(Method):
    """Σ_l Σ_h e_tj^{l,h}: what each token gives the target's position directly, in every block.

    FlashTrace reports it as IFR. Nothing is routed through other positions, and the blocks' MLPs and residuals have no
    part in it.
    """

    summary = "contributions of every head at the target's position, summed over blocks"
    source = "Ferrando & Voita 2024 as read by FlashTrace (2602.01914)"
    needs = ("forward", "attention")

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        with frozen(lm.model), torch.no_grad():
            return Scores(by_sequences(batch, batch_tokens, lambda part: direct_flow(lm.model, part)))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"attention": 1.0, "matrices": direct_cost(n_tokens)}
