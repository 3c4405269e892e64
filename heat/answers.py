"""A whole answer: what a model says to a text, and which of its tokens depend on that text at all.

A token of an answer depends on the text where the next-token distribution it comes from is another one without it:
D_t = KL( p(. | text, answer before t) || p(. | answer before t) ), as PECoRe finds context-sensitive tokens
(Sarti et al. 2024). The others follow from the answer's own beginning, so there is nothing to attribute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from heat.batch import collate
from heat.encoding import CharSpan, Encoded, Prompt, check_generated, check_length, encode
from heat.errors import ConfigError, EmptyTargetError, FoilError
from heat.generation import said
from heat.internals.forward import at_targets, token_vectors
from heat.internals.state import frozen
from heat.model import LanguageModel
from heat.offsets import decode
from heat.units import visible

# A token whose distribution moves by this much (nats) depends on the text.
THRESHOLD = 0.5
LONGEST = 64
# Numbers that a step from two distributions to their divergence may hold.
_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class AnswerToken:
    """A token of an answer.

    Attributes:
        token_id: Its id.
        text: Its characters; the tokenizer's name of it where it has none.
        log_prob: log p(token | text, answer before it).
        log_prob_without: log p(token | answer before it), without the text.
        divergence: KL of the next-token distribution with the text from that without it, in nats.
        depends: Whether the divergence reaches the threshold.
    """

    token_id: int
    text: str
    log_prob: float
    log_prob_without: float
    divergence: float
    depends: bool


@dataclass(frozen=True)
class Answer:
    """An answer, token by token.

    Attributes:
        encoded: Prompt and answer, of which the tokens that depend on the text are to be explained: give it to
            `heat.attribute`, where one does.
        tokens: The answer.
        text: It as text.
        threshold: Least divergence of a token that depends on the text, in nats.
        without: What was taken away to see what depends on it, as code points of `encoded.text`.
        ended: Whether the model ended the answer by itself; None for one that was given.
    """

    encoded: Encoded
    tokens: tuple[AnswerToken, ...]
    text: str
    threshold: float
    without: tuple[tuple[int, int], ...]
    ended: bool | None

    @property
    def depending(self) -> tuple[int, ...]:
        """Indices of the tokens that depend on the text."""
        return tuple(index for index, token in enumerate(self.tokens) if token.depends)

    def at_threshold(self, threshold: float) -> Answer:
        """The same under another threshold; takes no pass.

        Args:
            threshold: Least divergence of a token that depends on the text, in nats.

        Raises:
            ConfigError: It is below zero, or not a number.
        """
        _check_threshold(threshold)
        tokens = tuple(replace(token, depends=token.divergence >= threshold) for token in self.tokens)
        foils = self.encoded.foil_ids or (-1,) * len(tokens)
        explained = tuple(
            index
            for index, (token, foil) in enumerate(zip(tokens, foils, strict=True))
            if token.depends or foil >= 0
        )
        return replace(
            self, encoded=replace(self.encoded, explained=explained), tokens=tokens, threshold=threshold
        )


def answer(
    lm: LanguageModel,
    prompt: Prompt,
    following: str | Sequence[int] | None = None,
    *,
    context: str | CharSpan | None = None,
    foils: Mapping[int, str | int] | None = None,
    threshold: float = THRESHOLD,
    max_tokens: int = LONGEST,
    temperature: float | None = None,
    seed: int = 0,
) -> Answer:
    """Let a model answer, or take a given answer, and find which of its tokens depend on the text.

    Two forward passes beside the answer's own.

    Args:
        lm: The model.
        prompt: A string, token ids, or chat messages.
        following: The answer; None for the model's own, which ends where the model ends it, after a string also at the
            end of its first line.
        context: The part of the text that is taken away to see what depends on it: as it stands in the prompt, once, or
            its place. None: all of it; in a chat all messages that were given but for the beginning of an answer, while
            the template stays.
        foils: Index of a token of the answer (from 0) to what might have been said there instead, a text (whose first
            token counts) or an id. Such a token is explained against it, whether it depends on the text or not.
        threshold: Least divergence of a token that depends on the text, in nats.
        max_tokens: Most tokens that the model may say, or that are kept of a given answer.
        temperature: Draw the model's answer; None: greedy.
        seed: Seed of the draws.

    Returns:
        The answer with its divergences.

    Raises:
        HeatError: As for `heat.encode`; the model says nothing (`EmptyTargetError`), the context does not stand in the
            prompt (`ConfigError`), or a foil cannot be contrasted (`FoilError`).
    """
    _check_threshold(threshold)
    ended = None
    if following is None:
        check_generated(max_tokens)
        following, ended = _own(lm, prompt, max_tokens, temperature, seed)
    encoded = encode(lm, prompt, following, max_targets=max_tokens)
    check_length(lm, len(encoded.token_ids))
    without = _taken_away(encoded, context)
    targets = encoded.token_ids[encoded.n_prompt :]
    kept = _kept(lm, encoded, without)
    log_probs, log_probs_without, divergences = _compared(lm, encoded, kept)
    texts = _texts(lm, encoded)
    tokens = tuple(
        AnswerToken(token_id, text, log_prob, other, divergence, divergence >= threshold)
        for token_id, text, log_prob, other, divergence in zip(
            targets, texts, log_probs, log_probs_without, divergences, strict=True
        )
    )
    if foils:
        encoded = replace(encoded, foil_ids=_foil_ids(lm, encoded, foils))
    found = Answer(encoded, tokens, "".join(texts).strip(), threshold, without, ended)
    return found.at_threshold(threshold)


def _check_threshold(threshold: float) -> None:
    if not threshold >= 0:
        raise ConfigError(f"the threshold of the divergence is {threshold}; give a number of nats from 0 on")


def _own(
    lm: LanguageModel, prompt: Prompt, max_tokens: int, temperature: float | None, seed: int
) -> tuple[tuple[int, ...], bool]:
    """What the model says, and whether it came to an end."""
    # One token of whatever kind stands for the answer, so that the prompt is encoded.
    encoded = encode(lm, prompt, [0])
    head = encoded.token_ids[: encoded.n_prompt]
    if lm.context_length is not None:
        max_tokens = min(max_tokens, lm.context_length - len(head))
    check_length(lm, len(head) + max(1, max_tokens))
    of_string = isinstance(prompt, str)

    def line_ends(token_ids: list[int]) -> bool:
        return "\n" in _after(lm, head, token_ids).lstrip()

    drawn = said(
        lm,
        head,
        max_tokens,
        temperature=temperature,
        seed=seed,
        stop=line_ends if of_string else None,
    )
    token_ids, ended = list(drawn.token_ids), drawn.ended
    if of_string and line_ends(token_ids):
        ended = True
        # The token that ends the line stays where it holds something of it.
        if not visible(_after(lm, head, token_ids).lstrip().rpartition("\n")[2]) and not visible(
            _after(lm, [*head, *token_ids[:-1]], token_ids[-1:])
        ):
            token_ids.pop()
    if not token_ids or (lm.tokenizer is not None and not visible(_after(lm, head, token_ids))):
        raise EmptyTargetError(
            "the model ends its answer before it says anything; ask otherwise, or give the answer as text"
        )
    return tuple(token_ids), ended


def _after(lm: LanguageModel, head: Sequence[int], token_ids: Sequence[int]) -> str:
    """Text of some ids behind others; empty without a tokenizer."""
    if lm.tokenizer is None:
        return ""
    before = decode(lm.tokenizer, list(head))
    return decode(lm.tokenizer, [*head, *token_ids]).removeprefix(before)


def _taken_away(encoded: Encoded, context: str | CharSpan | None) -> tuple[tuple[int, int], ...]:
    """Stretches of the prompt that are taken away."""
    length = _prompt_length(encoded)
    if isinstance(context, CharSpan):
        if not 0 <= context.start < context.end <= length:
            raise ConfigError(
                f"the context {context.start}:{context.end} is empty or not inside the prompt, which has {length} "
                "characters"
            )
        return ((context.start, context.end),)
    if context is not None:
        times = encoded.text[:length].count(context) if context else 0
        if times != 1:
            raise ConfigError(
                f"the context stands {times} times in the prompt; give a part of it exactly as it stands there, "
                "long enough to stand there once"
            )
        start = encoded.text.index(context)
        return ((start, start + len(context)),)
    given = [one for one in encoded.segments if one.given]
    if given and given[-1].role == "assistant":
        given = given[:-1]
    if given:
        return tuple((one.start, one.end) for one in given)
    return ((0, length),)


def _prompt_length(encoded: Encoded) -> int:
    if encoded.offsets is None:
        return 0
    starts = [start for start, end in encoded.offsets[encoded.n_prompt :] if end > start]
    return min(starts, default=len(encoded.text))


def _kept(lm: LanguageModel, encoded: Encoded, without: Sequence[tuple[int, int]]) -> list[int]:
    """The prompt's ids without a part of its text; one mark of a beginning where nothing else is left."""
    head = encoded.token_ids[: encoded.n_prompt]
    if encoded.offsets is None:
        kept = [token for token in head[:1] if token == lm.bos_token_id]
    else:
        kept = [
            token
            for token, (start, end) in zip(head, encoded.offsets, strict=False)
            if not any(_overlaps(encoded.text, start, end, *part) for part in without)
        ]
    return kept or [_beginning(lm)]


