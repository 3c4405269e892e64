"""Prompt and target as token ids with their places in the text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from transformers import PreTrainedTokenizerBase

from heat.chat import Messages, render
from heat.errors import (
    ConfigError,
    EmptyPromptError,
    EmptyTargetError,
    FoilError,
    OffsetsError,
    PromptTooLongError,
    TokenizerError,
    UnitError,
    UnknownTokenError,
)
from heat.internals.state import frozen
from heat.model import LanguageModel
from heat.offsets import Span, Tokenized, decode, spans_by_decoding, tokenize
from heat.segments import Segment
from heat.units import Part, Unit, owners, split

Prompt = str | Sequence[int] | Messages

# Every token that is generated takes a pass over all before it, and every one that is explained many more.
MOST_GENERATED = 1024


@dataclass(frozen=True)
class CharSpan:
    """The prompt's own characters `[start, end)` as the target; what stands behind them is left out."""

    start: int
    end: int


Following = str | Sequence[int]
Target = Following | CharSpan
Foil = Following


@dataclass(frozen=True)
class Encoded:
    """A prompt with the tokens that follow it and are to be explained.

    Attributes:
        token_ids: Prompt, then target.
        n_prompt: How many of them are prompt.
        text: Text of prompt and target; offsets count its code points.
        offsets: `[start, end)` of each token, (0, 0) for special tokens; None when ids were given.
        foil_ids: The token that each target token is contrasted with, -1 for none; None where no target has a foil.
        segments: Messages of a chat in the text; empty for other prompts.
        explained: Indices of the target tokens to be explained, ascending; None for all of them.
    """

    token_ids: tuple[int, ...]
    n_prompt: int
    text: str
    offsets: tuple[Span, ...] | None
    foil_ids: tuple[int, ...] | None = None
    segments: tuple[Segment, ...] = ()
    explained: tuple[int, ...] | None = None

    @property
    def n_targets(self) -> int:
        """Number of target tokens."""
        return len(self.token_ids) - self.n_prompt

    @property
    def wanted(self) -> tuple[int, ...]:
        """Indices of the target tokens to be explained."""
        return tuple(range(self.n_targets)) if self.explained is None else self.explained


def masking_units(encoded: Encoded, unit: Unit) -> list[int]:
    """Which unit each token of a text is masked with; those of the answer are its own, and never reach into the prompt.

    Args:
        encoded: The text.
        unit: Any but `token`.

    Returns:
        Units counted from 0, -1 for special tokens and marks of a turn, which are never masked.

    Raises:
        UnitError: The prompt has no such units.
    """
    if encoded.offsets is None:
        raise UnitError(f"the prompt was given as ids, which have no {unit}s; give it as a string")
    targets = encoded.offsets[encoded.n_prompt :]
    cut = min((start for start, end in targets if end > start), default=len(encoded.text))
    parts = split(encoded.text[:cut], unit, encoded.segments)
    head = [(min(start, cut), min(end, cut)) for start, end in encoded.offsets[: encoded.n_prompt]]
    answer = encoded.text[cut:]
    own = [Part(0, len(answer))] if unit in ("message", "example") else split(answer, unit)
    tail = [(max(start - cut, 0), max(end - cut, 0)) for start, end in targets]
    found = owners(encoded.text[:cut], parts, head)
    return found + [one + len(parts) if one >= 0 else -1 for one in owners(answer, own, tail)]


def count_units(encoded: Encoded, unit: Unit) -> int:
    """How many units the contexts of the tokens that are explained reach into; see `masking_units`."""
    reach = encoded.n_prompt + max(encoded.wanted, default=0)
    return len(set(masking_units(encoded, unit)[:reach]) - {-1})


