"""Several encoded prompts as one padded block of tensors, with the list of targets to explain."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from heat.encoding import Encoded

DEFAULT_BATCH_TOKENS = 4096


@dataclass(frozen=True, eq=False)
class Batch:
    """B padded sequences of T tokens with R targets in them (a sequence may have several).

    Attributes:
        token_ids: int64 [B, T]. Padding may be on either side; its ids do not matter.
        attention_mask: int64 [B, T], 1 on tokens and 0 on padding.
        rows: int64 [R], the sequence each target belongs to.
        positions: int64 [R], the column whose logits predict the target: the last column of its context.
        target_ids: int64 [R], the token that is predicted there.
    """

    token_ids: Tensor
    attention_mask: Tensor
    rows: Tensor
    positions: Tensor
    target_ids: Tensor

    @property
    def position_ids(self) -> Tensor:
        """int64 [B, T], counted over tokens alone, so that padding shifts nobody (GPT-2 would notice)."""
        return (self.attention_mask.cumsum(-1) - 1).clamp_min(0)

    @property
    def context(self) -> Tensor:
        """Bool [R, T], the tokens before each target: those that a score may be given to."""
        columns = torch.arange(self.token_ids.shape[1], device=self.token_ids.device)
        return (columns <= self.positions[:, None]) & self.attention_mask[self.rows].bool()

    def one_target_per_row(self) -> "Batch":
        """The same targets, each with a sequence of its own: B = R and `rows` counts up."""
        return replace(
            self,
            token_ids=self.token_ids[self.rows],
            attention_mask=self.attention_mask[self.rows],
            rows=torch.arange(len(self.rows), device=self.rows.device),
        )

    def split(self, n_rows: int) -> "Iterator[Batch]":
        """Consecutive parts of at most `n_rows` sequences; for a batch with one target per row."""
        for start in range(0, len(self.rows), n_rows):
            part = slice(start, start + n_rows)
            yield Batch(
                token_ids=self.token_ids[part],
                attention_mask=self.attention_mask[part],
                rows=self.rows[part] - start,
                positions=self.positions[part],
                target_ids=self.target_ids[part],
            )


def collate(encodings: Sequence[Encoded], device: torch.device | str = "cpu") -> Batch:
    """Pad encodings on the right and list their targets in order.

    Args:
        encodings: At least one encoding.
        device: Where the tensors go.

    Returns:
        The batch; its targets are those of the first encoding, then those of the second, and so on.
    """
    width = max(len(encoded.token_ids) for encoded in encodings)
    token_ids = torch.zeros(len(encodings), width, dtype=torch.long)
    attention_mask = torch.zeros_like(token_ids)
    rows, positions, target_ids = [], [], []
    for row, encoded in enumerate(encodings):
        token_ids[row, : len(encoded.token_ids)] = torch.tensor(encoded.token_ids)
        attention_mask[row, : len(encoded.token_ids)] = 1
        for position in range(encoded.n_prompt, len(encoded.token_ids)):
            rows.append(row)
            positions.append(position - 1)
            target_ids.append(encoded.token_ids[position])
    tensors = (
        token_ids,
        attention_mask,
        torch.tensor(rows),
        torch.tensor(positions),
        torch.tensor(target_ids),
    )
    return Batch(*(tensor.to(device) for tensor in tensors))


def rows_within(batch_tokens: int, n_tokens: int) -> int:
    """How many sequences of `n_tokens` tokens one pass of `batch_tokens` may take, at least one."""
    return max(1, batch_tokens // max(1, n_tokens))
