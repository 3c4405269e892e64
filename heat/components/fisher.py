"""Fisher information F: how far the whole next-token distribution moves with each token's embedding."""

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
class Fisher(Component):
    """F_i = √tr(Jᵢᵀ F Jᵢ), F = diag(p) - p pᵀ over the logits, Jᵢ = ∂logits/∂e_i.

    KL(p(E) ‖ p(E + δ)) ≈ ½ δᵀ (Jᵀ F J) δ, so this is the curvature that belongs to HEAT's information term: positive
    semi-definite, of first derivatives alone, under any attention kernel. The trace is estimated by Hutchinson's
    method (ours): tr = E ‖∂⟨c, log p⟩/∂e_i‖² with c = √p ⊙ r - p ⟨√p, r⟩ and r of random signs, as E[c cᵀ] = F. That
    takes the place of drawing y ~ p and squaring ∂log p(y)/∂e_i, whose mean is the same and whose spread is larger.
    With a foil the distribution is that over target and foil alone, and the trace is exact by one backward pass:
    p(target) p(foil) ‖∂(log p(target) - log p(foil))/∂e_i‖².

    The trace as a score is that of Jacobian Scopes (2026); its root, in the units of a gradient norm, is what a row of
    the Hessian is compared with.

    Attributes:
        n_probes: Number of random directions, a backward pass each.
    """

    n_probes: int = 10

    @property
    def needs_attention(self) -> bool:
        """It needs no attention."""
        return False

    @property
    def of_gradient(self) -> bool:
        """Whether it takes the gradient of g alone."""
        return False

    @override
    def key(self) -> dict[str, Any]:
        return {"fisher": self.n_probes}

    @override
    def compute(self, model: PreTrainedModel, batch: Batch, *, seed: int, batch_tokens: int) -> Tensor:
        return read_one(self, model, batch, seed=seed, batch_tokens=batch_tokens)

    @override
    def graph_part(self) -> GraphPart | None:
        return self

    def read(self, graph: Graph, seed: int) -> Tensor:
        """F of every token, [R, T]."""
        result = graph.empty()
        for turn, targets in graph.by_turn():
            trace = self._exact(graph, turn, targets) if graph.batch.foil_ids is not None else None
            if trace is None:
                trace = self._estimated(graph, targets, seed)
            result[targets.to(result.device)] = trace.clamp_min(0).sqrt().to(result)
        return result

    def _exact(self, graph: Graph, turn: int, targets: Tensor) -> Tensor:
        gradient = graph.gradients(turn, targets)[0]
        assert gradient is not None
        squares = at_least_float32(gradient).square().sum(-1)[graph.batch.rows[targets].to(gradient.device)]
        return squares * _odds(graph, targets).to(squares)[:, None]

    def _estimated(self, graph: Graph, targets: Tensor, seed: int) -> Tensor:
        values = graph.values[targets.to(graph.values.device)]
        p = values.detach().exp()
        total = torch.zeros(
            len(targets), graph.embeddings.shape[1], dtype=p.dtype, device=graph.embeddings.device
        )
        rows = graph.batch.rows[targets].to(total.device)
        signs = directions(self.n_probes, p.shape[1], seed).to(p)
        for sign in signs:
            root = p.sqrt() * sign
            direction = root - p * root.sum(-1, keepdim=True)
            (gradient,) = torch.autograd.grad(values, graph.embeddings, direction, retain_graph=True)
            total += at_least_float32(gradient).square().sum(-1)[rows]
        return total / self.n_probes

    @override
    def cost(self, n_tokens: int, n_targets: int, n_layers: int | None = None) -> float:
        return 1.0 + self.n_probes * n_targets

    @override
    def memory(self, work: Workload) -> dict[str, float]:
        return graph_memory(work)


def directions(n_probes: int, n_entries: int, seed: int) -> Tensor:
    """Random signs, one for every entry of the vocabulary; the same for every text, so that a batch changes nothing.

    Args:
        n_probes: m.
        n_entries: V.
        seed: Seed of a generator of its own.

    Returns:
        float32 [m, V] of -1 and 1, on CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randint(0, 2, (n_probes, n_entries), generator=generator) - 1.0


def _odds(graph: Graph, targets: Tensor) -> Tensor:
    """p(target) p(foil) of the two of them, [targets]."""
    batch, values = graph.batch, graph.values.detach()
    assert batch.foil_ids is not None
    pair = torch.stack([batch.target_ids[targets], batch.foil_ids[targets]], -1).to(values.device)
    share: Tensor = values[targets.to(values.device)].gather(1, pair).softmax(-1)
    return share.prod(-1)
