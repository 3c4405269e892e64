"""How servers are asked for log-probabilities of a prompt, and what they answer: three kinds of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from annotate.online.completion import Completion, CompletionError, read_usage, shorten
from annotate.outside import read_json
from evaluate.endpoint import ServerKind
from heat.endpoint.reading import Asked, Reading
from heat.errors import NoLogProbsError, OtherTokensError, TruncatedPromptError

COMPLETIONS = "/completions"
TOKENIZE = "/tokenize"
# More than any two logits differ by: the token that has it on top of its own is said.
_FORCED = 10_000


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        path: Where it goes, below the address up to ``/v1``; `TOKENIZE` stands beside that.
        body: What is sent.
    """

    path: str
    body: dict[str, Any] = field(hash=False)


Ask = Callable[[Sequence[Call]], list[str]]
"""Makes some requests and gives the bodies that come back, in order."""


class Dialect(ABC):
    """What one kind of server takes and gives; see `heat.endpoint.reading.Server`."""

    takes_ids: ClassVar[bool]
    reads_all: ClassVar[bool]

    @abstractmethod
    def tokens(self, ask: Ask, model: str, text: str) -> Reading:
        """The tokens of a text."""

    @abstractmethod
    def call(self, model: str, asked: Asked, top_k: int) -> Call:
        """The request for what the model says of a text."""

    @abstractmethod
    def read(self, raw: str, asked: Asked) -> Reading:
        """The answer to it.

        Raises:
            LogProbsError: It is none.
        """

    def say(self, ask: Ask, model: str, text: str, n_tokens: int) -> str:
        """What the model goes on with, greedily."""
        (raw,) = ask([_completion(model, text, n_tokens)])
        return str(_choice(raw).get("text") or "")


class OpenAIEcho(Dialect):
    """Completions with ``echo`` and ``logprobs``: OpenAI's own form, also vLLM's.

    Texts go as text and come back as the server's tokens, so what is left of a prompt is tokenised anew.
    """

    takes_ids = False
    reads_all = True

    def tokens(self, ask: Ask, model: str, text: str) -> Reading:
        """See `Dialect`."""
        asked = Asked(text, 0)
        (raw,) = ask([self.call(model, asked, 1)])
        return self.read(raw, asked)

    def call(self, model: str, asked: Asked, top_k: int) -> Call:
        """See `Dialect`."""
        # One token is generated and dropped: to some servers none at all means as many as fit.
        return _completion(model, asked.text, 1, echo=True, logprobs=top_k)

    def read(self, raw: str, asked: Asked) -> Reading:
        """See `Dialect`."""
        body, choice = _json(raw), _choice(raw)
        given = choice.get("logprobs")
        if not isinstance(given, dict) or not isinstance(given.get("token_logprobs"), list):
            raise _no_log_probs(given)
        if not str(choice.get("text") or "").startswith(str(asked.text)[:1]):
            raise NoLogProbsError(
                "the server does not echo the prompt, so it says nothing of its tokens; where it is llama.cpp's, use "
                "--server llama.cpp"
            )
        usage = read_usage(body.get("usage"))
        n_all = len(given["token_logprobs"])
        # What the model added stands behind the prompt.
        end = n_all - (1 if usage is None else usage.output_tokens)
        if usage is not None and n_all == usage.input_tokens and usage.output_tokens:
            # It puts beside a token what is predicted behind it, and runs out of predictions one token early.
            raise OtherTokensError(
                "the server echoes a token beside the prediction of the next one, as llama-cpp-python does: it gives "
                "log-probabilities of other tokens than it was sent; use llama.cpp's own with --server llama.cpp"
            )
        try:
            tokens = tuple(_text_of(token) for token in given["tokens"][:end])
            top = [_numbers(one) for one in (given.get("top_logprobs") or [None] * n_all)[:end]]
            log_probs = tuple(_number(one) for one in given["token_logprobs"][:end])
        except (TypeError, ValueError, LookupError) as error:
            raise NoLogProbsError(f"the server's log-probabilities cannot be read ({error})") from None
        for named, token, log_prob in zip(top, tokens, log_probs, strict=True):
            if log_prob is not None and _tells_apart(token):
                named[token] = log_prob
        return Reading(
            tokens,
            log_probs,
            tuple(top),
            n_tokens=None if usage is None else usage.input_tokens,
            model=str(body.get("model") or ""),
        )


