"""Ask an online annotator: many attempts at once, retried, limited, paid for, and recorded before anything else.

Threads only make attempts. One thread decides and writes: it hands out attempts as limits and budget allow, writes what
comes back to the ledger, waits until that is on the disk, and only then spends more.
"""

from __future__ import annotations

import heapq
import math
import random
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from annotate.errors import AnnotateError, BudgetError, EndpointError, IncompleteError, LabelError
from annotate.ledger.conversation import Conversation, KnownAnswers, follow
from annotate.ledger.ledger import Ledger, make_attempt, request_record
from annotate.ledger.questions import Question, Questions
from annotate.online.faults import UNREACHABLE, may_pass
from annotate.online.limits import Budget, Limits, Pace
from annotate.online.workers import Workers, first_interrupt
from annotate.protocol import OnlineAnnotator, Outcome, Request, Response, Usage

BACKOFF_S = 0.5
MAX_BACKOFF_S = 60.0
GIVEN_UP_IN_A_ROW = 10
"""Requests given up in a row after which the endpoint is taken to be down."""
UNREACHABLE_AT_FIRST = 3
"""Failed connections, before anything was answered, after which the address is taken to be wrong."""
ASLEEP_S = 60.0
"""Seconds by which a wait must be too long before this process is taken to have been stopped meanwhile."""


@dataclass(eq=False)
class Job:
    """One request being made, for all conversations that make it: copies of a paragraph are asked about once.

    Attributes:
        request: The request.
        worst: The most tokens an attempt is billed for.
        worst_cost: The same in US dollars, or ``None`` when not known.
        waiting: The questions whose conversations go on with its answer.
        attempts: Attempts made in this run.
        first_at: When the first was made; later by the time in which this process was stopped.
        seconds: Time that is left for the attempt that was started last.
    """

    request: Request
    worst: Usage
    worst_cost: float | None
    waiting: list[Question]
    attempts: int = 0
    first_at: float = 0.0
    seconds: float = math.inf


@dataclass
class Tally:
    """The counts of a run so far.

    Attributes:
        done: Conversations that are finished, well or not.
        failed: Those of them without a label.
        reused: Those that needed no attempt.
        unfinished: Those that a later run takes up: no answer came.
        attempts: Attempts made.
        retries: Attempts that were not the first at their request.
        lost: Attempts without an answer that may have been billed.
        cost_usd: What the answers cost, where known.
        unpriced: Whether an answer came whose cost is not known.
        held: Those that wait for a batch; they are counted as done.
        waiting_s: Seconds everyone waits because the server asked for it; 0 when nobody does.
    """

    done: int = 0
    failed: int = 0
    reused: int = 0
    unfinished: int = 0
    attempts: int = 0
    retries: int = 0
    lost: int = 0
    cost_usd: float = 0.0
    unpriced: bool = False
    held: int = 0
    waiting_s: float = 0.0


class Pool(Protocol):
    """Where attempts are made, see :class:`annotate.online.workers.Workers`."""

    def submit(self, job: Job) -> None:
        """Start an attempt."""
        ...

    def receive(self, timeout: float | None) -> tuple[Job, Outcome] | None:
        """The next attempt that has ended, or ``None`` after ``timeout`` seconds."""
        ...


