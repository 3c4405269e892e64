"""Baselines that watch a prediction as the text in view grows from its end; TDD also looks from its beginning."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.algorithms.progressive import NUMBERS_AT_ONCE, along, first, forward_steps, preference
from heat.batch import DEFAULT_BATCH_TOKENS, Batch
from heat.components.prefix import suffix_cost, suffix_parts
from heat.deletion import (
    TOP_K,
    ByDeletion,
    Deletions,
    contrast_kl,
    score_by_deletion,
    suffixes,
    top_k_kl,
)
from heat.errors import ConfigError
from heat.internals.forward import log_probs, token_vectors
from heat.internals.memory import in_parts
from heat.internals.state import frozen
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register

# Reads a number off log-probabilities [P, V] for each place, given the target that it is for, int64 [P].
ReadOut = Callable[[Tensor, Tensor], Tensor]


def suffix_sweep(
    lm: LanguageModel, batch: Batch, read: ReadOut, in_front: Tensor, batch_tokens: int
) -> Tensor:
    """Read every target's prediction with its context cut off before each column in turn.

    The suffix that begins at a column serves every target of its text behind that column. Suffixes are moved to the
    left, so positions count from 0 as in any text; log-probabilities are read and dropped part by part.

    Args:
        lm: The model, frozen by the caller.
        batch: B sequences with R targets.
        read: Reads a number off the log-probabilities.
        in_front: Bool [R, T], a first token that stays in front of every suffix; nothing else may be set.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        [R, T], 0 outside each context; float32 (float64 for a float64 model).
    """
    read_outs: list[tuple[Tensor, Tensor, Tensor]] = []
    device = batch.token_ids.device
    for row in batch.rows.unique().tolist():
        targets = (batch.rows == row).nonzero()[:, 0]
        positions, token_ids = batch.positions[targets], batch.token_ids[row]
        end = int(positions.max()) + 1
        front = in_front[targets[0]]

        def work(
            starts: Tensor,
            targets: Tensor = targets,
            positions: Tensor = positions,
            token_ids: Tensor = token_ids,
            front: Tensor = front,
            end: int = end,
        ) -> tuple[Tensor, Tensor, Tensor]:
            columns = torch.arange(len(token_ids), device=device)
            shown = front | ((columns >= starts[:, None]) & (columns < end))
            # A stable sort brings what is shown to the left, in order.
            order = (~shown).long().argsort(dim=-1, stable=True)[:, : int(shown.sum(-1).max())]
            which, suffix = (starts <= positions[:, None]).nonzero().unbind(1)
            visible = shown[suffix] & (columns <= positions[which, None])
            moved = Batch(
                token_ids=token_ids[order],
                attention_mask=shown.gather(1, order).long(),
                rows=suffix,
                positions=visible.sum(-1) - 1,
                target_ids=batch.target_ids[targets[which]],
            )
            values = log_probs(
                lm.model,
                token_vectors(lm.model, moved),
                moved.attention_mask,
                moved.position_ids,
                moved.rows,
                moved.positions,
            )
            return targets[which], starts[suffix], read(values, targets[which])

        most = max(1, NUMBERS_AT_ONCE // (lm.vocab_size * len(targets)))
        for part in suffix_parts(batch.context[targets].any(0).nonzero()[:, 0], end, batch_tokens):
            read_outs += in_parts(part, min(len(part), most), work)
    result = read_outs[0][2].new_zeros(batch.context.shape)
    for which, column, values in read_outs:
        result[which.to(result.device), column.to(result.device)] = values.to(result.device)
    return result


@dataclass(frozen=True)
class _Backward(Method):
    """Options of what is read off suffixes.

    Attributes:
        keep_bos: Keep a beginning-of-text token in front of every suffix, as the model has seen no text without it; it
            then gets what it says alone. False is the published code.
    """

    keep_bos: bool = True

    def _in_front(self, lm: LanguageModel, batch: Batch) -> Tensor:
        """The beginning-of-text token that stays in view, bool [R, T]."""
        bos = lm.bos_token_id if self.keep_bos else None
        return first(batch) & (batch.token_ids[batch.rows] == (-1 if bos is None else bos))

    def _steps(self, lm: LanguageModel, batch: Batch, read: ReadOut, batch_tokens: int) -> Tensor:
        """What each token adds to a read-out when it comes into view behind the ones after it, [R, T].

        A read-out is 0 before anything is in view, and a row sums to the read-out of the whole context.
        """
        in_front = self._in_front(lm, batch)
        whole = suffix_sweep(lm, batch, read, in_front, batch_tokens)
        alone = log_probs(
            lm.model,
            token_vectors(lm.model, batch),
            batch.attention_mask,
            batch.position_ids,
            batch.rows,
            first(batch).long().argmax(-1),
        )
        read_alone = read(alone, torch.arange(len(batch.rows), device=batch.rows.device)).to(whole.device)
        in_front = in_front.to(whole.device)
        before = torch.where(in_front.any(-1), read_alone, 0.0)
        later = whole.roll(-1, dims=1).scatter(1, batch.positions.to(whole.device)[:, None], before[:, None])
        return whole - later + in_front * before[:, None]

    def _deleting(self) -> None:
        """What deletions cannot serve: a beginning-of-text token always stays there."""
        if not self.keep_bos:
            raise ConfigError(
                f"method '{self.name}' with keep_bos=False takes the beginning-of-text token away, which a server puts "
                "in front of every text; leave it out"
            )

    def _preference_of(self, batch: Batch) -> ReadOut:
        def read(values: Tensor, targets: Tensor) -> Tensor:
            of = batch.of_targets(targets)
            wanted = values.gather(1, of.target_ids.to(values.device)[:, None])[:, 0]
            if of.foil_ids is None:
                return wanted.exp()
            return preference(wanted, values.gather(1, of.foil_ids.to(values.device)[:, None])[:, 0])

        return read

    def _sweep_cost(self, n_tokens: int, n_targets: int) -> float:
        return 1.0 + suffix_cost(n_tokens, n_targets, DEFAULT_BATCH_TOKENS)


@register("tdd-forward")
@dataclass(frozen=True)
class TddForward(Method):
    """What each token adds to the preference for the target as the text is read from its beginning.

    a_i = D_i - D_{i-1} with D_i = tanh((z_t - z_f)/2) behind token i of the one pass over the text, which is p(target)
    - p(foil) over these two, and D_0 = 0. Without a foil D_i = p(target), and it is `progressive-inference`.
    """

    summary = "what each token adds to target against foil, read from the beginning"
    source = "Feng et al. 2024, TDD-forward"
    needs = ("forward",)
    signed = True

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        with frozen(lm.model), torch.no_grad():
            values = along(lm, batch, token_vectors(lm.model, batch), batch_tokens)
        return Scores(forward_steps(preference(*values), batch))

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"predictions": 1.0}


@register("tdd-backward")
@dataclass(frozen=True)
class TddBackward(ByDeletion, _Backward):
    """What each token adds to the preference for the target when it comes into view in front of the ones behind it.

    a_i = D(x_{i..t}) - D(x_{i+1..t}), D as in `tdd-forward` at the last position, and D = 0 of no text at all.
    """

    summary = "what each token adds to target against foil, read from the end"
    source = "Feng et al. 2024, TDD-backward; the kept beginning-of-text token ours"
    needs = ("forward",)
    signed = True

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        with frozen(lm.model), torch.no_grad():
            return Scores(self._steps(lm, batch, self._preference_of(batch), batch_tokens))

    @override
    def deleting(self) -> Self:
        self._deleting()
        return self

    @override
    def by_deletion(self, text: Deletions, *, seed: int) -> Tensor:
        def read(kept: Tensor) -> Tensor:
            g = text.g(kept)
            return g.exp() if text.foil_id is None else (g / 2).tanh()

        return _steps_of(text, read)

    @override
    def deletions(self, n_tokens: int) -> int:
        return n_tokens + 1

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents; a suffix serves all targets behind it."""
        return {"suffixes": self._sweep_cost(n_tokens, n_targets)}