class VLLM(Dialect):
    """vLLM's ``prompt_logprobs``: texts go as ids, so nothing is tokenised anew."""

    takes_ids = True
    reads_all = True

    def tokens(self, ask: Ask, model: str, text: str) -> Reading:
        """See `Dialect`."""
        body = {"model": model, "prompt": text, "add_special_tokens": True}
        (raw,) = ask([Call(TOKENIZE, body)])
        ids = _ids(raw)
        asked = Asked(ids, 0)
        (raw,) = ask([self.call(model, asked, 1)])
        return self.read(raw, asked)

    def call(self, model: str, asked: Asked, top_k: int) -> Call:
        """See `Dialect`."""
        return _completion(model, asked.text, 1, prompt_logprobs=top_k)

    def read(self, raw: str, asked: Asked) -> Reading:
        """See `Dialect`."""
        body = _json(raw)
        places = _choice(raw).get("prompt_logprobs")
        if not isinstance(places, list):
            raise _no_log_probs(None)
        ids = [*asked.text]
        tokens: list[str | None] = []
        log_probs: list[float | None] = []
        top: list[dict[int | str, float]] = []
        known: list[int] = []
        for at, place in enumerate(places):
            if not place:
                tokens.append(None if at == 0 else "")
                log_probs.append(None)
                top.append({})
                known.append(int(ids[at]) if at < len(ids) else -1)
                continue
            try:
                sent = str(ids[at]) if at < len(ids) else ""
                token = sent if sent in place else next(iter(place))
                tokens.append(_text_of(place[token].get("decoded_token")))
                log_probs.append(_number(place[token]["logprob"]))
                top.append({int(key): float(one["logprob"]) for key, one in place.items()})
                known.append(int(token))
            except (TypeError, ValueError, LookupError, AttributeError) as error:
                raise NoLogProbsError(f"the server's log-probabilities cannot be read ({error})") from None
        usage = read_usage(body.get("usage"))
        return Reading(
            tuple(tokens),
            tuple(log_probs),
            tuple(top),
            tuple(known),
            None if usage is None else usage.input_tokens,
            str(body.get("model") or ""),
        )


class LlamaCpp(Dialect):
    """llama.cpp's own server, which does not echo: the next token is forced, and its log-probability is the model's.

    A bias makes the target the token that is said; ``logprobs`` are those before biases and samplers. Texts go as ids.
    """

    takes_ids = True
    reads_all = False

    def tokens(self, ask: Ask, model: str, text: str) -> Reading:
        """See `Dialect`."""
        body = {"content": text, "add_special": True, "with_pieces": True}
        (raw,) = ask([Call(TOKENIZE, body)])
        ids = _ids(raw)
        pieces = [token.get("piece") for token in _json(raw)["tokens"] if isinstance(token, dict)]
        if len(pieces) != len(ids):
            raise NoLogProbsError("the server does not tell the texts of its tokens; use a newer llama.cpp")
        return Reading(tuple(_text_of(piece) for piece in pieces), token_ids=ids)

    def call(self, model: str, asked: Asked, top_k: int) -> Call:
        """See `Dialect`."""
        token = asked.text[asked.at]
        return _completion(
            model,
            asked.text[: asked.at],
            1,
            logprobs=top_k,
            logit_bias=[[token, _FORCED]],
        )

    def read(self, raw: str, asked: Asked) -> Reading:
        """See `Dialect`."""
        body = _json(raw)
        given = _choice(raw).get("logprobs")
        content = given.get("content") if isinstance(given, dict) else None
        if not isinstance(content, list) or not content:
            raise _no_log_probs(given)
        try:
            said = int(content[0]["id"])
            log_prob = float(content[0]["logprob"])
            named: dict[int | str, float] = {
                int(one["id"]): float(one["logprob"]) for one in content[0]["top_logprobs"]
            }
        except (TypeError, ValueError, LookupError) as error:
            raise NoLogProbsError(f"the server's log-probabilities cannot be read ({error})") from None
        if said != asked.text[asked.at]:
            raise OtherTokensError(
                f"the server gives the log-probability of token {said} and was asked for that of "
                f"{asked.text[asked.at]}; does it leave out logit_bias?"
            )
        usage = read_usage(body.get("usage"))
        if usage is not None and usage.input_tokens != asked.at:
            raise TruncatedPromptError(
                f"the server read {usage.input_tokens:,} tokens of prompt and was sent {asked.at:,}; shorten the "
                "prompt, or start the server with a longer context"
            )
        nothing: tuple[None, ...] = (None,) * asked.at
        empty: list[dict[int | str, float]] = [{} for _ in nothing]
        return Reading(
            ("",) * (asked.at + 1),
            (*nothing, log_prob),
            (*empty, named | {said: log_prob}),
            model=str(body.get("model") or ""),
        )


