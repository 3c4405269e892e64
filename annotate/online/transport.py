"""One attempt at a chat completion: the raw body comes back with a decision, whatever went wrong on the way."""

from __future__ import annotations

import ipaddress
import math
import os
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from annotate.errors import EndpointError, LabelError
from annotate.online import DEFAULT_URL
from annotate.online.completion import Completion, read_completion, shorten
from annotate.online.faults import UNREACHABLE, retry_after
from annotate.online.limits import DEFAULT_LIMITS
from annotate.online.recorded import read_body, refuse_cut_prompt
from annotate.protocol import Outcome, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openai import OpenAI
    from openai._legacy_response import LegacyAPIResponse
    from openai.types.chat import ChatCompletion

KEY = "OPENAI_API_KEY"

_NOT_SENT = frozenset(
    {"ConnectError", "ConnectTimeout", "UnsupportedProtocol", "LocalProtocolError", "ProxyError"}
)
_LISTING_S = 5.0
_GRACE_S = 1.0
"""So much later than the client's own limits an attempt is given up whatever it does; they tell more."""


@dataclass(frozen=True)
class Endpoint:
    """Where requests are sent.

    Attributes:
        base_url: Address up to and with ``/v1``.
        timeout_s: Seconds after which an attempt is given up.
    """

    base_url: str = DEFAULT_URL
    timeout_s: float = DEFAULT_LIMITS.timeout_s

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.username or parts.password or parts.query:
            raise LabelError(f"--base-url must hold no password or query; a key goes in {KEY}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LabelError(
                f"--base-url {self.base_url!r} is no address; give one as http://localhost:8000/v1"
            )

    @property
    def host(self) -> str:
        """The host, without a port."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def key(self) -> str:
        """The key, from the environment alone; ``EMPTY`` on this machine where none is set.

        Raises:
            EndpointError: There is none, or it cannot be one.
        """
        key = os.environ.get(KEY, "").strip()
        if not key and _loopback(self.host):
            return "EMPTY"
        if not key:
            raise EndpointError(f"no key for {self.host}: set the environment variable {KEY}")
        if not key.isascii() or len(key.split()) > 1:
            raise EndpointError(f"{KEY} holds a space or a letter outside ASCII: that is no key")
        return key

    @property
    def exposes_key(self) -> bool:
        """Whether a key would go over a network as it is, for everyone on the way to read."""
        remote = urlsplit(self.base_url).scheme == "http" and not _loopback(self.host)
        return remote and bool(os.environ.get(KEY, "").strip())

    @cached_property
    def client(self) -> OpenAI:
        """The SDK's client, without retries of its own.

        Raises:
            EndpointError: There is no key.
        """
        import openai

        from annotate.online.bounds import bounded_client

        seconds = float(self.timeout_s)
        return openai.OpenAI(
            api_key=self.key,
            base_url=self.base_url,
            max_retries=0,
            timeout=seconds,
            http_client=bounded_client(seconds, openai.DefaultHttpxClient),
        )

    def without_key(self, text: str) -> str:
        """``text`` with the key blacked out, should a server repeat it."""
        key = os.environ.get(KEY, "").strip()
        return text.replace(key, "[key]") if key else text

    def models(self, seconds: float = _LISTING_S) -> tuple[str, ...]:
        """Names of the models that the server lists; none where it does not say, or not in time.

        Args:
            seconds: How long to wait for the list; a server that works on an answer may not give it before.
        """
        from annotate.online.bounds import within

        try:
            client = self.client
            return tuple(str(model.id) for model in within(seconds, lambda: client.models.list().data))
        except (
            Exception
        ):  # a list is a help that no server owes; its errors come again with the first request
            return ()

    def attempt(
        self,
        body: dict[str, Any],
        seconds: float = math.inf,
        *,
        path: str = "",
        read: Callable[[str], Completion] = read_completion,
    ) -> Outcome:
        """Send ``body`` once. Every failure is an outcome; nothing is raised.

        Args:
            body: The body of the request.
            seconds: Time that is left for it, if less than ``timeout_s``.
            path: Where it goes, below ``base_url`` or as a whole address; chat completions where empty.
            read: Reads the body that comes back.

        Returns:
            The raw body and what to do about it; cost and price are left to the caller.
        """
        import openai

        from annotate.online.bounds import within

        asked_at = datetime.now(UTC).isoformat(timespec="seconds")
        start = time.monotonic()
        model = str(body.get("model", ""))
        try:
            send: Callable[[], LegacyAPIResponse[Any]] = partial(self._send, body)
            if path:
                send = partial(self._post, path, body)
            answer = within(min(self.timeout_s + _GRACE_S, seconds), send)
            outcome = self._read(200, answer.text, answer.headers, model, read)
            outcome = refuse_cut_prompt(outcome, body.get("messages", ()))
        except openai.APIStatusError as error:
            answered = error.response
            outcome = self._read(answered.status_code, answered.text, answered.headers, model, read)
        except Exception as error:  # the SDK itself stumbles over some bodies; a paid run must not
            outcome = self._unanswered(error, seconds)
        times = {"asked_at": asked_at, "latency_s": round(time.monotonic() - start, 3)}
        return replace(outcome, response=outcome.response.model_copy(update=times))

    def _send(self, body: dict[str, Any]) -> LegacyAPIResponse[ChatCompletion]:
        """Send ``body`` as it is: the SDK copies fields it is not told of, whatever its version knows of them."""
        rest = {key: value for key, value in body.items() if key not in ("model", "messages")}
        create = self.client.chat.completions.with_raw_response.create
        return create(model=body["model"], messages=body["messages"], extra_body=rest)

    def _post(self, path: str, body: dict[str, Any]) -> LegacyAPIResponse[object]:
        """Send ``body`` to another path than that of chat completions."""
        from openai._constants import RAW_RESPONSE_HEADER

        raw: Any = self.client.post(
            path, cast_to=object, body=body, options={"headers": {RAW_RESPONSE_HEADER: "true"}}
        )
        answer: LegacyAPIResponse[object] = raw
        return answer

    def _read(
        self, http: int, text: str, headers: Mapping[str, str], model: str, read: Callable[[str], Completion]
    ) -> Outcome:
        outcome = read_body(http, self.without_key(text), headers.get("x-request-id") or "", model, read)
        wait = retry_after(headers) if outcome.response.status == "error" and http >= 400 else None
        return replace(outcome, wait_s=wait)

    def _unanswered(self, error: Exception, seconds: float) -> Outcome:
        import openai

        from annotate.online.bounds import RedirectError, TooLargeError

        cause = error.__cause__ or error
        said = self.without_key(shorten(str(cause)))
        if isinstance(cause, RedirectError):
            both = self.without_key(str(cause))
            return Outcome(Response(status="error", code="redirected", detail=both), "stop")
        if isinstance(cause, TooLargeError):
            return _failed("too_large", said, maybe_billed=True)
        if isinstance(error, openai.APITimeoutError) or isinstance(cause, TimeoutError):
            return _failed(
                "timeout", f"no answer within {min(self.timeout_s, seconds):g} s", maybe_billed=True
            )
        if not isinstance(error, openai.APIConnectionError):
            kind = type(error).__name__
            return _failed("client", self.without_key(shorten(f"{kind}: {error}")), maybe_billed=True)
        if type(cause).__name__ in _NOT_SENT:
            return _failed(UNREACHABLE, f"cannot connect to {self.base_url}: {said}")
        return _failed("connection", f"the connection broke: {said}", maybe_billed=True)


def _failed(code: str, detail: str, maybe_billed: bool = False) -> Outcome:
    return Outcome(Response(status="error", code=code, detail=detail), "retry", maybe_billed=maybe_billed)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
