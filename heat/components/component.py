"""What every component of a score offers: its options, its numbers and what they cost."""

from typing import Any, Protocol

from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import Batch
from heat.components.graph import GraphPart
from heat.cost.terms import Workload


class Component(Protocol):
    """A part of scores: its options, and how it is computed. A frozen dataclass in `heat/components/`."""

    def key(self) -> dict[str, Any]:
        """What its numbers depend on: components with equal keys compute equal numbers (with the same seed)."""
        ...

    def compute(self, model: PreTrainedModel, batch: Batch, *, seed: int, batch_tokens: int) -> Tensor:
        """The part of every context token.

        Args:
            model: The model; left as it was.
            batch: B sequences with R targets.
            seed: Seed of whatever is drawn.
            batch_tokens: Tokens that one pass may hold.

        Returns:
            [R, T], 0 outside each target's context.
        """
        ...

    def cost(self, n_tokens: int, n_targets: int, n_layers: int | None = None) -> float:
        """Work for one text, in forward passes over it; a backward pass counts 1.

        Args:
            n_tokens: Length of the context.
            n_targets: Number of targets.
            n_layers: Number of the model's blocks; None for no more than the component goes through.
        """
        ...

    def graph_part(self) -> GraphPart | None:
        """How the component is read off a graph that others may share; None where it takes passes of its own."""
        return None

    def memory(self, work: Workload) -> dict[str, float]:
        """What is held at once, beside the weights.

        Args:
            work: The model's sizes, the texts and the dtype.

        Returns:
            Bytes by what they are: `graph`, `activations`, `attention`, `products`, `KV cache`, `logits`, ...
        """
        ...
