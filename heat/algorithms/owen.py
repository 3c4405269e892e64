"""Owen values: Shapley values of a text's sentences, of the words in them, and of their tokens, within a budget."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby
from math import factorial
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.algorithms.captum_bridge import Text, one_by_one
from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.deletion import ByDeletion, Deletions, Missing, score_by_deletion
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register
from heat.sources import sources_of

# Of this many players the Shapley values take as many coalitions as those of halves do.
_FLAT = 3
# Blocks that are opened before the next are chosen, as passes are cheaper together: so many, with so much of the
# largest share.
_ROUND = 8
_NEAR = 0.5


@dataclass(frozen=True)
class Block:
    """Neighbouring tokens that join a coalition together until they are told apart.

    Attributes:
        tokens: The players, in order.
        parts: The blocks it is made of; none for a single token.
        within_word: Whether it is a word, or a part of one.
    """

    tokens: tuple[int, ...]
    parts: tuple["Block", ...] = ()
    within_word: bool = False


@register("owen")
@dataclass(frozen=True)
class Owen(ByDeletion, Method):
    """Shapley values under a hierarchy: sentences share g(E) - g(b), words share their sentence's part, tokens theirs.

    They are the mean, over all orders in which every block's tokens follow each other, of what a token adds to g when
    it joins (Owen 1977; Winter 1989 for several levels). A block of more than three parts is cut into halves, and these
    again, so that the exact values take about n² coalitions instead of 2ⁿ. Blocks are opened in the order of what they
    have to share; where the budget ends, a block's part is shared evenly by its tokens. Words are told apart before the
    tokens of any word are. Scores add up to g(E) - g(b) with any budget.

    Without a tokenizer the text is one sentence and every token a word.

    Attributes:
        budget: Most coalitions that are evaluated, a pass each.
        baseline: What stands in a missing token's place: `zero`, `pad` or `mean` (as `replacement` says), or nothing,
            `delete`: what is left moves up, and a beginning-of-text token, which always stays, has 0.
    """

    summary = "Shapley values of sentences, words and tokens within a budget (PartitionSHAP)"
    source = "Owen 1977; Winter 1989; partition and budget as in the shap package"
    needs = ("forward", "tokenizer")
    signed = True
    completeness = True
    deletion_note = "a missing token is deleted (baseline=delete), not replaced by the zero embedding"

    budget: Annotated[int, Field(ge=2)] = 200
    baseline: Missing = "zero"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        if self.baseline == "delete":
            return score_by_deletion(self, lm, batch, seed=seed, batch_tokens=batch_tokens)
        in_place = self.baseline

        def explain(text: Text) -> Tensor:
            baseline = text.baseline(in_place)

            def game(coalitions: Tensor) -> Tensor:
                parts = [
                    text.forward(torch.where(part[..., None], text.embeddings, baseline))
                    for part in coalitions.split(text.at_once)
                ]
                return torch.cat(parts).double()

            n_tokens = text.embeddings.shape[1]
            with torch.no_grad():
                token_ids = text.batch.token_ids[0, :n_tokens].tolist()
                sentences, words = (sources_of(lm, token_ids, kind) for kind in ("sentences", "words"))
                return owen_values(hierarchy(sentences, words), game, self.budget)

        return Scores(one_by_one(lm, batch, explain, seed=seed, batch_tokens=batch_tokens))

    @override
    def deleting(self) -> Self:
        return replace(self, baseline="delete")

    @override
    def by_deletion(self, text: Deletions, *, seed: int) -> Tensor:
        first = text.n_fixed
        scores = torch.zeros(text.n_tokens)
        if first == text.n_tokens:
            return scores
        sentences, words = (text.sources(kind)[first:] for kind in ("sentences", "words"))

        def game(coalitions: Tensor) -> Tensor:
            return text.g(torch.cat([torch.ones(len(coalitions), first, dtype=torch.bool), coalitions], 1))

        scores[first:] = owen_values(hierarchy(sentences, words), game, self.budget).float()
        return scores

    @override
    def deletions(self, n_tokens: int) -> int:
        return self.budget

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        # Exact for a text of one sentence whose words are tokens.
        exact = 2.0 + _openings(grouped([Block((token,)) for token in range(n_tokens)]))
        return {"coalitions": min(float(self.budget), exact) * n_targets}


def hierarchy(sentences: Sequence[int], words: Sequence[int]) -> Block:
    """The blocks of a text: sentences of words of tokens.

    Args:
        sentences: Which sentence each token belongs to, by the rules of `heat.sources`; a beginning-of-text token is a
            block beside the sentences.
        words: Which word each token belongs to.
    """
    blocks = []
    for _, sentence in groupby(range(len(sentences)), key=sentences.__getitem__):
        runs = groupby(sentence, key=words.__getitem__)
        blocks.append(grouped([grouped([Block((token,)) for token in word], True) for _, word in runs]))
    return grouped(blocks)


def grouped(parts: Sequence[Block], within_word: bool = False) -> Block:
    """One block of neighbouring blocks: of up to three as they are, of more in halves of halves.

    Args:
        parts: At least one.
        within_word: Whether they make a word, or a part of one.
    """
    if len(parts) == 1:
        return parts[0]
    if len(parts) > _FLAT:
        half = len(parts) // 2
        parts = (grouped(parts[:half], within_word), grouped(parts[half:], within_word))
    return Block(tuple(token for part in parts for token in part.tokens), tuple(parts), within_word)


def _openings(block: Block, n_contexts: int = 1) -> int:
    """Coalitions that are evaluated where every block is opened in all of its contexts."""
    below = n_contexts << max(0, len(block.parts) - 1)
    return n_contexts * _price(block) * bool(block.parts) + sum(
        _openings(part, below) for part in block.parts
    )


def owen_values(text: Block, game: Callable[[Tensor], Tensor], budget: int) -> Tensor:
    """Owen values of a game on blocks within blocks.

    A block stands in a context: whole blocks beside it, or beside those that it is part of, which are there. Opening it
    there evaluates every coalition of its parts; each part then stands in as many contexts as there are coalitions of
    its siblings, with their Shapley weights. Of the blocks that can be opened those go first whose weight times what
    they add is largest.

    Args:
        text: All n players.
        game: Gives the values of coalitions, bool [J, n] to float64 [J].
        budget: Most coalitions to evaluate, at least 2.

    Returns:
        float64 [n], on CPU; their sum is game(all) - game(none).
    """
    n_players = len(text.tokens)
    order, spent = count(), 2
    ends = torch.zeros(2, n_players, dtype=torch.bool)
    ends[1] = True
    without, with_all = game(ends).cpu().tolist()
    scores = torch.zeros(n_players, dtype=torch.float64)
    waiting: list[tuple[bool, float, int, _Standing]] = []  # by level, then by share, the largest first

    def put(standing: _Standing) -> None:
        share = standing.weight * (standing.value - standing.value_without)
        if standing.block.parts:
            heapq.heappush(waiting, (standing.block.within_word, -abs(share), next(order), standing))
        else:
            scores[list(standing.block.tokens)] += share

    put(_Standing(text, ends[0], without, with_all, 1.0))
    closed = []
    while waiting:
        opened: list[_Standing] = []
        within_word, least = waiting[0][0], _NEAR * waiting[0][1]
        while waiting and len(opened) < _ROUND and waiting[0][:2] <= (within_word, least):
            standing = heapq.heappop(waiting)[-1]
            price = _price(standing.block)
            if spent + price <= budget:
                opened.append(standing)
                spent += price
            else:
                closed.append(standing)
        if not opened:
            continue
        coalitions = [_coalitions(standing) for standing in opened]
        values = game(torch.cat(coalitions)).cpu().split([len(members) for members in coalitions])
        for standing, members, member_values in zip(opened, coalitions, values, strict=True):
            for part in _told_apart(standing, members, member_values.tolist()):
                put(part)
    for standing in closed:
        share = standing.weight * (standing.value - standing.value_without)
        scores[list(standing.block.tokens)] += share / len(standing.block.tokens)
    return scores


@dataclass(frozen=True, eq=False)
class _Standing:
    """A block in a context.

    Attributes:
        block: The block.
        context: Who is there beside it, bool [n].
        value_without: Value of the context.
        value: Value of the context with the block.
        weight: Share of the orders in which the block meets this context.
    """

    block: Block
    context: Tensor
    value_without: float
    value: float
    weight: float


def _price(block: Block) -> int:
    """Coalitions that opening a block takes: those of its parts, less none and all of them."""
    return (1 << len(block.parts)) - 2


def _coalitions(standing: _Standing) -> Tensor:
    """Each proper coalition of a block's parts in its context, as the bits of 1, 2, ..., bool [J, n]."""
    coalitions = standing.context.repeat(_price(standing.block), 1)
    for bit, part in enumerate(standing.block.parts):
        inside = torch.tensor([bool(number >> bit & 1) for number in range(1, len(coalitions) + 1)])
        coalitions[inside.nonzero(), list(part.tokens)] = True
    return coalitions


def _told_apart(standing: _Standing, members: Tensor, values: Sequence[float]) -> list[_Standing]:
    """The parts of a block that was opened, each in every context."""
    parts = standing.block.parts
    all_values = [standing.value_without, *values, standing.value]
    contexts = [standing.context, *members]
    n_parts = len(parts)
    parts_in_contexts = []
    for bit, part in enumerate(parts):
        for number in range(1 << n_parts):
            if number >> bit & 1:
                continue
            size = number.bit_count()
            share = factorial(size) * factorial(n_parts - 1 - size) / factorial(n_parts)
            parts_in_contexts.append(
                _Standing(
                    part,
                    contexts[number],
                    all_values[number],
                    all_values[number | 1 << bit],
                    standing.weight * share,
                )
            )
    return parts_in_contexts
