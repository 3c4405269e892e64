"""What a server says of a text: its tokens, their log-probabilities, and where they lie in the text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from heat.deletion import TopLogProbs
from heat.errors import OtherTokensError, TruncatedPromptError
from heat.offsets import Span

# A prompt as text, or as the server's own token ids.
Text = str | tuple[int, ...]

# Tokens that a server may put in front of a text: one that begins it, in some families a second.
_MOST_ADDED = 2
# Characters of the longest first token.
_LONGEST = 256
_UNDECODED = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Asked:
    """A text, and the place in it that is asked about.

    Attributes:
        text: As text, or as the server's own token ids.
        at: Where what is asked about begins: a character of a text, an index of ids.
    """

    text: Text
    at: int


@dataclass(frozen=True)
class Reading:
    """What a server says of a text, token by token.

    Attributes:
        tokens: Text of each token, those included that the server put in front; empty for a part of a character, None
            for a first token whose text the server does not say.
        log_probs: Of each behind those before it; None where the server does not say, as for the first.
        top: The most probable tokens in each place with their log-probabilities; empty where the server does not say.
        token_ids: The tokens' ids; None where the server does not say.
        n_tokens: How many tokens of prompt the server counted; None where it does not say.
        model: The model, as the server names it; empty where it does not.
    """

    tokens: tuple[str | None, ...]
    log_probs: tuple[float | None, ...] = ()
    top: tuple[TopLogProbs, ...] = ()
    token_ids: tuple[int, ...] | None = None
    n_tokens: int | None = None
    model: str = ""


class Server(Protocol):
    """Whom texts are put to."""

    @property
    def model(self) -> str:
        """The model's name in requests."""
        ...

    @property
    def host(self) -> str:
        """Where it is asked, without a secret."""
        ...

    @property
    def takes_ids(self) -> bool:
        """Whether texts are given as ids, so that nothing is tokenised anew."""
        ...

    @property
    def reads_all(self) -> bool:
        """Whether one request tells of every token of a text, and not of the one that is asked about alone."""
        ...

    def tokens(self, text: str) -> Reading:
        """The tokens that the server makes of a text; log-probabilities are not needed.

        Raises:
            HeatError: It does not tell.
        """
        ...

    def read(self, asked: Sequence[Asked], top_k: int = 1) -> list[Reading]:
        """What the model says of some texts.

        Args:
            asked: As ids where the server takes them, else as text.
            top_k: How many of the most probable tokens are named in each place.

        Returns:
            One reading a text, in order.

        Raises:
            NoLogProbsError: The server gives no log-probabilities of a prompt.
            LogProbsError: Its answer is not about the text.
        """
        ...

    def say(self, text: str, n_tokens: int) -> str:
        """What the model goes on with, greedily."""
        ...


def place(text: str, tokens: Sequence[str | None]) -> list[Span]:
    """Where the tokens lie in a text.

    Args:
        text: What was sent.
        tokens: What the server says that it was made into, as `Reading.tokens`.

    Returns:
        `[start, end)` of each; (0, 0) for tokens that the server put in front. Tokens that are parts of a character all
        get the whole of it.

    Raises:
        TruncatedPromptError: They are those of a part of the text.
        OtherTokensError: They are those of another text.
    """
    known = [token or "" for token in tokens]
    if tokens and tokens[0] is None:
        for cut in range(min(_LONGEST, len(text)) + 1):
            spans = _spans(text[cut:], known[1:])
            if spans is not None:
                return [(0, cut), *((start + cut, end + cut) for start, end in spans)]
    for n_added in range(min(_MOST_ADDED, len(tokens)) + 1):
        spans = _spans(text, known[n_added:])
        if spans is not None:
            return [(0, 0)] * n_added + spans
    whole = "".join(known)
    if whole and (text.endswith(whole) or text.startswith(whole)):
        raise TruncatedPromptError(
            f"the server read {len(whole):,} of the {len(text):,} characters that were sent; shorten the prompt, or "
            "start the server with a longer context"
        )
    raise OtherTokensError(
        f"the server gives log-probabilities of other tokens than it was sent: of {_begin(whole)} and not of "
        f"{_begin(text)}"
    )


def check_count(reading: Reading) -> None:
    """Compare what the server counted with what it shows.

    Raises:
        TruncatedPromptError: They differ.
    """
    shown = len(reading.tokens)
    if reading.n_tokens is not None and reading.n_tokens != shown:
        raise TruncatedPromptError(
            f"the server counts {reading.n_tokens:,} tokens of prompt and shows {shown:,}; is a part of it cut off? "
            "shorten the prompt, or start the server with a longer context"
        )


def _spans(text: str, tokens: Sequence[str]) -> list[Span] | None:
    """Spans that cover a text, or None where the tokens do not make it."""
    spans: list[Span] = []
    at = waiting = 0
    for token in [*tokens, ""]:
        last = len(spans) + waiting == len(tokens)
        if not last and _is_part(token):
            waiting += 1
            continue
        start = at
        if waiting:
            # Every token has a byte at least, so these are no more characters than tokens.
            start = len(text) if last else text.find(token, at + 1, at + waiting + len(token))
            if not 0 < start - at <= waiting or text[at:start].isascii():
                return None
            spans += [(at, start)] * waiting
            waiting = 0
        if last:
            return spans if start == len(text) else None
        if not text.startswith(token, start):
            return None
        at = start + len(token)
        spans.append((start, at))
    return None


def _is_part(token: str) -> bool:
    """Whether a token is bytes of a character and no text by itself; servers show such in three ways."""
    return not token or _UNDECODED in token or token.startswith("bytes:")


def _begin(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