@register("tdd-bidirectional")
@dataclass(frozen=True)
class TddBidirectional(_Backward):
    """Mean of `tdd-forward` and `tdd-backward`."""

    summary = "what each token adds to target against foil, mean of both directions"
    source = "Feng et al. 2024, TDD-bidirectional; the kept beginning-of-text token ours"
    needs = ("forward",)
    signed = True

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        with frozen(lm.model), torch.no_grad():
            backward = self._steps(lm, batch, self._preference_of(batch), batch_tokens)
            values = along(lm, batch, token_vectors(lm.model, batch), batch_tokens)
        forward = forward_steps(preference(*values), batch).to(backward.device)
        return Scores((forward + backward) / 2, {"forward": forward, "backward": backward})

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {"suffixes": self._sweep_cost(n_tokens, n_targets), "predictions": 1.0}


@register("context-length-probing")
@dataclass(frozen=True)
class ContextLengthProbing(ByDeletion, _Backward):
    """How much nearer the prediction comes to that of the whole context when a token comes into view.

    a_i = KL(P ‖ P_{i+1}) - KL(P ‖ P_i) in nats, P_i being the next-token distribution behind x_{i..t} and P that behind
    the whole context. With a foil the distributions are those over target and foil alone.

    The paper leaves the nearest token without a score, as no shorter context is there to compare with; ours is the
    uniform distribution, so the scores sum to KL(P ‖ uniform). The paper divides by the largest |a_i|; we do not.

    With `top_k` the divergences are those of `heat.deletion.top_k_kl` over the k most probable tokens, all that a
    server shows; the vocabulary's size is not known then, and what comes into view first has 0, as in the paper.

    Attributes:
        top_k: Compare the k most probable tokens and the rest as one; None for the whole distributions.
    """

    summary = "how much the prediction changes as the context is made longer"
    source = "Cífka & Liutkus 2023; the score of the nearest token ours"
    needs = ("forward",)
    signed = True
    neutral = MappingProxyType({"top_k": None})
    deletion_note = "a lower bound of the KL, over the most probable tokens and the rest as one (top_k)"

    top_k: Annotated[int, Field(ge=1)] | None = None

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        if self.top_k is not None:
            self._deleting()
            return score_by_deletion(self, lm, batch, seed=seed, batch_tokens=batch_tokens)
        with frozen(lm.model), torch.no_grad():
            full = log_probs(
                lm.model,
                token_vectors(lm.model, batch),
                batch.attention_mask,
                batch.position_ids,
                batch.rows,
                batch.positions,
            )

            def read(values: Tensor, targets: Tensor) -> Tensor:
                """KL to the uniform distribution less KL to the one in view: 0 where nothing is in view."""
                of, whole = batch.of_targets(targets), full[targets.to(full.device)].to(values.device)
                if of.foil_ids is not None:
                    outcomes = torch.stack([of.target_ids, of.foil_ids], 1).to(values.device)
                    whole, values = (log_p.gather(1, outcomes).log_softmax(-1) for log_p in (whole, values))
                uniform = -torch.tensor(float(values.shape[1]), device=values.device).log()
                return (whole.exp() * (values - uniform)).sum(-1)

            return Scores(self._steps(lm, batch, read, batch_tokens))

    @override
    def deleting(self) -> Self:
        self._deleting()
        return replace(self, top_k=TOP_K if self.top_k is None else self.top_k)

    @override
    def by_deletion(self, text: Deletions, *, seed: int) -> Tensor:
        whole = torch.ones(1, text.n_tokens, dtype=torch.bool)
        if text.foil_id is not None:
            g = text.g(whole)[0]
            uniform = contrast_kl(g, torch.zeros(1))

            def read_contrast(kept: Tensor) -> Tensor:
                return uniform - contrast_kl(g, text.g(kept))

            return _steps_of(text, read_contrast)
        k = self.top_k or TOP_K
        (full,) = text.top(whole, k)

        def read(kept: Tensor) -> Tensor:
            return -torch.tensor([top_k_kl(full, one) for one in text.top(kept, k)], dtype=torch.float64)

        steps = _steps_of(text, read)
        # What comes into view first is compared with nothing.
        steps[text.n_tokens - 1 if text.n_fixed == 0 else 0] = 0.0
        return steps

    @override
    def deletions(self, n_tokens: int) -> int:
        return n_tokens + 1

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents; a suffix serves all targets behind it."""
        return {"suffixes": 1.0 + self._sweep_cost(n_tokens, n_targets)}


def _steps_of(text: Deletions, read: Callable[[Tensor], Tensor]) -> Tensor:
    """What each token adds to a read-out when it comes into view, float64 [n]; see `_Backward._steps`."""
    first = text.n_fixed
    steps = torch.zeros(text.n_tokens, dtype=torch.float64)
    values = read(suffixes(text.n_tokens, first))
    before = torch.zeros(1, dtype=torch.float64)
    if first:
        before = read(torch.zeros(1, text.n_tokens, dtype=torch.bool))
        steps[0] = before[0]
    steps[first:] = values - torch.cat([values[1:], before])
    return steps
