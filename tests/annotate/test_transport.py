"""One attempt over a real socket against the fake API: every fault becomes an outcome, and the raw body is kept."""

from __future__ import annotations

import json
import socket

import pytest
from fakes.openai_server import FakeOpenAI

from annotate.completion import CompletionError, read_completion, read_usage
from annotate.errors import LabelError
from annotate.faults import Fault, may_pass, read_fault, retry_after
from annotate.protocol import Outcome, Usage
from annotate.transport import Endpoint

KEY = "sk-test-0123456789abcdef"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_completion_tokens": 100}


@pytest.fixture(autouse=True)
def key(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def attempt(plan: str, timeout_s: float = 10.0, **options) -> Outcome:
    with FakeOpenAI([plan], **options) as fake:
        return Endpoint(fake.url, timeout_s).attempt(BODY)


def test_an_answer_is_kept_as_received() -> None:
    with FakeOpenAI() as fake:
        outcome = Endpoint(fake.url).attempt(BODY)
        bill = fake.bill()
    response = outcome.response
    assert outcome.action == "answer"
    assert (
        json.loads(response.raw)["choices"][0]["message"]["content"] == read_completion(response.raw).content
    )
    assert (response.status, response.http, response.model) == ("ok", 200, "gpt-4o-2026-01-01")
    assert response.fingerprint == "fp_fake"
    assert response.request_id.startswith("req_")
    assert response.usage is not None
    assert response.usage.model_dump() == bill
    assert response.latency_s is not None
    assert response.latency_s >= 0


@pytest.mark.parametrize(
    ("plan", "action", "status", "http", "code", "wait_s"),
    [
        ("429:0.02", "retry", "error", 429, "rate_limit_exceeded", 0.02),
        ("429:86400", "retry", "error", 429, "rate_limit_exceeded", 86400.0),
        ("429", "retry", "error", 429, "rate_limit_exceeded", None),
        ("500", "retry", "error", 500, "server_error", None),
        ("503:7", "retry", "error", 503, "overloaded", 7.0),
        ("drop", "retry", "error", None, "connection", None),
        ("html", "retry", "error", 200, "no_completion", None),
        ("badjson", "retry", "error", 200, "no_completion", None),
        ("nochoices", "retry", "error", 200, "no_completion", None),
        ("quota", "stop", "error", 429, "insufficient_quota", None),
        ("auth", "stop", "error", 401, "invalid_api_key", None),
        ("model", "stop", "error", 404, "model_not_found", None),
        ("unsupported", "stop", "error", 400, "unsupported_value", None),
        ("unstructured", "stop", "error", 400, "invalid_request", None),
        ("window", "reject", "error", 400, "context_length_exceeded", None),
        ("policy", "reject", "filtered", 400, "content_policy_violation", None),
        ("bad", "reject", "error", 400, "invalid_request", None),
        ("refusal", "answer", "refused", 200, "", None),
        ("filter", "answer", "filtered", 200, "", None),
        ("length", "answer", "truncated", 200, "", None),
        ("empty", "answer", "ok", 200, "", None),
        ("schema", "answer", "ok", 200, "", None),
    ],
)
def test_every_fault_is_an_outcome(plan, action, status, http, code, wait_s) -> None:
    with FakeOpenAI([plan]) as fake:
        outcome = Endpoint(fake.url).attempt(BODY)
        log = list(fake.log)
    response = outcome.response
    assert (outcome.action, response.status, response.http, response.code) == (action, status, http, code)
    assert outcome.wait_s == wait_s
    assert len(log) == 1  # the SDK does not retry behind our back
    assert (response.usage is None) == (log[0].output_tokens == 0 and plan != "empty")
    assert bool(response.raw) == (plan != "drop")
    assert bool(response.detail) == (response.status in ("error", "refused") or plan == "policy")
    if plan in ("html", "badjson", "drop"):
        assert outcome.maybe_billed


def test_an_answer_that_takes_too_long_may_be_billed() -> None:
    outcome = attempt("slow:1.0", timeout_s=0.2)
    assert (outcome.action, outcome.response.code, outcome.maybe_billed) == ("retry", "timeout", True)


def test_an_address_where_nobody_is_costs_nothing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        outcome = Endpoint(f"http://127.0.0.1:{port}/v1").attempt(BODY)
    assert (outcome.action, outcome.response.code, outcome.maybe_billed) == ("retry", "unreachable", False)


def test_what_to_do_is_said() -> None:
    assert "openai.toml line" in attempt("unsupported").response.detail
    assert "temperature" in attempt("unsupported").response.detail
    assert "structured=none" in attempt("unstructured").response.detail
    assert "OPENAI_API_KEY" in attempt("auth").response.detail
    assert "window" in attempt("window").response.detail


def test_a_server_that_repeats_the_key_does_not_get_it_written() -> None:
    for plan in ("auth", "ok"):
        outcome = attempt(plan, answer=lambda body: f"your key is {KEY}")
        assert KEY not in repr(outcome)
        assert "[key]" in outcome.response.raw


def test_only_a_server_on_this_machine_needs_no_key(monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    for url in ("http://localhost:1/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1"):
        assert Endpoint(url).key == "EMPTY"
    with pytest.raises(LabelError, match="OPENAI_API_KEY"):
        _ = Endpoint().key
    with pytest.raises(LabelError, match="OPENAI_API_KEY"):
        _ = Endpoint("http://127.0.0.1.example.com/v1").key
    monkeypatch.setenv("OPENAI_API_KEY", "sk two")
    with pytest.raises(LabelError, match="space"):
        _ = Endpoint().key


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x/v1", "http://me:secret@host/v1", "http://h/v1?key=secret"]
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused_without_repeating_it(url) -> None:
    with pytest.raises(LabelError) as caught:
        Endpoint(url)
    assert "secret" not in str(caught.value)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({"retry-after": "5"}, 5.0),
            ({"retry-after": "-5"}, 0.0),
            ({"retry-after": "3600", "retry-after-ms": "20"}, 0.02),
            ({"retry-after": "soon"}, None),
            (
                {"retry-after": "Fri, 11 Dec 2026 10:05:00 GMT", "date": "Fri, 11 Dec 2026 10:00:00 GMT"},
                300.0,
            ),
            ({"retry-after": "Fri, 11 Dec 2026 10:05:00 GMT"}, None),
        ],
    )
    def test_is_read_in_all_its_forms(self, headers, seconds) -> None:
        assert retry_after(headers) == seconds


