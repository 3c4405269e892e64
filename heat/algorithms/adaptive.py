"""HEAT from a third of the masked passes: those that are left out are shown to matter little."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.algorithms.hessian_enhanced import MixOptions, TransitionOptions
from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.adaptive import AdaptiveInformation
from heat.components.component import Component
from heat.components.curvature import Mode
from heat.components.gradient import GradientNorm
from heat.components.graph import read_together
from heat.components.transition import Transition
from heat.method import Scores
from heat.model import LanguageModel
from heat.registry import register


@register("heat-adaptive")
@dataclass(frozen=True)
class HeatAdaptive(TransitionOptions, MixOptions):
    """M_i (β S_i + γ I_i) with the gradient norm as S, and I measured by spans where little is expected.

    The component `unexplained` says what share of the information was measured for spans alone, by token; its sum over
    a target's tokens is at most `tolerance`.

    Attributes:
        mode: As `heat` has it; by default the gradient norm, which the gate's backward pass gives.
        tolerance: Share of the information that may be left to spans.
        span: Most tokens that are masked together.
    """

    summary = "HEAT without second derivatives, with masked passes where a gradient says that they matter"
    source = "ours"
    needs = ("forward", "gradients", "attention")
    kind = "heat"

    mode: Mode | Literal["fisher", "gradient"] = "gradient"
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.3
    span: Annotated[int, Field(ge=1)] = 16

    @override
    def components(self) -> dict[str, Component]:
        information = AdaptiveInformation(
            mask=self.mask, tolerance=self.tolerance, span=self.span, precision=self.precision
        )
        return {
            "transition": Transition(self.transition, self.residual),
            "gradient": GradientNorm(),
            "curvature": self.curvature(),
            "information": information,
            "unexplained": replace(information, gives="unexplained"),
        }

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        components = self.components()
        graph = {name: part for name, of in components.items() if (part := of.graph_part()) is not None}
        reading = read_together(graph, lm.model, batch, seed=seed, batch_tokens=batch_tokens)
        parts = dict(reading.parts)
        for name in ("transition", "curvature"):
            if name not in parts:
                parts[name] = components[name].compute(lm.model, batch, seed=seed, batch_tokens=batch_tokens)
        information = components["information"]
        assert isinstance(information, AdaptiveInformation)
        adaptive = information.adaptive(lm.model, batch, parts["gradient"], batch_tokens)
        parts |= {"information": adaptive.information, "unexplained": adaptive.unexplained}
        combined = self.combined({name: parts[name] for name in components}, batch)
        return Scores(combined.scores, combined.components, reading.log_probs)

    @property
    @override
    def gives_log_probs(self) -> bool:
        return True

    @override
    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        return Scores(self.gate(parts) * self.mixed(parts), parts)
