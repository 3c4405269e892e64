"""The files of the Batch API: names, sizes, and every kind of line that comes back."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fakes.annotated import make_paragraphs
from hypothesis import example, given
from hypothesis import strategies as st

from annotate.batch.lines import Answer, custom_id, cut, describe_errors, read_answers
from annotate.errors import LabelError
from annotate.ledger.batches import Line
from annotate.ledger.ledger import Attempts
from annotate.ledger.pending import Ask
from annotate.online.completion import read_completion
from annotate.protocol import Request, Usage

PARAGRAPHS = make_paragraphs(7)
ASKS = [
    Ask(paragraph, Request({"model": "m", "messages": [f"text {n}"]}, origin={"prompt_sha256": "f"}))
    for n, paragraph in enumerate(PARAGRAPHS)
]


def sizes(most_lines: int, most_bytes: int) -> list[int]:
    return [len(part.lines) for part in cut(ASKS, "openai:m", Attempts([]), most_lines, most_bytes)]


class TestCut:
    def test_by_lines(self) -> None:
        assert sizes(3, 10**6) == [3, 3, 1]
        assert sizes(7, 10**6) == [7]

    def test_by_bytes_counted_in_utf8(self) -> None:
        length = len(next(cut(ASKS[:1], "openai:m", Attempts([]))).text.encode())
        assert sizes(50, 2 * length) == [2, 2, 2, 1]
        assert sizes(50, 2 * length - 1) == [1] * 7
        wide = [Ask(PARAGRAPHS[0], Request({"messages": "é" * 100}))]
        with pytest.raises(LabelError, match="the request about p00000 is larger than a batch file may be"):
            list(cut(wide, "openai:m", Attempts([]), 50, 250))

    def test_nothing_makes_no_file(self) -> None:
        assert list(cut([], "openai:m", Attempts([]))) == []

    def test_a_line_is_what_the_api_takes(self) -> None:
        part = next(cut(ASKS[:2], "openai:m", Attempts([])))
        first = json.loads(part.text.splitlines()[0])
        assert first == {
            "custom_id": part.lines[0].custom_id,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": ASKS[0].request.body,
        }
        assert part.lines[1] == Line(
            custom_id=part.lines[1].custom_id,
            request_sha256=ASKS[1].request.sha256,
            paragraph_id="p00001",
            text_sha256=PARAGRAPHS[1].text_sha256,
            repeat=0,
            prompt_sha256="f",
        )

    @example("paragraph " * 20, 10**9, 10**9)
    @given(st.text(max_size=100), st.integers(0, 10**9), st.integers(1, 10**9))
    def test_names_fit_whatever_the_paragraph_is_called(
        self, identifier: str, repeat: int, attempt: int
    ) -> None:
        ask = Ask(PARAGRAPHS[0].model_copy(update={"id": identifier}), Request({"a": 1}, repeat))
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", custom_id(ask, attempt))

    def test_names_differ(self) -> None:
        asks = [Ask(PARAGRAPHS[0], Request({"a": a}, repeat)) for a in range(20) for repeat in range(20)]
        assert len({custom_id(ask, attempt) for ask in asks for attempt in (1, 2)}) == 800


def completion(
    content: str | None = "{}", finish: str = "stop", refusal: str | None = None
) -> dict[str, Any]:
    return {
        "model": "m-1",
        "system_fingerprint": "fp",
        "choices": [{"finish_reason": finish, "message": {"content": content, "refusal": refusal}}],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    }


def came_back(**row: Any) -> Answer | None:
    ((number, answer),) = read_answers(json.dumps({"custom_id": "c", "error": None, **row}) + "\n", "gpt-4o")
    assert number == 1
    return answer


def responded(body: Any, status: int = 200) -> Answer:
    answer = came_back(response={"status_code": status, "request_id": "req", "body": body})
    assert answer is not None
    return answer


class TestAnswers:
    def test_an_answer(self) -> None:
        answer = responded(completion("yes"))
        assert (answer.custom_id, answer.worked_on) == ("c", True)
        assert json.loads(answer.response.raw) == completion("yes")
        assert answer.response.model_dump(exclude={"raw"}, exclude_defaults=True) == {
            "status": "ok",
            "model": "m-1",
            "http": 200,
            "request_id": "req",
            "fingerprint": "fp",
            "usage": {"input_tokens": 10, "cached_tokens": 4, "output_tokens": 5, "reasoning_tokens": 3},
        }

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (completion(None, refusal="no"), "refused"),
            (completion(None, "content_filter"), "filtered"),
            (completion("{", "length"), "truncated"),
        ],
    )
    def test_paid_answers_that_are_none(self, body, status) -> None:
        response = responded(body).response
        assert response.status == status
        assert response.usage == Usage(input_tokens=10, cached_tokens=4, output_tokens=5, reasoning_tokens=3)

    def test_half_a_surrogate_pair_can_be_written_down(self) -> None:
        for body in (completion("a \ud83d b"), completion(None, refusal="no \ud83d"), completion("\ud83d")):
            assert responded(body).response.model_dump_json().encode("utf-8")
        assert read_completion(responded(completion("a \ud83d b")).response.raw).content == "a \ufffd b"

    def test_an_answer_that_the_server_gave_up_on_is_none(self) -> None:
        response = responded(completion("", "error")).response
        assert (response.status, response.code, response.answered) == ("error", "finish_error", False)

    def test_a_line_nested_without_end_is_no_answer(self) -> None:
        ((_, answer),) = read_answers('{"custom_id":' + "[" * 100_000, "m")
        assert answer is None

    def test_a_body_that_is_no_completion(self) -> None:
        response = responded({"choices": []}).response
        assert (response.status, response.code, response.http) == ("error", "no_completion", 200)
        assert response.raw == '{"choices":[]}'

    def test_an_error_of_one_request(self) -> None:
        error = {"message": "Too fast.", "type": "error", "param": None, "code": "rate_limit_exceeded"}
        answer = responded({"error": error}, 429)
        assert answer.worked_on
        assert (answer.response.status, answer.response.http) == ("error", 429)
        assert answer.response.code == "rate_limit_exceeded"
        assert "Too fast." in answer.response.detail
        assert answer.response.usage is None

    @pytest.mark.parametrize("code", ["batch_expired", "batch_cancelled"])
    def test_a_request_the_batch_did_not_come_to(self, code) -> None:
        answer = came_back(response=None, error={"code": code, "message": "too late"})
        assert answer is not None
        assert not answer.worked_on

    def test_another_error_without_a_response(self) -> None:
        answer = came_back(response=None, error={"code": "server_error", "message": "lost"})
        assert answer is not None
        assert answer.worked_on
        assert (answer.response.status, answer.response.detail) == ("error", "lost")

    @pytest.mark.parametrize(
        "line", ["{", "[]", "3", "null", '{"response": null}', '{"custom_id": "c", "response": 3}']
    )
    def test_a_line_that_is_none(self, line) -> None:
        assert list(read_answers(f"\n{line}\n", "m")) == [(2, None)]

    def test_unicode_line_separators_do_not_end_a_line(self) -> None:
        body = completion("a\u2028b\x85c")
        row = json.dumps(
            {"custom_id": "c", "response": {"status_code": 200, "body": body}}, ensure_ascii=False
        )
        ((_, answer),) = read_answers(row + "\n", "m")
        assert answer is not None
        assert json.loads(answer.response.raw) == body


class TestValidation:
    def test_faults_name_the_paragraph(self) -> None:
        class Fault:
            def __init__(self, line: int | None) -> None:
                self.code, self.message, self.line = "duplicate_custom_id", "not unique", line

        lines = [Line(custom_id="c", request_sha256="", paragraph_id="p7", text_sha256="", repeat=0)]
        assert describe_errors([], lines) == ""
        assert describe_errors([Fault(1)], lines) == "line 1 (p7): duplicate_custom_id: not unique"
        many = describe_errors([Fault(None), Fault(9), Fault(1), Fault(1), Fault(1)], lines)
        assert many.startswith(
            "duplicate_custom_id: not unique; duplicate_custom_id: not unique; line 1 (p7)"
        )
        assert many.endswith("; and 2 more")
