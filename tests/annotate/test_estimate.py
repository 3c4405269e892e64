"""The dry run, against figures worked out by hand."""

from __future__ import annotations

import json
import math
import os
from datetime import date
from pathlib import Path

import pytest
from fakes.annotated import make_benchmark, make_paragraphs
from fakes.command_line import annotate, files

from annotate.annotators import make_annotator
from annotate.benchmark import Benchmark
from annotate.ledger.ledger import Attempt, Ledger, make_attempt, request_record
from annotate.ledger.questions import Selection
from annotate.money.estimate import Band, Estimate, dry_run
from annotate.protocol import Request, Response, Usage

COUNT = 30
TODAY = date(2026, 11, 25)


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    return make_benchmark(tmp_path / "curated", make_paragraphs(COUNT))


def expect(benchmark: Benchmark, spec: str = "openai:gpt-4o", **options) -> Estimate:
    (found,) = dry_run(benchmark, [make_annotator(spec)], TODAY, Selection(**options))
    return found


def first_request(benchmark: Benchmark, spec: str, index: int, repeat: int = 0) -> Request:
    request = make_annotator(spec).request(benchmark.paragraphs()[index], repeat, [])
    assert request is not None
    return request


def record(benchmark: Benchmark, spec: str, usages: list[Usage], status: str = "ok") -> list[Attempt]:
    """Answers in the ledger to the first paragraphs, with empty but well-formed content."""
    body = {"choices": [{"finish_reason": "stop", "message": {"content": '{"spans": []}'}}]}
    rows = []
    with Ledger(benchmark.ledger) as ledger:
        for index, usage in enumerate(usages):
            request = first_request(benchmark, spec, index)
            response = Response(status=status, raw=json.dumps(body), usage=usage)  # type: ignore[arg-type]
            about = (request_record(benchmark.paragraphs()[index], request), response, ledger.attempts)
            rows.append(make_attempt(make_annotator(spec).name, *about))
            ledger.append(rows[-1])
    return rows


def counted(benchmark: Benchmark, spec: str, index: int) -> int:
    body = first_request(benchmark, spec, index).body
    texts = [message["content"] for message in body["messages"]]
    schema = json.dumps(body["response_format"])
    return sum(math.ceil(len(text) / 3.5) for text in [*texts, schema]) + 4 * len(texts)


class TestAssumed:
    def test_tokens_and_dollars(self, benchmark) -> None:
        found = expect(benchmark, limit=2)
        (effort,) = found.efforts
        sent = counted(benchmark, "openai:gpt-4o", 0) + counted(benchmark, "openai:gpt-4o", 1)
        words = sum(len(paragraph.words) for paragraph in benchmark.paragraphs()[:2])
        assert effort.input_tokens == Band(low=sent, likely=1.05 * sent, high=1.25 * sent)
        assert effort.output_tokens.likely == pytest.approx(1.05 * 1.25 * words)
        assert effort.output_tokens.high == pytest.approx(1.25 * 2.5 * words)
        assert effort.online is not None
        assert effort.batch is not None
        likely = (2.5 * 1.05 * sent + 10 * 1.05 * 1.25 * words) / 1e6
        assert effort.online.likely == pytest.approx(likely, rel=1e-3)  # whole tokens are priced
        assert effort.batch.likely == pytest.approx(likely / 2, rel=1e-3)
        assert (found.requests, found.fitted_on, found.prices_of) == (2, 0, date(2026, 11, 23))

    def test_every_effort_is_shown_and_reasoning_dominates(self, benchmark) -> None:
        found = expect(benchmark, "openai:gpt-5,effort=low")
        assert [effort.effort for effort in found.efforts] == ["minimal", "low", "medium", "high"]
        assert [effort.effort for effort in found.efforts if effort.chosen] == ["low"]
        likely = [effort.online.likely for effort in found.efforts if effort.online]
        assert likely == sorted(likely)
        assert likely[3] > 5 * likely[0]
        for effort in found.efforts:
            assert effort.online is not None
            assert effort.online.low < effort.online.likely < effort.online.high

    def test_an_answer_cut_off_is_paid_twice(self, benchmark) -> None:
        found = expect(benchmark, "openai:gpt-5,effort=high,max_tokens=100", limit=1)
        (chosen,) = [effort for effort in found.efforts if effort.chosen]
        assert chosen.output_tokens == Band(low=100 + 400, likely=1.05 * 500, high=1.25 * 500)

    def test_the_form_of_the_answer_matters(self, benchmark) -> None:
        words = sum(len(paragraph.words) for paragraph in benchmark.paragraphs())
        found = expect(benchmark, "openai:gpt-4o,format=tags")
        assert found.efforts[0].output_tokens.low == pytest.approx(1.2 * words)

    def test_an_unknown_price_stays_unknown(self, benchmark) -> None:
        found = expect(benchmark, "openai:somebody/llama")
        assert found.requests == COUNT
        assert found.efforts[0].online is None
        assert found.efforts[0].batch is None
        assert found.prices_of is None

    def test_rules_are_free(self, benchmark) -> None:
        found = expect(benchmark, "clause")
        assert (found.requests, found.model, found.efforts) == (COUNT, "", ())

    def test_a_retiring_model_and_the_prompt_are_shown(self, benchmark) -> None:
        found = expect(benchmark, "openai:gpt-5")
        assert "gpt-5 is shut down on 2026-12-11 (in 16 days" in found.warnings[0]
        assert list(found.sample) == first_request(benchmark, "openai:gpt-5", 0).body["messages"]


