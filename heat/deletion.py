"""A target under deletions of the tokens before it: all that some methods ask of a model, wherever it runs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from heat.batch import Batch, rows_within
from heat.internals.forward import at_targets, explained_values, token_vectors
from heat.internals.memory import in_parts
from heat.internals.state import frozen
from heat.method import Scores
from heat.model import LanguageModel
from heat.sources import Sources, sources_of

# What stands in a missing token's place: an embedding (`heat.internals.forward.Replacement`), or nothing.
Missing = Literal["zero", "mean", "pad", "delete"]

# Log-probabilities by token: its id, or its text where no ids are known.
TopLogProbs = Mapping[int | str, float]

# How many of the most probable tokens are compared where nothing else is said: what vLLM gives at most by default.
TOP_K = 20

# What rounding may leave of a probability; below it a rest is none.
_ROUNDING = 1e-7


class Deletions(ABC):
    """One target, and what a model says of it when tokens before it are deleted: what is left moves up.

    The first `n_fixed` tokens (a beginning-of-text token) always stay. Without one a deletion of everything keeps the
    last token, as no model predicts from nothing.

    Attributes:
        token_ids: The n tokens before the target.
        target_id: The target.
        foil_id: The token it is contrasted with, or None.
        n_fixed: How many tokens at the start always stay.
        units: The unit that each token is masked with, -1 for none; None where tokens are masked alone.
        at_once: How many deletions are best asked for together.
    """

    def __init__(
        self,
        token_ids: Sequence[int],
        target_id: int,
        foil_id: int | None,
        n_fixed: int,
        units: Sequence[int] | None,
        at_once: int,
    ) -> None:
        self.token_ids, self.target_id, self.foil_id = tuple(token_ids), target_id, foil_id
        self.n_fixed, self.at_once = n_fixed, at_once
        self.units = None if units is None else tuple(units)

    @property
    def n_tokens(self) -> int:
        """Number of tokens before the target."""
        return len(self.token_ids)

    def left(self, kept: Tensor) -> Tensor:
        """What is left when tokens are deleted, bool [J, n]: `kept` with the tokens that always stay."""
        left = kept.clone()
        left[:, : self.n_fixed] = True
        left[~left.any(-1), -1] = True
        return left

    def g(self, kept: Tensor) -> Tensor:
        """What is explained: log p(target), or with a foil log p(target) - log p(foil).

        Args:
            kept: Bool [J, n], what is not deleted.

        Returns:
            float64 [J].
        """
        return self._g(self.left(kept))

    def log_odds(self, kept: Tensor) -> Tensor:
        """Give log p - log(1 - p) of the target, or with a foil `g`; arguments and result as of `g`."""
        return self.g(kept) if self.foil_id is not None else self._log_odds(self.left(kept))

    def top(self, kept: Tensor, k: int) -> list[TopLogProbs]:
        """The k most probable next tokens and the target, with their log-probabilities.

        Args:
            kept: Bool [J, n], what is not deleted.
            k: How many, at least 1.

        Returns:
            J mappings.
        """
        return self._top(self.left(kept), k)

    @abstractmethod
    def sources(self, kind: Sources) -> list[int]:
        """Which word or sentence each token belongs to, as `heat.sources.sources_of` says it."""

    @abstractmethod
    def _g(self, left: Tensor) -> Tensor: ...

    @abstractmethod
    def _log_odds(self, left: Tensor) -> Tensor: ...

    @abstractmethod
    def _top(self, left: Tensor, k: int) -> list[TopLogProbs]: ...


class ByDeletion(ABC):
    """What a method can do that needs the target's log-probabilities under deletions, and nothing else of the model.

    Attributes:
        deletion_note: What differs from the method's default form; empty where nothing does.
    """

    deletion_note: ClassVar[str] = ""

    def deleting(self) -> Self:
        """The same method in the form that deletes.

        Raises:
            ConfigError: It has an option that deletions cannot serve.
        """
        return self

    @abstractmethod
    def by_deletion(self, text: Deletions, *, seed: int) -> Tensor:
        """Score the tokens before one target.

        Args:
            text: The target and its context of n tokens.
            seed: Seed of whatever is drawn.

        Returns:
            [n].
        """

    @abstractmethod
    def deletions(self, n_tokens: int) -> int:
        """How many deletions of a context of so many tokens are asked for, at most."""


class LocalDeletions(Deletions):
    """Deletions run through a model in this process; ids are deleted, and what is left is not tokenised anew.

    Args:
        lm: The model; left as it was.
        batch: B sequences with R targets.
        target: Which of them.
        batch_tokens: Tokens that one pass may hold.
    """

    def __init__(self, lm: LanguageModel, batch: Batch, target: int, batch_tokens: int) -> None:
        inside = batch.context[target].cpu()
        row = batch.rows[target]
        ids = batch.token_ids[row].cpu()[inside].tolist()
        super().__init__(
            ids,
            int(batch.target_ids[target]),
            None if batch.foil_ids is None else int(batch.foil_ids[target]),
            int(ids[0] == lm.bos_token_id),
            None if batch.units is None else batch.units[row].cpu()[inside].tolist(),
            rows_within(batch_tokens, len(ids)),
        )
        self._lm = lm

    def sources(self, kind: Sources) -> list[int]:
        """See `Deletions`."""
        return sources_of(self._lm, list(self.token_ids), kind)

    def _g(self, left: Tensor) -> Tensor:
        return torch.cat(self._read(left, explained_values)).double().cpu()

    def _log_odds(self, left: Tensor) -> Tensor:
        def read(part: Batch, values: Tensor) -> Tensor:
            # 1 - p is summed over all other tokens, so that it is finite also where p rounds to 1.
            others = values.scatter(1, part.target_ids.to(values.device)[:, None], -torch.inf)
            return explained_values(part, values) - others.logsumexp(-1)

        return torch.cat(self._read(left, read)).double().cpu()

    def _top(self, left: Tensor, k: int) -> list[TopLogProbs]:
        def read(_: Batch, values: Tensor) -> Tensor:
            best = values.topk(min(k, values.shape[1]))
            target = values[:, self.target_id, None]
            ids = torch.cat([best.indices, torch.full_like(best.indices[:, :1], self.target_id)], 1)
            return torch.stack([ids.double(), torch.cat([best.values, target], 1).double()])

        return [
            {int(token): float(value) for token, value in zip(*row, strict=True)}
            for part in self._read(left, read)
            for row in part.transpose(0, 1).tolist()
        ]

    def _read(self, left: Tensor, read: Callable[[Batch, Tensor], Tensor]) -> list[Tensor]:
        lm, token_ids = self._lm, torch.tensor(self.token_ids)

        def work(masks: Tensor) -> Tensor:
            # A stable sort brings what is left to the front, in order.
            order = (~masks).long().argsort(dim=-1, stable=True)[:, : int(masks.sum(-1).max())]
            foils = None if self.foil_id is None else torch.full((len(masks),), self.foil_id)
            part = Batch(
                token_ids=token_ids[order].to(lm.device),
                attention_mask=masks.gather(1, order).long().to(lm.device),
                rows=torch.arange(len(masks), device=lm.device),
                positions=(masks.sum(-1) - 1).to(lm.device),
                target_ids=torch.full((len(masks),), self.target_id, device=lm.device),
                foil_ids=None if foils is None else foils.to(lm.device),
            )
            return read(part, at_targets(lm.model, part, token_vectors(lm.model, part)))

        with frozen(lm.model), torch.no_grad():
            return list(in_parts(left, self.at_once, work))


def score_by_deletion(
    method: ByDeletion, lm: LanguageModel, batch: Batch, *, seed: int, batch_tokens: int
) -> Scores:
    """Scores of a batch, target by target, through a model in this process; see `Method.score`."""
    scores = torch.zeros(batch.context.shape)
    for target, inside in enumerate(batch.context.cpu()):
        text = LocalDeletions(lm, batch, target, batch_tokens)
        scores[target, inside] = method.by_deletion(text, seed=seed).float()
    return Scores(scores)


def without_each(n_tokens: int, n_fixed: int) -> Tensor:
    """The whole context, and then without each token in turn that may be deleted, bool [1 + n - fixed, n]."""
    whole = torch.ones(1, n_tokens, dtype=torch.bool)
    return torch.cat([whole, ~torch.eye(n_tokens, dtype=torch.bool)[n_fixed:]])


def suffixes(n_tokens: int, n_fixed: int) -> Tensor:
    """The context from each token on that may be deleted, bool [n - fixed, n]."""
    return torch.ones(n_tokens, n_tokens, dtype=torch.bool).triu()[n_fixed:]


def top_k_kl(p: TopLogProbs, q: TopLogProbs) -> float:
    """KL(p ‖ q) of what is known of two distributions: the tokens that both name, and all others as one outcome.

    Outcomes are taken together, so it is at most the KL of the whole distributions (data processing inequality; Cover
    & Thomas 2006, section 2.8), and equal to it where every token is named. The form is ours.

    Args:
        p: Log-probabilities of some tokens.
        q: Of some tokens.

    Returns:
        In nats, not negative.
    """
    both = [token for token in p if token in q]
    known_p = torch.tensor([p[token] for token in both], dtype=torch.float64)
    known_q = torch.tensor([q[token] for token in both], dtype=torch.float64)
    rest_p, rest_q = (max(0.0, 1.0 - float(known.exp().sum())) for known in (known_p, known_q))
    divergence = float((known_p.exp() * (known_p - known_q)).sum())
    if rest_p > _ROUNDING:
        ratio = torch.tensor(rest_p / max(rest_q, _ROUNDING), dtype=torch.float64)
        divergence += rest_p * float(ratio.log())
    return max(0.0, divergence)


def contrast_kl(g: Tensor, others: Tensor) -> Tensor:
    """KL of two distributions over target and foil alone, from their differences of log-probabilities.

    Args:
        g: log p(target) - log p(foil), a scalar.
        others: The same under deletions, [J].

    Returns:
        In nats, [J].
    """
    ours = torch.nn.functional.logsigmoid(torch.stack([g, -g]))
    theirs = torch.nn.functional.logsigmoid(torch.stack([others, -others], -1))
    return (ours.exp() * (ours - theirs)).sum(-1).clamp_min(0)
