"""Baselines that take tokens away and watch the target, computed by captum on the input embeddings."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import exp, sqrt
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch
from captum.attr import FeatureAblation, KernelShap, Lime, Occlusion, ShapleyValueSampling
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.algorithms.captum_bridge import Text, one_by_one
from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.errors import ConfigError, UnitError
from heat.internals.forward import Replacement
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register
from heat.units import Unit


@dataclass(frozen=True)
class _Perturbation(Method):
    """What these methods share: g is the target's log-probability (less the foil's), a player is a token.

    captum spreads a token's score over all entries of its embedding, so the first is read.

    Attributes:
        baseline: What stands in a missing token's place: `zero`, `pad` or `mean` (as `replacement` says).
    """

    needs = ("forward",)
    signed = True

    baseline: Replacement = "zero"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        def explain(text: Text) -> Tensor:
            with torch.no_grad():
                return self._explain(text)[0, :, 0]

        return Scores(one_by_one(lm, batch, explain, seed=seed, batch_tokens=batch_tokens))

    @abstractmethod
    def _explain(self, text: Text) -> Tensor:
        """Captum's attribution, [1, n, d]."""

    def _arguments(self, text: Text) -> dict[str, Any]:
        return {
            "baselines": text.baseline(self.baseline),
            "perturbations_per_eval": text.at_once,
            "show_progress": False,
        }


@register("occlusion")
@dataclass(frozen=True)
class OcclusionMethod(_Perturbation):
    """Loss of g when a token is replaced: g(E) - g(E without token i).

    Attributes:
        window: Tokens that are replaced together; beyond 1, a token has the mean over all windows it lies in.
        mask_unit: What is replaced at once: `token`, or a `word`, `sentence`, `line`, `message` or `example`, whose
            loss its tokens share evenly (captum's feature ablation); as many passes as there are units.
    """

    summary = "loss when a token is replaced"
    source = "Zeiler & Fergus 2014; Li et al. 2016 (leave one out; captum)"
    neutral = MappingProxyType({"mask_unit": "token"})

    window: Annotated[int, Field(ge=1)] = 1
    mask_unit: Unit = "token"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask_unit != "token" and self.window > 1:
            raise ConfigError("occlusion replaces windows of tokens or units, not both; leave window at 1")

    @override
    def _explain(self, text: Text) -> Tensor:
        _, n_tokens, width = text.embeddings.shape
        if self.mask_unit != "token":
            return self._by_unit(text)
        result: Tensor = Occlusion(text.forward).attribute(
            text.embeddings,
            sliding_window_shapes=(min(self.window, n_tokens), width),
            strides=(1, width),
            **self._arguments(text),
        )
        return result

    @property
    @override
    def masks(self) -> Unit:
        return self.mask_unit

    def _by_unit(self, text: Text) -> Tensor:
        """Loss of each unit, shared evenly by its tokens; tokens of no unit are never replaced, and have 0."""
        units = text.batch.units
        if units is None:
            raise UnitError("a unit can be masked at once in a text alone; attribute with heat.attribute")
        n_tokens = text.embeddings.shape[1]
        own = units[0, :n_tokens].cpu()
        features = torch.unique(own, return_inverse=True)[1]
        sizes = (own[:, None] == own).sum(-1)
        # Tokens of no unit are a feature too, as captum wants every entry in one; it is not read.
        loss = FeatureAblation(text.forward).attribute(
            text.embeddings,
            feature_mask=features[None, :, None].expand(text.embeddings.shape).contiguous(),
            **self._arguments(text),
        )
        shared: Tensor = loss / sizes[None, :, None] * (own >= 0)[None, :, None]
        return shared

    @override
    def with_units(
        self, costs: Mapping[str, float], n_tokens: int, n_targets: int, n_units: int
    ) -> dict[str, float]:
        # One pass more is not read: captum replaces what belongs to no unit too.
        return self.fewer(costs, "perturbations", float(n_targets), (n_units + 1) / n_tokens)

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"perturbations": (1.0 + max(1, n_tokens - self.window + 1)) * n_targets}


