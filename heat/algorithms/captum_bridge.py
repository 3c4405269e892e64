"""captum on one target at a time: its input, the random states it draws from, and less of it where memory ends."""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from heat.batch import Batch, rows_within
from heat.errors import OutOfMemoryError
from heat.internals.forward import Replacement, at_least_float32, explained, replacement, token_vectors
from heat.internals.memory import is_out_of_memory
from heat.internals.state import frozen
from heat.model import LanguageModel


@dataclass(frozen=True, eq=False)
class Text:
    """One target with the text before it, unpadded, as captum sees it.

    It lies on the CPU, in float32 at least, whatever the model has: draws are then the same on every device,
    and bfloat16 rounds neither noise nor sums. `forward` brings it to the model.

    Attributes:
        model: The model.
        batch: The one target and its own sequence, up to and with the target.
        embeddings: [1, n, d], of the n context tokens.
        at_once: How many copies one pass may hold.
    """

    model: PreTrainedModel
    batch: Batch
    embeddings: Tensor
    at_once: int

    @property
    def rms(self) -> float:
        """Root mean square of the embeddings' entries."""
        return float(self.embeddings.detach().square().mean().sqrt())

    @property
    def tokens(self) -> Tensor:
        """int64 [1, n, d]: each entry's token, captum's feature mask (which must be contiguous)."""
        columns = torch.arange(self.embeddings.shape[1])
        return columns[None, :, None].expand(self.embeddings.shape).contiguous()

    def baseline(self, kind: Replacement) -> Tensor:
        """The replacement at every token, [1, n, d]."""
        vector = replacement(self.model, self.batch, token_vectors(self.model, self.batch), kind)
        return at_least_float32(vector).cpu()[:, None].expand_as(self.embeddings).contiguous()

    def forward(self, embeddings: Tensor) -> Tensor:
        """The explained scalar of each of B copies, [B, n, d] to [B]."""
        context = replace(
            self.batch,
            token_ids=self.batch.token_ids[:, :-1],
            attention_mask=self.batch.attention_mask[:, :-1],
        )
        weight: Any = self.model.get_input_embeddings().weight
        # To the inputs' device and not the weight's: an offloaded weight is nowhere between calls.
        given = embeddings.to(self.batch.token_ids.device, weight.dtype)
        values = explained(self.model, context.repeated(len(embeddings)), given)
        return values.to(embeddings.device)


def one_by_one(
    lm: LanguageModel, batch: Batch, explain: Callable[[Text], Tensor], *, seed: int, batch_tokens: int
) -> Tensor:
    """Call `explain` for each target by itself, with global random states that its text decides.

    captum draws from the global states, in the order of its work: only alone is a target sure of its own draws.

    Args:
        lm: The model; left as it was, as are the caller's random states.
        batch: B sequences with R targets.
        explain: Gives the scores of n context tokens, [n].
        seed: Seed of the draws, together with the token ids.
        batch_tokens: Tokens that one pass may hold; where memory runs out all the same, half as many copies go
            through together.

    Returns:
        [R, T] on CPU, 0 outside each target's context.

    Raises:
        OutOfMemoryError: A single copy does not fit.
    """
    scores = torch.zeros(batch.context.shape)
    with frozen(lm.model), torch.enable_grad():
        for index, inside in enumerate(batch.context):
            text = _text(lm.model, batch, index, batch_tokens)
            values = _with_less_memory(
                text, explain, seed_of(text.batch.token_ids[0].tolist(), seed)
            ).detach()
            scores = scores.to(values.dtype)
            scores[index, inside.cpu()] = values
    return scores


def _text(model: PreTrainedModel, batch: Batch, index: int, batch_tokens: int) -> Text:
    row, position = int(batch.rows[index]), int(batch.positions[index])
    # Up to the target itself, whose embedding belongs to the `mean` baseline.
    columns = batch.attention_mask[row, : position + 2].nonzero()[:, 0]
    alone = replace(
        batch.of_targets(torch.tensor([index], device=batch.rows.device)),
        token_ids=batch.token_ids[row, columns][None],
        attention_mask=torch.ones_like(columns)[None],
        rows=torch.zeros_like(columns[:1]),
        positions=torch.full_like(columns[:1], len(columns) - 2),
        units=None if batch.units is None else batch.units[row, columns][None],
    )
    embeddings = at_least_float32(token_vectors(model, alone))[:, :-1].cpu().requires_grad_()
    return Text(model, alone, embeddings, rows_within(batch_tokens, embeddings.shape[1]))


def _with_less_memory(text: Text, explain: Callable[[Text], Tensor], seed: int) -> Tensor:
    """Begin again with half as many copies a pass when memory runs out, and with the same draws."""
    while True:
        try:
            with seeded(seed):
                return explain(text)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if text.at_once == 1:
                raise OutOfMemoryError(
                    "memory ran out with a single pass at a time; use a shorter prompt or a smaller dtype"
                ) from error
        text = replace(text, at_once=text.at_once // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def seed_of(token_ids: Sequence[int], seed: int) -> int:
    """Where the random states begin for a text.

    Args:
        token_ids: Up to and with its target.
        seed: Seed of the run.
    """
    digest = hashlib.sha256(f"{seed}:{list(token_ids)}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The CPU's global random states of torch, numpy and Python begin at a seed, and are restored afterwards."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        # torch.manual_seed would seed the accelerators too.
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
