"""What an annotator is: it makes requests about a paragraph, answers them, and reads words from the answers.

The three steps are apart so that answers can be stored before they are read: labels are made from stored
answers alone and can be made again at no cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

from annotate.files import canonical_hash
from annotate.schema import LabelSpan, Paragraph, Record, Status


@dataclass(frozen=True)
class Request:
    """One question to an annotator.

    Attributes:
        body: Everything that decides the answer, as JSON values; for an online model the body that is sent.
        repeat: Which repetition this is; repetitions of one body are different requests.
        origin: What else tells requests apart and is not sent: for an online model the ``host`` that is asked
            and the checksum of the prompt file, ``prompt_sha256``.
    """

    body: dict[str, Any]
    repeat: int = 0
    origin: dict[str, str] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        """Identity of the request: SHA-256 of body, repeat and origin as canonical JSON, 64 hex digits."""
        origin = {"origin": self.origin} if self.origin else {}
        return canonical_hash({"body": self.body, "repeat": self.repeat} | origin)


class Usage(Record):
    """Tokens billed for one attempt."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class Response(Record):
    """What came back from one attempt, before it is read.

    Attributes:
        status: ``ok`` when an answer came; otherwise why not. ``missing`` means that nobody was asked: such a
            response is not recorded.
        raw: The answer exactly as received.
        detail: What went wrong, for a person.
        model: The model that answered, as the server names it.
        http: HTTP status.
        code: Error code of the server.
        request_id: The server's id of the request.
        fingerprint: The server's fingerprint of its system.
        batch_id: The batch it came in.
        usage: Tokens billed, or ``None`` when unknown.
        cost_usd: Price in US dollars, or ``None`` when unknown; never 0 for unknown.
        asked_at: When it was asked, ISO 8601 in UTC. Offline annotators leave it out, so that a run can be
            repeated byte for byte.
        latency_s: Seconds until the answer came.
    """

    status: Status
    raw: str = ""
    detail: str = ""
    model: str = ""
    http: int | None = None
    code: str = ""
    request_id: str = ""
    fingerprint: str = ""
    batch_id: str = ""
    usage: Usage | None = None
    cost_usd: float | None = None
    asked_at: str | None = None
    latency_s: float | None = None

    @property
    def answered(self) -> bool:
        """Whether an answer came, good or bad: asking again would pay again."""
        return self.status not in ("error", "missing")


@dataclass(frozen=True)
class Outcome:
    """The outcome of one attempt at an online model, and what to do next.

    Attributes:
        response: What is recorded.
        action: ``answer``: it was answered; ``retry``: another attempt may help; ``reject``: this request will
            never be answered; ``stop``: no request will be.
        wait_s: How long the server asks everyone to wait, in seconds, or ``None``.
        maybe_billed: Whether it may cost money although no answer came.
    """

    response: Response
    action: Literal["answer", "retry", "reject", "stop"]
    wait_s: float | None = None
    maybe_billed: bool = False


@dataclass(frozen=True)
class Reading:
    """What stored answers say: a status, and where it is ``ok`` the spans marked."""

    status: Status
    spans: tuple[LabelSpan, ...] = ()
    detail: str = ""


class Annotator(Protocol):
    """Marks the words of a paragraph that matter for its answer."""

    @property
    def name(self) -> str:
        """Name with the options that change its answers, as ``--annotator`` takes it."""
        ...

    @property
    def deterministic(self) -> bool:
        """Whether the same request always gets the same answer, at no cost: then it is never asked twice."""
        ...

    def request(self, paragraph: Paragraph, repeat: int, earlier: Sequence[Response]) -> Request | None:
        """The next request of the conversation about ``paragraph``.

        Args:
            paragraph: What is to be labelled.
            repeat: Which repetition, from 0.
            earlier: What came back so far, in order, failures included; empty at first.

        Returns:
            The next request, for instance one that lists quotes that could not be placed, or ``None`` at the
            end. It depends on the arguments alone, so that a conversation can be followed again in a ledger.
        """
        ...

    def annotate(self, paragraph: Paragraph, request: Request) -> Response:
        """Make one attempt. A failure is a response with a status; an exception stops the run."""
        ...

    def read(self, paragraph: Paragraph, answers: Sequence[Response]) -> Reading:
        """Read the answers of one finished conversation (at least one, failures included). Pure."""
        ...


@runtime_checkable
class OnlineAnnotator(Annotator, Protocol):
    """An annotator asked over the network: attempts fail in many ways, cost money, and run side by side."""

    @property
    def prompt_sha256(self) -> str:
        """Checksum of the prompt file its requests are made with."""
        ...

    def open(self) -> None:
        """Make ready for attempts; called before each.

        Raises:
            LabelError: There is no key.
        """
        ...

    def attempt(self, request: Request, seconds: float = math.inf) -> Outcome:
        """Make one attempt within ``seconds``, from any thread. Every failure is an outcome; nothing is raised."""
        ...

    def worst_usage(self, request: Request) -> Usage:
        """The most tokens an attempt can be billed for."""
        ...

    def cost(self, usage: Usage | None) -> float | None:
        """Price of an attempt in US dollars, or ``None`` when not known."""
        ...

    def warnings(self, today: date) -> list[str]:
        """What to know before money is spent, a sentence each; ``today`` is the day of the run."""
        ...