def encode(
    lm: LanguageModel,
    prompt: Prompt,
    target: Target | None = None,
    *,
    foil: Foil | None = None,
    max_targets: int | None = None,
    special_tokens: bool = True,
) -> Encoded:
    """Tokenise a prompt and its target in context.

    A string target is tokenised together with the prompt, as the model would meet it; where that melts the
    two into one token they are tokenised apart and joined.

    Args:
        lm: Model and tokenizer.
        prompt: A string, token ids, or chat messages (`{"role": ..., "content": ...}`), which get the
            chat template; a last message of the assistant's is continued.
        target: A string, token ids, a span of the prompt's characters (then the text before it is the prompt), or
            None for what the model says (greedy).
        foil: What might have been said instead, a string or ids, token for token beside the target: scores are then
            about log p(target) - log p(foil).
        max_targets: Keep the first N target tokens; for a target of None the number to generate
            (default 1).
        special_tokens: Let the tokenizer put its beginning-of-text token before a string, where it does not begin with
            it already, as a rendered chat template may; False to add none.

    Returns:
        The encoding, with at least one prompt token and one target token.

    Raises:
        EmptyPromptError: The prompt is empty or blank.
        EmptyTargetError: The target has no token, or a span lies outside the prompt.
        FoilError: The foil has another number of tokens than the target, or shares one with it.
        TokenizerError: A string needs a tokenizer (or messages a chat template) and there is none.
        ChatError: The chat template refuses the messages.
        ConfigError: More tokens are to be generated than `MOST_GENERATED`.
        OffsetsError: The tokens cannot be placed in the text.
        UnknownTokenError: An id is outside the vocabulary.
        TextError: A string is not valid text.
        PromptTooLongError: The model cannot be asked to go on, as the prompt fills its context.
    """
    wanted: Following | None
    if isinstance(target, CharSpan):
        prompt, wanted = _cut_at_span(prompt, target)
    else:
        wanted = target
    if wanted is not None and len(wanted) == 0:
        raise EmptyTargetError(
            "the target is empty; give a text or token ids, or leave it out for the model's own"
        )
    if max_targets is not None and max_targets < 1:
        raise EmptyTargetError(f"max_targets is {max_targets}; at least one target token is needed")
    if target is None:
        check_generated(max_targets)
    if len(prompt) == 0:
        raise EmptyPromptError("the prompt is empty; there is nothing to attribute to")
    if isinstance(prompt, str):
        encoded = _encode_text(lm, prompt, wanted, max_targets, add_special_tokens=special_tokens)
    elif isinstance(prompt[0], Mapping):
        chat = render(_tokenizer(lm), lm.name, cast(Messages, prompt))
        encoded = _encode_text(lm, chat.text, wanted, max_targets, add_special_tokens=False)
        encoded = replace(encoded, segments=chat.segments)
    else:
        encoded = _encode_ids(lm, cast(Sequence[int], prompt), wanted, max_targets)
    _check_known(lm, encoded.token_ids)
    if max_targets is not None:
        end = encoded.n_prompt + max_targets
        offsets = None if encoded.offsets is None else encoded.offsets[:end]
        encoded = replace(encoded, token_ids=encoded.token_ids[:end], offsets=offsets)
    return (
        encoded
        if foil is None
        else replace(encoded, foil_ids=_foil_ids(lm, encoded, prompt, foil, special_tokens))
    )


def _cut_at_span(prompt: Prompt, span: CharSpan) -> tuple[str, str]:
    if not isinstance(prompt, str):
        raise EmptyTargetError("a span of characters names a part of a string; give the prompt as a string")
    if not 0 <= span.start < span.end <= len(prompt):
        raise EmptyTargetError(
            f"the span {span.start}:{span.end} is empty or not inside the prompt, which has {len(prompt)} characters"
        )
    return prompt[: span.start], prompt[span.start : span.end]


