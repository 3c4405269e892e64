"""HEAT, score_i = M_i (β S_i + γ I_i), its approximations, and the ablations that leave parts of it out."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.component import Component
from heat.components.curvature import Curvature, Mode, Products
from heat.components.fisher import Fisher
from heat.components.gradient import GradientNorm
from heat.components.information import Information, information
from heat.components.masked import Mask
from heat.components.prefix import suffix_cost
from heat.components.transition import Kind, Residual, Transition, shares
from heat.components.windows import Windows, windows_of
from heat.errors import ConfigError
from heat.internals.precision import Precision
from heat.method import MadeOfParts, Scores
from heat.model import LanguageModel
from heat.registry import register
from heat.units import Unit

_HEAT = "Pramanik et al. (HETA)"

# Prompts beyond this many tokens are masked by spans first in the windowed forms, unless `span` says otherwise.
LONGEST_MASKED_ONE_BY_ONE = 1024
SPAN = 16


@dataclass(frozen=True)
class TransitionOptions(MadeOfParts):
    """Options of M.

    Attributes:
        transition: `gradient`, `value`, `alti`, `ifr`, `ifr-direct`, `alti-logit` or `uniform`.
        residual: Weight of the residual path in `gradient`: `full`, `without-self`, `half` or `relevance`; the last two
            pile up on the first tokens of a text in models of many blocks.
        temper: τ of M^τ (ours): below 1 the gate closes less.
    """

    neutral = MappingProxyType({"temper": 1.0})

    transition: Kind = "gradient"
    residual: Residual = "full"
    temper: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    def gate(self, parts: Mapping[str, Tensor]) -> Tensor:
        """M^τ, [R, T]; the stored part is M itself."""
        transition = parts["transition"]
        return transition if self.temper == 1 else transition**self.temper


@dataclass(frozen=True)
class PrecisionOptions(MadeOfParts):
    """How matrix products are made.

    Attributes:
        precision: Of the masked passes' matrix products, and of second derivatives': `float32`, `bfloat16`, or `auto`,
            which is bfloat16 where the device is faster in it.
    """

    neutral = MappingProxyType({"precision": "float32"})

    precision: Precision = "float32"


@dataclass(frozen=True)
class CurvatureOptions(PrecisionOptions):
    """Options of S.

    Attributes:
        mode: `row` or `block` of the Hessian; `fisher`, the curvature of the whole distribution, or `gradient`, the
            gradient norm in its place, both of first derivatives (see `Fisher` and `GradientNorm`).
        products: `auto`, `double-backward`, `batched`, `forward-over-reverse` or `finite-difference`.
        n_probes: Number of Rademacher probes; `auto` draws as many as make the ranking of a text's tokens settle (mode
            `row`).
    """

    mode: Mode | Literal["fisher", "gradient"] = "row"
    products: Products = "auto"
    n_probes: Literal["auto"] | Annotated[int, Field(ge=1)] = 10

    def curvature(self, *, rank: int | None = None, layers: int | None = None) -> Component:
        """The component that the options ask for.

        Args:
            rank: Rank of the Hessian's approximation; None for none.
            layers: Of the top N blocks; None for all.

        Raises:
            ConfigError: `fisher` or `gradient` with an approximation of the Hessian, or `auto` probes outside `row`.
        """
        if self.n_probes == "auto" and self.mode in ("block", "fisher"):
            raise ConfigError(
                f"n_probes 'auto' is for mode 'row'; give a number of probes for mode '{self.mode}'"
            )
        if self.mode in ("row", "block"):
            return Curvature(self.mode, self.products, self.n_probes, rank, layers, self.precision)
        if rank is not None or layers is not None:
            raise ConfigError(
                f"method '{self.name}' approximates the Hessian, and mode '{self.mode}' takes none; use mode 'row' or "
                "'block', or method 'heat'"
            )
        return Fisher(int(self.n_probes)) if self.mode == "fisher" else GradientNorm()


@dataclass(frozen=True)
class InformationOptions(PrecisionOptions):
    """Options of I.

    Attributes:
        mask: `zero`, `mean`, `pad` or `attention`.
        mask_unit: What is masked at once: `token`, or a `word`, `sentence`, `line`, `message` or `example`, whose
            divergence its tokens share evenly; as many passes as there are units.
    """

    neutral = MappingProxyType({"mask_unit": "token"})

    mask: Mask = "zero"
    mask_unit: Unit = "token"

    @property
    @override
    def masks(self) -> Unit:
        return self.mask_unit

    @override
    def with_units(
        self, costs: Mapping[str, float], n_tokens: int, n_targets: int, n_units: int
    ) -> dict[str, float]:
        whole = float(n_targets if self.mask == "mean" else 1)
        return self.fewer(costs, "information", whole, n_units / n_tokens)


@dataclass(frozen=True)
class MixOptions(CurvatureOptions, InformationOptions):
    """Options of β S + γ I.

    Attributes:
        beta: Weight of the curvature.
        gamma: Weight of the information.
        normalize: `sum` divides each of the two by its sum over the context first, as their scales differ by
            orders of magnitude; `none` is the formula as printed.
        mix: `sum` is β S + γ I; `geometric` (ours) is the weighted geometric mean S^(β/(β+γ)) I^(γ/(β+γ)), which asks
            for both.
    """

    beta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    gamma: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    normalize: Literal["sum", "none"] = "sum"
    mix: Literal["sum", "geometric"] = "sum"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta == self.gamma == 0:
            raise ConfigError(
                "beta and gamma are both 0, which leaves no score; give at least one of them weight"
            )

    @override
    def components(self) -> dict[str, Component]:
        return {
            "curvature": self.curvature(),
            "information": Information(self.mask, self.precision, self.mask_unit),
        }

    def mixed(self, parts: Mapping[str, Tensor]) -> Tensor:
        """β S + γ I, [R, T]."""
        curvature, information = (
            _share(part) if self.normalize == "sum" else part
            for part in (parts["curvature"], parts["information"])
        )
        if self.mix == "geometric":
            weight = self.beta / (self.beta + self.gamma)
            return curvature**weight * information ** (1 - weight)
        return self.beta * curvature + self.gamma * information


@register("heat")
@dataclass(frozen=True)
class Heat(TransitionOptions, MixOptions):
    """HEAT with all three parts: M_i (β S_i + γ I_i)."""

    summary = "transition, gating curvature and information"
    source = _HEAT
    needs = ("forward", "gradients", "second-derivatives", "attention")
    kind = "heat"

    @override
    def components(self) -> dict[str, Component]:
        return {
            "transition": Transition(self.transition, self.residual),
            **MixOptions.components(self),
        }

    @override
    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        return Scores(self.gate(parts) * self.mixed(parts), parts)


@dataclass(frozen=True)
class LowRankOptions(Heat):
    """Options of the low-rank curvature.

    Attributes:
        rank: Rank of the approximation of H, and the number of products it takes (64 on the poster).
    """

    rank: Annotated[int, Field(ge=1)] = 64

    @override
    def components(self) -> dict[str, Component]:
        return super().components() | {"curvature": self.curvature(rank=self.rank)}


@register("heat-low-rank")
@dataclass(frozen=True)
class HeatLowRank(LowRankOptions):
    """HEAT whose curvature comes from a low-rank approximation of the Hessian."""

    summary = "HEAT with the Hessian's low-rank approximation by Lanczos"
    source = _HEAT + ", low rank; closed form ours"


@register("heat-layer-sampling")
@dataclass(frozen=True)
class HeatLayerSampling(Heat):
    """HEAT whose curvature and transition are those of the top blocks alone.

    Attributes:
        layers: How many blocks from the top (6 on the poster); all there are where there are fewer.
    """

    summary = "HEAT with curvature and transition of the top blocks"
    source = _HEAT + ", layer sampling"

    layers: Annotated[int, Field(ge=1)] = 6

    @override
    def components(self) -> dict[str, Component]:
        return super().components() | {
            "transition": Transition(self.transition, self.residual, self.layers),
            "curvature": self.curvature(layers=self.layers),
        }


@register("heat-windowed")
@dataclass(frozen=True)
class HeatWindowed(Heat):
    """HEAT on overlapping windows of a long prompt, each with the prompt's tail (question and answer cue).

    The parts are averaged over the windows that hold a token before they are divided by their sums, so a window
    counts by its mass; a prompt that fits into one window is explained by plain HEAT. A prompt may be longer than
    the model's context.

    Attributes:
        window: Tokens of a window (512 on the poster), less where the model's context is shorter; half of them are
            the next window's too.
        tail: Tokens at the end of the prompt that stay in every window.
        span: Tokens masked together before the spans that matter are masked token by token; `auto`: 16 for prompts
            of more than 1,024 tokens, else 1.
        refine: Share of the information that is looked into token by token, where spans are masked.
    """

    summary = "HEAT on windows that keep the prompt's tail, for long prompts"
    source = _HEAT + ", windowing; the tail ours"
    splits_prompt = True

    window: Annotated[int, Field(ge=2)] = 512
    tail: Annotated[int, Field(ge=1)] = 64
    span: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    refine: Annotated[float, Field(ge=0, le=1)] = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask_unit != "token":
            raise ConfigError(
                f"method '{self.name}' masks spans of its windows, and no {self.mask_unit}s; use method 'heat', or "
                "mask_unit=token"
            )

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        windows = [self._windows(lm, batch, target) for target in range(len(batch.rows))]
        longest = int(batch.context.sum(-1).max())
        if self._span(longest) == 1 and all(len(of_target.columns) == 1 for of_target in windows):
            return super().score(lm, batch, seed=seed, batch_tokens=batch_tokens)
        averaged = [
            self._averaged(lm, batch, target, windows[target], seed, batch_tokens)
            for target in range(len(batch.rows))
        ]
        parts = {name: torch.stack([of_target[name] for of_target in averaged]) for name in averaged[0]}
        parts["transition"] = shares(parts["transition"], batch)
        return self.combined(parts, batch)

    @override
    def parts(self, n_tokens: int) -> dict[str, dict[str, Any]]:
        """Components and their options; a prompt that fits into one window has the parts of plain HEAT."""
        parts = super().parts(n_tokens)
        if n_tokens <= self.window + self.tail and self._span(n_tokens) == 1:
            return parts
        windows = {
            "window": self.window,
            "tail": self.tail,
            "span": self._span(n_tokens),
            "refine": self.refine,
        }
        return {name: options | windows for name, options in parts.items()}

    @override
    def costs_in(self, n_tokens: int, n_targets: int, n_layers: int) -> dict[str, float]:
        return self.costs(n_tokens, n_targets)

    @override
    def log_probs(self, lm: LanguageModel, batch: Batch) -> Tensor:
        """The target's log-probability behind the last window, the longest piece of text that is all the prompt's."""
        log_probs = []
        for target in range(len(batch.rows)):
            windows = self._windows(lm, batch, target).batch
            log_probs.append(super().log_probs(lm, windows.of_rows(windows.rows[-1:])[0]))
        return torch.cat(log_probs)

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents by part; the share of refined spans is assumed to be a fifth."""
        width = min(n_tokens, self.window + self.tail)
        windows = 1 if width == n_tokens else 1 + -(-(n_tokens - width) // (self.window // 2))
        one = super().costs(width, 1)
        span = self._span(n_tokens)
        if span > 1:
            masked = suffix_cost(width, 1, DEFAULT_BATCH_TOKENS)
            one["information"] = 1.0 + masked / span + masked / 5
        share = windows * width / n_tokens * n_targets
        return {name: cost * share for name, cost in one.items()}

    def _windows(self, lm: LanguageModel, batch: Batch, target: int) -> Windows:
        row = int(batch.rows[target])
        begins = batch.attention_mask[row].nonzero()[0]
        first = int(batch.token_ids[row, begins]) == lm.bos_token_id
        size, tail = self.window, self.tail
        if lm.context_length is not None:
            room = lm.context_length - int(first) - 1
            tail = min(tail, room // 2)
            size = min(size, room - tail)
        return windows_of(batch, target, size=size, tail=tail, first=first)

    def _span(self, n_tokens: int) -> int:
        if self.span != "auto":
            return self.span
        return SPAN if n_tokens > LONGEST_MASKED_ONE_BY_ONE else 1

    def _averaged(
        self, lm: LanguageModel, batch: Batch, target: int, windows: Windows, seed: int, batch_tokens: int
    ) -> dict[str, Tensor]:
        part, n_tokens = windows.batch, batch.token_ids.shape[1]
        gate = Transition(self.transition, self.residual)
        values = {
            "transition": gate.flow(lm.model, part, batch_tokens),
            "curvature": self.components()["curvature"].compute(
                lm.model, part, seed=seed, batch_tokens=batch_tokens
            ),
            "information": information(
                lm.model,
                part,
                mask=self.mask,
                precision=self.precision,
                span=self._span(int(batch.context[target].sum())),
                refine=self.refine,
                groups=torch.zeros_like(part.rows),
                batch_tokens=batch_tokens,
            ),
        }
        return {name: windows.averaged(value, n_tokens) for name, value in values.items()}


@register("heat-lr-win")
@dataclass(frozen=True)
class HeatLowRankWindowed(HeatWindowed, LowRankOptions):
    """HEAT on windows, each with the low-rank curvature: the poster's recommendation for long prompts."""

    summary = "HEAT on windows with the low-rank curvature"
    source = _HEAT + ", LR+WIN"


@register("no-gate")
@dataclass(frozen=True)
class NoGate(MixOptions):
    """HEAT without the transition: β S_i + γ I_i."""

    summary = "curvature and information, no transition (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "second-derivatives")
    kind = "ablation"

    @override
    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        return Scores(self.mixed(parts), parts)


@register("uniform-transition")
@dataclass(frozen=True)
class UniformTransition(MixOptions):
    """HEAT with M_i = 1/n: within one text it ranks the tokens as `no-gate` does, on another scale."""

    summary = "curvature and information under a uniform transition (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "second-derivatives")
    kind = "ablation"

    @override
    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        uniform = shares(batch.context.to(parts["information"]), batch)
        return Scores(uniform * self.mixed(parts), {"transition": uniform, **parts})


@register("transition-only")
@dataclass(frozen=True)
class TransitionOnly(TransitionOptions):
    """M alone."""

    summary = "the transition alone (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "attention")
    kind = "ablation"

    @override
    def components(self) -> dict[str, Component]:
        return {"transition": Transition(self.transition, self.residual)}

    @override
    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        return Scores(self.gate(parts), parts)


@register("hessian-only")
@dataclass(frozen=True)
class HessianOnly(CurvatureOptions):
    """S alone."""

    summary = "the curvature alone (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "second-derivatives")
    kind = "ablation"

    @override
    def components(self) -> dict[str, Component]:
        return {"curvature": self.curvature()}

    @override
    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        return Scores(parts["curvature"], parts)


@register("kl-only")
@dataclass(frozen=True)
class KlOnly(InformationOptions):
    """I alone."""

    summary = "the information alone (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward",)
    kind = "ablation"

    @override
    def components(self) -> dict[str, Component]:
        return {"information": Information(self.mask, self.precision, self.mask_unit)}

    @override
    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        return Scores(parts["information"], parts)


def _share(part: Tensor) -> Tensor:
    """Divide by the sum over the context; a part that is zero everywhere stays zero."""
    # In float64, so that padding cannot change the sum's rounding; on CPU, as not every device has float64.
    total = part.cpu().sum(-1, keepdim=True, dtype=torch.float64).to(part)
    return part / torch.where(total > 0, total, 1.0)
