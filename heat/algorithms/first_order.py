"""HEAT without second derivatives: the gate with the gradient norm, or with the Fisher information."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.algorithms.hessian_enhanced import TransitionOptions
from heat.batch import Batch
from heat.components.component import Component
from heat.components.fisher import Fisher
from heat.components.gradient import GradientNorm
from heat.components.transition import Transition
from heat.method import Scores
from heat.registry import register

_NEEDS = ("forward", "gradients", "attention")


@register("heat-first-order")
@dataclass(frozen=True)
class HeatFirstOrder(TransitionOptions):
    """√(M_i G_i): gate times gradient norm, both of one forward and one backward pass."""

    summary = "geometric mean of gate and gradient norm: no second derivatives, no masked passes"
    source = "ours"
    needs = _NEEDS
    kind = "heat"

    @override
    def components(self) -> dict[str, Component]:
        return {"transition": Transition(self.transition, self.residual), "gradient": GradientNorm()}

    @override
    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        return Scores((self.gate(parts) * parts["gradient"]).sqrt(), parts)


@register("heat-fisher")
@dataclass(frozen=True)
class HeatFisher(TransitionOptions):
    """M_i F_i: gate times Fisher information, which stands for both curvature and information.

    Attributes:
        n_probes: Number of random directions, a backward pass each.
    """

    summary = "gate times Fisher information: no second derivatives, no masked passes"
    source = "ours"
    needs = _NEEDS
    kind = "heat"

    n_probes: Annotated[int, Field(ge=1)] = 10

    @override
    def components(self) -> dict[str, Component]:
        return {"transition": Transition(self.transition, self.residual), "fisher": Fisher(self.n_probes)}

    @override
    def combined(self, parts: Mapping[str, Tensor], batch: Batch) -> Scores:
        return Scores(self.gate(parts) * parts["fisher"], parts)
