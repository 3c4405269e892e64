"""An online annotator, a clock and a pool of threads made for tests: nothing sleeps, and everything is decided."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from annotate.online.scheduler import Job
from annotate.protocol import Outcome, Reading, Request, Response, Usage
from annotate.schema import Paragraph

WORST = Usage(input_tokens=100, output_tokens=900)
USED = Usage(input_tokens=60, output_tokens=40)


@dataclass
class Clock:
    """Time that passes only when told."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class InlinePool:
    """Makes an attempt when its result is asked for; waiting moves the clock."""

    work: Callable[[Job], Outcome]
    clock: Clock
    latency: float = 0.0
    started: list[tuple[float, str]] = field(default_factory=list)
    waiting: deque[Job] = field(default_factory=deque)
    most_in_flight: int = 0

    def submit(self, job: Job) -> None:
        self.started.append((self.clock.now, job.waiting[0].paragraph.id))
        self.waiting.append(job)
        self.most_in_flight = max(self.most_in_flight, len(self.waiting))

    def receive(self, timeout: float | None) -> tuple[Job, Outcome] | None:
        if self.waiting and timeout != 0:
            self.clock.now += self.latency
            job = self.waiting.popleft()
            return job, self.work(job)
        assert timeout is not None, "nothing is in flight and nobody is told when to go on"
        self.clock.now += timeout
        return None


def answered(status: str = "ok", **fields: object) -> Outcome:
    return Outcome(Response(status=status, raw="{}", usage=USED, cost_usd=0.01, **fields), "answer")


def failed(
    wait_s: float | None = None, maybe_billed: bool = False, code: str = "x", http: int | None = 500
) -> Outcome:
    response = Response(status="error", http=http, code=code, detail="as scripted")
    return Outcome(response, "retry", wait_s, maybe_billed)


def stopped(detail: str = "the quota is used up") -> Outcome:
    return Outcome(Response(status="error", http=429, detail=detail), "stop")


@dataclass
class ScriptedOnline:
    """Answers by a script of outcomes per paragraph, the last one for ever; copies share their request."""

    script: dict[str, list[Outcome]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    price: float | None = 1.0
    name: str = "scripted-online"
    deterministic: bool = False
    prompt_sha256: str = "prompt"
    opened: int = 0

    def request(self, paragraph: Paragraph, repeat: int, earlier: Sequence[Response]) -> Request | None:
        return (
            None
            if earlier
            else Request({"text": paragraph.text}, repeat, {"prompt_sha256": self.prompt_sha256})
        )

    def open(self) -> None:
        self.opened += 1

    def annotate(self, paragraph: Paragraph, request: Request) -> Response:
        return self.attempt(request).response

    def attempt(self, request: Request, seconds: float = math.inf) -> Outcome:
        text = request.body["text"]
        self.asked.append(text)
        script = self.script.get(text, [answered()])
        return script.pop(0) if len(script) > 1 else script[0]

    def read(self, paragraph: Paragraph, answers: Sequence[Response]) -> Reading:
        return Reading(answers[-1].status, detail=answers[-1].detail)

    def worst_usage(self, request: Request) -> Usage:
        return WORST

    def cost(self, usage: Usage | None) -> float | None:
        return None if self.price is None or usage is None else self.price

    def warnings(self, today: date) -> list[str]:
        return []