DIALECTS: dict[ServerKind, Dialect] = {"openai": OpenAIEcho(), "vllm": VLLM(), "llama.cpp": LlamaCpp()}


def read_answer(raw: str) -> Completion:
    """What the ledger notes of a body: who answered, and what was billed.

    Raises:
        CompletionError: It is no answer of these servers.
    """
    try:
        body = read_json(raw, mend=True)
    except ValueError:
        raise CompletionError(f"the body is not JSON: {shorten(raw)}") from None
    if not isinstance(body, dict) or not (_first(body.get("choices")) or "tokens" in body):
        raise CompletionError(f"the body is no completion: {shorten(raw)}")
    return Completion(
        status="ok",
        content="",
        end="",
        model=str(body.get("model") or ""),
        fingerprint=str(body.get("system_fingerprint") or ""),
        usage=read_usage(body.get("usage")),
    )


def _completion(model: str, prompt: str | Sequence[int], n_tokens: int, **rest: Any) -> Call:
    """A completion drawn greedily."""
    sent = prompt if isinstance(prompt, str) else list(prompt)
    body = {"model": model, "prompt": sent, "max_tokens": n_tokens, "temperature": 0, **rest}
    return Call(COMPLETIONS, body)


def _no_log_probs(given: Any) -> NoLogProbsError:
    if isinstance(given, dict) and "content" in given:
        return NoLogProbsError(
            "the server gives log-probabilities of what it says and none of the prompt; where it is llama.cpp's, use "
            "--server llama.cpp"
        )
    return NoLogProbsError(
        "the server gives no log-probabilities of the prompt; vLLM gives them by --server vllm, llama.cpp's own server "
        "by --server llama.cpp"
    )


def _json(raw: str) -> dict[str, Any]:
    body = read_json(raw, mend=True)
    return body if isinstance(body, dict) else {}


def _choice(raw: str) -> dict[str, Any]:
    choice = _first(_json(raw).get("choices"))
    return choice if isinstance(choice, dict) else {}


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


def _ids(raw: str) -> tuple[int, ...]:
    """Token ids of an answer to `TOKENIZE`."""
    tokens = _json(raw).get("tokens")
    try:
        ids = tuple(int(token["id"] if isinstance(token, dict) else token) for token in tokens or ())
    except (TypeError, ValueError, LookupError):
        ids = ()
    if not ids:
        raise NoLogProbsError("the server does not tell a text's tokens; is it of another kind? see --server")
    return ids


def _text_of(token: Any) -> str:
    """A token's text; empty for bytes that are none."""
    return token if isinstance(token, str) else ""


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _numbers(named: Any) -> dict[int | str, float]:
    """Log-probabilities by the texts of tokens; without those of whose tokens the text is no name."""
    return {
        str(token): float(value)
        for token, value in (named or {}).items()
        if value is not None and _tells_apart(str(token))
    }


def _tells_apart(token: str) -> bool:
    """Whether a token's text names it: parts of characters are all shown as nothing, or a replacement character."""
    return bool(token) and "\N{REPLACEMENT CHARACTER}" not in token
