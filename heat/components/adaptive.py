"""Information from fewer masked passes: the tokens that matter one by one, the others some neighbours at a time."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.component import Component
from heat.components.gradient import GradientNorm
from heat.components.information import Information
from heat.components.masked import Mask, Passes, masked_passes
from heat.components.prefix import keeps_prefixes
from heat.cost.terms import Workload
from heat.errors import ConfigError
from heat.internals.activations import fused_activations
from heat.internals.precision import Precision
from heat.internals.state import frozen


@dataclass(frozen=True, eq=False)
class Adaptive:
    """I of every token, and how much of it was measured for spans alone.

    Attributes:
        information: In nats, [R, T]; inside a span every token has an equal part of the span's divergence.
        unexplained: Share of a target's divergence that lies at each token of a span, [R, T]; its sum over the tokens
            is the unexplained share, 0 where every token was masked by itself.
    """

    information: Tensor
    unexplained: Tensor


def adaptive_information(
    model: PreTrainedModel,
    batch: Batch,
    estimate: Tensor,
    *,
    mask: Mask = "zero",
    tolerance: float = 0.3,
    span: int = 16,
    precision: Precision = "float32",
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> Adaptive:
    """I_i = KL( p(· | E) ‖ p(· | E with token i masked) ), of neighbours together where little is expected (ours).

    Tokens that hold a share of 1 - `tolerance` of the estimate are masked one by one, as is a target's last, and what
    lies between them by spans. While the spans hold more than `tolerance` of the divergence, the fewest of them
    that hold the excess are masked token by token too. A wrong estimate therefore costs passes, and no accuracy.

    Args:
        model: The model; left as it was.
        batch: B sequences with R targets, each with masked passes of its own.
        estimate: How much each token may matter, [R, T], non-negative.
        mask: What stands in a token's place; see `heat.components.information.information`.
        tolerance: Share of the divergence that may be left to spans, from 0 (none: exact) to 1.
        span: Most tokens that are masked together.
        precision: Of the passes' matrix products.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        The information, float32 (float64 for a float64 model), and what is unexplained of it.

    Raises:
        ConfigError: `tolerance` or `span` is out of range.
        OutOfMemoryError: A single pass does not fit.
    """
    if span < 1 or not 0 <= tolerance <= 1:
        raise ConfigError(
            f"span is {span} and tolerance {tolerance}; give a span of 1 or more, and a share from 0 to 1"
        )
    # Passes that served several targets would be chosen by all of them, and a target's scores by its neighbours.
    batch = batch.one_target_per_row()
    with frozen(model), fused_activations(model), torch.no_grad():
        passes = masked_passes(
            model, batch, mask, precision, batch_tokens, prefix_cache=keeps_prefixes(model)
        )
        return _refined(passes, batch, estimate.to(batch.token_ids.device), tolerance, span)


def _refined(passes: Passes, batch: Batch, estimate: Tensor, tolerance: float, span: int) -> Adaptive:
    chosen = _heaviest(torch.where(batch.context, estimate, 0.0), 1.0 - tolerance)
    # The token that the prediction is read at holds a third to two thirds of I, and its gradient does not tell.
    chosen |= torch.zeros_like(chosen).scatter(1, batch.positions[:, None], True)
    alone = _of_texts(batch, chosen)
    jobs = _jobs(batch, alone, span)
    everything = torch.ones_like(batch.context)
    result = passes.divergence(jobs, everything)
    while True:
        single = jobs[jobs[:, 2] == 1]
        alone[single[:, 0], single[:, 1]] = True
        spans = jobs[jobs[:, 2] > 1]
        left = torch.where(alone[batch.rows].to(result.device), 0.0, result)
        total = result.sum(-1, keepdim=True)
        unexplained = left / torch.where(total > 0, total, 1.0)
        again = spans[_too_much(batch, spans, unexplained, tolerance)]
        if not len(again):
            return Adaptive(result, unexplained)
        chosen = torch.zeros_like(alone)
        for offset in range(int(again[:, 2].max())):
            inside = again[offset < again[:, 2]]
            chosen[inside[:, 0], inside[:, 1] + offset] = True
        fine = _singles(chosen)
        wanted = chosen[batch.rows]
        result = torch.where(wanted.to(result.device), passes.divergence(fine, wanted), result)
        jobs = torch.cat([spans[~_inside(spans, chosen)], fine])


def _heaviest(values: Tensor, share: float) -> Tensor:
    """The fewest entries of each row that hold a share of its sum, bool as `values`."""
    ordered, order = values.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    chosen = (before < share * ordered.sum(-1, keepdim=True)) & (ordered > 0)
    return torch.zeros_like(chosen).scatter(-1, order, chosen)


def _of_texts(batch: Batch, tokens: Tensor) -> Tensor:
    """Tokens that some target of a text names: bool [R, T] to [B, T]."""
    return torch.zeros_like(batch.token_ids).index_add(0, batch.rows, tokens.long()) > 0


def _singles(tokens: Tensor) -> Tensor:
    """A job for every token, int64 [J, 3]; bool [B, T] given."""
    row, column = tokens.nonzero().unbind(1)
    return torch.stack([row, column, torch.ones_like(row)], 1)


def _jobs(batch: Batch, alone: Tensor, span: int) -> Tensor:
    """Jobs for all context tokens: those named [B, T] by themselves, what lies between cut into spans; int64 [J, 3]."""
    inside = _of_texts(batch, batch.context)
    jobs = []
    for row in range(len(inside)):
        columns = inside[row].nonzero()[:, 0].tolist()
        single = alone[row].tolist()
        first = length = 0
        for column in columns:
            joins = length and not single[column] and not single[first] and length < span
            if joins and column == first + length:
                length += 1
                continue
            if length:
                jobs.append((row, first, length))
            first, length = column, 1
        if length:
            jobs.append((row, first, length))
    return torch.tensor(jobs, device=batch.token_ids.device)


def _inside(spans: Tensor, tokens: Tensor) -> Tensor:
    """Whether each span's first token is among some, bool [J]."""
    return tokens[spans[:, 0], spans[:, 1]]


