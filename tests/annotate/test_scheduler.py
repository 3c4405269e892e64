"""The online scheduler on a clock of its own: retries, waits, limits, money, stops, and what is on the disk when."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from fakes.annotated import make_paragraph, make_paragraphs
from fakes.online import Clock, InlinePool, ScriptedOnline, answered, failed, stopped

from annotate.errors import BudgetError, EndpointError, IncompleteError, LabelError
from annotate.ledger.ledger import Ledger, read_ledger
from annotate.ledger.questions import Questions
from annotate.online.limits import Budget, Limits, Pace
from annotate.online.scheduler import GIVEN_UP_IN_A_ROW, Scheduler, collect_online
from annotate.protocol import Outcome, Response

PARAGRAPHS = make_paragraphs(6)
FIRST = PARAGRAPHS[0].text


class Run:
    """One run of the scheduler over a ledger, with all that can be looked at afterwards."""

    def __init__(
        self, path, annotator=None, limits=None, paragraphs=PARAGRAPHS, repeats=1, latency=0.0, **options
    ):
        self.annotator = annotator or ScriptedOnline()
        self.clock = Clock()
        self.told: list[str] = []
        self.seconds: list[tuple[float, float]] = []  # when attempts began, and what was left for each

        def make(job):
            self.seconds.append((self.clock(), job.seconds))
            return self.annotator.attempt(job.request, job.seconds)

        self.pool = InlinePool(make, self.clock, latency)
        limits = limits or Limits()
        with Ledger(path) as ledger:
            self.scheduler = Scheduler(
                self.annotator,
                ledger,
                limits,
                Budget(limits.max_cost),
                self.pool,
                clock=self.clock,
                rng=random.Random(0),
                tell=self.told.append,
            )
            self.tally = self.scheduler.run(Questions(paragraphs, repeats, **options))
            self.rows = list(ledger.attempts.rows)

    def starts(self, paragraph_id: str) -> list[float]:
        return [at - 1000.0 for at, started in self.pool.started if started == paragraph_id]


def most_in_a_minute(times: list[float]) -> int:
    return max(sum(start <= other < start + 60 for other in times) for start in times)


def test_every_paragraph_is_asked_once_and_a_second_run_asks_nothing(tmp_path) -> None:
    first = Run(tmp_path / "l", repeats=2)
    assert (first.tally.done, first.tally.attempts, len(first.rows)) == (12, 12, 12)
    assert first.tally.cost_usd == pytest.approx(0.12)
    second = Run(tmp_path / "l", repeats=2)
    assert (second.tally.done, second.tally.reused, second.tally.attempts) == (12, 12, 0)
    assert second.annotator.opened == 0  # nothing to ask needs no key
    fresh = Run(tmp_path / "l", repeats=2, fresh=True)
    assert fresh.tally.attempts == 12


def test_copies_of_a_paragraph_are_asked_about_once(tmp_path) -> None:
    copies = [replaced(PARAGRAPHS[0], f"copy{n}") for n in range(5)]
    for options in ({}, {"fresh": True}):
        run = Run(tmp_path / "l", paragraphs=copies, **options)
        assert (run.tally.done, run.tally.attempts) == (5, 1)


def replaced(paragraph, identifier):
    return paragraph.model_copy(update={"id": identifier})


class TestRetries:
    def test_waits_double_with_jitter_and_every_attempt_is_recorded(self, tmp_path) -> None:
        annotator = ScriptedOnline({FIRST: [failed(), failed(), failed(), answered()]})
        run = Run(tmp_path / "l", annotator, paragraphs=PARAGRAPHS[:1])
        starts = run.starts("p00000")
        gaps = [later - earlier for earlier, later in pairwise(starts)]
        assert [low <= gap < 2 * low for gap, low in zip(gaps, (0.25, 0.5, 1.0), strict=True)] == [True] * 3
        assert [(row.attempt, row.status) for row in run.rows] == [
            (1, "error"),
            (2, "error"),
            (3, "error"),
            (4, "ok"),
        ]
        assert run.tally.retries == 3

    def test_a_long_retry_after_is_honoured_by_everyone(self, tmp_path) -> None:
        annotator = ScriptedOnline({FIRST: [failed(wait_s=300.0), answered()]})
        run = Run(tmp_path / "l", annotator, Limits(concurrency=1))
        assert [at - 1000.0 for at, _ in run.pool.started][:1] == [0.0]
        assert all(at - 1000.0 >= 300.0 for at, _ in run.pool.started[1:])
        assert run.scheduler.stop is None
        assert run.tally.done == 6

    def test_a_retry_after_beyond_the_time_allowed_ends_the_run(self, tmp_path) -> None:
        annotator = ScriptedOnline({FIRST: [failed(wait_s=7200.0), answered()]})
        run = Run(tmp_path / "l", annotator, Limits(concurrency=1))
        assert isinstance(run.scheduler.stop, IncompleteError)
        assert "7,200 s" in str(run.scheduler.stop)
        assert len(run.pool.started) == 1

    def test_a_request_is_given_up_after_so_many_attempts_and_taken_up_again(self, tmp_path) -> None:
        annotator = ScriptedOnline({FIRST: [failed()]})
        run = Run(tmp_path / "l", annotator, Limits(max_attempts=3))
        assert len(run.starts("p00000")) == 3
        assert (run.tally.done, run.tally.failed, run.tally.unfinished) == (6, 1, 1)
        again = Run(tmp_path / "l")
        assert [row.attempt for row in again.rows if row.paragraph_id == "p00000"] == [1, 2, 3, 4]
        assert (again.tally.attempts, again.tally.failed) == (1, 0)

    def test_a_request_is_given_up_after_so_much_time(self, tmp_path) -> None:
        annotator = ScriptedOnline({FIRST: [failed()]})
        run = Run(tmp_path / "l", annotator, Limits(max_attempts=100, max_time_s=20.0))
        assert 10.0 <= run.starts("p00000")[-1] < 20.0
        assert run.seconds
        assert all(at - 1000.0 + seconds <= 20.0 + 1e-9 for at, seconds in run.seconds)

    def test_what_was_answered_badly_is_paid_for_and_not_asked_again(self, tmp_path) -> None:
        script = {
            p.text: [answered(s)]
            for p, s in zip(PARAGRAPHS, ("refused", "filtered", "truncated"), strict=False)
        }
        assert Run(tmp_path / "l", ScriptedOnline(script)).tally.failed == 3
        assert Run(tmp_path / "l", ScriptedOnline(script)).tally.attempts == 0

    def test_a_rejected_request_is_not_tried_again_at_once_and_is_no_unfinished_one(self, tmp_path) -> None:
        rejected = Outcome(Response(status="error", http=400, code="context_length_exceeded"), "reject")
        run = Run(tmp_path / "l", ScriptedOnline({FIRST: [rejected]}))
        assert (run.tally.attempts, run.tally.failed, run.tally.unfinished) == (6, 1, 0)


class TestStops:
    def test_quota_stops_the_run_and_keeps_what_is_in_flight(self, tmp_path) -> None:
        annotator = ScriptedOnline({PARAGRAPHS[1].text: [stopped()]})
        run = Run(tmp_path / "l", annotator, Limits(concurrency=3))
        assert isinstance(run.scheduler.stop, EndpointError)
        assert run.scheduler.stop.exit_code == 5
        assert len(run.pool.started) <= 4
        assert len(run.rows) == len(run.pool.started)
        later = Run(tmp_path / "l")
        assert later.tally.done == 6
        assert later.tally.attempts == 6 - sum(row.status == "ok" for row in run.rows)

    def test_an_endpoint_that_never_answers_ends_the_run(self, tmp_path) -> None:
        paragraphs = make_paragraphs(40)
        annotator = ScriptedOnline({p.text: [failed()] for p in paragraphs})
        run = Run(tmp_path / "l", annotator, Limits(max_attempts=2, concurrency=1), paragraphs)
        assert isinstance(run.scheduler.stop, IncompleteError)
        assert run.tally.done == GIVEN_UP_IN_A_ROW

    def test_an_answer_between_them_shows_that_it_is_up(self, tmp_path) -> None:
        paragraphs = make_paragraphs(2 * GIVEN_UP_IN_A_ROW)
        answers = {GIVEN_UP_IN_A_ROW - 1, 2 * GIVEN_UP_IN_A_ROW - 1}
        script = {p.text: [failed()] for n, p in enumerate(paragraphs) if n not in answers}
        run = Run(tmp_path / "l", ScriptedOnline(script), Limits(max_attempts=1, concurrency=1), paragraphs)
        assert run.scheduler.stop is None
        assert (run.tally.done, run.tally.failed) == (2 * GIVEN_UP_IN_A_ROW, 2 * GIVEN_UP_IN_A_ROW - 2)

    def test_an_address_where_nobody_is_ends_the_run_soon(self, tmp_path) -> None:
        nobody = failed(code="unreachable", http=None)
        run = Run(tmp_path / "l", ScriptedOnline({p.text: [nobody] for p in PARAGRAPHS}))
        assert isinstance(run.scheduler.stop, EndpointError)
        assert max(at for at, _ in run.pool.started) - 1000.0 < 5.0

    def test_draining_asks_nothing_more_and_keeps_what_is_in_flight(self, tmp_path) -> None:
        run = None
        told: list[str] = []

        def show(tally) -> None:
            if tally.done == 2:
                scheduler.drain()

        with Ledger(tmp_path / "l") as ledger:
            annotator, clock = ScriptedOnline(), Clock()
            pool = InlinePool(lambda job: annotator.attempt(job.request), clock)
            scheduler = Scheduler(
                annotator,
                ledger,
                Limits(concurrency=3),
                Budget(None),
                pool,
                clock=clock,
                show=show,
                tell=told.append,
            )
            run = scheduler.run(Questions(make_paragraphs(40)))
        assert isinstance(scheduler.stop, IncompleteError)
        assert told == ["interrupted: waiting for 2 answers in flight; Ctrl-C again gives them up"]
        assert scheduler.stop.exit_code == 3
        assert len(read_ledger(tmp_path / "l").rows) == len(pool.started) == run.done == 4


class TestMoney:
    def test_nothing_may_be_spent(self, tmp_path) -> None:
        run = Run(tmp_path / "l", limits=Limits(max_cost=0.0))
        assert isinstance(run.scheduler.stop, BudgetError)
        assert run.scheduler.stop.exit_code == 4
        assert run.pool.started == []

    def test_a_budget_can_be_spent_to_the_last_cent(self) -> None:
        budget = Budget(1.5)
        assert budget.allows(1.5)
        budget.hold(0.5)
        assert budget.allows(1.0)
        assert not budget.allows(1.25)
        budget.settle(0.5, 0.25)
        assert budget.allows(1.25)
        assert not budget.allows(1.5)

    def test_what_is_in_flight_counts_at_its_worst(self, tmp_path) -> None:
        # An attempt costs 1 at worst and 0.01 in fact: three fit in 3.5 at once, and all six in the end.
        run = Run(tmp_path / "l", limits=Limits(concurrency=8, max_cost=3.5))
        assert run.pool.most_in_flight == 3
        assert run.scheduler.stop is None
        assert run.tally.done == 6

    def test_the_limit_is_never_passed(self, tmp_path) -> None:
        dear = {
            p.text: [Outcome(Response(status="ok", raw="{}", cost_usd=0.9), "answer")] for p in PARAGRAPHS
        }
        run = Run(tmp_path / "l", ScriptedOnline(dear), Limits(concurrency=8, max_cost=3.0))
        assert isinstance(run.scheduler.stop, BudgetError)
        assert run.tally.cost_usd == pytest.approx(2.7)

    def test_an_attempt_that_may_be_billed_counts_at_its_worst(self, tmp_path) -> None:
        lost = ScriptedOnline({FIRST: [failed(maybe_billed=True), answered()]})
        run = Run(tmp_path / "l", lost, Limits(concurrency=1, max_cost=1.5))
        assert run.tally.lost == 1
        assert isinstance(run.scheduler.stop, BudgetError)
        safe = ScriptedOnline({FIRST: [failed(), answered()]})
        assert Run(tmp_path / "m", safe, Limits(concurrency=1, max_cost=1.5)).scheduler.stop is None

    def test_a_limit_needs_a_price(self, tmp_path) -> None:
        with Ledger(tmp_path / "l") as ledger, pytest.raises(LabelError, match="price"):
            collect_online(Questions(PARAGRAPHS), ScriptedOnline(price=None), ledger, Limits(), Budget(1.0))


class TestPace:
    @pytest.mark.parametrize("latency", [0.0, 0.3, 5.0])
    def test_no_minute_holds_more_requests_than_allowed(self, tmp_path, latency) -> None:
        run = Run(tmp_path / "l", limits=Limits(rpm=30), paragraphs=make_paragraphs(100), latency=latency)
        times = [at for at, _ in run.pool.started]
        assert most_in_a_minute(times) <= 30
        assert times[1] - times[0] >= 2.0  # not a full bucket at the start

    def test_no_minute_holds_more_tokens_than_allowed(self, tmp_path) -> None:
        # 1,000 tokens at worst, 100 in fact: in fact 3,000 a minute are 30 requests.
        run = Run(tmp_path / "l", limits=Limits(tpm=3000), paragraphs=make_paragraphs(100))
        times = [at for at, _ in run.pool.started]
        assert 25 <= most_in_a_minute(times) <= 30

    def test_units_given_back_are_used(self) -> None:
        pace = Pace(60)
        pace.take(10, 0.0)
        assert pace.free_at == 10.0
        pace.give_back(8)
        assert pace.free_at == 2.0
        pace.take(1, 100.0)
        assert pace.free_at == 101.0


def test_what_was_paid_for_is_on_the_disk_before_more_is_spent(tmp_path, monkeypatch) -> None:
    events: list[str] = []
    sync, append = Ledger.sync, Ledger.append
    monkeypatch.setattr(Ledger, "sync", lambda self: (events.append("sync"), sync(self))[1])
    monkeypatch.setattr(Ledger, "append", lambda self, row: (events.append("append"), append(self, row))[1])
    submit = InlinePool.submit
    monkeypatch.setattr(
        InlinePool, "submit", lambda self, job: (events.append("start"), submit(self, job))[1]
    )
    Run(tmp_path / "l", ScriptedOnline({FIRST: [failed(), answered()]}), Limits(concurrency=2))
    pending = False
    for event in events:
        assert not (event == "start" and pending), events
        pending = {"append": True, "sync": False}.get(event, pending)
    assert events.count("append") == 7


def test_a_time_of_day_that_jumps_is_not_looked_at(tmp_path, monkeypatch) -> None:
    def never() -> float:
        raise AssertionError("the time of day was read")

    monkeypatch.setattr("time.time", never)
    with Ledger(tmp_path / "l") as ledger:
        tally, stop = collect_online(
            Questions(PARAGRAPHS), ScriptedOnline(), ledger, Limits(rpm=60000), Budget(None)
        )
    assert (tally.done, stop) == (6, None)


class TestLeftAlone:
    """What happens to a run that nobody watches for hours."""

    PARAGRAPHS = make_paragraphs(24)

    def run(self, path, outcome, limits) -> Run:
        """A run in which ``outcome`` says what the attempt at a time comes to; it may move the clock."""
        run = Run.__new__(Run)
        annotator = ScriptedOnline()
        annotator.attempt = lambda request, seconds: outcome(run.clock)
        run.__init__(path, annotator, limits, self.PARAGRAPHS)
        return run

    def test_a_machine_that_sleeps_for_hours_asks_again_what_the_sleep_broke(self, tmp_path) -> None:
        slept = []

        def outcome(clock) -> Outcome:
            if clock() > 1001.0 and len(slept) < 12:
                clock.now += 0.0 if slept else 8 * 3600.0
                slept.append(clock())
                return failed(code="timeout", http=None)
            clock.now += 0.5
            return answered()

        run = self.run(tmp_path / "l", outcome, Limits(concurrency=12))
        assert len(slept) == 12
        assert run.scheduler.stop is None
        assert (run.tally.done, run.tally.failed, run.tally.attempts) == (24, 0, 36)
        assert run.told == ["stopped for 28,680 s, by sleep or a signal; going on"]
        assert run.clock() - 1000.0 < 8 * 3600.0 + 60.0

    def test_a_slow_answer_is_no_sleep(self, tmp_path) -> None:
        def outcome(clock) -> Outcome:
            clock.now += 119.0
            return answered()

        assert self.run(tmp_path / "l", outcome, Limits()).told == []

    def out_of_order(self, clock) -> Outcome:
        """A server that answers for a while, then says 503 for ten minutes."""
        clock.now += 1.0
        return failed(http=503) if 1012.0 < clock() < 1612.0 else answered()

    def test_ten_minutes_of_503_stop_the_run_in_one_line_and_the_next_one_finishes(self, tmp_path) -> None:
        run = self.run(tmp_path / "l", self.out_of_order, Limits())
        assert isinstance(run.scheduler.stop, IncompleteError)
        assert str(run.scheduler.stop) == "10 requests in a row failed, the last one so: as scripted"
        kept = sum(row.status == "ok" for row in run.rows)
        assert kept == 12
        again = self.run(tmp_path / "l", lambda clock: answered(), Limits())
        assert (again.scheduler.stop, again.tally.done, again.tally.attempts) == (None, 24, 24 - kept)

    def test_more_attempts_wait_for_the_server(self, tmp_path) -> None:
        run = self.run(tmp_path / "l", self.out_of_order, Limits(max_attempts=30))
        assert (run.scheduler.stop, run.tally.done, run.tally.failed) == (None, 24, 0)
        answers = [row.paragraph_id for row in run.rows if row.status == "ok"]
        assert sorted(answers) == [paragraph.id for paragraph in self.PARAGRAPHS]


def test_another_version_of_the_prompt_is_another_request(tmp_path) -> None:
    Run(tmp_path / "l")
    again = Run(tmp_path / "l", replace(ScriptedOnline(), prompt_sha256="other"))
    assert again.tally.attempts == 6


def test_one_paragraph_that_fails_does_not_hold_up_the_others(tmp_path) -> None:
    odd = make_paragraph("odd", "Iron rusts in rain.", "What rusts?", "iron")
    annotator = ScriptedOnline({odd.text: [failed()]})
    run = Run(tmp_path / "l", annotator, Limits(concurrency=1, max_attempts=5), [odd, *PARAGRAPHS])
    assert max(at for at, started in run.pool.started if started != "odd") < run.pool.started[-1][0]
    assert run.tally.done == 7
