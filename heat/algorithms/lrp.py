"""Layer-wise relevance propagation through transformers: AttnLRP and CP-LRP."""

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.relevance import relevance
from heat.internals.lrp import Rules
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register


@dataclass(frozen=True)
class _Propagated(Method):
    """Relevance of each token for the target's logit z (with a foil, for the difference of the two logits).

    The logit is explained, as in the papers, and not log p(target). Scores sum to z less what biases and position
    embeddings have handed on.
    """

    needs = ("forward", "gradients")
    signed = True
    float16 = True  # a logit's derivatives without those of norms: none is small
    rules: ClassVar[Rules]

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        return Scores(relevance(lm.model, batch, rules=self.rules, batch_tokens=batch_tokens))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"gradients": 1.0 + n_targets}


@register("attn-lrp")
@dataclass(frozen=True)
class AttnLrp(_Propagated):
    """Norms and activations pass relevance on unchanged, products share it evenly, the softmax is linearized.

    What the softmax's linearization leaves out stays behind, so the sum is z only roughly where attention is sharp.
    """

    summary = "layer-wise relevance propagation through attention"
    source = "Achtibat et al. 2024, eq. 7-14"
    rules = "attn"


@register("cp-lrp")
@dataclass(frozen=True)
class CpLrp(_Propagated):
    """Norms' divisors, attention weights and gates are constants; without biases the scores sum to z exactly."""

    summary = "layer-wise relevance propagation with attention weights and gates held constant"
    source = "Ali et al. 2022; gates as in Achtibat et al. 2024"
    rules = "cp"
