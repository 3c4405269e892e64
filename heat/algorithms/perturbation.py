"""Baselines that take tokens away and watch the target, computed by captum: on the embeddings, or on who is there."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, sqrt
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

import torch
from captum.attr import FeatureAblation, KernelShap, Lime, Occlusion, ShapleyValueSampling
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.algorithms.captum_bridge import Text, one_by_one, seed_of, seeded
from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.deletion import ByDeletion, Deletions, Missing, score_by_deletion
from heat.errors import ConfigError, UnitError
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register
from heat.units import Unit


@dataclass(frozen=True)
class _Perturbation(ByDeletion, Method):
    """What these methods share: g is the target's log-probability (less the foil's), a player is a token.

    captum spreads a token's score over all entries of its embedding, so the first is read. Where missing tokens are
    deleted it works on a vector that says which are there; a beginning-of-text token is then no player and has 0.

    Attributes:
        baseline: What stands in a missing token's place: `zero`, `pad` or `mean` (as `replacement` says), or nothing,
            `delete`: what is left moves up (see `heat.deletion.Deletions`).
    """

    needs = ("forward",)
    signed = True
    deletion_note = "a missing token is deleted (baseline=delete), not replaced by the zero embedding"

    baseline: Missing = "zero"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        if self.baseline == "delete":
            return score_by_deletion(self, lm, batch, seed=seed, batch_tokens=batch_tokens)
        baseline = self.baseline

        def explain(text: Text) -> Tensor:
            with torch.no_grad():
                units = None if text.batch.units is None else text.batch.units[0].tolist()
                game = _Game(
                    text.forward, text.embeddings, text.tokens, text.baseline(baseline), units, text.at_once
                )
                return self._explain(game)[0, :, 0]

        return Scores(one_by_one(lm, batch, explain, seed=seed, batch_tokens=batch_tokens))

    @override
    def deleting(self) -> Self:
        return replace(self, baseline="delete")

    @override
    def by_deletion(self, text: Deletions, *, seed: int) -> Tensor:
        scores = torch.zeros(text.n_tokens)
        if text.n_fixed == text.n_tokens:
            return scores
        fixed = torch.ones(text.n_fixed, dtype=torch.bool)

        def forward(there: Tensor) -> Tensor:
            return text.g(torch.cat([fixed.expand(len(there), -1), there > 0], 1))

        there = torch.ones(1, text.n_tokens - text.n_fixed)
        players = torch.arange(there.shape[1])[None]
        units = None if text.units is None else text.units[text.n_fixed :]
        game = _Game(forward, there, players, torch.zeros_like(there), units, text.at_once)
        with torch.no_grad(), seeded(seed_of((*text.token_ids, text.target_id), seed)):
            scores[text.n_fixed :] = self._explain(game)[0].float()
        return scores

    @override
    def deletions(self, n_tokens: int) -> int:
        return ceil(self.costs(n_tokens, 1)["perturbations"])

    @abstractmethod
    def _explain(self, game: "_Game") -> Tensor:
        """Captum's attribution, [1, n, ...]."""


@dataclass(frozen=True, eq=False)
class _Game:
    """What captum is given.

    Attributes:
        forward: Gives g of B copies of the input, [B, n, ...] to [B].
        whole: Nobody missing, [1, n, ...].
        players: int64, whose token each entry of `whole` is.
        nobody: What stands in the place of a missing token's entries, the shape of `whole`.
        units: The unit that each token is masked with, -1 for none; None where tokens are masked alone.
        at_once: How many copies `forward` takes.
    """

    forward: Callable[[Tensor], Tensor]
    whole: Tensor
    players: Tensor
    nobody: Tensor
    units: Sequence[int] | None
    at_once: int

    @property
    def n_tokens(self) -> int:
        """Number of players."""
        return self.whole.shape[1]

    @property
    def arguments(self) -> dict[str, Any]:
        """What every method of captum's takes."""
        return {
            "baselines": self.nobody,
            "perturbations_per_eval": self.at_once,
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
    def _explain(self, game: _Game) -> Tensor:
        if self.mask_unit != "token":
            return self._by_unit(game)
        _, n_tokens, *width = game.whole.shape
        result: Tensor = Occlusion(game.forward).attribute(
            game.whole,
            sliding_window_shapes=(min(self.window, n_tokens), *width),
            strides=(1, *width),
            **game.arguments,
        )
        return result

    @property
    @override
    def masks(self) -> Unit:
        return self.mask_unit

    def _by_unit(self, game: _Game) -> Tensor:
        """Loss of each unit, shared evenly by its tokens; tokens of no unit are never replaced, and have 0."""
        if game.units is None:
            raise UnitError("a unit can be masked at once in a text alone; attribute with heat.attribute")
        own = torch.tensor(game.units[: game.n_tokens])
        features = torch.unique(own, return_inverse=True)[1]
        # Tokens of no unit are a feature too, as captum wants every entry in one; it is not read.
        loss = FeatureAblation(game.forward).attribute(
            game.whole, feature_mask=features[game.players].contiguous(), **game.arguments
        )
        sizes = (own[:, None] == own).sum(-1)
        shared: Tensor = loss / sizes[game.players] * (own >= 0)[game.players]
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
    def _explain(self, game: _Game) -> Tensor:
        result: Tensor = ShapleyValueSampling(game.forward).attribute(
            game.whole, feature_mask=game.players, n_samples=self.n_samples, **game.arguments
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
    def _explain(self, game: _Game) -> Tensor:
        if game.n_tokens == 1:
            # captum has no size to draw where only the empty and the full coalition exist.
            ends = game.forward(torch.cat([game.whole, game.nobody]))
            return (ends[0] - ends[1]).expand_as(game.whole)
        result: Tensor = KernelShap(game.forward).attribute(
            game.whole,
            feature_mask=game.players,
            n_samples=self._samples(game.n_tokens),
            **game.arguments,
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
    def _explain(self, game: _Game) -> Tensor:
        method = Lime(
            game.forward,
            interpretable_model=_Ridge(self.alpha),
            similarity_func=_cosine_kernel(self.width),
        )
        result: Tensor = method.attribute(
            game.whole, feature_mask=game.players, n_samples=self.n_samples, **game.arguments
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
