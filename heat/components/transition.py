"""Transition M: how much of what reaches the target position came from each token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.components.alti import alti_flow, token_cost
from heat.components.alti_logit import alti_logit_flow
from heat.components.component import Component
from heat.components.graph import Graph, GraphPart
from heat.components.ifr import direct_cost, direct_flow, head_cost, ifr_flow
from heat.components.relevance import relevance_flow
from heat.cost.terms import Workload, held_bytes, transition_terms
from heat.errors import UnsupportedModelError
from heat.internals.attention import BlockAttention, capture_attention
from heat.internals.forward import at_least_float32, token_vectors
from heat.internals.memory import by_sequences
from heat.internals.state import frozen

Kind = Literal["value", "gradient", "uniform", "alti", "ifr", "ifr-direct", "alti-logit", "attn-lrp"]
Residual = Literal["full", "half", "without-self", "relevance"]

# Contributions of the blocks' attention, from one pass without gradients, with what their matrices cost beside it.
_CONTRIBUTIONS = {
    "alti": (alti_flow, token_cost),
    "ifr": (ifr_flow, head_cost),
    "ifr-direct": (direct_flow, direct_cost),
    "alti-logit": (alti_logit_flow, token_cost),
}
# Kinds that take no gradient.
_FORWARD_ONLY = frozenset({"value", "uniform", *_CONTRIBUTIONS})

# More of M than this on the first two tokens is a collapse, in texts of at least this many tokens.
COLLAPSE = 0.9
SHORTEST_COLLAPSE = 10


def transition(
    model: PreTrainedModel,
    batch: Batch,
    *,
    kind: Kind = "gradient",
    residual: Residual = "full",
    layers: int | None = None,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> Tensor:
    """Share of each context token in the paths that end at the target position.

    `value` (HETA): M_i ∝ Σ_{l,h} Φ^{(l,h)}_{i→T} ‖V_i W_O‖₁ with Φ^{(l,h)} = ρ_l A^{(l,h)} and
    ρ_{l-1} = ½ρ_l + ½ρ_l Ā^{(l)} from the target position down.
    `gradient` (Chefer et al. 2021, eq. 5-6): the same walk with Ā' = mean_h (A ⊙ ∂g/∂A)⁺ and ρ ← ρ + ρĀ'.
    `alti`, `ifr`, `ifr-direct`, `alti-logit` (its positive part): see the files of these names in `heat.components`.
    `uniform`: 1/n for every context token (ablation).

    `attn-lrp` (ours as a transition): the positive part of AttnLRP's relevance, always through all blocks.

    A vector walks down through matrices that are made some queries at a time: O(L·n²) time, and memory linear in n
    where the model's attention is fused.

    Args:
        model: The model; left as it was.
        batch: B sequences with R targets; those of one sequence share the forward pass.
        kind: Which of them.
        residual: For `gradient`, the weight of the residual path: `full` as published; `half` with Ā' normalised
            by row and ρ ← ½ρ + ½ρĀ'; `without-self` as `full`, less the path that never leaves the target position;
            `relevance` (ours) splits ρ between the residual and the attention paths as |h·∂g/∂h| to
            Σ_h |A ⊙ ∂g/∂A|, so that no path is preferred beforehand. `half` and `relevance` hand on a fixed share of
            ρ in every block, so in deep models nearly all of M ends on the first tokens (see `collapsed`).
        layers: Walk through the top N blocks only; None for all.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        [R, T], non-negative, each row sums to 1 over the target's context and is 0 elsewhere;
        float32 (float64 for a float64 model).

    Raises:
        UnsupportedModelError: The model's attention cannot be read.
    """
    mass = flow(model, batch, kind=kind, residual=residual, layers=layers, batch_tokens=batch_tokens)
    return shares(mass, batch)


@dataclass(frozen=True)
class Transition(Component):
    """M as a component of a method; the options are those of `transition`.

    Attributes:
        kind: One of `Kind`.
        residual: Weight of the residual path in `gradient`.
        layers: Walk through the top N blocks only; None for all.
    """

    kind: Kind = "gradient"
    residual: Residual = "full"
    layers: int | None = None

    @override
    def key(self) -> dict[str, Any]:
        return {"transition": self.kind, "residual": self.residual, "layers": self.layers}

    @override
    def compute(self, model: PreTrainedModel, batch: Batch, *, seed: int, batch_tokens: int) -> Tensor:
        return shares(self.flow(model, batch, batch_tokens), batch)

    def flow(self, model: PreTrainedModel, batch: Batch, batch_tokens: int) -> Tensor:
        """M before it is divided by its sum, [R, T]."""
        return flow(
            model,
            batch,
            kind=self.kind,
            residual=self.residual,
            layers=self.layers,
            batch_tokens=batch_tokens,
        )

    @override
    def graph_part(self) -> GraphPart | None:
        whole = self.kind == "gradient" and self.layers is None and self.residual != "relevance"
        return _Walk(self.residual) if whole else None

    @override
    def cost(self, n_tokens: int, n_targets: int, n_layers: int | None = None) -> float:
        if self.kind in _CONTRIBUTIONS:
            return 1.0 + _CONTRIBUTIONS[self.kind][1](n_tokens)
        if self.kind == "attn-lrp":
            return 1.0 + n_targets
        if self.kind != "gradient":
            return 1.0 if self.kind == "value" else 0.0
        # One forward for all targets of a text, and a backward for each, which ends at the lowest block taken.
        share = 1.0
        if self.layers is not None and n_layers is not None:
            share = min(1.0, self.layers / n_layers)
        return 1.0 + share * n_targets

    @override
    def memory(self, work: Workload) -> dict[str, float]:
        texts = min(work.n_texts, rows_within(work.batch_tokens, work.n_tokens))
        terms = transition_terms(work.shape, texts, work.n_tokens)
        held = held_bytes(work.shape, "transition", terms, work.itemsize)
        if self.kind in _FORWARD_ONLY:
            # Without a graph; the blocks' values and streams are kept all the same.
            held["graph"] *= 0.5
        return held


def flow(
    model: PreTrainedModel,
    batch: Batch,
    *,
    kind: Kind,
    residual: Residual,
    layers: int | None,
    batch_tokens: int,
) -> Tensor:
    """The transition before it is divided by its sum, so that windows of one text can be compared; [R, T]."""
    if kind == "uniform":
        return batch.context.to(torch.float32)

    def walk(part: Batch) -> Tensor:
        if kind in _CONTRIBUTIONS:
            with frozen(model), torch.no_grad():
                return _CONTRIBUTIONS[kind][0](model, part, layers)
        if kind == "attn-lrp":
            return relevance_flow(model, part)
        return (_value_flow if kind == "value" else _gradient_flow)(model, part, residual, layers)

    return by_sequences(batch, batch_tokens, walk)


def shares(mass: Tensor, batch: Batch) -> Tensor:
    """Divide by the sum over the context; where nothing flows, the target position gets everything."""
    inside = torch.where(batch.context.to(mass.device), mass, 0.0).clamp_min(0)
    total = inside.sum(-1, keepdim=True)
    alone = torch.zeros_like(inside).scatter(1, batch.positions.to(mass.device)[:, None], 1.0)
    return torch.where(total > 0, inside / _positive(total), alone)


def collapsed(transition: Tensor) -> bool:
    """Whether a transition says nothing but where the text begins: over 90 % of it lies on the first two tokens.

    Rollouts that divide each block's relevance by its row sum move a fixed share of the mass per block towards the
    attention sink: 30 blocks of SmolLM2-135M leave 99 % on the first two tokens.

    Args:
        transition: [R, T], rows sum to 1, as an attribution's component.

    Returns:
        Whether the mean over the rows is that uneven; never for a text of fewer than ten tokens.
    """
    return transition.shape[-1] >= SHORTEST_COLLAPSE and float(transition[:, :2].sum(-1).mean()) > COLLAPSE


def _start(positions: Tensor, like: Tensor) -> Tensor:
    """ρ above the last block: everything at the target position, [R, T]."""
    zeros = torch.zeros(len(positions), like.shape[-1], dtype=like.dtype, device=like.device)
    return zeros.scatter(1, positions.to(like.device)[:, None], 1.0)


def _value_flow(model: PreTrainedModel, batch: Batch, residual: Residual, layers: int | None) -> Tensor:
    with frozen(model), torch.no_grad():
        _, blocks = capture_attention(model, batch, token_vectors(model, batch))
        rho = total = None
        for block in reversed(_top(blocks, layers)):
            if block.gate() is not None:
                raise UnsupportedModelError(
                    "this model has a gate or norm between its attention and the output projection, so the length of "
                    "V W_O is not what a token adds; use transition='gradient'"
                )
            norms = block.value_norms()
            if rho is None or total is None:
                rho = _start(batch.positions, norms[:, 0])
                total = torch.zeros_like(rho)
            rho, total = rho.to(norms.device), total.to(norms.device)
            rows = batch.rows.to(norms.device)
            mixed = torch.zeros_like(rho)
            for queries, weights in block.by_queries(n_copies=1 + len(rows) // len(norms)):
                paths = torch.einsum("rq,rhqk->rhk", rho[:, queries], weights[rows])
                mixed += paths.mean(1)
                total += (paths * norms[rows]).sum(1)
            rho = 0.5 * rho + 0.5 * mixed
    assert total is not None
    return total


def _gradient_flow(model: PreTrainedModel, batch: Batch, residual: Residual, layers: int | None) -> Tensor:
    with frozen(model), torch.enable_grad():
        return _walked(Graph(model, batch, attention=True), residual, layers)


@dataclass(frozen=True)
class _Walk:
    """The `gradient` transition through all blocks, read off a graph that other components share."""

    residual: Residual

    @property
    def needs_attention(self) -> bool:
        return True

    @property
    def of_gradient(self) -> bool:
        return True

    def read(self, graph: Graph, seed: int) -> Tensor:
        return shares(_walked(graph, self.residual, None, shared=True), graph.batch)


def _walked(graph: Graph, residual: Residual, layers: int | None, *, shared: bool = False) -> Tensor:
    """The walk of every target, [R, T]; `shared` where others ask the graph for the same gradients."""
    blocks, batch = _top(graph.blocks, layers), graph.batch
    if residual == "relevance" and any(block.residual.dim() != 3 for block in blocks):
        raise UnsupportedModelError(
            "this model's blocks do not hand on one vector a token; use another residual"
        )
    result = graph.empty()
    for turn, targets in graph.by_turn():
        if shared:
            gradients = graph.gradients(turn, targets)[1:]
        else:
            streams = [block.residual for block in blocks] if residual == "relevance" else []
            gradients = graph.gradients_of(targets, [*(block.mixed for block in blocks), *streams])
        with torch.no_grad():
            walked = _relevance_walk(
                blocks, gradients, batch.rows[targets], batch.positions[targets], residual
            )
        result[targets.to(result.device)] = walked.to(result)
    return result


def _relevance_walk(
    blocks: Sequence[BlockAttention],
    gradients: Sequence[Tensor | None],
    rows: Tensor,
    positions: Tensor,
    residual: Residual,
) -> Tensor:
    """From the targets' positions down, one target a sequence; [R, T].

    ∂g/∂A = (∂g/∂(A V)) Vᵀ: what the attention's own gradient would be, without a graph that holds A.
    """
    start = rho = _start(positions, at_least_float32(blocks[-1].values[:, 0, :, 0]))
    for index in reversed(range(len(blocks))):
        block, gradient = blocks[index], gradients[index]
        if gradient is None:
            raise UnsupportedModelError(
                "the attention this model shows is not the one it computes with; use transition='uniform'"
            )
        device = gradient.device
        rho, rows = rho.to(device), rows.to(device)
        upstream = at_least_float32(block.per_head(gradient))[rows]
        values = at_least_float32(block.expanded_values())[rows]
        through_residual = None
        if residual == "relevance":
            stream = gradients[len(blocks) + index]
            assert stream is not None
            through_residual = (
                (at_least_float32(block.residual.detach()) * at_least_float32(stream)).sum(-1).abs()[rows]
            )
        moved, staying = torch.zeros_like(rho), rho.clone()
        for queries, weights in block.by_queries(n_copies=3):
            relevance = weights[rows] * (upstream[:, :, queries] @ values.transpose(2, 3))
            part = rho[:, queries]
            if through_residual is not None:
                matrix = relevance.abs().sum(1)
                total = _positive(matrix.sum(-1) + through_residual[:, queries])
                moved += torch.einsum("rq,rqk->rk", part / total, matrix)
                staying[:, queries] = part * through_residual[:, queries] / total
                continue
            matrix = relevance.clamp_min(0).mean(1)
            if residual == "half":
                matrix = matrix / _positive(matrix.sum(-1, keepdim=True))
            moved += torch.einsum("rq,rqk->rk", part, matrix)
        rho = 0.5 * staying + 0.5 * moved if residual == "half" else staying + moved
    return rho - start.to(rho) if residual == "without-self" else rho


def _top(blocks: list[BlockAttention], layers: int | None) -> list[BlockAttention]:
    return blocks if layers is None else blocks[-layers:]


def _positive(tensor: Tensor) -> Tensor:
    return torch.where(tensor > 0, tensor, 1.0)