def _foil_ids(
    lm: LanguageModel, encoded: Encoded, prompt: Prompt, foil: Foil, special_tokens: bool
) -> tuple[int, ...]:
    """The foil's tokens, one for each target token."""
    if isinstance(foil, str) and isinstance(prompt, str):
        alone = _encode_text(lm, prompt, foil, None, add_special_tokens=special_tokens)
        ids = alone.token_ids[alone.n_prompt :]
    elif isinstance(foil, str):
        ids = tokenize(_tokenizer(lm), foil, add_special_tokens=False).token_ids
    else:
        ids = tuple(int(token) for token in foil)
    _check_known(lm, ids)
    targets = encoded.token_ids[encoded.n_prompt :]
    if len(ids) < len(targets) or len(ids) == 0:
        raise FoilError(
            f"the foil has {len(ids)} tokens and the target {len(targets)}; "
            "give a foil as long, or explain fewer target tokens (max_targets)"
        )
    ids = ids[: len(targets)]
    same = [index for index, (one, other) in enumerate(zip(ids, targets, strict=True)) if one == other]
    if same:
        raise FoilError(
            f"the foil equals the target at token {same[0] + 1} of {len(targets)}, which leaves nothing to contrast"
        )
    return ids


def _encode_text(
    lm: LanguageModel,
    prompt: str,
    target: Following | None,
    max_targets: int | None,
    *,
    add_special_tokens: bool,
) -> Encoded:
    tokenizer = _tokenizer(lm)
    if not prompt.strip():
        raise EmptyPromptError("the prompt is blank; there is nothing to attribute to")
    if isinstance(target, str):
        if not target.strip():
            raise EmptyTargetError("the target is blank; give a text with at least one visible character")
        together = _tokenized(tokenizer, prompt + target, add_special_tokens=add_special_tokens)
        return split_at_target(together, prompt, target) or _encode_apart(
            tokenizer, prompt, target, add_special_tokens=add_special_tokens
        )
    head = _tokenized(tokenizer, prompt, add_special_tokens=add_special_tokens)
    _check_known(lm, head.token_ids)
    following = (
        continuation(lm, head.token_ids, max_targets or 1)
        if target is None
        else tuple(int(i) for i in target)
    )
    _check_known(lm, following)
    tail, spans = _place_following(tokenizer, head.token_ids, following)
    shifted = tuple(_shift(span, len(prompt)) for span in spans)
    return Encoded(head.token_ids + following, len(head.token_ids), prompt + tail, head.offsets + shifted)


def _encode_ids(
    lm: LanguageModel, prompt: Sequence[int], target: Following | None, max_targets: int | None
) -> Encoded:
    head = tuple(int(token) for token in prompt)
    _check_known(lm, head)
    if target is None:
        following = continuation(lm, head, max_targets or 1)
    elif isinstance(target, str):
        following = tokenize(_tokenizer(lm), target, add_special_tokens=False).token_ids
    else:
        following = tuple(int(token) for token in target)
    _check_known(lm, following)
    text = "" if lm.tokenizer is None else decode(lm.tokenizer, head + following)
    return Encoded(head + following, len(head), text, None)


def continuation(lm: LanguageModel, token_ids: Sequence[int], n_tokens: int) -> tuple[int, ...]:
    """The tokens a model says next, greedily.

    Args:
        lm: The model.
        token_ids: The prompt.
        n_tokens: How many to generate.

    Returns:
        The ids that follow.

    Raises:
        PromptTooLongError: Prompt and continuation exceed the model's context.
    """
    check_length(lm, len(token_ids) + n_tokens)
    ids = list(token_ids)
    with frozen(lm.model), torch.no_grad():
        for _ in range(n_tokens):
            logits = lm.model(
                input_ids=torch.tensor([ids], device=lm.device), use_cache=False, logits_to_keep=1
            ).logits
            ids.append(int(logits[0, -1].argmax()))
    return tuple(ids[len(token_ids) :])


def check_generated(max_targets: int | None) -> None:
    """Refuse an answer so long that generating it would not end in any useful time.

    Args:
        max_targets: How many tokens the model is to say; None for one.

    Raises:
        ConfigError: More than `MOST_GENERATED`.
    """
    if max_targets is not None and max_targets > MOST_GENERATED:
        raise ConfigError(
            f"max_targets is {max_targets}; of what a model says by itself at most {MOST_GENERATED} tokens are "
            "explained: ask for fewer, or give the target as text"
        )


