"""Gradient norm G: how far the target's log-probability moves with each token's embedding."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from typing_extensions import override

from heat.batch import Batch
from heat.components.component import Component
from heat.components.graph import Graph, GraphPart, graph_memory, read_one
from heat.cost.terms import Workload
from heat.internals.forward import at_least_float32


@dataclass(frozen=True)
class GradientNorm(Component):
    """G_i = ‖∂g/∂e_i‖₂ (Simonyan et al. 2014, with the L2 norm over the embedding)."""

    @property
    def needs_attention(self) -> bool:
        """It needs no attention."""
        return False

    @property
    def of_gradient(self) -> bool:
        """Whether it takes the gradient of g alone."""
        return True

    @override
    def key(self) -> dict[str, Any]:
        return {"gradient": "l2"}

    @override
    def compute(self, model: PreTrainedModel, batch: Batch, *, seed: int, batch_tokens: int) -> Tensor:
        return read_one(self, model, batch, seed=seed, batch_tokens=batch_tokens)

    @override
    def graph_part(self) -> GraphPart | None:
        return self

    def read(self, graph: Graph, seed: int) -> Tensor:
        """G of every token, [R, T]; the backward pass is the gate's too where there is one."""
        result = graph.empty()
        for turn, targets in graph.by_turn():
            gradient = graph.gradients(turn, targets)[0]
            assert gradient is not None
            norms = torch.linalg.vector_norm(at_least_float32(gradient), dim=-1)
            result[targets.to(result.device)] = norms[graph.batch.rows[targets].to(norms.device)].to(result)
        return result

    @override
    def cost(self, n_tokens: int, n_targets: int, n_layers: int | None = None) -> float:
        return 1.0 + n_targets

    @override
    def memory(self, work: Workload) -> dict[str, float]:
        return graph_memory(work)