def _too_much(batch: Batch, spans: Tensor, unexplained: Tensor, tolerance: float) -> Tensor:
    """The fewest spans that hold what is unexplained beyond the tolerance, of any target; bool [J]."""
    chosen = torch.zeros(len(spans), dtype=torch.bool, device=spans.device)
    # Sums over a span: differences of what stands before its end and before its beginning.
    before = torch.nn.functional.pad(unexplained.double().cumsum(-1), (1, 0)).to(spans.device)
    for target, row in enumerate(batch.rows.tolist()):
        excess = float(before[target, -1]) - tolerance
        if excess <= 1e-9:
            continue
        mine = (spans[:, 0] == row).nonzero()[:, 0]
        held = before[target, spans[mine, 1] + spans[mine, 2]] - before[target, spans[mine, 1]]
        chosen[mine[_heaviest(held[None], min(1.0, excess / float(held.sum())))[0]]] = True
    return chosen


@dataclass(frozen=True)
class AdaptiveInformation(Component):
    """I, or what is unexplained of it, as a component of a method; the options are those of `adaptive_information`.

    The estimate is the squared gradient norm, which the gate's own backward pass gives.

    Attributes:
        gives: `information` or `unexplained`.
        mask: What stands in a token's place.
        tolerance: Share of the divergence that may be left to spans.
        span: Most tokens that are masked together.
        precision: Of the passes' matrix products.
    """

    gives: Literal["information", "unexplained"] = "information"
    mask: Mask = "zero"
    tolerance: float = 0.3
    span: int = 16
    precision: Precision = "float32"

    @override
    def key(self) -> dict[str, Any]:
        return {
            "mask": self.mask,
            "tolerance": self.tolerance,
            "span": self.span,
            "precision": self.precision,
        }

    def adaptive(
        self, model: PreTrainedModel, batch: Batch, gradient_norm: Tensor, batch_tokens: int
    ) -> Adaptive:
        """Both, from the gradient norm [R, T]."""
        return adaptive_information(
            model,
            batch,
            gradient_norm.square(),
            mask=self.mask,
            tolerance=self.tolerance,
            span=self.span,
            precision=self.precision,
            batch_tokens=batch_tokens,
        )

    @override
    def compute(self, model: PreTrainedModel, batch: Batch, *, seed: int, batch_tokens: int) -> Tensor:
        norm = GradientNorm().compute(model, batch, seed=seed, batch_tokens=batch_tokens)
        value: Tensor = getattr(self.adaptive(model, batch, norm, batch_tokens), self.gives)
        return value

    @override
    def cost(self, n_tokens: int, n_targets: int, n_layers: int | None = None) -> float:
        """Forward-equivalents; a third of the tokens is assumed to be masked one by one or by spans."""
        if self.gives == "unexplained":
            return 0.0
        alone = [Information(self.mask).cost(n_tokens + place, 1, n_layers) for place in range(n_targets)]
        return sum(1.0 + (cost - 1.0) * ASSUMED for cost in alone)

    @override
    def memory(self, work: Workload) -> dict[str, float]:
        return Information(self.mask).memory(work)


# Share of exact information's masked passes that is assumed ahead: as measured on LAMBADA (docs/heat.md).
ASSUMED = 0.33
