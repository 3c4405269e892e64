"""A prompt and its target as the tokens of a server."""

from dataclasses import dataclass, replace

from heat.encoding import Encoded, split_at_target
from heat.endpoint.reading import Reading, Server, check_count, place
from heat.errors import (
    EmptyPromptError,
    EmptyTargetError,
    FoilError,
    OtherTokensError,
    TruncatedPromptError,
)
from heat.offsets import Span, Tokenized


@dataclass(frozen=True)
class EndpointText:
    """A prompt with the tokens that follow it, as a server makes them.

    Attributes:
        encoded: Ids, offsets and text. Where the server tells no ids, they number the tokens' texts in order of first
            appearance.
        foils: Text of each target token's foil; empty without one.
        names: Text of each token; what the server calls it where it has none.
        ids_known: Whether the ids are the server's own.
    """

    encoded: Encoded
    foils: tuple[str, ...]
    names: tuple[str, ...]
    ids_known: bool

    @property
    def n_fixed(self) -> int:
        """How many tokens the server put in front."""
        offsets = self.encoded.offsets or ()
        return next((i for i, (start, end) in enumerate(offsets) if end > start), 0)


@dataclass(frozen=True)
class Placed:
    """What a server says of a text, by the stretches of characters that have tokens of their own.

    Attributes:
        spans: `[start, end)` of each stretch, in order; (0, 0) for tokens in front of the text.
        log_probs: Of each stretch behind those before it, the sum over its tokens; None for the first.
        reading: The reading.
        first: The first token of each stretch.
    """

    spans: tuple[Span, ...]
    log_probs: tuple[float | None, ...]
    reading: Reading
    first: tuple[int, ...]


def placed(text: str, reading: Reading) -> Placed:
    """Put a reading beside the text that it is of.

    Raises:
        OtherTokensError: It is of another text.
        TruncatedPromptError: A part of the text is missing in it.
    """
    spans = place(text, reading.tokens)
    check_count(reading)
    stretches: list[Span] = []
    sums: list[float | None] = []
    first: list[int] = []
    log_probs = reading.log_probs or (None,) * len(spans)
    for at, (span, log_prob) in enumerate(zip(spans, log_probs, strict=True)):
        if stretches and span == stretches[-1] != (0, 0):
            before = sums[-1]
            sums[-1] = None if before is None or log_prob is None else before + log_prob
            continue
        stretches.append(span)
        sums.append(log_prob)
        first.append(at)
    return Placed(tuple(stretches), tuple(sums), reading, tuple(first))


def encode(
    server: Server,
    prompt: str,
    target: str | None = None,
    *,
    foil: str | None = None,
    max_targets: int | None = None,
) -> EndpointText:
    """A prompt and its target in the server's tokens.

    Args:
        server: Who is asked.
        prompt: A string.
        target: What to explain; None for what the model says (greedy).
        foil: What might have been said instead, token for token beside the target.
        max_targets: Keep the first N target tokens; for a target of None the number to generate (default 1).

    Returns:
        The text. Where the server takes no ids, tokens that are parts of one character are one.

    Raises:
        EmptyPromptError: The prompt is blank.
        EmptyTargetError: The target is blank, or the model says nothing.
        FoilError: The foil has fewer tokens than the target, or shares one with it.
        LogProbsError: The server's answer is not about the text.
    """
    if not prompt.strip():
        raise EmptyPromptError("the prompt is blank; there is nothing to attribute to")
    if max_targets is not None and max_targets < 1:
        raise EmptyTargetError(f"max_targets is {max_targets}; at least one target token is needed")
    if target is None:
        target = server.say(prompt, max_targets or 1)
        if not target.strip():
            raise EmptyTargetError(
                f"the model goes on with {target!r}, which has no visible character; give a target as text"
            )
    elif not target.strip():
        raise EmptyTargetError("the target is blank; give a text with at least one visible character")
    encoded, names, ids_known = _encode(server, prompt, target)
    if max_targets is not None:
        end = encoded.n_prompt + max_targets
        encoded = replace(encoded, token_ids=encoded.token_ids[:end], offsets=(encoded.offsets or ())[:end])
    targets = names[encoded.n_prompt :][: encoded.n_targets]
    foils: tuple[str, ...] = ()
    if foil is not None:
        if not foil.strip():
            raise FoilError("the foil is blank; give a text with at least one visible character")
        beside, beside_names, foil_ids_known = _encode(server, prompt, foil)
        foils = beside_names[beside.n_prompt :][: len(targets)]
        if len(foils) < len(targets):
            raise FoilError(
                f"the foil has {len(foils)} tokens and the target {len(targets)}; "
                "give a foil as long, or explain fewer target tokens (max_targets)"
            )
        if foils and any(one == other for one, other in zip(foils, targets, strict=True)):
            raise FoilError(
                "the foil has a token in common with the target, which leaves nothing to contrast"
            )
        ids_known = ids_known and foil_ids_known
        foil_ids = beside.token_ids[beside.n_prompt :][: len(targets)]
        encoded = replace(encoded, foil_ids=foil_ids)
    if not ids_known:
        numbers: dict[str, int] = {}
        ids = tuple(numbers.setdefault(name, len(numbers)) for name in names[: len(encoded.token_ids)])
        foil_numbers = tuple(numbers.setdefault(name, len(numbers)) for name in foils)
        encoded = replace(encoded, token_ids=ids, foil_ids=foil_numbers or None)
    return EndpointText(encoded, foils, names[: len(encoded.token_ids)], ids_known)


def _encode(server: Server, prompt: str, target: str) -> tuple[Encoded, tuple[str, ...], bool]:
    """The encoding, the tokens' texts, and whether its ids are the server's."""
    text = prompt + target
    reading = server.tokens(text)
    ids = reading.token_ids
    if server.takes_ids:
        spans = tuple(place(text, reading.tokens))
        first = tuple(range(len(spans)))
    else:
        found = placed(text, reading)
        spans, first = found.spans, found.first
    ids_known = ids is not None and len(ids) == len(spans)
    names = tuple(
        text[start:end] or reading.tokens[at] or "" for (start, end), at in zip(spans, first, strict=True)
    )
    token_ids = ids if ids is not None and ids_known else (0,) * len(spans)
    added = tuple(end == start for start, end in spans)
    encoded = split_at_target(Tokenized(token_ids, spans, added), prompt, target)
    if encoded is None:
        raise EmptyTargetError(
            f"the server makes one token of the end of the prompt and the beginning of {target!r}; begin the target "
            "where a token begins, for instance with the space in front of a word"
        )
    return encoded, names[: len(encoded.token_ids)], ids_known


def check_ids(ids: tuple[int, ...], reading: Reading) -> None:
    """Compare the ids that were sent with those that the server speaks of.

    Raises:
        TruncatedPromptError: There are fewer.
        OtherTokensError: They are others.
    """
    check_count(reading)
    if len(reading.log_probs) != len(ids):
        raise TruncatedPromptError(
            f"the server gives log-probabilities of {len(reading.log_probs):,} tokens and was sent {len(ids):,}; "
            "shorten the prompt, or start the server with a longer context"
        )
    if reading.token_ids is not None and reading.token_ids != ids:
        at = next(
            i for i, (one, other) in enumerate(zip(reading.token_ids, ids, strict=True)) if one != other
        )
        raise OtherTokensError(
            f"the server gives log-probabilities of other tokens than it was sent: token {at + 1} is "
            f"{reading.token_ids[at]} and not {ids[at]}"
        )