class TestFitted:
    def test_from_twenty_answers_on(self, benchmark) -> None:
        usages = [
            Usage(input_tokens=2000, cached_tokens=500, output_tokens=100 + 20 * (n % 2)) for n in range(20)
        ]
        record(benchmark, "openai:gpt-4o", usages[:19])
        assert expect(benchmark).fitted_on == 0
        benchmark.ledger.unlink()
        record(benchmark, "openai:gpt-4o", usages)
        found = expect(benchmark)
        assert (found.fitted_on, found.requests, found.finished) == (20, 10, 20)
        (effort,) = found.efforts
        ratio = 20 * 2000 / sum(counted(benchmark, "openai:gpt-4o", n) for n in range(20))
        sent = ratio * sum(counted(benchmark, "openai:gpt-4o", n) for n in range(20, 30))
        assert effort.input_tokens.likely == pytest.approx(sent)
        margin = 2 * 10 * math.sqrt(20 / 19) * math.sqrt(10 + 100 / 20)  # 110 plus or minus 10, 20 of them
        assert effort.output_tokens.likely == pytest.approx(1100)
        assert effort.output_tokens.high == pytest.approx(1100 + margin)
        assert effort.output_tokens.low == pytest.approx(1100 - margin)
        assert effort.online is not None
        price = (2.5 * 0.75 * sent + 1.25 * 0.25 * sent + 10 * 1100) / 1e6
        assert effort.online.likely == pytest.approx(price, rel=1e-3)

    def test_only_the_chosen_effort(self, benchmark) -> None:
        before = expect(benchmark, "openai:gpt-5,effort=low", fresh=True).efforts
        record(benchmark, "openai:gpt-5,effort=low", [Usage(input_tokens=10, output_tokens=10)] * 20)
        after = expect(benchmark, "openai:gpt-5,effort=low", fresh=True).efforts
        assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True, True]
        assert after[1].output_tokens.likely == 10 * COUNT

    def test_failures_that_were_paid_count(self, benchmark) -> None:
        record(benchmark, "openai:gpt-4o", [Usage(output_tokens=1024)] * 20, status="truncated")
        record(benchmark, "openai:gpt-4o", [Usage(output_tokens=100)] * 20)
        found = expect(benchmark)
        assert found.fitted_on == 20
        assert found.efforts[0].output_tokens.likely == 10 * 1124

    def test_another_prompt_does_not_count(self, benchmark) -> None:
        rows = record(benchmark, "openai:gpt-4o", [Usage(output_tokens=100)] * 20)
        benchmark.ledger.unlink()
        with Ledger(benchmark.ledger) as ledger:
            for row in rows:
                ledger.append(row.model_copy(update={"prompt_sha256": "other"}))
        assert expect(benchmark).fitted_on == 0


class TestPending:
    def test_answered_failed_and_repeated(self, benchmark) -> None:
        record(benchmark, "openai:gpt-4o", [Usage()] * 4)
        record(benchmark, "openai:gpt-4o", [Usage()] * 5, status="error")
        found = expect(benchmark)
        assert (found.requests, found.finished) == (COUNT - 4, 4)
        found = expect(benchmark, repeats=2)
        assert (found.requests, found.finished) == (2 * COUNT - 4, 4)
        assert expect(benchmark, fresh=True).requests == COUNT
        assert expect(benchmark, limit=4).sample == ()

    def test_a_refusal_is_an_answer(self, benchmark) -> None:
        record(benchmark, "openai:gpt-4o", [Usage()] * 4, status="refused")
        assert expect(benchmark).requests == COUNT - 4

    def test_copies_are_asked_about_once(self, tmp_path) -> None:
        (paragraph,) = make_paragraphs(1)
        copies = [paragraph, paragraph.model_copy(update={"id": "copy"})]
        found = expect(make_benchmark(tmp_path / "copies", copies))
        assert (found.requests, found.finished) == (1, 1)


class TestCommand:
    def test_asks_nobody_writes_nothing_needs_no_key(self, benchmark, monkeypatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        assert "OPENAI_API_KEY" not in os.environ
        before = files(benchmark.path)
        models = ("--annotator", "openai:gpt-5", "--annotator", "openai:gpt-4o", "--annotator", "clause")
        done = annotate(benchmark.path.parent, "label", "--dry-run", *models)
        assert done.returncode == 0
        assert files(benchmark.path) == before
        assert "openai:gpt-5: 30 requests to make; 0 need none" in done.stdout
        assert (
            "output for the effort marked * is assumed" in done.stdout or "output is assumed" in done.stdout
        )
        assert "clause: 30 requests to make; 0 need none; free" in done.stdout
        assert "all together, USD low / likely / high: online" in done.stdout
        assert done.stdout.count("--- system") == 1  # both models get the same messages
        assert "the first request to openai:gpt-5, openai:gpt-4o:" in done.stdout
        assert "gpt-5 is shut down on 2026-12-11" in done.stderr

    def test_json(self, benchmark) -> None:
        done = annotate(benchmark.path.parent, "label", "--dry-run", "--annotator", "openai:gpt-4o", "--json")
        (found,) = json.loads(done.stdout)["annotators"]
        assert found["requests"] == COUNT
        assert found["efforts"][0]["online"]["likely"] > 0
