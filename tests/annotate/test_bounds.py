"""Servers that send for ever, too much, or on to others: an attempt ends in time and the prompt goes to one server."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from fakes.annotated import make_benchmark, make_paragraphs
from fakes.raw_server import RawServer

from annotate.annotators import make_annotator
from annotate.batch.server import patient, said_plainly
from annotate.errors import EndpointError, IncompleteError, LabelError
from annotate.labelling.label import label_benchmark
from annotate.online import bounds
from annotate.online.transport import Endpoint
from annotate.protocol import Outcome

BODY = {"model": "m", "messages": [{"role": "user", "content": "the secret prompt"}]}
ANSWER = json.dumps({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}).encode()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *lines, "", ""]).encode()


def attempt(reply: Callable[[], Iterable[bytes]], timeout_s: float = 0.5) -> tuple[Outcome, float]:
    with RawServer(reply) as server:
        start = time.monotonic()
        outcome = Endpoint(server.url, timeout_s).attempt(BODY)
        return outcome, time.monotonic() - start


def slowly(data: bytes) -> Iterator[bytes]:
    for byte in data:
        yield bytes([byte])
        time.sleep(0.1)


def endless() -> Iterator[bytes]:
    yield head("Content-Type: application/json")
    while True:
        yield b" " * (1 << 16)


class TestTime:
    def test_a_body_sent_a_byte_at_a_time_is_given_up(self) -> None:
        def reply() -> Iterator[bytes]:
            yield head(f"Content-Length: {len(ANSWER)}")
            yield from slowly(ANSWER)

        outcome, took = attempt(reply)
        assert (outcome.action, outcome.response.code, outcome.maybe_billed) == ("retry", "timeout", True)
        assert 0.4 < took < 5  # the whole of it would take 7 s

    def test_what_is_left_for_the_request_bounds_the_attempt(self) -> None:
        with RawServer(lambda: slowly(head() + ANSWER)) as server:
            start = time.monotonic()
            outcome = Endpoint(server.url, 60.0).attempt(BODY, 0.3)
            assert time.monotonic() - start < 5
        assert (outcome.response.code, outcome.response.detail) == ("timeout", "no answer within 0.3 s")

    def test_so_is_a_head_sent_a_byte_at_a_time(self) -> None:
        outcome, took = attempt(lambda: slowly(head("X: " + "x" * 200)))
        assert (outcome.action, outcome.response.code) == ("retry", "timeout")
        assert took < 6  # the whole of it would take 20 s

    def test_a_look_at_a_batch_is_given_up_too(self) -> None:
        def reply() -> Iterator[bytes]:
            yield head(f"Content-Length: {len(ANSWER)}")
            yield from slowly(ANSWER)

        start = time.monotonic()
        with RawServer(reply) as server:
            endpoint = Endpoint(server.url, 0.5)
            with (
                pytest.raises(IncompleteError, match=r"connection to 127\.0\.0\.1 broke"),
                said_plainly(endpoint),
            ):
                endpoint.client.batches.retrieve("b")
        assert time.monotonic() - start < 5  # the whole of it would take 7 s

    def test_an_answer_in_many_pieces_is_read(self) -> None:
        def reply() -> Iterator[bytes]:
            yield head(f"Content-Length: {len(ANSWER)}")
            yield from (ANSWER[:5], ANSWER[5:])

        outcome, _ = attempt(reply, 10.0)
        assert outcome.response.raw.encode() == ANSWER

    def test_what_is_raised_in_time_is_raised(self) -> None:
        with pytest.raises(KeyError, match="gone"):
            bounds.within(5, lambda: {}["gone"])
        with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
            bounds.within(0.05, lambda: time.sleep(1))
        assert bounds.within(5, lambda: 7) == 7


class TestSize:
    def test_a_body_without_end_is_cut(self) -> None:
        outcome, _ = attempt(endless, 30.0)
        assert (outcome.action, outcome.response.code, outcome.maybe_billed) == ("retry", "too_large", True)
        assert "more than 8,388,608 bytes" in outcome.response.detail

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_a_body_that_grows_when_it_is_unpacked_is_cut(self, encoding: str) -> None:
        zeros = bytes(64 << 20)
        bomb = gzip.compress(zeros, 1) if encoding == "gzip" else zlib.compress(zeros, 1)
        assert len(bomb) < bounds.MOST_BYTES / 16
        outcome, _ = attempt(lambda: [head(f"Content-Encoding: {encoding}"), bomb], 30.0)
        assert outcome.response.code == "too_large"

    def test_the_limit_itself_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for packed in (False, True):
            data = gzip.compress(ANSWER) if packed else ANSWER
            lines = ["Content-Encoding: gzip"] if packed else []
            for most, code in ((len(ANSWER), ""), (len(ANSWER) - 1, "too_large")):
                monkeypatch.setattr(bounds, "MOST_BYTES", most)
                outcome, _ = attempt(lambda data=data, lines=lines: [head(*lines), data], 30.0)  # type: ignore[misc]
                assert outcome.response.code == code
                assert outcome.response.raw.encode() == (b"" if code else ANSWER)

    def test_what_cannot_be_unpacked_is_an_outcome(self) -> None:
        for encoding in ("gzip", "br", "gzip, gzip"):
            outcome, _ = attempt(lambda e=encoding: [head(f"Content-Encoding: {e}"), ANSWER], 30.0)  # type: ignore[misc]
            assert (outcome.action, outcome.response.status) == ("retry", "error")

    def test_an_error_without_end_is_cut_too(self) -> None:
        def reply() -> Iterator[bytes]:
            yield head(status="500 No")
            yield from list(zip(endless(), range(200), strict=False))[1][:1] * 200

        outcome, _ = attempt(reply, 30.0)
        assert outcome.response.code == "too_large"


def redirect(location: str, status: str = "307 Temporary Redirect") -> Callable[[], list[bytes]]:
    return lambda: [head(f"Location: {location}", "Content-Length: 0", status=status)]


class TestRedirects:
    @pytest.mark.parametrize(
        "status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
    )
    def test_to_another_server_is_refused_and_it_gets_nothing(self, status: str) -> None:
        with RawServer(lambda: [head(), ANSWER]) as other:
            for host in ("localhost", "127.0.0.1"):  # another name, another port
                there = f"http://{host}:{other.port}"
                with RawServer(redirect(f"{there}/v1/chat/completions", status)) as server:
                    outcome = Endpoint(server.url, 5.0).attempt(BODY)
                    here = f"http://127.0.0.1:{server.port}"
                assert (outcome.action, outcome.response.code) == ("stop", "redirected")
                assert f"{here} sends requests on to {there}, another" in outcome.response.detail
            assert other.got == []

    @pytest.mark.parametrize(
        ("location", "said"),
        [
            ("//me:pw@evil.example/x", "to http://evil.example,"),
            ("http://x:port/", "an address that is none"),
        ],
    )
    def test_is_named_without_what_it_hides(self, location: str, said: str) -> None:
        with RawServer(redirect(location)) as server:
            outcome = Endpoint(server.url, 5.0).attempt(BODY)
        assert (outcome.action, outcome.response.code) == ("stop", "redirected")
        assert "pw" not in outcome.response.detail
        assert said in outcome.response.detail

    @pytest.mark.parametrize(
        ("here", "there", "refused"),
        [
            ("https://a.example/v1", "http://a.example/v1", True),
            ("http://a.example/v1", "https://a.example/v1", False),
            ("http://a.example:8000/v1", "https://a.example/v1", True),
            ("http://a.example/v1", "https://a.example:8443/v1", True),
            ("https://a.example/v1", "https://b.a.example/v1", True),
            ("https://a.example/v1", "https://A.example:443/v2", False),
        ],
    )
    def test_another_server_is_one_of_another_name_port_or_weaker_scheme(
        self, here: str, there: str, refused: bool
    ) -> None:
        with bounds.bounded_client(1.0, openai.DefaultHttpxClient) as client:
            request = client.build_request("POST", here)
            check_origin, _ = client.event_hooks["response"]
        response = SimpleNamespace(
            has_redirect_location=True, request=request, status_code=307, headers={"location": there}
        )
        with pytest.raises(bounds.RedirectError) if refused else nullcontext():
            check_origin(response)

    def test_on_the_same_server_is_followed(self) -> None:
        replies = iter([[head("Location: /v2/chat", status="307 Temporary Redirect")], [head(), ANSWER]])
        with RawServer(lambda: next(replies)) as server:
            outcome = Endpoint(server.url, 5.0).attempt(BODY)
            assert outcome.action == "answer"
            assert [b"the secret prompt" in got for got in server.got] == [True, True]

    @pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other"])
    def test_by_one_that_drops_the_prompt_names_the_address(self, status: str) -> None:
        with RawServer(redirect("/v2/chat", status)) as server:
            outcome = Endpoint(server.url, 5.0).attempt(BODY)
            assert len(server.got) == 1
        assert (outcome.action, outcome.response.code) == ("stop", "redirected")
        assert f"/v2/chat (HTTP {status[:3]}); give that address by --base-url" in outcome.response.detail

    def test_to_nowhere_says_so(self) -> None:
        outcome, _ = attempt(lambda: [head("Content-Length: 0", status="301 Moved")], 5.0)
        assert outcome.action == "stop"
        assert outcome.response.detail.startswith(
            "the server sends requests on without saying where (HTTP 301)"
        )

    def test_ends_a_run_with_both_names(self, tmp_path: Any) -> None:
        benchmark = make_benchmark(tmp_path / "b", make_paragraphs(3))
        with RawServer(redirect("http://evil.example/v1")) as server:
            annotator = make_annotator("openai:m", 0, Endpoint(server.url, 5.0))
            with pytest.raises(
                EndpointError, match=r"127\.0\.0\.1:\d+ sends requests on to http://evil\.example"
            ):
                label_benchmark(benchmark, [annotator])

    def test_of_the_batch_api_is_refused(self) -> None:
        with RawServer(redirect("http://evil.example/v1")) as server:
            endpoint = Endpoint(server.url, 5.0)
            with (
                pytest.raises(LabelError, match=r"sends requests on to http://evil\.example"),
                said_plainly(endpoint),
            ):
                patient(endpoint).batches.retrieve("b")