@register("shapley-sampling")
@dataclass(frozen=True)
class ShapleySampling(_Perturbation):
    """Shapley values by random orders: what a token adds to g when it joins those before it in the order.

    Attributes:
        n_samples: Orders.
    """

    summary = "Shapley values from random orders of the tokens"
    source = "Castro et al. 2009; Strumbelj & Kononenko 2010 (captum)"
    completeness = True

    n_samples: Annotated[int, Field(ge=1)] = 25

    @override
    def _explain(self, text: Text) -> Tensor:
        result: Tensor = ShapleyValueSampling(text.forward).attribute(
            text.embeddings, feature_mask=text.tokens, n_samples=self.n_samples, **self._arguments(text)
        )
        return result

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"perturbations": (1.0 + self.n_samples * n_tokens) * n_targets}


@register("kernel-shap")
@dataclass(frozen=True)
class KernelShapMethod(_Perturbation):
    """Shapley values by weighted least squares on random coalitions of tokens.

    Coalitions are drawn with the Shapley kernel's probabilities and weigh the same; the empty and the full one
    weigh a million, which stands for the two constraints. A single token has g(E) - g(baseline), without draws.

    Attributes:
        n_samples: Coalitions; `auto`: 2n + 2,048 for n tokens, as in the authors' package.
    """

    summary = "Shapley values from a weighted regression"
    source = "Lundberg & Lee 2017, theorem 2 (captum)"
    completeness = True

    n_samples: Literal["auto"] | Annotated[int, Field(ge=3)] = "auto"

    @override
    def _explain(self, text: Text) -> Tensor:
        arguments, n_tokens = self._arguments(text), text.embeddings.shape[1]
        if n_tokens == 1:
            # captum has no size to draw where only the empty and the full coalition exist.
            ends = text.forward(torch.cat([text.embeddings, arguments["baselines"]]))
            return (ends[0] - ends[1]).expand_as(text.embeddings)
        result: Tensor = KernelShap(text.forward).attribute(
            text.embeddings, feature_mask=text.tokens, n_samples=self._samples(n_tokens), **arguments
        )
        return result

    def _samples(self, n_tokens: int) -> int:
        return 2 * n_tokens + 2048 if self.n_samples == "auto" else self.n_samples

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"perturbations": float(self._samples(n_tokens)) * n_targets}


@register("lime")
@dataclass(frozen=True)
class LimeMethod(_Perturbation):
    """Coefficients of a linear surrogate of g over which tokens are there.

    Each token stays with probability 1/2; a sample z of k tokens out of n weighs exp(-D² / (2 width²)), where
    D = 1 - √(k/n) is the cosine distance of z from the whole text (1 for the empty sample); the surrogate is
    scikit-learn's ridge regression with an intercept that is not penalised.

    Attributes:
        n_samples: Samples.
        alpha: Strength of the ridge, against the sum of weighted squares.
        width: Width of the kernel.
    """

    summary = "coefficients of a local linear surrogate"
    source = "Ribeiro et al. 2016, eq. 1 (captum); ridge in place of K-LASSO, cosine kernel as in the authors' package"

    n_samples: Annotated[int, Field(ge=2)] = 512
    alpha: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    width: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.25

    @override
    def _explain(self, text: Text) -> Tensor:
        method = Lime(
            text.forward,
            interpretable_model=_Ridge(self.alpha),
            similarity_func=_cosine_kernel(self.width),
        )
        result: Tensor = method.attribute(
            text.embeddings, feature_mask=text.tokens, n_samples=self.n_samples, **self._arguments(text)
        )
        return result

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"perturbations": float(self.n_samples) * n_targets}


class _Ridge:
    """scikit-learn's ridge regression, as captum's `LimeBase` asks for its surrogate."""

    def __init__(self, alpha: float) -> None:
        # Here, as it takes a second to import.
        from sklearn.linear_model import Ridge

        self.model = Ridge(alpha=alpha)

    def fit(self, train_data: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Fit to batches of samples [N, n], outcomes [N] and weights [N]."""
        samples, outcomes, weights = (torch.cat(batches).cpu() for batches in zip(*train_data, strict=True))
        self.model.fit(samples.numpy(), outcomes.numpy(), sample_weight=weights.numpy())

    def representation(self) -> Tensor:
        """Coefficients, float32 [1, n]."""
        return torch.from_numpy(self.model.coef_).float().reshape(1, -1)


def _cosine_kernel(width: float) -> Callable[..., float]:
    """Weight of a sample by how many tokens it keeps (captum's own kernel measures the embeddings instead)."""

    def kernel(original: Tensor, perturbed: Tensor, sample: Tensor, **rest: Any) -> float:
        distance = 1.0 - sqrt(float(sample.sum()) / sample.numel())
        return exp(-(distance**2) / (2 * width**2))

    return kernel
