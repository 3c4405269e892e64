"""A context with some of its tokens taken away, wholly or in part, and what the model then says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from evaluate.faithfulness.options import Erasure
from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.internals.forward import Replacement, log_probs, replacement, token_vectors
from heat.internals.memory import in_parts
from heat.internals.state import frozen

if TYPE_CHECKING:
    from heat import Attribution, LanguageModel

Read = Callable[[Tensor], Tensor]
"""From log-probabilities [K, V] to one number each, [K]."""


@dataclass(frozen=True, eq=False)
class Context:
    """What stands before one target token.

    Attributes:
        lm: The model that is asked.
        batch: The context with its target, one sequence.
        embeddings: [n, d] of the context.
        erasable: Bool [n]; tokens that stand for no character (beginning of text) are never taken away.
    """

    lm: LanguageModel
    batch: Batch
    embeddings: Tensor
    erasable: Tensor

    @property
    def target_id(self) -> int:
        """The token that is predicted."""
        return int(self.batch.target_ids[0])

    def __len__(self) -> int:
        return len(self.embeddings)


def context_of(lm: LanguageModel, attribution: Attribution, row: int) -> Context:
    """The context of one of an attribution's targets."""
    n = attribution.target_span[0] + row
    ids = torch.tensor([attribution.token_ids[: n + 1]], device=lm.device)
    batch = Batch(
        token_ids=ids,
        attention_mask=torch.ones_like(ids),
        rows=torch.zeros(1, dtype=torch.long, device=lm.device),
        positions=torch.tensor([n - 1], device=lm.device),
        target_ids=ids[0, -1:],
    )
    erasable = torch.ones(n, dtype=torch.bool)
    if attribution.offsets is not None:
        erasable = torch.tensor([end > start for start, end in attribution.offsets[:n]])
    if not erasable.any():
        erasable[:] = True
    with frozen(lm.model), torch.no_grad():
        return Context(lm, batch, token_vectors(lm.model, batch)[0, :n], erasable)


def ask_without(
    context: Context,
    keep: Tensor,
    erase: Erasure,
    read: Read,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> Tensor:
    """Ask with whole tokens taken away.

    Args:
        context: What is asked.
        keep: Bool [K, n]; tokens that are not erasable stay in any case.
        erase: What stands for the others. A context of which `delete` leaves nothing is one padding token;
            `attention` never hides the last token, from which the prediction is read.
        read: What is kept of each answer.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        float64 [K].
    """
    keep = keep | ~context.erasable
    n = len(context)
    if erase == "delete":
        lengths = keep.sum(1).clamp_min(1)
        # The longest together, so that little is padded.
        order = lengths.argsort(descending=True, stable=True)
        answers = torch.zeros(len(keep), dtype=torch.float64)
        blank = _blank(context, "pad")

        def closed(jobs: Tensor) -> tuple[Tensor, Tensor]:
            width = int(lengths[jobs].max())
            embeddings = blank.expand(len(jobs), width, -1).clone()
            mask = torch.zeros(len(jobs), width, dtype=torch.long)
            for index, job in enumerate(jobs.tolist()):
                left = context.embeddings[keep[job]]
                if len(left):
                    embeddings[index, width - len(left) :] = left
                mask[index, width - max(1, len(left)) :] = 1
            return jobs, _ask(context.lm, embeddings, mask.to(embeddings.device), read)

        for jobs, values in in_parts(order, rows_within(batch_tokens, n), closed):
            answers[jobs] = values
        return answers
    if erase == "attention":
        visible = keep.clone()
        visible[:, -1] = True

        def hidden(rows: Tensor) -> Tensor:
            embeddings = context.embeddings.expand(len(rows), -1, -1)
            return _ask(context.lm, embeddings, rows.long().to(embeddings.device), read, whole=True)

        return torch.cat(list(in_parts(visible, rows_within(batch_tokens, n), hidden)))
    blank = _blank(context, erase)

    def replaced(rows: Tensor) -> Tensor:
        stays = rows.to(blank.device)[..., None]
        return _ask(context.lm, torch.where(stays, context.embeddings, blank), None, read)

    return torch.cat(list(in_parts(keep, rows_within(batch_tokens, n), replaced)))


def ask_softly(
    context: Context,
    retention: Tensor,
    uniform: Tensor,
    read: Read,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> Tensor:
    """Ask with each entry of an embedding kept with its token's probability, else 0 (Zhao & Aletras 2023, eq. 6).

    Args:
        context: What is asked.
        retention: [K, n], probability with which a token's entries are kept.
        uniform: [D, n, d], D draws from [0, 1) that all retentions share: an entry stays where its draw is below.
        read: What is kept of each answer.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        float64 [K, D].
    """
    pairs = torch.cartesian_prod(torch.arange(len(retention)), torch.arange(len(uniform)))

    def masked(batch: Tensor) -> Tensor:
        job, draw = batch.unbind(1)
        stays = (uniform[draw] < retention[job][..., None]).to(context.embeddings.device)
        return _ask(context.lm, context.embeddings * stays, None, read)

    answers = torch.cat(list(in_parts(pairs, rows_within(batch_tokens, len(context)), masked)))
    return answers.reshape(len(retention), len(uniform))


def ask_zero(context: Context, read: Read) -> float:
    """Ask with all embeddings zero."""
    return float(_ask(context.lm, torch.zeros_like(context.embeddings)[None], None, read)[0])


def _blank(context: Context, kind: Replacement) -> Tensor:
    """[d], the embedding that stands for a token that was taken away."""
    model = context.lm.model
    with frozen(model), torch.no_grad():
        return replacement(model, context.batch, token_vectors(model, context.batch), kind)[0]


def _ask(
    lm: LanguageModel, embeddings: Tensor, mask: Tensor | None, read: Read, *, whole: bool = False
) -> Tensor:
    """Read the prediction behind the last column of each text, float64 [K] on the CPU.

    Args:
        lm: The model.
        embeddings: [K, T, d].
        mask: [K, T], 1 on what is visible; None for everything.
        read: What is kept.
        whole: Whether hidden columns still count for the positions of those behind them.
    """
    if mask is None:
        mask = torch.ones(embeddings.shape[:2], dtype=torch.long, device=embeddings.device)
    counted = torch.ones_like(mask) if whole else mask
    rows = torch.arange(len(embeddings), device=embeddings.device)
    with frozen(lm.model), torch.no_grad():
        values = log_probs(
            lm.model,
            embeddings,
            mask,
            (counted.cumsum(-1) - 1).clamp_min(0),
            rows,
            torch.full_like(rows, embeddings.shape[1] - 1),
        )
        return read(values).double().cpu()