def _overlaps(text: str, start: int, end: int, first: int, last: int) -> bool:
    """Whether a token has a visible character in a stretch, or lies within it."""
    return bool(visible(text[max(start, first) : min(end, last)])) or first <= start < end <= last


def _beginning(lm: LanguageModel) -> int:
    """What stands before an answer when nothing does: the model's mark of a beginning, else that of an end."""
    if lm.bos_token_id is not None:
        return lm.bos_token_id
    ends = getattr(lm.model.config.get_text_config(), "eos_token_id", None)
    if isinstance(ends, list):
        ends = ends[0] if ends else None
    return int(ends) if ends is not None else 0


def _compared(
    lm: LanguageModel, encoded: Encoded, kept: Sequence[int]
) -> tuple[list[float], list[float], list[float]]:
    """Log-probability with and without the text, and the divergence, of each token of the answer."""
    following = encoded.token_ids[encoded.n_prompt :]
    with frozen(lm.model), torch.no_grad():
        values, others = (
            _next(lm, head, following) for head in (encoded.token_ids[: encoded.n_prompt], tuple(kept))
        )
        step = max(1, _AT_ONCE // values.shape[1])
        divergences = torch.cat(
            [
                kl_div(other, value, reduction="none", log_target=True).sum(-1)
                for value, other in zip(values.split(step), others.split(step), strict=True)
            ]
        )
    chosen = torch.tensor(following, device=values.device)[:, None]
    # Rounding leaves about -1e-8 where nothing changed.
    return (
        values.gather(1, chosen)[:, 0].tolist(),
        others.gather(1, chosen)[:, 0].tolist(),
        divergences.clamp_min(0).tolist(),
    )


def _next(lm: LanguageModel, head: tuple[int, ...], following: tuple[int, ...]) -> Tensor:
    """Next-token log-probabilities before each token of the answer, [m, V]."""
    batch = collate([Encoded(head + following, len(head), "", None)], lm.device)
    return at_targets(lm.model, batch, token_vectors(lm.model, batch))


def _texts(lm: LanguageModel, encoded: Encoded) -> list[str]:
    """Characters of each token of the answer; its name where it has none of its own."""
    targets = encoded.token_ids[encoded.n_prompt :]
    if encoded.offsets is None or lm.tokenizer is None:
        return [
            str(token) if lm.tokenizer is None else _after(lm, (), [token]) or str(token) for token in targets
        ]
    found = []
    reached = _prompt_length(encoded)
    for token, (start, end) in zip(targets, encoded.offsets[encoded.n_prompt :], strict=True):
        piece = encoded.text[max(start, reached) : end]
        reached = max(reached, end)
        found.append(piece or str(lm.tokenizer.convert_ids_to_tokens(token)))
    return found


def _foil_ids(lm: LanguageModel, encoded: Encoded, foils: Mapping[int, str | int]) -> tuple[int, ...]:
    """The foil of every token of the answer, -1 for none."""
    targets = encoded.token_ids[encoded.n_prompt :]
    ids = [-1] * len(targets)
    for index, foil in foils.items():
        if not 0 <= index < len(targets):
            raise FoilError(
                f"there is no token {index + 1} to contrast with a foil; the answer has {len(targets)} tokens"
            )
        ids[index] = foil if isinstance(foil, int) else _first_token(lm, encoded, index, foil)
        if ids[index] == targets[index]:
            raise FoilError(
                f"the foil equals the answer at token {index + 1}, which leaves nothing to contrast; give another"
            )
        if not 0 <= ids[index] < lm.vocab_size:
            raise FoilError(f"the foil's id {ids[index]} is outside the vocabulary; give a text")
    return tuple(ids)


def _first_token(lm: LanguageModel, encoded: Encoded, index: int, foil: str) -> int:
    """The first token of a foil in its place."""
    if encoded.offsets is None:
        alone = encode(lm, list(encoded.token_ids[: encoded.n_prompt + index]), foil)
    else:
        start, end = encoded.offsets[encoded.n_prompt + index]
        before = encoded.text[: start if end > start else _prompt_length(encoded)]
        alone = encode(lm, before, foil, special_tokens=False)
    return alone.token_ids[alone.n_prompt]
