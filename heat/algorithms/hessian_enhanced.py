"""HEAT, score_i = M_i (β S_i + γ I_i), and the ablations that leave parts of it out."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.curvature import Mode, Products, curvature
from heat.components.information import PARTS, Mask, information
from heat.components.transition import Kind, Residual, transition
from heat.errors import ConfigError
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register

_HEAT = "Pramanik et al. (HETA)"


@dataclass(frozen=True)
class _Transition(Method):
    """Options of M.

    Attributes:
        transition: `gradient`, `value` or `uniform`.
        residual: Weight of the residual path in `gradient`: `full`, `half` or `without-self`.
    """

    transition: Kind = "gradient"
    residual: Residual = "full"

    def _transition(self, lm: LanguageModel, batch: Batch, batch_tokens: int) -> Tensor:
        return transition(
            lm.model, batch, kind=self.transition, residual=self.residual, batch_tokens=batch_tokens
        )

    def _transition_cost(self, n_targets: int) -> float:
        return {"gradient": 3.0, "value": 1.0, "uniform": 0.0}[self.transition] * n_targets


@dataclass(frozen=True)
class _Curvature(Method):
    """Options of S.

    Attributes:
        mode: `row` or `block`.
        products: `double-backward` or `finite-difference`.
        n_probes: Number of Rademacher probes.
    """

    mode: Mode = "row"
    products: Products = "double-backward"
    n_probes: Annotated[int, Field(ge=1)] = 10

    def _curvature(self, lm: LanguageModel, batch: Batch, seed: int, batch_tokens: int) -> Tensor:
        return curvature(
            lm.model,
            batch,
            mode=self.mode,
            products=self.products,
            n_probes=self.n_probes,
            seed=seed,
            batch_tokens=batch_tokens,
        )

    def _curvature_cost(self, n_tokens: int, n_targets: int) -> float:
        n_products = self.n_probes * (n_tokens if self.mode == "block" else 1)
        # A product is a backward pass through a gradient (3 forward-equivalents), or two gradients.
        shared = 3 if self.products == "double-backward" else 0
        return n_targets * (shared + 6.0 * n_products)


@dataclass(frozen=True)
class _Information(Method):
    """Options of I.

    Attributes:
        mask: `zero`, `mean`, `pad` or `attention`.
    """

    mask: Mask = "zero"

    def _information(self, lm: LanguageModel, batch: Batch, batch_tokens: int) -> Tensor:
        return information(lm.model, batch, mask=self.mask, batch_tokens=batch_tokens)

    def _information_cost(self, n_tokens: int, n_targets: int) -> float:
        # One unmasked pass, one for the prefixes, and what stands behind them.
        behind_prefix = (PARTS + 1) / (2 * PARTS)
        return (2.0 + behind_prefix * n_tokens) * (n_targets if self.mask == "mean" else 1)


@dataclass(frozen=True)
class _Mix(_Curvature, _Information):
    """Options of β S + γ I.

    Attributes:
        beta: Weight of the curvature.
        gamma: Weight of the information.
        normalize: `sum` divides each of the two by its sum over the context first, as their scales differ by
            orders of magnitude; `none` is the formula as printed.
    """

    beta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    gamma: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    normalize: Literal["sum", "none"] = "sum"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta == self.gamma == 0:
            raise ConfigError(
                "beta and gamma are both 0, which leaves no score; give at least one of them weight"
            )

    def _parts(self, lm: LanguageModel, batch: Batch, seed: int, batch_tokens: int) -> dict[str, Tensor]:
        return {
            "curvature": self._curvature(lm, batch, seed, batch_tokens),
            "information": self._information(lm, batch, batch_tokens),
        }

    def _mix(self, parts: dict[str, Tensor]) -> Tensor:
        scale = _share if self.normalize == "sum" else torch.Tensor
        return self.beta * scale(parts["curvature"]) + self.gamma * scale(parts["information"])

    def _mix_cost(self, n_tokens: int, n_targets: int) -> float:
        return self._curvature_cost(n_tokens, n_targets) + self._information_cost(n_tokens, n_targets)


@register("heat")
@dataclass(frozen=True)
class Heat(_Transition, _Mix):
    """HEAT with all three parts: M_i (β S_i + γ I_i)."""

    summary = "transition, gating curvature and information"
    source = _HEAT
    needs = ("forward", "gradients", "second-derivatives", "attention")

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        flow = self._transition(lm, batch, batch_tokens)
        parts = self._parts(lm, batch, seed, batch_tokens)
        return Scores(flow * self._mix(parts), {"transition": flow, **parts})

    def cost(self, n_tokens: int, n_targets: int) -> float:
        """Forward-equivalents; see `Method.cost`."""
        return self._transition_cost(n_targets) + self._mix_cost(n_tokens, n_targets)


@register("no-gate")
@dataclass(frozen=True)
class NoGate(_Mix):
    """HEAT without the transition: β S_i + γ I_i."""

    summary = "curvature and information, no transition (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "second-derivatives")

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        parts = self._parts(lm, batch, seed, batch_tokens)
        return Scores(self._mix(parts), parts)

    def cost(self, n_tokens: int, n_targets: int) -> float:
        """Forward-equivalents; see `Method.cost`."""
        return self._mix_cost(n_tokens, n_targets)


@register("uniform-transition")
@dataclass(frozen=True)
class UniformTransition(_Mix):
    """HEAT with M_i = 1/n: within one text it ranks the tokens as `no-gate` does, on another scale."""

    summary = "curvature and information under a uniform transition (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "second-derivatives")

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        flow = transition(lm.model, batch, kind="uniform")
        parts = self._parts(lm, batch, seed, batch_tokens)
        return Scores(flow * self._mix(parts), {"transition": flow, **parts})

    def cost(self, n_tokens: int, n_targets: int) -> float:
        """Forward-equivalents; see `Method.cost`."""
        return self._mix_cost(n_tokens, n_targets)


@register("transition-only")
@dataclass(frozen=True)
class TransitionOnly(_Transition):
    """M alone."""

    summary = "the transition alone (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "attention")

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        flow = self._transition(lm, batch, batch_tokens)
        return Scores(flow, {"transition": flow})

    def cost(self, n_tokens: int, n_targets: int) -> float:
        """Forward-equivalents; see `Method.cost`."""
        return self._transition_cost(n_targets)


@register("hessian-only")
@dataclass(frozen=True)
class HessianOnly(_Curvature):
    """S alone."""

    summary = "the curvature alone (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "second-derivatives")

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        size = self._curvature(lm, batch, seed, batch_tokens)
        return Scores(size, {"curvature": size})

    def cost(self, n_tokens: int, n_targets: int) -> float:
        """Forward-equivalents; see `Method.cost`."""
        return self._curvature_cost(n_tokens, n_targets)


@register("kl-only")
@dataclass(frozen=True)
class KlOnly(_Information):
    """I alone."""

    summary = "the information alone (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward",)

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        loss = self._information(lm, batch, batch_tokens)
        return Scores(loss, {"information": loss})

    def cost(self, n_tokens: int, n_targets: int) -> float:
        """Forward-equivalents; see `Method.cost`."""
        return self._information_cost(n_tokens, n_targets)


def _share(part: Tensor) -> Tensor:
    """Divide by the sum over the context; a part that is zero everywhere stays zero."""
    total = part.sum(-1, keepdim=True)
    return part / torch.where(total > 0, total, 1.0)
