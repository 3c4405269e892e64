"""One attempt over a real socket against the fake API: every fault becomes an outcome, and the raw body is kept."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fakes.openai_server import FakeOpenAI
from fakes.raw_server import RawServer
from fakes.server_profiles import LLAMA_CPP

from annotate.errors import EndpointError, LabelError
from annotate.online.completion import CompletionError, read_completion, read_usage
from annotate.online.faults import PROMPT_CUT, Fault, may_pass, read_fault, retry_after
from annotate.online.recorded import read_body, refuse_cut_prompt
from annotate.online.transport import Endpoint
from annotate.protocol import Outcome, Response, Usage

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
    with pytest.raises(EndpointError, match="OPENAI_API_KEY"):
        _ = Endpoint().key
    with pytest.raises(EndpointError, match="OPENAI_API_KEY"):
        _ = Endpoint("http://127.0.0.1.example.com/v1").key
    monkeypatch.setenv("OPENAI_API_KEY", "sk two")
    with pytest.raises(EndpointError, match="space"):
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
    @pytest.mark.parametrize(
        ("http", "body", "told"),
        [
            (
                422,
                {"detail": "Unexpected fields in the request: {'colour'}"},
                "m does not take a parameter as sent",
            ),
            (
                422,
                {
                    "detail": [
                        {"type": "extra_forbidden", "loc": ["body", "temperature"], "msg": "Extra inputs"}
                    ]
                },
                "m does not take temperature as sent",
            ),
            (
                400,
                {"error": {"message": "Unrecognized request argument supplied: seed", "code": None}},
                "m does not take a parameter as sent",
            ),
            (
                422,
                {
                    "detail": [
                        {"type": "literal_error", "loc": ["body", "response_format", "type"], "msg": "no"}
                    ]
                },
                "structured=schema",
            ),
            (
                500,
                {"error": {"message": "1 validation error: ('body', 'response_format')"}},
                "structured=schema",
            ),
            (400, {"detail": "Server is pinned to 'a'; requested 'm'."}, "m cannot be used here"),
            (
                400,
                {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}},
                "m cannot be",
            ),
            (404, {"detail": "Not Found"}, "check --base-url"),
            (404, {"error": {"message": "No model m", "code": "not_found"}}, "m cannot be used here"),
        ],
    )
    def test_what_other_servers_refuse_ends_the_run_with_what_to_do(self, http, body, told) -> None:
        fault = read_fault(http, body)
        assert fault.action == "stop"
        assert told in fault.explain("m")

    def test_an_error_of_the_server_that_speaks_of_a_schema_may_pass(self) -> None:
        assert read_fault(500, {"error": {"message": "the response_format worker died"}}).action == "retry"

    def test_the_window_by_the_name_of_llama_cpp(self) -> None:
        error = {"code": 400, "message": "request (431 tokens) exceeds", "type": "exceed_context_size_error"}
        fault = read_fault(400, {"error": error})
        assert fault.action == "reject"
        assert "longer than the window of m" in fault.explain("m")

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

    @pytest.mark.parametrize(
        ("http", "error"),
        [
            (402, {"message": "Insufficient Balance", "code": "invalid_request_error"}),
            (402, {}),
            (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}),
            (429, {"message": "x", "type": "insufficient_quota", "code": None}),
            (429, {"message": "Your account is suspended", "type": "exceeded_current_quota_error"}),
            (400, {"message": "Your credit balance is too low to access the API"}),
            (400, {"message": "Access denied", "code": "Arrearage"}),
            (403, {"message": "Your team has used all available credits or reached its spending limit."}),
            (429, {"message": "账户余额不足, 请充值"}),
            (200, {"message": "Insufficient credits", "code": 402}),
            (200, {"message": "Insufficient credits", "code": "402"}),
        ],
    )
    def test_an_account_that_cannot_pay_ends_the_run(self, http, error) -> None:
        fault = read_fault(http, {"error": error})
        assert fault.action == "stop"
        assert "quota or balance of this key is used up" in fault.explain("m")
        assert http == 400 or may_pass(fault.http, fault.code)

    def test_a_limit_a_minute_passes(self) -> None:
        for message in ("Quota exceeded for requests per minute", "Rate limit: check quota", "slow down"):
            assert read_fault(429, {"error": {"message": message}}).action == "retry"

    @pytest.mark.parametrize(
        ("code", "action"),
        [(429, "retry"), (503, "retry"), ("oops", "retry"), (400, "reject"), (401, "stop")],
    )
    def test_an_error_in_a_body_with_a_good_status_means_its_code(self, code, action) -> None:
        assert read_fault(200, {"error": {"message": "m", "code": code}}).action == action


def said(raw: dict[str, Any] | str) -> Outcome:
    text = raw if isinstance(raw, str) else json.dumps(raw)
    return read_body(200, text, "req", "m")


def spoken(content: Any, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    choice = {"message": {"content": content, **message}, "finish_reason": finish}
    return {"choices": [choice], "model": "m-1", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}


class TestBody:
    def test_half_a_surrogate_pair_anywhere_can_be_written_down(self) -> None:
        whole = json.dumps(spoken("a XX b") | {"model": "XX", "system_fingerprint": "XX"})
        bodies = [whole, json.dumps(spoken(None, refusal="no XX")), json.dumps({"error": {"message": "XX"}})]
        for body in bodies:
            for half in ("\\ud83d", "\\uDE00", "\ud83d"):
                response = said(body.replace("XX", half)).response
                assert response.model_dump_json().encode("utf-8")
                assert ("\ufffd" in response.detail) == (response.status != "ok")
        raw = whole.replace("XX", "\\ud83d")
        assert said(raw).response.raw == raw
        assert read_completion(raw).content == "a \ufffd b"
        assert read_completion(whole.replace("XX", "\\ud83d\\ude00")).content == "a 😀 b"
        assert read_completion(whole.replace("XX", "\\\\ud83d")).content == "a \\ud83d b"

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
            (
                [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "x"}]},
                    {"type": "text", "text": "a"},
                ],
                "a",
            ),
            ([{"type": "reasoning", "text": "x"}, {"type": "output_text", "text": "a"}], "a"),
            ([{"type": "text", "text": {"value": "a", "annotations": []}}], "a"),
            (["a", None, "b"], "ab"),
            ({"type": "text", "text": "a"}, "a"),
            ({"spans": []}, '{"spans": []}'),
            ([], ""),
            (None, ""),
            ([{"type": "image_url"}, {"type": "text", "text": None}], ""),
        ],
    )
    def test_content_in_parts_is_what_is_said_in_them(self, content, text) -> None:
        assert (
            said(spoken(content)).response.status,
            read_completion(json.dumps(spoken(content))).content,
        ) == (
            "ok",
            text,
        )

    def test_a_part_that_refuses_is_a_refusal(self) -> None:
        response = said(
            spoken([{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}])
        ).response
        assert (response.status, response.detail) == ("refused", "no")

    @pytest.mark.parametrize(
        "end", ["error", "Failed", "abort", "insufficient_system_resource", "network_error"]
    )
    def test_an_answer_the_server_gave_up_on_is_no_answer(self, end) -> None:
        outcome = said(spoken('{"spans": []}', end))
        response = outcome.response
        assert (outcome.action, response.status, response.code) == ("retry", "error", f"finish_{end}")
        assert end in response.detail
        assert (response.answered, response.usage) == (False, Usage(input_tokens=3, output_tokens=4))
        assert not outcome.maybe_billed
        assert said(spoken("", end) | {"usage": None}).maybe_billed
        body = spoken("half of it")
        body["choices"][0]["error"] = {"code": 502, "message": "upstream"}
        assert said(body).response.code == "finish_error"

    @pytest.mark.parametrize(
        ("end", "status"),
        [("model_length", "truncated"), ("MAX_TOKENS", "truncated"), ("SAFETY", "filtered"), (None, "ok")],
    )
    def test_ends_by_the_names_of_other_servers(self, end, status) -> None:
        assert said(spoken("a", end)).response.status == status

    def test_an_error_with_a_good_status_is_an_error(self) -> None:
        outcome = said({"error": {"message": "Insufficient credits", "code": 402}})
        assert (outcome.action, outcome.response.status, outcome.response.code) == ("stop", "error", "402")
        assert (outcome.response.http, outcome.maybe_billed) == (200, False)
        assert said({"error": "overloaded"}).action == "retry"
        assert said(spoken("a") | {"error": None}).action == "answer"
        assert said(spoken("a") | {"error": {"message": "a note", "code": 500}}).action == "answer"

    @pytest.mark.parametrize("raw", ["[" * 100_000, '{"a":' * 100_000])
    def test_nested_without_end_is_no_completion(self, raw) -> None:
        assert said(raw).response.code == "no_completion"
        assert read_body(400, raw, "", "m").action == "reject"

    def test_a_number_without_end_is_not_known(self) -> None:
        raw = json.dumps(spoken("a")).replace(": 3", ": " + "3" * 5_000)
        response = said(raw).response
        assert (response.status, response.usage) == ("ok", None)


class TestCutPrompts:
    @pytest.mark.parametrize(
        ("usage", "action"),
        [
            (Usage(input_tokens=5), "answer"),  # as many tokens as words
            (Usage(input_tokens=4), "reject"),
            (
                Usage(input_tokens=2, cached_tokens=3),
                "answer",
            ),  # those with Anthropic's names leave these out
            (Usage(input_tokens=0), "answer"),  # nobody counted
            (None, "answer"),
        ],
    )
    def test_fewer_tokens_than_words_give_it_away(self, usage, action) -> None:
        outcome = Outcome(Response(status="ok", http=200, usage=usage), "answer")
        refused = refuse_cut_prompt(outcome, [{"content": "a b  c"}, {"content": "\nd e"}])
        assert refused.action == action
        assert (refused.response.code == PROMPT_CUT) == (action == "reject")
        assert refused.response.usage == usage
        if action == "reject":
            assert (refused.response.status, refused.response.answered) == ("error", False)
            assert "counted 4 tokens where 5 words were sent" in refused.response.detail

    def test_a_failure_stays_what_it_is(self) -> None:
        failure = Outcome(Response(status="error", usage=Usage(input_tokens=1)), "retry")
        assert refuse_cut_prompt(failure, [{"content": "a b c"}]) is failure

    def test_asking_again_would_not_mend_it(self) -> None:
        assert not may_pass(200, PROMPT_CUT)


class TestListing:
    def test_of_models(self) -> None:
        with FakeOpenAI(profile=LLAMA_CPP) as fake:
            assert Endpoint(fake.url).models() == ("/models/smollm2.gguf",)

    def test_that_is_not_to_be_had_is_none(self) -> None:
        assert Endpoint("http://127.0.0.1:9/v1").models() == ()
        with RawServer(lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"]) as server:
            assert Endpoint(server.url).models() == ()

    def test_waits_for_no_server_that_is_at_work(self) -> None:
        def late() -> Iterator[bytes]:
            time.sleep(2)
            yield b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"

        start = time.monotonic()
        with RawServer(late) as server:
            assert Endpoint(server.url).models(0.2) == ()
            assert time.monotonic() - start < 1.5


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

    @pytest.mark.parametrize(
        ("usage", "found"),
        [
            ({"input_tokens": 3, "output_tokens": 4}, (3, 0, 4, 0)),
            ({"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None}, (3, 0, 4, 0)),
            ({"prompt_tokens": 3, "completion_tokens": 4, "prompt_cache_hit_tokens": 2}, (3, 2, 4, 0)),
            (
                {"input_tokens": 3, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 1}},
                (3, 1, 4, 0),
            ),
            (
                {"input_tokens": 3, "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 2}},
                (3, 0, 4, 2),
            ),
            ({"prompt_tokens": 3, "completion_tokens": 4, "completion_tokens_details": []}, (3, 0, 4, 0)),
        ],
    )
    def test_usage_by_other_names(self, usage, found) -> None:
        read = read_usage(usage)
        assert read is not None
        assert tuple(read.model_dump().values()) == found

    @pytest.mark.parametrize(
        "usage",
        [
            None, [], "9", {}, {"prompt_tokens": 3}, {"prompt_tokens": "many", "completion_tokens": 4},
            {"prompt_tokens": -3, "completion_tokens": 4}, {"prompt_tokens": 10**400, "completion_tokens": 4},
        ],
    )  # fmt: skip
    def test_usage_that_is_none_is_not_zero(self, usage) -> None:
        assert read_usage(usage) is None
