"""HEAT, score_i = M_i (β S_i + γ I_i), its approximations, and the ablations that leave parts of it out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.curvature import LONGEST_SECOND_DERIVATIVE, Mode, Products, curvature
from heat.components.information import Mask, information
from heat.components.prefix import suffix_cost
from heat.components.transition import Kind, Residual, flow, shares, transition
from heat.components.windows import Windows, windows_of
from heat.errors import ConfigError
from heat.method import MadeOfParts, Scores
from heat.model import LanguageModel
from heat.registry import register

_HEAT = "Pramanik et al. (HETA)"

# Prompts beyond this many tokens are masked by spans first in the windowed forms, unless `span` says otherwise.
LONGEST_MASKED_ONE_BY_ONE = 1024
SPAN = 16


@dataclass(frozen=True)
class _Exact(MadeOfParts):
    """What an approximation overrides: nothing is left out here."""

    def _rank(self) -> int | None:
        return None

    def _top_layers(self) -> int | None:
        return None


@dataclass(frozen=True)
class _Transition(_Exact):
    """Options of M.

    Attributes:
        transition: `gradient`, `value` or `uniform`.
        residual: Weight of the residual path in `gradient`: `full`, `without-self`, `half` or `relevance`; the last two
            pile up on the first tokens of a text in models of many blocks.
    """

    transition: Kind = "gradient"
    residual: Residual = "full"

    def parts(self, n_tokens: int) -> dict[str, dict[str, Any]]:
        """See `MadeOfParts.parts`."""
        options = {"transition": self.transition, "residual": self.residual, "layers": self._top_layers()}
        return {**super().parts(n_tokens), "transition": options}

    def _transition(self, lm: LanguageModel, batch: Batch, batch_tokens: int) -> Tensor:
        return transition(
            lm.model,
            batch,
            kind=self.transition,
            residual=self.residual,
            layers=self._top_layers(),
            batch_tokens=batch_tokens,
        )

    def _transition_cost(self, n_targets: int) -> float:
        # One forward for all targets of a text, and a backward for each.
        return {"gradient": 1.0 + n_targets, "value": 1.0, "uniform": 0.0}[self.transition]


@dataclass(frozen=True)
class _Curvature(_Exact):
    """Options of S.

    Attributes:
        mode: `row` or `block`.
        products: `auto`, `double-backward`, `batched`, `forward-over-reverse` or `finite-difference`.
        n_probes: Number of Rademacher probes.
    """

    mode: Mode = "row"
    products: Products = "auto"
    n_probes: Annotated[int, Field(ge=1)] = 10

    def parts(self, n_tokens: int) -> dict[str, dict[str, Any]]:
        """See `MadeOfParts.parts`."""
        rank = self._rank()
        options = {
            "mode": self.mode,
            "products": self.products,
            "n_probes": self.n_probes if rank is None else None,
            "rank": rank,
            "layers": self._top_layers(),
        }
        return {**super().parts(n_tokens), "curvature": options}

    def _curvature(self, lm: LanguageModel, batch: Batch, seed: int, batch_tokens: int) -> Tensor:
        return curvature(
            lm.model,
            batch,
            mode=self.mode,
            products=self.products,
            n_probes=self.n_probes,
            rank=self._rank(),
            layers=self._top_layers(),
            seed=seed,
            batch_tokens=batch_tokens,
        )

    def _curvature_cost(self, n_tokens: int, n_targets: int) -> float:
        if self.mode == "row":
            return n_targets * _products_cost(self.products, self.n_probes, n_tokens)
        if _way(self.products, n_tokens) not in ("batched", "double-backward"):
            n_products = self.n_probes * (n_tokens + n_targets)
            return n_targets * _products_cost(self.products, n_products, n_tokens)
        # A pass for the prefixes; a gradient and m products for each token, through the text behind it alone.
        budget = max(1, DEFAULT_BATCH_TOKENS // self.n_probes)
        suffixes = sum(suffix_cost(n_tokens, each, budget) for each in range(1, n_targets + 1))
        return n_targets + suffixes * (2.0 + 2.0 * self.n_probes)


@dataclass(frozen=True)
class _Information(MadeOfParts):
    """Options of I.

    Attributes:
        mask: `zero`, `mean`, `pad` or `attention`.
    """

    mask: Mask = "zero"

    def parts(self, n_tokens: int) -> dict[str, dict[str, Any]]:
        """See `MadeOfParts.parts`."""
        return {**super().parts(n_tokens), "information": {"mask": self.mask}}

    def _information(self, lm: LanguageModel, batch: Batch, batch_tokens: int) -> Tensor:
        return information(lm.model, batch, mask=self.mask, batch_tokens=batch_tokens)

    def _information_cost(self, n_tokens: int, n_targets: int) -> float:
        # One unmasked pass, which leaves the prefixes too, and what stands behind them.
        if self.mask == "mean":
            return sum(
                1.0 + suffix_cost(n_tokens, each, DEFAULT_BATCH_TOKENS) for each in range(1, n_targets + 1)
            )
        return 1.0 + suffix_cost(n_tokens, n_targets, DEFAULT_BATCH_TOKENS)


@dataclass(frozen=True)
class _Mix(_Curvature, _Information):
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

    def _parts(self, lm: LanguageModel, batch: Batch, seed: int, batch_tokens: int) -> dict[str, Tensor]:
        return {
            "curvature": self._curvature(lm, batch, seed, batch_tokens),
            "information": self._information(lm, batch, batch_tokens),
        }

    def _mix(self, parts: Mapping[str, Tensor]) -> Tensor:
        curvature, information = (
            _share(part) if self.normalize == "sum" else part
            for part in (parts["curvature"], parts["information"])
        )
        if self.mix == "geometric":
            weight = self.beta / (self.beta + self.gamma)
            return curvature**weight * information ** (1 - weight)
        return self.beta * curvature + self.gamma * information

    def _mix_costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {
            "curvature": self._curvature_cost(n_tokens, n_targets),
            "information": self._information_cost(n_tokens, n_targets),
        }


@register("heat")
@dataclass(frozen=True)
class Heat(_Transition, _Mix):
    """HEAT with all three parts: M_i (β S_i + γ I_i)."""

    summary = "transition, gating curvature and information"
    source = _HEAT
    needs = ("forward", "gradients", "second-derivatives", "attention")
    kind = "heat"

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        flow = self._transition(lm, batch, batch_tokens)
        return self.combined({"transition": flow, **self._parts(lm, batch, seed, batch_tokens)}, batch)

    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        """M_i (β S_i + γ I_i); see `MadeOfParts.combined`."""
        return Scores(parts["transition"] * self._mix(parts), parts)

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents of each part; see `Method.costs`."""
        return {
            "transition": self._transition_cost(n_targets),
            **self._mix_costs(n_tokens, n_targets),
        }


