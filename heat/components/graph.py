"""One forward pass kept as a graph, whose backward passes several components share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import Batch, rows_within
from heat.cost.terms import Workload, gradient_terms, held_bytes
from heat.internals.attention import BlockAttention, capture_attention
from heat.internals.forward import at_targets, explained_values, token_vectors
from heat.internals.memory import in_parts
from heat.internals.state import frozen


class Graph:
    """The log-probabilities at a batch's targets, in the graph of its embeddings.

    The sequences of a batch do not meet, so the first targets of all of them share a backward pass, and so on.

    Args:
        model: The model, frozen while the graph lives.
        batch: B sequences with R targets.
        attention: Whether the blocks' attention is recorded.

    Attributes:
        batch: The batch.
        embeddings: E, [B, T, d].
        values: Next-token log-probabilities at the targets' positions, [R, V].
        blocks: The blocks' attention, first to last; empty where it is not recorded.
        turns: How many targets of the same sequence stand before each target, int64 [R].
    """

    def __init__(self, model: PreTrainedModel, batch: Batch, *, attention: bool) -> None:
        self.batch = batch
        self.embeddings = token_vectors(model, batch).requires_grad_()
        self.blocks: list[BlockAttention] = []
        if attention:
            self.values, self.blocks = capture_attention(model, batch, self.embeddings)
        else:
            self.values = at_targets(model, batch, self.embeddings)
        self.turns = batch.turns
        self._explained = explained_values(batch, self.values)
        self._gradients: dict[int, tuple[Tensor | None, ...]] = {}

    def by_turn(self) -> Iterator[tuple[int, Tensor]]:
        """Number of the turn and the targets that have it, int64; one target a sequence at most."""
        for turn in range(int(self.turns.max()) + 1):
            yield turn, (self.turns == turn).nonzero()[:, 0]

    def gradients_of(self, targets: Tensor, wanted: list[Tensor]) -> tuple[Tensor | None, ...]:
        """∂g/∂X of some targets, no two of one sequence, by one backward pass.

        Args:
            targets: int64, which of the R.
            wanted: Tensors of the graph.

        Returns:
            A gradient each; None where g does not depend on one.
        """
        total = self._explained[targets.to(self._explained.device)].sum()
        return torch.autograd.grad(total, wanted, retain_graph=True, allow_unused=True)

    def gradients(self, turn: int, targets: Tensor) -> tuple[Tensor | None, ...]:
        """∂g/∂E and ∂g/∂(A V) of every block, by one backward pass a turn however many components ask."""
        if turn not in self._gradients:
            wanted = [self.embeddings, *(block.mixed for block in self.blocks)]
            self._gradients[turn] = self.gradients_of(targets, wanted)
        return self._gradients[turn]

    def empty(self) -> Tensor:
        """Zeros to put a component into, [R, T], in the precision of `values`."""
        return torch.zeros(
            len(self.values), self.embeddings.shape[1], dtype=self.values.dtype, device=self.values.device
        )


class GraphPart(Protocol):
    """A component that is read off a graph."""

    @property
    def needs_attention(self) -> bool:
        """Whether the graph must record the blocks' attention."""
        ...

    @property
    def of_gradient(self) -> bool:
        """Whether it takes the gradient of g alone, which is computed once for all such parts."""
        ...

    def read(self, graph: Graph, seed: int) -> Tensor:
        """The component of every token, [R, T]; columns outside each target's context are ignored."""
        ...


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read off a graph.

    Attributes:
        parts: By name [R, T], 0 outside each target's context; at least float32.
        log_probs: log p(target), [R], which the forward pass gives beside them.
    """

    parts: dict[str, Tensor]
    log_probs: Tensor


def read_one(
    part: GraphPart, model: PreTrainedModel, batch: Batch, *, seed: int, batch_tokens: int
) -> Tensor:
    """One component off a graph of its own, [R, T]; see `read_together`."""
    return read_together({"": part}, model, batch, seed=seed, batch_tokens=batch_tokens).parts[""]


def read_together(
    parts: Mapping[str, GraphPart], model: PreTrainedModel, batch: Batch, *, seed: int, batch_tokens: int
) -> Reading:
    """Read components off one graph: one forward pass for all of them.

    Args:
        parts: By name.
        model: The model; left as it was.
        batch: B sequences with R targets; those of one sequence share the forward pass.
        seed: Seed of whatever is drawn.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        The components, and the log-probabilities of the targets.
    """
    attention = any(part.needs_attention for part in parts.values())
    # Sequences and not targets are dealt out: the targets of one share its forward pass.
    size = rows_within(batch_tokens, batch.token_ids.shape[1])
    everything = torch.arange(len(batch.token_ids), device=batch.token_ids.device)

    def work(rows: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        part, targets = batch.of_rows(rows)
        with frozen(model), torch.enable_grad():
            graph = Graph(model, part, attention=attention)
            values = {name: component.read(graph, seed) for name, component in parts.items()}
            chosen = part.target_ids.to(graph.values.device)[:, None]
            return targets, values, graph.values.detach().gather(1, chosen)[:, 0]

    results: dict[str, Tensor] = {}
    log_probs = torch.zeros(len(batch.rows))
    for targets, values, log_prob in in_parts(everything, size, work):
        log_probs = log_probs.to(log_prob)
        log_probs[targets.to(log_prob.device)] = log_prob
        for name, value in values.items():
            whole = results.setdefault(
                name, torch.zeros(batch.context.shape, dtype=value.dtype, device=value.device)
            )
            whole[targets.to(whole.device)] = value.to(whole.device)
    inside = {
        name: torch.where(batch.context.to(value.device), value, 0.0) for name, value in results.items()
    }
    return Reading(inside, log_probs)


def graph_memory(work: Workload) -> dict[str, float]:
    """Bytes held by what they are, while components are read off a graph without attention weights."""
    texts = min(work.n_texts, rows_within(work.batch_tokens, work.n_tokens))
    return held_bytes(work.shape, "gradient", gradient_terms(work.shape, texts, work.n_tokens), work.itemsize)
