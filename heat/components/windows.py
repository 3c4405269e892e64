"""Windows of a long text: each keeps the tail (question and answer cue) and the beginning-of-text token."""

from dataclasses import dataclass

import torch
from torch import Tensor

from heat.batch import Batch


@dataclass(frozen=True, eq=False)
class Windows:
    """One target's text, cut into overlapping windows.

    Attributes:
        batch: W windows, each with the target once.
        columns: int64 [W, T_w], the text's column of each window's token; -1 on padding.
    """

    batch: Batch
    columns: Tensor

    def averaged(self, values: Tensor, n_tokens: int) -> Tensor:
        """The mean over the windows that hold a token.

        Values are not divided by their window's sum before, so each window counts by its mass: one with nothing
        that matters adds little.

        Args:
            values: [W, T_w].
            n_tokens: T of the text.

        Returns:
            [T].
        """
        columns = self.columns.to(values.device)
        held = columns >= 0
        where = columns[held]
        total = torch.zeros(n_tokens, dtype=values.dtype, device=values.device)
        total = total.index_add(0, where, values[held])
        count = torch.zeros_like(total).index_add(0, where, torch.ones_like(values[held]))
        return total / count.clamp_min(1)


def windows_of(batch: Batch, target: int, *, size: int, tail: int, first: bool) -> Windows:
    """Cut the context of one target into windows of `size` tokens, each half over the next, before its tail.

    Args:
        batch: B sequences with R targets.
        target: Which of them.
        size: Tokens of a window beside its tail.
        tail: Tokens at the end of the context that stay in every window.
        first: Keep the context's first token in every window too (a beginning-of-text token).

    Returns:
        The windows; a single one, the whole context, where that is no longer than one.
    """
    row = int(batch.rows[target])
    context = batch.context[target].nonzero()[:, 0]
    target_column = batch.positions[target, None] + 1
    head, body = context[: int(first)], context[int(first) :]
    n_tail = min(tail, len(body))
    body, end = body[: len(body) - n_tail], body[len(body) - n_tail :]
    step = max(1, size // 2)
    last = max(0, len(body) - size)
    starts = [*range(0, last, step), last]
    pieces = [torch.cat([head, body[start : start + size], end, target_column]) for start in starts]
    width = len(pieces[0])
    columns = torch.stack(pieces)
    device = batch.token_ids.device
    part = Batch(
        token_ids=batch.token_ids[row][columns],
        attention_mask=torch.ones_like(columns),
        rows=torch.arange(len(columns), device=device),
        positions=torch.full((len(columns),), width - 2, device=device),
        target_ids=batch.target_ids[target].expand(len(columns)),
        foil_ids=None if batch.foil_ids is None else batch.foil_ids[target].expand(len(columns)),
    )
    return Windows(part, columns)