@dataclass
class Scheduler:
    """One run over questions. Make it, then :meth:`run` it once.

    Attributes:
        annotator: Whom to ask.
        ledger: Where every attempt is written.
        limits: How fast and how long.
        budget: What may be spent; shared by the annotators of one command.
        pool: Where attempts are made.
        clock: Monotonic time in seconds; never the time of day, which may jump.
        rng: Draws the jitter of waits.
        show: Called whenever the tally changes.
        tell: Called with a sentence once the run drains, or was stopped for a while.
    """

    annotator: OnlineAnnotator
    ledger: Ledger
    limits: Limits
    budget: Budget
    pool: Pool
    clock: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)
    show: Callable[[Tally], object] = lambda tally: None
    tell: Callable[[str], object] = lambda line: None

    def __post_init__(self) -> None:
        self.tally = Tally()
        self.stop: AnnotateError | None = None
        self._requests = Pace(self.limits.rpm)
        self._tokens = Pace(self.limits.tpm)
        self._paused_until = float("-inf")
        self._open: dict[str, Job] = {}
        self._due: list[tuple[float, int, Job]] = []
        self._order = count()
        self._in_flight = 0
        self._known = KnownAnswers(self.annotator, self.ledger.attempts)
        self._held: Collection[str] = frozenset()
        self._given_up = 0
        self._answered = 0
        self._drains = False

    def drain(self) -> None:
        """Ask nothing more; what is in flight is waited for. Allowed in a signal handler."""
        self._drains = True
        self.stop = self.stop or IncompleteError("interrupted; answers in flight were waited for and kept")

    def run(self, questions: Questions) -> Tally:
        """Ask every question, as far as the ledger does not hold the answer.

        Args:
            questions: What is asked.

        Returns:
            The tally; ``stop`` says why the run ended early, if it did.

        Raises:
            OSError: The ledger cannot be written; everything written before is kept.
            LabelError: There is no key.
        """
        self._known = KnownAnswers(self.annotator, self.ledger.attempts, questions.fresh)
        self._held = questions.waiting
        new = iter(questions)
        while True:
            wake_at = self._hand_out(new)
            if not self._in_flight and (self.stop or wake_at is None):
                return self.tally
            if self._drains:  # said here: a signal handler may not write
                self._drains = False
                self.tell(
                    f"interrupted: waiting for {self._in_flight:,} answers in flight; Ctrl-C again gives them up"
                )
            self._take_in(wake_at)

    def _hand_out(self, new: Iterator[Question]) -> float | None:
        """Start all attempts that may start now.

        Returns:
            When the next may start if nothing comes back before; ``None`` if only what comes back decides.
        """
        while not self.stop and self._in_flight < self.limits.concurrency:
            now = self.clock()
            free_at = max(self._requests.free_at, self._tokens.free_at, self._paused_until)
            if free_at > now:
                return free_at if self._has_more(new) else None
            if not self._has_more(new):
                return None
            due_at, _, job = self._due[0]
            if due_at > now:
                return due_at
            if not self.budget.allows(job.worst_cost):
                if not self._in_flight:
                    self.stop = self._over_budget(job)
                return None
            heapq.heappop(self._due)
            self._start(job, now)
        return None

    def _has_more(self, new: Iterator[Question]) -> bool:
        """Whether a request waits to be made; opens conversations until one is due or enough are open."""
        while not self._due or (
            self._due[0][0] > self.clock() and len(self._open) < 2 * self.limits.concurrency
        ):
            following = next(new, None)
            if following is None:
                break
            done = self.tally.done
            self._go_on(following)
            self.tally.reused += self.tally.done - done
        return bool(self._due)

    def _go_on(self, question: Question) -> None:
        """Make the next request of a conversation, or join it, or end the conversation."""
        conversation = follow(self.annotator, question, self._known)
        request = conversation.open
        if request is None:
            self._end(question, conversation)
            return
        if request.sha256 in self._held:
            self.tally.done += 1
            self.tally.held += 1
            self.show(self.tally)
            return
        if request.sha256 in self._open:
            self._open[request.sha256].waiting.append(question)
            return
        worst = self.annotator.worst_usage(request)
        job = Job(request, worst, self.annotator.cost(worst), [question])
        self._open[request.sha256] = job
        self._push(self.clock(), job)

    def _end(self, question: Question, conversation: Conversation) -> None:
        reading = self.annotator.read(question.paragraph, conversation.responses)
        last = conversation.responses[-1]
        self.tally.done += 1
        self.tally.failed += reading.status != "ok"
        self.tally.unfinished += not last.answered and may_pass(last.http, last.code)
        self.show(self.tally)

    def _push(self, due_at: float, job: Job) -> None:
        heapq.heappush(self._due, (due_at, next(self._order), job))

    def _start(self, job: Job, now: float) -> None:
        if not job.attempts:
            job.first_at = now
        job.attempts += 1
        job.seconds = job.first_at + self.limits.max_time_s - now
        self._requests.take(1, now)
        self._tokens.take(_total(job.worst), now)
        self.budget.hold(job.worst_cost)
        self._in_flight += 1
        self.annotator.open()
        self.pool.submit(job)

    def _take_in(self, wake_at: float | None) -> None:
        """Wait for attempts to end; write all that have ended, and only then act on them."""
        if self._paused_until > self.clock():
            self.tally.waiting_s = self._paused_until - self.clock()
            self.show(self.tally)
        began = self.clock()
        timeout = None if wake_at is None else max(0.0, wake_at - began)
        ended = []
        result = self.pool.receive(timeout)
        self._discount(self.clock() - began - (self.limits.timeout_s if timeout is None else timeout))
        while result is not None:
            ended.append(result)
            result = self.pool.receive(0)
        for job, outcome in ended:
            record = request_record(job.waiting[0].paragraph, job.request)
            attempts = self.ledger.attempts
            self.ledger.append(make_attempt(self.annotator.name, record, outcome.response, attempts))
        if ended:
            self.ledger.sync()  # what costs money must be on the disk before more is spent
        self.tally.waiting_s = 0.0
        for job, outcome in ended:
            self._settle(job, outcome)

    def _discount(self, overslept: float) -> None:
        """Leave time in which this process was stopped out of the time that requests may take.

        A machine that is put to sleep, or `kill -STOP`, breaks the attempts in flight; without this all of them
        would be given up at once, as if they had been tried all the while.

        Args:
            overslept: Seconds by which a wait was longer than it can be while this process runs.
        """
        if overslept <= ASLEEP_S:
            return
        self.tell(f"stopped for {overslept:,.0f} s, by sleep or a signal; going on")
        for job in self._open.values():
            job.first_at += overslept

    def _settle(self, job: Job, outcome: Outcome) -> None:
        response = outcome.response
        self._in_flight -= 1
        self.tally.attempts += 1
        self.tally.retries += job.attempts > 1
        cost = response.cost_usd
        if response.usage is not None:
            self._tokens.give_back(_total(job.worst) - _total(response.usage))
        elif outcome.action != "answer" and not outcome.maybe_billed:
            self._tokens.give_back(_total(job.worst))
            cost = 0.0
        # An answer is paid for, whether or not the server says what it used.
        self.tally.unpriced |= cost is None and (outcome.action == "answer" or response.usage is not None)
        self.tally.lost += outcome.maybe_billed
        self.tally.cost_usd += response.cost_usd or 0.0
        self.budget.settle(job.worst_cost, cost)
        if outcome.action == "retry":
            self._retry(job, outcome)
        elif outcome.action == "stop":
            self.stop = self.stop or EndpointError(response.detail)
        else:
            self._finish(job, response)

    def _retry(self, job: Job, outcome: Outcome) -> None:
        """Put the job off, or give it up; where the server asks to wait, everyone waits."""
        now = self.clock()
        detail = outcome.response.detail
        wait = min(MAX_BACKOFF_S, BACKOFF_S * 2.0 ** (job.attempts - 1)) * self.rng.uniform(0.5, 1.0)
        if outcome.wait_s is not None:
            self._paused_until = max(self._paused_until, now + outcome.wait_s)
            wait = outcome.wait_s + self.rng.uniform(0.0, min(1.0, outcome.wait_s))
        if outcome.wait_s is not None and outcome.wait_s > self.limits.max_time_s:
            self.stop = self.stop or IncompleteError(
                f"the server asks to wait {outcome.wait_s:,.0f} s, longer than --max-time allows ({detail})"
            )
        elif (
            outcome.response.code == UNREACHABLE
            and not self._answered
            and job.attempts >= UNREACHABLE_AT_FIRST
        ):
            self.stop = self.stop or EndpointError(detail)
        elif job.attempts >= self.limits.max_attempts or now + wait - job.first_at >= self.limits.max_time_s:
            self._finish(job, outcome.response)
        else:
            self._push(now + wait, job)

    def _finish(self, job: Job, response: Response) -> None:
        self._answered += response.answered
        self._given_up = 0 if response.answered else self._given_up + 1
        if self._given_up >= GIVEN_UP_IN_A_ROW:
            self.stop = self.stop or IncompleteError(
                f"{self._given_up} requests in a row failed, the last one so: {response.detail}"
            )
        del self._open[job.request.sha256]
        self._known.note(job.request, response)
        for question in job.waiting:
            self._go_on(question)

    def _over_budget(self, job: Job) -> AnnotateError:
        return BudgetError(
            f"--max-cost {self.budget.limit:g} is reached: {self.budget.spent:.4f} dollars are or may be spent,"
            f" and the next request could cost {job.worst_cost or 0.0:.4f}"
        )


