"""The vocabulary head at the places that are read, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel


class Places:
    """Places a head is to run at.

    Args:
        rows: int64 [P], sequence of each place.
        columns: int64 [P], which of the columns that are given to the head.

    Attributes:
        read: Whether the head ran at them, so that its output is [P, 1, V].
    """

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        self.rows, self.columns = rows, columns
        self.read = False

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Take the hidden states at the places out of those a head is given; called before the head runs."""
        hidden, *rest = args
        if hidden.dim() != 3 or self.read:
            return None
        self.read = True
        return (hidden[self.rows.to(hidden.device), self.columns.to(hidden.device)][:, None], *rest)

    def of(self, logits: Tensor) -> Tensor:
        """The logits at the places, [P, V]."""
        if self.read:
            return logits[:, 0]
        return logits[self.rows.to(logits.device), self.columns.to(logits.device)]


@contextmanager
def head_at(model: PreTrainedModel, rows: Tensor, columns: Tensor) -> Iterator[Places]:
    """Let the vocabulary head run at some places only.

    Models give their head the same columns of every sequence. Of B texts of unlike lengths, each read at its end, that
    is B² places where B are needed, and a head of 262,144 entries takes more work than Gemma 3 270M's blocks do.

    Args:
        model: The model; the hook on its head is gone afterwards.
        rows: int64 [P], sequence of each place.
        columns: int64 [P], which of the columns that the model gives its head.

    Yields:
        The places, which read the model's logits.
    """
    places = Places(rows, columns)
    head = model.get_output_embeddings()
    if head is None:
        yield places
        return
    handle = head.register_forward_pre_hook(places)
    try:
        yield places
    finally:
        handle.remove()