@dataclass(frozen=True)
class _LowRank(Heat):
    """Options of the low-rank curvature.

    Attributes:
        rank: Rank of the approximation of H, and the number of products it takes (64 on the poster).
    """

    rank: Annotated[int, Field(ge=1)] = 64

    def _rank(self) -> int | None:
        return self.rank

    def _curvature_cost(self, n_tokens: int, n_targets: int) -> float:
        return n_targets * _products_cost(self.products, self.rank, n_tokens)


@register("heat-low-rank")
@dataclass(frozen=True)
class HeatLowRank(_LowRank):
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

    def _top_layers(self) -> int | None:
        return self.layers

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents of each part in a model of so few blocks; a deeper one costs less, see `costs_in`."""
        return self.costs_in(n_tokens, n_targets, self.layers)

    def costs_in(self, n_tokens: int, n_targets: int, n_layers: int) -> dict[str, float]:
        """Forward-equivalents of each part; see `Method.costs_in`. Backward passes end at the lowest block taken."""
        share = min(1.0, self.layers / n_layers)
        n_products = self.n_probes * (n_tokens + n_targets if self.mode == "block" else 1)
        costs = super().costs(n_tokens, n_targets)
        if self.transition == "gradient":
            costs["transition"] = 1.0 + share * n_targets
        # One more pass finds what enters the block.
        costs["curvature"] = n_targets * (1.0 + _products_cost(self.products, n_products, n_tokens, share))
        return costs


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

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        windows = [self._windows(lm, batch, target) for target in range(len(batch.rows))]
        longest = int(batch.context.sum(-1).max())
        if self._span(longest) == 1 and all(len(each.columns) == 1 for each in windows):
            return super().score(lm, batch, seed=seed, batch_tokens=batch_tokens)
        averaged = [
            self._averaged(lm, batch, target, windows[target], seed, batch_tokens)
            for target in range(len(batch.rows))
        ]
        parts = {name: torch.stack([each[name] for each in averaged]) for name in averaged[0]}
        parts["transition"] = shares(parts["transition"], batch)
        return self.combined(parts, batch)

    def parts(self, n_tokens: int) -> dict[str, dict[str, Any]]:
        """See `MadeOfParts.parts`; a prompt that fits into one window has the parts of plain HEAT."""
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

    def log_probs(self, lm: LanguageModel, batch: Batch) -> Tensor:
        """The target's log-probability behind the last window, the longest piece of text that is all the prompt's."""
        found = []
        for target in range(len(batch.rows)):
            windows = self._windows(lm, batch, target).batch
            found.append(super().log_probs(lm, windows.of_rows(windows.rows[-1:])[0]))
        return torch.cat(found)

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents of each part; see `Method.costs`. The share of refined spans is a guess of a fifth."""
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
        values = {
            "transition": flow(
                lm.model,
                part,
                kind=self.transition,
                residual=self.residual,
                layers=None,
                batch_tokens=batch_tokens,
            ),
            "curvature": self._curvature(lm, part, seed, batch_tokens),
            "information": information(
                lm.model,
                part,
                mask=self.mask,
                span=self._span(int(batch.context[target].sum())),
                refine=self.refine,
                groups=torch.zeros_like(part.rows),
                batch_tokens=batch_tokens,
            ),
        }
        return {name: windows.averaged(value, n_tokens) for name, value in values.items()}