def check_length(lm: LanguageModel, n_tokens: int) -> None:
    """Refuse what does not fit into the model's context.

    Args:
        lm: The model.
        n_tokens: Length of prompt and target together.

    Raises:
        PromptTooLongError: They are longer than the model takes.
    """
    limit = lm.context_length
    if limit is not None and n_tokens > limit:
        raise PromptTooLongError(
            f"prompt and target have {n_tokens} tokens and '{lm.name}' takes {limit}; "
            "use a windowed method (heat-windowed, heat-lr-win), shorten the prompt, "
            "or use a model with a longer context"
        )


def split_at_target(tokens: Tokenized, prompt: str, target: str) -> Encoded | None:
    """Cut a text where the target's first visible character is.

    Args:
        tokens: Of prompt and target together.
        prompt: The prompt.
        target: The target, with a visible character.

    Returns:
        The encoding, up to the target's last visible character; None where a token holds visible prompt text too.
    """
    text = prompt + target
    visible = [index for index in range(len(prompt), len(text)) if not text[index].isspace()]
    inside = [
        index
        for index, (start, end) in enumerate(tokens.offsets)
        if start <= visible[-1] and end > visible[0]
    ]
    first, last = inside[0], inside[-1]
    start = tokens.offsets[first][0]
    if prompt[start:].strip() or first == 0:
        return None
    return Encoded(tokens.token_ids[: last + 1], first, text, tokens.offsets[: last + 1])


def _encode_apart(
    tokenizer: PreTrainedTokenizerBase, prompt: str, target: str, *, add_special_tokens: bool
) -> Encoded:
    head = _tokenized(tokenizer, prompt, add_special_tokens=add_special_tokens)
    tail = tokenize(tokenizer, target, add_special_tokens=False)
    offsets = head.offsets + tuple(_shift(span, len(prompt)) for span in tail.offsets)
    return Encoded(head.token_ids + tail.token_ids, len(head.token_ids), prompt + target, offsets)


def _tokenized(tokenizer: PreTrainedTokenizerBase, text: str, *, add_special_tokens: bool) -> Tokenized:
    """A text's tokens, without what the tokenizer adds behind it: the model is asked to go on, not to start anew.

    Nor with what it adds before it where the text begins with just that: the model was trained with one beginning.
    """
    tokens = tokenize(tokenizer, text, add_special_tokens=add_special_tokens)
    end = len(tokens.token_ids)
    while end > 1 and tokens.added[end - 1]:
        end -= 1
    start = next((index for index, added in enumerate(tokens.added[:end]) if not added), 0)
    if tokens.token_ids[start : 2 * start] != tokens.token_ids[:start]:
        start = 0
    return Tokenized(tokens.token_ids[start:end], tokens.offsets[start:end], tokens.added[start:end])


def _place_following(
    tokenizer: PreTrainedTokenizerBase, head: Sequence[int], following: Sequence[int]
) -> tuple[str, list[Span]]:
    """Text that some ids add behind others, and each id's span in it."""
    before = decode(tokenizer, head)
    text = decode(tokenizer, [*head, *following])
    if not text.startswith(before):
        raise OffsetsError(
            "the target's ids change how the prompt's last token decodes; give the prompt as ids too"
        )

    def added(ids: Sequence[int]) -> str:
        return decode(tokenizer, [*head, *ids])[len(before) :]

    tail = text[len(before) :]
    return tail, spans_by_decoding(added, following, tail)


def _shift(span: Span, by: int) -> Span:
    start, end = span
    return (start + by, end + by) if end > start else (0, 0)


def _tokenizer(lm: LanguageModel) -> PreTrainedTokenizerBase:
    if lm.tokenizer is None:
        raise TokenizerError(f"'{lm.name}' has no tokenizer; give prompt and target as token ids")
    return lm.tokenizer


def _check_known(lm: LanguageModel, token_ids: Sequence[int]) -> None:
    strange = [token for token in token_ids if not 0 <= token < lm.vocab_size]
    if strange:
        raise UnknownTokenError(
            f"token id {strange[0]} is outside the vocabulary of '{lm.name}' ({lm.vocab_size} tokens); "
            "is the tokenizer another model's?"
        )
