"""The annotator ``openai``: its options and name, the body it sends, and the conversation read from stored bodies."""

from __future__ import annotations

import json
from datetime import date

import pytest
from fakes.annotated import make_paragraph, make_paragraphs
from fakes.openai_server import completion
from fakes.truthful import answer_request, chosen_words

from annotate.annotators import annotator_names, make_annotator
from annotate.annotators.openai import CAP, CAP_REASONING, RAISE, OpenAIAnnotator, loops
from annotate.errors import LabelError, UnknownNameError
from annotate.online.completion import read_completion
from annotate.online.transport import Endpoint
from annotate.protocol import OnlineAnnotator, Reading, Request, Response, Usage

PARAGRAPH = make_paragraphs(3)[2]
LOCAL = Endpoint("http://localhost:8000/v1")


def made(spec: str, endpoint: Endpoint | None = None) -> OpenAIAnnotator:
    annotator = make_annotator(spec, 0, endpoint)
    assert isinstance(annotator, OpenAIAnnotator)
    assert isinstance(annotator, OnlineAnnotator)
    return annotator


def first(annotator: OpenAIAnnotator, repeat: int = 0) -> Request:
    request = annotator.request(PARAGRAPH, repeat, ())
    assert request is not None
    return request


def reply(request: Request, fault: str = "ok") -> Response:
    """What the API answers, as the transport records it."""
    wanted = {"fake": fault} if fault in ("wrong", "duplicate") else {}
    body, _ = completion(request.body, fault, answer_request(request.body | wanted), "0" * 64)
    raw = json.dumps(body)
    said = read_completion(raw)
    return Response(status=said.status, raw=raw, model=said.model, usage=said.usage, detail=said.content[:20])


def converse(annotator: OpenAIAnnotator, *faults: str) -> tuple[list[Request], Reading]:
    """Follow a conversation in which the n-th answer has the n-th fault, none after the last."""
    requests, answers = [], []
    while (request := annotator.request(PARAGRAPH, 0, answers)) is not None:
        fault = faults[len(requests)] if len(requests) < len(faults) else "ok"
        requests.append(request)
        answers.append(
            Response(status="error", detail="HTTP 500") if fault == "error" else reply(request, fault)
        )
        assert len(requests) < 6
    return requests, annotator.read(PARAGRAPH, answers)


def words(reading: Reading) -> list[int]:
    return sorted({word for span in reading.spans for word in span.words})


class TestOptions:
    @pytest.mark.parametrize(
        ("spec", "name"),
        [
            ("openai:gpt-4o", "openai:gpt-4o"),
            ("openai:gpt-4o,format=quotes,temperature=0,max_tokens=1024", "openai:gpt-4o"),
            ("openai:gpt-4o,format=tags", "openai:gpt-4o,format=tags"),
            ("openai:gpt-5,effort=medium", "openai:gpt-5"),
            ("openai:gpt-5,max_tokens=9000,effort=minimal", "openai:gpt-5,effort=minimal,max_tokens=9000"),
            ("openai:gpt-5.1,temperature=0.50", "openai:gpt-5.1,temperature=0.5"),
        ],
    )
    def test_the_name_holds_what_differs_from_the_defaults(self, spec, name) -> None:
        assert made(spec).name == name
        assert made(name).name == name
        assert made(spec).request(PARAGRAPH, 0, ()) == made(name).request(PARAGRAPH, 0, ())

    def test_the_name_holds_another_host_so_that_its_answers_can_be_read_without_it(self) -> None:
        local = made("openai:llama3:8b", LOCAL)
        assert local.name == "openai:llama3:8b,host=localhost"
        assert first(made(local.name)).sha256 == first(local).sha256
        assert (
            first(made("openai:llama3:8b", Endpoint("http://localhost:11434/v1"))).sha256
            == first(local).sha256
        )
        with pytest.raises(LabelError, match="--base-url"):
            made(local.name).open()

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ("openai", "which model"),
            ("openai:,effort=low", "which model"),
            ("openai:gpt-4o,effort=low", "takes no effort=low"),
            ("openai:gpt-5,effort=none", "minimal, low, medium, high"),
            ("openai:gpt-5,temperature=0", "openai.toml line"),
            ("openai:gpt-5.1,effort=low,temperature=0", "effort=none only"),
            ("openai:gpt-4o,temperature=3", "between 0 and 2"),
            ("openai:gpt-4o,temperature=warm", "number"),
            ("openai:gpt-4o,max_tokens=0", "1 or more"),
            ("openai:gpt-4o,colour=red", "is no option"),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, spec, said) -> None:
        with pytest.raises(LabelError, match=said):
            make_annotator(spec)

    def test_unknown_names_list_those_there_are(self) -> None:
        with pytest.raises(UnknownNameError, match="quotes"):
            make_annotator("openai:gpt-4o,format=haiku")
        with pytest.raises(UnknownNameError, match="strict"):
            make_annotator("openai:gpt-4o,structured=maybe")
        assert "openai" in annotator_names()

    def test_a_model_being_shut_down_is_announced(self) -> None:
        assert "2026-12-11" in made("openai:gpt-5").warnings(date(2026, 12, 1))[0]
        assert made("openai:gpt-5.2").warnings(date(2026, 12, 1)) == []
        assert "price" in made("openai:gpt-9").warnings(date(2026, 12, 1))[0]
        assert made("openai:llama3", LOCAL).warnings(date(2026, 12, 1)) == []


