"""A server of log-probabilities, asked through the annotators' client, scheduler and ledger: paid for once."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from annotate.errors import AnnotateError, EndpointError
from annotate.ledger.ledger import Ledger
from annotate.ledger.questions import Questions
from annotate.online.limits import DEFAULT_LIMITS, Budget, Limits
from annotate.online.profiles import ModelProfile, cost_usd, profile
from annotate.online.scheduler import Tally, collect_online
from annotate.online.transport import Endpoint
from annotate.protocol import Outcome, Request, Response, Usage
from annotate.protocol import Reading as Verdict
from annotate.schema import Paragraph, text_hash
from evaluate.endpoint import ServerKind
from evaluate.endpoint.dialects import DIALECTS, TOKENIZE, Call, Dialect, read_answer
from evaluate.pipeline.runner import Progress, no_progress
from heat.endpoint.reading import Asked, Reading

LEDGER = "endpoint-ledger.jsonl"


@dataclass(frozen=True)
class LogProbs:
    """Who is asked, as the scheduler knows annotators: what stands for a paragraph is a request.

    Attributes:
        name: Name in the ledger: the model, where it is asked, and which kind of server that is.
        model: The model's name in requests.
        endpoint: Where it is asked.
        profile: What it costs, where that is known.
        calls: The requests of this run, by the id of what stands for them.
    """

    name: str
    model: str
    endpoint: Endpoint
    profile: ModelProfile
    calls: dict[str, Call] = field(default_factory=dict, repr=False, compare=False)
    deterministic: bool = False
    prompt_sha256: str = ""

    def paragraph(self, call: Call) -> Paragraph:
        """What stands for a request."""
        text = json.dumps([call.path, call.body], ensure_ascii=True, sort_keys=True)
        digest = text_hash(text)
        self.calls[digest[:16]] = call
        return Paragraph(
            id=digest[:16],
            text=text,
            segments=(),
            question="",
            answer="",
            words=(),
            word_rule="none",
            text_sha256=digest,
        )

    def request(self, paragraph: Paragraph, repeat: int, earlier: Sequence[Response]) -> Request | None:
        """The request itself, and nothing after it."""
        if earlier:
            return None
        call = self.calls[paragraph.id]
        return Request(call.body, repeat, {"host": place(self.endpoint), "path": call.path})

    def annotate(self, paragraph: Paragraph, request: Request) -> Response:
        """Make one attempt."""
        self.open()
        return self.attempt(request).response

    def open(self) -> None:
        """Make the client.

        Raises:
            EndpointError: There is no key.
        """
        _ = self.endpoint.client

    def attempt(self, request: Request, seconds: float = math.inf) -> Outcome:
        """Make one attempt, from any thread."""
        path = request.origin["path"]
        if path == TOKENIZE:
            path = self.endpoint.base_url.rstrip("/").removesuffix("/v1") + path
        outcome = self.endpoint.attempt(request.body, seconds, path=path, read=read_answer)
        priced = outcome.response.model_copy(update={"cost_usd": self.cost(outcome.response.usage)})
        return replace(outcome, response=priced)

    def read(self, paragraph: Paragraph, answers: Sequence[Response]) -> Verdict:
        """Whether an answer came."""
        return Verdict(answers[-1].status, detail=answers[-1].detail)

    def worst_usage(self, request: Request) -> Usage:
        """One input token per byte, since no token is shorter, and all that may be generated."""
        if request.origin["path"] == TOKENIZE:
            return Usage()
        prompt = request.body["prompt"]
        # One or two tokens more may be put in front.
        sent = len(prompt.encode("utf-8")) if isinstance(prompt, str) else len(prompt)
        return Usage(input_tokens=sent + 2, output_tokens=int(request.body["max_tokens"]))

    def cost(self, usage: Usage | None) -> float | None:
        """Price of an attempt in US dollars, or ``None`` when not known."""
        return cost_usd(usage, self.profile)

    def warnings(self, today: date) -> list[str]:
        """That the key is sent in the open."""
        if not self.endpoint.exposes_key:
            return []
        return [
            f"the key goes to {self.endpoint.host} over http as it is, for everyone on the way to read; use https"
        ]


class EndpointServer:
    """A model behind an endpoint, as `heat.endpoint` asks it; a context manager, which holds the ledger.

    Args:
        model: The model's name in requests.
        endpoint: Where it is asked.
        kind: Which kind of server that is.
        ledger: File of every attempt; what it answers is not asked again.
        limits: How fast.
        budget: What may be spent.
        on_progress: Progress callback.

    Raises:
        LabelError: Another process is writing to the ledger.
    """

    def __init__(
        self,
        model: str,
        endpoint: Endpoint,
        kind: ServerKind,
        ledger: Path,
        limits: Limits = DEFAULT_LIMITS,
        budget: Budget | None = None,
        on_progress: Progress = no_progress,
    ) -> None:
        self.model, self.host = model, place(endpoint)
        self.dialect: Dialect = DIALECTS[kind]
        self.who = LogProbs(
            f"logprobs:{model},host={self.host},server={kind}", model, endpoint, profile(model)
        )
        self._path, self._limits = ledger, limits
        self._budget = Budget(limits.max_cost) if budget is None else budget
        self._on_progress = on_progress
        self._ledger: Ledger | None = None

    def __enter__(self) -> Self:
        self._ledger = Ledger(self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ledger is not None:
            self._ledger.close()

    @property
    def takes_ids(self) -> bool:
        """See `heat.endpoint.reading.Server`."""
        return self.dialect.takes_ids

    @property
    def reads_all(self) -> bool:
        """See `heat.endpoint.reading.Server`."""
        return self.dialect.reads_all

    def tokens(self, text: str) -> Reading:
        """See `heat.endpoint.reading.Server`."""
        return self.dialect.tokens(self.answers, self.model, text)

    def read(self, asked: Sequence[Asked], top_k: int = 1) -> list[Reading]:
        """See `heat.endpoint.reading.Server`."""
        raws = self.answers([self.dialect.call(self.model, one, top_k) for one in asked])
        return [self.dialect.read(raw, one) for raw, one in zip(raws, asked, strict=True)]

    def say(self, text: str, n_tokens: int) -> str:
        """See `heat.endpoint.reading.Server`."""
        return self.dialect.say(self.answers, self.model, text, n_tokens)

    def answers(self, calls: Sequence[Call]) -> list[str]:
        """Bodies that came back; what the ledger holds is not asked again.

        Raises:
            BudgetError: The next request could cost more than may be spent.
            EndpointError: There is no key, or the server refuses a request.
            IncompleteError: The run was interrupted, or the server is down.
            LabelError: There is no price where cost is limited.
        """
        if self._ledger is None:
            raise TypeError("an EndpointServer is asked inside its with statement")
        ledger, who = self._ledger, self.who
        paragraphs = {paragraph.id: paragraph for paragraph in map(who.paragraph, calls)}
        asked = list(paragraphs.values())

        def show(tally: Tally) -> None:
            self._on_progress(f"{self.model}, texts", tally.done, len(asked))

        _, stop = collect_online(Questions(asked), who, ledger, self._limits, self._budget, show=show)
        found, missing = {}, ""
        for paragraph in asked:
            request = who.request(paragraph, 0, ())
            row = None if request is None else ledger.attempts.answer(who.name, request.sha256)
            if row is not None and row.status == "ok":
                found[paragraph.id] = row.raw
            elif row is not None:
                missing = missing or row.detail
        if stop is None and len(found) < len(asked):
            stop = EndpointError(missing or "a request was not answered")
        if stop is not None:
            raise _stopped(stop, len(found), len(asked), self._path)
        return [found[who.paragraph(call).id] for call in calls]


def place(endpoint: Endpoint) -> str:
    """Host and port of an endpoint."""
    return urlsplit(endpoint.base_url).netloc


def _stopped(stop: AnnotateError, done: int, n_asked: int, ledger: Path) -> AnnotateError:
    """The error that ends the run, with how far it came."""
    return type(stop)(
        f"{stop}; {done:,} of {n_asked:,} requests of this step are answered and kept in {ledger}: re-run the command "
        "to resume"
    )
