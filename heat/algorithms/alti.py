"""ALTI, and its tracing of a logit."""

from dataclasses import dataclass

from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.alti import token_cost
from heat.components.transition import flow
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register


@register("alti")
@dataclass(frozen=True)
class Alti(Method):
    """Aggregation of layer-wise token-to-token interactions; see `heat.components.alti`.

    Row t of C_L ⋯ C_1 with C_ij ∝ max(0, ‖y_i‖₁ - ‖y_i - T_i(x_j)‖₁). It sums to 1 and looks at no target.
    """

    summary = "contributions to each block's sum, walked through the blocks"
    source = "Ferrando et al. 2022; for decoders Ferrando et al. 2023"
    needs = ("forward", "attention")

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        return Scores(
            flow(lm.model, batch, kind="alti", residual="full", layers=None, batch_tokens=batch_tokens)
        )

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"attention": 1.0, "matrices": token_cost(n_tokens)}


@register("alti-logit")
@dataclass(frozen=True)
class AltiLogit(Method):
    """What attention adds to the target's logit, less the foil's, traced by ALTI; see `heat.components.alti_logit`.

    M_i = Σ_l Σ_j Δ^l_j (C_{l-1} ⋯ C_1)_ji. What MLPs, biases and the first residual add belongs to no token.
    """

    summary = "what attention adds to the logit, traced to the tokens by ALTI"
    source = "Ferrando et al. 2023 (ACL), eq. 5-10"
    needs = ("forward", "attention")
    signed = True

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        return Scores(
            flow(lm.model, batch, kind="alti-logit", residual="full", layers=None, batch_tokens=batch_tokens)
        )

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"attention": 1.0, "matrices": token_cost(n_tokens)}