@register("heat-lr-win")
@dataclass(frozen=True)
class HeatLowRankWindowed(HeatWindowed, _LowRank):
    """HEAT on windows, each with the low-rank curvature: the poster's recommendation for long prompts."""

    summary = "HEAT on windows with the low-rank curvature"
    source = _HEAT + ", LR+WIN"


@register("no-gate")
@dataclass(frozen=True)
class NoGate(_Mix):
    """HEAT without the transition: β S_i + γ I_i."""

    summary = "curvature and information, no transition (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "second-derivatives")
    kind = "ablation"

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        return self.combined(self._parts(lm, batch, seed, batch_tokens), batch)

    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        """β S_i + γ I_i; see `MadeOfParts.combined`."""
        return Scores(self._mix(parts), parts)

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents of each part; see `Method.costs`."""
        return self._mix_costs(n_tokens, n_targets)


@register("uniform-transition")
@dataclass(frozen=True)
class UniformTransition(_Mix):
    """HEAT with M_i = 1/n: within one text it ranks the tokens as `no-gate` does, on another scale."""

    summary = "curvature and information under a uniform transition (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "second-derivatives")
    kind = "ablation"

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        return self.combined(self._parts(lm, batch, seed, batch_tokens), batch)

    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        """(β S_i + γ I_i) / n; see `MadeOfParts.combined`."""
        uniform = shares(batch.context.to(parts["information"]), batch)
        return Scores(uniform * self._mix(parts), {"transition": uniform, **parts})

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents of each part; see `Method.costs`."""
        return self._mix_costs(n_tokens, n_targets)


@register("transition-only")
@dataclass(frozen=True)
class TransitionOnly(_Transition):
    """M alone."""

    summary = "the transition alone (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "attention")
    kind = "ablation"

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        return self.combined({"transition": self._transition(lm, batch, batch_tokens)}, batch)

    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        """M_i; see `MadeOfParts.combined`."""
        return Scores(parts["transition"], parts)

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents of each part; see `Method.costs`."""
        return {"transition": self._transition_cost(n_targets)}


@register("hessian-only")
@dataclass(frozen=True)
class HessianOnly(_Curvature):
    """S alone."""

    summary = "the curvature alone (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward", "gradients", "second-derivatives")
    kind = "ablation"

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        return self.combined({"curvature": self._curvature(lm, batch, seed, batch_tokens)}, batch)

    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        """S_i; see `MadeOfParts.combined`."""
        return Scores(parts["curvature"], parts)

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents of each part; see `Method.costs`."""
        return {"curvature": self._curvature_cost(n_tokens, n_targets)}


@register("kl-only")
@dataclass(frozen=True)
class KlOnly(_Information):
    """I alone."""

    summary = "the information alone (ablation)"
    source = _HEAT + ", ablation"
    needs = ("forward",)
    kind = "ablation"

    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        """Score every context token; see `Method.score`."""
        return self.combined({"information": self._information(lm, batch, batch_tokens)}, batch)

    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        """I_i; see `MadeOfParts.combined`."""
        return Scores(parts["information"], parts)

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents of each part; see `Method.costs`."""
        return {"information": self._information_cost(n_tokens, n_targets)}


def _way(products: Products, n_tokens: int) -> Products:
    """How products are made at a length; batched ones cost what those one by one do."""
    if products != "auto":
        return products
    return "batched" if n_tokens <= LONGEST_SECOND_DERIVATIVE else "finite-difference"


def _products_cost(products: Products, n_products: int, n_tokens: int, share: float = 1.0) -> float:
    """Forward-equivalents of N Hessian-vector products of one text, backward through a share of the blocks."""
    # The weights take no gradient, so a backward pass costs what a forward does, and a double backward twice that.
    gradient = 1.0 + share
    shared, each = {
        "double-backward": (gradient, 2.0 * share),
        "batched": (gradient, 2.0 * share),
        "forward-over-reverse": (0.0, 2.0 * gradient),
        "finite-difference": (0.0, 2.0 * gradient),
    }[_way(products, n_tokens)]
    return shared + each * n_products


def _share(part: Tensor) -> Tensor:
    """Divide by the sum over the context; a part that is zero everywhere stays zero."""
    # In float64, so that padding cannot change the sum's rounding; on CPU, as not every device has float64.
    total = part.cpu().sum(-1, keepdim=True, dtype=torch.float64).to(part)
    return part / torch.where(total > 0, total, 1.0)
