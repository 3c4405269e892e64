"""FlashTrace: contributions to an answer as one span, and on through the reasoning before it."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.contributions import Block, one_at_targets, taken_apart
from heat.components.ifr import direct_cost
from heat.components.spans import span_contributions
from heat.internals.memory import by_sequences
from heat.internals.state import frozen
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register


@register("flashtrace")
@dataclass(frozen=True)
class FlashTrace(Method):
    """Direct contributions to the positions that predict an answer, taken as one; see `heat.components.spans`.

    A text's targets are explained together: every target's row holds the scores of the whole answer. With
    `answer_tokens` the earlier targets are reasoning, and a score of it is handed on to the prompt: in each hop the
    reasoning's own positions are the span, weighted by their scores of the hop before, and what the prompt gives them
    counts by the share of all scores that lay on the reasoning. The scores are then those of the prompt, summed over
    hops; the reasoning itself has 0.

    Attributes:
        answer_tokens: How many of the last targets are the answer; None for all, without reasoning.
        hops: How often to hand on what lies on the reasoning.
    """

    summary = "contributions to an answer as one span, handed on through the reasoning before it"
    source = "FlashTrace (2602.01914)"
    needs = ("forward", "attention")

    answer_tokens: Annotated[int, Field(ge=1)] | None = None
    hops: Annotated[int, Field(ge=0)] = 1

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        def work(part: Batch) -> Tensor:
            _, blocks = taken_apart(lm.model, part)
            scores = torch.zeros_like(one_at_targets(blocks, part))
            for text in range(len(part.token_ids)):
                targets = (part.rows == text).nonzero()[:, 0]
                positions = part.positions[targets].sort().values.to(scores.device)
                n_answer = min(self.answer_tokens or len(positions), len(positions))
                ones = scores.new_ones(n_answer)
                direct = span_contributions(blocks, text, positions[-n_answer:], ones)
                # The reasoning's own columns: those behind the positions that predict it.
                reasoning = positions[:-n_answer] + 1
                if len(reasoning) and self.hops:
                    prompt = torch.arange(scores.shape[1], device=direct.device) <= positions[0].to(
                        direct.device
                    )
                    direct = _handed_on(blocks, text, direct, reasoning.to(direct.device), prompt, self.hops)
                scores[targets] = direct.to(scores)
            return scores

        with frozen(lm.model), torch.no_grad():
            return Scores(by_sequences(batch, batch_tokens, work))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"attention": 1.0, "matrices": (1 + self.hops) * direct_cost(n_tokens)}


def _handed_on(
    blocks: list[Block], text: int, direct: Tensor, reasoning: Tensor, prompt: Tensor, hops: int
) -> Tensor:
    """The prompt's scores of the answer, and of the reasoning that the answer's scores lie on, [T]."""
    total, scores, share = direct * prompt, direct, 1.0
    for _ in range(hops):
        weights, whole = scores[reasoning], float(scores.sum())
        mass = float(weights.sum())
        if mass <= 0:
            break
        share *= mass / whole
        scores = span_contributions(blocks, text, reasoning, weights / mass)
        total = total + share * scores * prompt
    return total