class TestFaults:
    def test_a_body_that_is_no_error_object(self) -> None:
        assert read_fault(502, "<html>Bad gateway</html>").message == "<html>Bad gateway</html>"
        assert read_fault(500, None) == Fault(500, "", "", "")
        assert read_fault(400, {"error": {"message": "m", "code": 400}}).code == "400"
        assert read_fault(422, {"detail": [{"msg": "no"}]}).action == "reject"

    def test_which_failures_may_pass(self) -> None:
        assert may_pass(None, "timeout")
        assert may_pass(200, "no_completion")
        assert may_pass(500, "")
        assert may_pass(429, "insufficient_quota")
        assert not may_pass(400, "context_length_exceeded")


class TestCompletion:
    @pytest.mark.parametrize("raw", ["", "null", "[]", "<html>", '{"choices": []}', '{"choices": [{}]}'])
    def test_something_else_is_refused(self, raw) -> None:
        with pytest.raises(CompletionError):
            read_completion(raw)

    def test_usage_without_details(self) -> None:
        assert read_usage({"prompt_tokens": 3, "completion_tokens": 4}) == Usage(
            input_tokens=3, output_tokens=4
        )
        assert read_usage(None) is None
        assert read_usage({"prompt_tokens": 3}) is None
        assert read_usage({"prompt_tokens": None, "completion_tokens": 1}) is None