def _total(usage: Usage) -> int:
    return usage.input_tokens + usage.output_tokens


def collect_online(
    questions: Questions,
    annotator: OnlineAnnotator,
    ledger: Ledger,
    limits: Limits,
    budget: Budget,
    show: Callable[[Tally], object] = lambda tally: None,
    tell: Callable[[str], object] = lambda line: print(line, file=sys.stderr),
) -> tuple[Tally, AnnotateError | None]:
    """Ask ``annotator`` every question, as far as the ledger does not hold the answer.

    The first Ctrl-C lets what is in flight come in, the second gives it up.

    Args:
        questions: What is asked.
        annotator: Whom to ask.
        ledger: Where every attempt is written, before it is read.
        limits: How fast and how long.
        budget: What may be spent.
        show: Called whenever the tally changes.
        tell: Called with a sentence when the first Ctrl-C comes, or after a sleep.

    Returns:
        The tally, and why the run ended early, if it did.

    Raises:
        OSError: The ledger cannot be written; everything written before is kept.
        EndpointError: There is no key.
        LabelError: A limit on cost for a model whose price is not known.
    """
    if budget.limit is not None and annotator.cost(Usage(input_tokens=1, output_tokens=1)) is None:
        raise LabelError(
            f"--max-cost needs a price, and none is known for {annotator.name}: add it to its profile"
        )
    workers: Workers[Job, Outcome] = Workers(
        lambda job: annotator.attempt(job.request, job.seconds), limits.concurrency
    )
    scheduler = Scheduler(annotator, ledger, limits, budget, workers, show=show, tell=tell)

    def stop() -> None:
        scheduler.drain()
        workers.wake()

    try:
        with first_interrupt(stop):
            tally = scheduler.run(questions)
    finally:
        workers.close()
    return tally, scheduler.stop
