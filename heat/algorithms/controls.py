"""Controls that look at no model: what any method must beat."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.algorithms.draws import generator_of
from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.offsets import decode
from heat.registry import register


@register("random")
@dataclass(frozen=True)
class Random(Method):
    """Uniform numbers in [0, 1), drawn from a generator seeded by the seed and the text's own token ids."""

    summary = "uniform noise (control)"
    source = "control"
    needs = ()
    kind = "control"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        scores = torch.zeros(batch.context.shape)
        for index, inside in enumerate(batch.context.cpu()):
            scores[index, inside] = torch.rand(int(inside.sum()), generator=generator_of(batch, index, seed))
        return Scores(scores)

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {}


@register("constant")
@dataclass(frozen=True)
class Constant(Method):
    """1 for every token: it never moves, and says nothing."""

    summary = "the same score everywhere (control)"
    source = "control"
    needs = ()
    kind = "control"
    only_named = "says nothing: a control of robustness"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        return Scores(batch.context.to(torch.float32))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {}


@register("position")
@dataclass(frozen=True)
class Position(Method):
    """The nearer to the target, the higher: (i + 1) / n for the i-th of n context tokens, from 0."""

    summary = "nearness to the target (control)"
    source = "control"
    needs = ()
    kind = "control"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        places = batch.context.cumsum(-1).to(torch.float32)
        return Scores(places / batch.context.sum(-1, keepdim=True))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {}


@register("lexical-overlap")
@dataclass(frozen=True)
class LexicalOverlap(Method):
    """1 for a token that occurs once more among the last tokens of the context (the question), 0 for others.

    Tokens are compared by their text, stripped and in lower case, and only those with three letters or more; without a
    tokenizer by their ids. Where nothing overlaps there is no opinion: every token gets 1/n.

    Attributes:
        tail: How many tokens at the end of the context are the question.
    """

    summary = "words that the question repeats (control)"
    source = "control"
    needs = ("tokenizer",)
    kind = "control"

    tail: Annotated[int, Field(ge=1)] = 16

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        scores = torch.zeros(batch.context.shape)
        for index, inside in enumerate(batch.context.cpu()):
            token_ids = batch.token_ids[batch.rows[index]].cpu()[inside].tolist()
            scores[index, inside] = self._overlap(lm, token_ids)
        return Scores(scores)

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {}

    def _overlap(self, lm: LanguageModel, token_ids: list[int]) -> Tensor:
        names = [str(token) if lm.tokenizer is None else _word(lm, token) for token in token_ids]
        first = max(0, len(names) - self.tail)
        tail = Counter(names[first:])
        # A word of the tail must occur there once more to count as repeated.
        repeated = torch.tensor([name != "" and tail[name] > (i >= first) for i, name in enumerate(names)])
        return repeated.float() if repeated.any() else torch.full((len(names),), 1 / len(names))


def _word(lm: LanguageModel, token: int) -> str:
    """A token's text in lower case if it has three letters, else nothing."""
    assert lm.tokenizer is not None
    text = decode(lm.tokenizer, [token]).strip().lower()
    return text if sum(letter.isalpha() for letter in text) >= 3 else ""