class TestBody:
    def test_of_a_model_without_reasoning(self) -> None:
        body = first(made("openai:gpt-4o")).body
        assert set(body) == {"model", "messages", "max_completion_tokens", "temperature", "response_format"}
        assert (body["temperature"], body["max_completion_tokens"]) == (0.0, CAP)
        schema = body["response_format"]["json_schema"]
        assert schema["strict"] is True
        assert schema["schema"]["additionalProperties"] is False

    def test_of_models_that_reason(self) -> None:
        body = first(made("openai:gpt-5")).body
        assert set(body) == {
            "model",
            "messages",
            "max_completion_tokens",
            "reasoning_effort",
            "response_format",
        }
        assert (body["reasoning_effort"], body["max_completion_tokens"]) == ("medium", CAP_REASONING)
        quick = first(made("openai:gpt-5.1")).body
        assert (quick["reasoning_effort"], quick["temperature"]) == ("none", 0.0)
        assert "temperature" not in first(made("openai:gpt-5.1,effort=low")).body

    def test_the_schema_beside_json_object(self) -> None:
        body = first(made("openai:smollm2,structured=schema", LOCAL)).body
        assert body["response_format"]["type"] == "json_object"
        assert body["response_format"]["schema"]["required"] == ["spans"]

    def test_of_a_model_nobody_knows_is_the_shortest(self) -> None:
        assert set(first(made("openai:llama3", LOCAL)).body) == {
            "model",
            "messages",
            "max_tokens",
            "response_format",
        }

    def test_without_structured_output(self) -> None:
        assert "response_format" not in first(made("openai:llama3,structured=none", LOCAL)).body
        body = first(made("openai:llama3,structured=json_object", LOCAL)).body
        assert body["response_format"] == {"type": "json_object"}
        assert "response_format" not in first(made("openai:gpt-4o,format=tags")).body

    def test_everything_that_changes_the_answer_changes_the_identity(self) -> None:
        annotator = made("openai:gpt-4o")
        hashes = {first(annotator).sha256, first(annotator, repeat=1).sha256}
        for spec in ("openai:gpt-4o-mini", "openai:gpt-4o,temperature=1", "openai:gpt-4o,format=indexed"):
            hashes.add(first(made(spec)).sha256)
        hashes.add(first(made("openai:gpt-4o", LOCAL)).sha256)
        origin = {"host": "api.openai.com", "prompt_sha256": "another version"}
        hashes.add(Request(first(annotator).body, 0, origin).sha256)
        assert len(hashes) == 7

    def test_the_key_is_no_part_of_it(self, monkeypatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
        one = first(made("openai:gpt-4o"))
        monkeypatch.setenv("OPENAI_API_KEY", "sk-two")
        assert first(made("openai:gpt-4o")).sha256 == one.sha256
        assert "sk-" not in json.dumps(one.body)

    def test_the_worst_case_is_no_less_than_what_is_billed(self) -> None:
        annotator = made("openai:gpt-5")
        worst, billed = annotator.worst_usage(first(annotator)), reply(first(annotator)).usage
        assert billed is not None
        assert worst.input_tokens >= billed.input_tokens
        assert worst.output_tokens == CAP_REASONING
        assert annotator.cost(Usage(input_tokens=1000, output_tokens=100)) == pytest.approx(0.00225)


class TestConversation:
    @pytest.mark.parametrize("form", ["quotes", "indexed", "tags"])
    def test_a_truthful_answer_marks_the_words_that_were_meant(self, form) -> None:
        requests, reading = converse(made(f"openai:gpt-4o,format={form}"))
        assert len(requests) == 1
        assert reading.status == "ok"
        assert words(reading) == chosen_words(PARAGRAPH.text, "gpt-4o") != []

    @pytest.mark.parametrize(
        ("faults", "asked", "status"),
        [
            (["refusal"], 1, "refused"),
            (["filter"], 1, "filtered"),
            (["error"], 1, "error"),
            (["length"], 2, "ok"),
            (["length", "length"], 2, "truncated"),
            (["schema"], 2, "ok"),
            (["schema", "schema"], 2, "invalid_output"),
            (["empty"], 2, "ok"),
            (["empty", "empty"], 2, "invalid_output"),
            (["schema", "refusal"], 2, "refused"),
            (["wrong"], 2, "ok"),
            (["duplicate"], 1, "ok"),
            (["wrong", "wrong"], 2, "unresolved"),
            (["wrong", "error"], 2, "unresolved"),
            (["wrong", "refusal"], 2, "unresolved"),
            (["wrong", "schema"], 3, "ok"),
            (["wrong", "schema", "schema"], 3, "unresolved"),
            (["length", "schema", "wrong"], 4, "ok"),
            (["length", "schema", "length"], 3, "truncated"),
        ],
    )
    def test_every_fault_ends_in_a_label_or_a_named_status(self, faults, asked, status) -> None:
        requests, reading = converse(made("openai:gpt-4o"), *faults)
        assert (len(requests), reading.status) == (asked, status)
        assert len({request.sha256 for request in requests}) == asked
        if status == "ok":
            assert words(reading) == chosen_words(PARAGRAPH.text, "gpt-4o")
        else:
            assert status == "unresolved" or not reading.spans

    def test_a_cut_off_answer_is_asked_for_with_a_larger_cap(self) -> None:
        requests, _ = converse(made("openai:gpt-4o"), "length")
        assert [request.body["max_completion_tokens"] for request in requests] == [CAP, RAISE * CAP]
        assert requests[0].body["messages"] == requests[1].body["messages"]

    @pytest.mark.parametrize(
        ("content", "looped"),
        [
            ('{"quote": "a", "occurrence": 1}, {"quote": "a", "occurrence": 2}, ' * 3, True),
            ("and so it goes on, " * 8, True),
            ("x" * 200, True),
            ("x" * 100, False),
            ("Of two lines that are long enough, this is one; " * 2, False),
            (
                f"{'a period of its own, said twice in the same words and more than once ' * 2} and then the end",
                False,
            ),
            (PARAGRAPH.text, False),
        ],
    )
    def test_an_answer_that_repeats_itself_is_told_from_one_that_does_not(self, content, looped) -> None:
        assert loops(content) == looped

    @pytest.mark.parametrize(
        ("content", "output_tokens", "asked", "detail"),
        [
            ('{"spans": [' + '{"quote": "a", "occurrence": 1}, ' * 30, CAP, 1, "while it repeated itself"),
            ('{"spans": [{"quote": "a", "occur', CAP, 2, f"cut off at {CAP * RAISE:,} tokens"),
            ('{"spans": [{"quote": "a", "occur', 40, 2, "the window may be full"),
        ],
    )
    def test_an_answer_that_was_cut_off_says_where(self, content, output_tokens, asked, detail) -> None:
        annotator = made("openai:gpt-4o")
        requests: list[Request] = []
        answers: list[Response] = []
        while (request := annotator.request(PARAGRAPH, 0, answers)) is not None:
            body, _ = completion(request.body, "ok", content, "0" * 64)
            full = output_tokens == CAP
            usage = Usage(
                input_tokens=9, output_tokens=request.body["max_completion_tokens"] if full else output_tokens
            )
            answers.append(Response(status="truncated", raw=json.dumps(body), usage=usage))
            requests.append(request)
        reading = annotator.read(PARAGRAPH, answers)
        assert (len(requests), reading.status) == (asked, "truncated")
        assert detail in reading.detail

    def test_the_second_question_holds_the_first_answer_and_what_is_wrong_with_it(self) -> None:
        (before, after), _ = converse(made("openai:gpt-4o"), "schema")
        added = after.body["messages"][len(before.body["messages"]) :]
        assert [message["role"] for message in added] == ["assistant", "user"]
        assert added[0]["content"] == '{"unexpected": 1}'
        (before, after), _ = converse(made("openai:gpt-4o"), "wrong")
        assert "zyzzyva quux" in after.body["messages"][-1]["content"]

    def test_what_cannot_be_placed_stays_named(self) -> None:
        _, reading = converse(made("openai:gpt-4o"), "wrong", "error")
        assert "zyzzyva quux" in [span.quote for span in reading.spans if span.rung == "unresolved"]
        assert set(chosen_words(PARAGRAPH.text, "gpt-4o")) <= set(words(reading))

    def test_an_answer_that_marks_nothing_is_a_label_and_no_failure(self) -> None:
        annotator = made("openai:gpt-4o")
        body, _ = completion(first(annotator).body, "ok", '{"spans": []}', "0" * 64)
        reading = annotator.read(PARAGRAPH, [Response(status="ok", raw=json.dumps(body))])
        assert reading == Reading("ok", ())

    def test_a_fenced_answer_is_read_where_the_form_is_not_enforced(self) -> None:
        annotator = made("openai:llama3,structured=none", LOCAL)
        fenced = f"```json\n{answer_request(first(annotator).body)}\n```"
        body, _ = completion(first(annotator).body, "ok", fenced, "0" * 64)
        reading = annotator.read(PARAGRAPH, [Response(status="ok", raw=json.dumps(body))])
        assert words(reading) == chosen_words(PARAGRAPH.text, "llama3")


def test_unicode_comes_back_as_it_was() -> None:
    text = "Café 😀 naïve İstanbul — “quoted” text, and so on and on for some words more."
    paragraph = make_paragraph("u", text, "What is naïve?", "Café")
    annotator = made("openai:gpt-4o")
    request = annotator.request(paragraph, 0, ())
    assert request is not None
    assert words(annotator.read(paragraph, [reply(request)])) == chosen_words(paragraph.text, "gpt-4o")
