"""Several encoded prompts as one padded block of tensors, with the list of targets to explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from heat.errors import FoilError

if TYPE_CHECKING:
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
        foil_ids: int64 [R], the token it is contrasted with; None where the target alone is explained.
        units: int64 [B, T], the unit that each token is masked with, -1 for none; None where tokens are masked alone.
    """

    token_ids: Tensor
    attention_mask: Tensor
    rows: Tensor
    positions: Tensor
    target_ids: Tensor
    foil_ids: Tensor | None = None
    units: Tensor | None = None

    @property
    def position_ids(self) -> Tensor:
        """int64 [B, T], counted over tokens alone, so that padding shifts nobody (GPT-2 would notice)."""
        return (self.attention_mask.cumsum(-1) - 1).clamp_min(0)

    @property
    def context(self) -> Tensor:
        """Bool [R, T], the tokens before each target: those that a score may be given to."""
        columns = torch.arange(self.token_ids.shape[1], device=self.token_ids.device)
        return (columns <= self.positions[:, None]) & self.attention_mask[self.rows].bool()

    @property
    def turns(self) -> Tensor:
        """How many targets of the same sequence stand before each, int64 [R].

        Sequences of a batch do not meet, so one backward pass serves all targets of the same turn.
        """
        return (self.rows[:, None] == self.rows[None, :]).tril(-1).sum(-1)

    def one_target_per_row(self) -> Batch:
        """The same targets, each with a sequence of its own: B = R and `rows` counts up."""
        return replace(
            self,
            token_ids=self.token_ids[self.rows],
            attention_mask=self.attention_mask[self.rows],
            rows=torch.arange(len(self.rows), device=self.rows.device),
            units=None if self.units is None else self.units[self.rows],
        )

    def of_targets(self, targets: Tensor) -> Batch:
        """Some targets, on the same sequences."""
        foils = None if self.foil_ids is None else self.foil_ids[targets]
        return replace(
            self,
            rows=self.rows[targets],
            positions=self.positions[targets],
            target_ids=self.target_ids[targets],
            foil_ids=foils,
        )

    def of_rows(self, rows: Tensor) -> tuple[Batch, Tensor]:
        """Some sequences (ascending) with their targets, and which targets those are, int64."""
        targets = torch.isin(self.rows, rows).nonzero()[:, 0]
        part = self.of_targets(targets)
        part = replace(
            part,
            token_ids=self.token_ids[rows],
            attention_mask=self.attention_mask[rows],
            rows=torch.searchsorted(rows, part.rows),
            units=None if self.units is None else self.units[rows],
        )
        return part, targets

    def repeated(self, times: int) -> Batch:
        """For a batch of one target per row: stacked N times."""
        foils = None if self.foil_ids is None else self.foil_ids.repeat(times)
        return Batch(
            token_ids=self.token_ids.repeat(times, 1),
            attention_mask=self.attention_mask.repeat(times, 1),
            rows=torch.arange(times * len(self.rows), device=self.rows.device),
            positions=self.positions.repeat(times),
            target_ids=self.target_ids.repeat(times),
            foil_ids=foils,
        )


def collate(
    encodings: Sequence[Encoded],
    device: torch.device | str = "cpu",
    units: Sequence[Sequence[int]] | None = None,
) -> Batch:
    """Pad encodings on the right and list their targets in order.

    Args:
        encodings: At least one encoding.
        device: Where the tensors go.
        units: The unit that each token of each encoding is masked with, -1 for none; None where tokens are masked
            alone.

    Returns:
        The batch; its targets are those of the first encoding that are to be explained, then those of the second, and
            so on.

    Raises:
        FoilError: Some encodings have a foil and some have none.
    """
    width = max(len(encoded.token_ids) for encoded in encodings)
    token_ids = torch.zeros(len(encodings), width, dtype=torch.long)
    attention_mask = torch.zeros_like(token_ids)
    rows: list[int] = []
    positions: list[int] = []
    target_ids: list[int] = []
    foil_ids: list[int] = []
    for row, encoded in enumerate(encodings):
        token_ids[row, : len(encoded.token_ids)] = torch.tensor(encoded.token_ids)
        attention_mask[row, : len(encoded.token_ids)] = 1
        for target in encoded.wanted:
            position = encoded.n_prompt + target
            rows.append(row)
            positions.append(position - 1)
            target_ids.append(encoded.token_ids[position])
            if encoded.foil_ids is not None:
                foil_ids.append(encoded.foil_ids[target])
    if foil_ids and len(foil_ids) != len(target_ids):
        raise FoilError("some prompts of the batch have a foil and some have none; attribute them apart")
    unit_ids = torch.full_like(token_ids, -1)
    for row, of_text in enumerate(units or ()):
        unit_ids[row, : len(of_text)] = torch.tensor(of_text)
    return Batch(
        token_ids=token_ids.to(device),
        attention_mask=attention_mask.to(device),
        units=None if units is None else unit_ids.to(device),
        rows=torch.tensor(rows, device=device),
        positions=torch.tensor(positions, device=device),
        target_ids=torch.tensor(target_ids, device=device),
        foil_ids=torch.tensor(foil_ids, device=device) if foil_ids else None,
    )


def rows_within(batch_tokens: int, n_tokens: int) -> int:
    """How many sequences of `n_tokens` tokens one pass of `batch_tokens` may take, at least one."""
    return max(1, batch_tokens // max(1, n_tokens))
