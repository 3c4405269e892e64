"""The annotator ``openai``: a model behind a Chat Completions endpoint, of OpenAI or compatible with it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import regex

from annotate.annotators.options import number, parse_options, whole
from annotate.errors import LabelError, UnknownNameError
from annotate.formats import DEFAULT_FORMAT, FormatError, Message, ResponseFormat, make_format
from annotate.online import DEFAULT_URL
from annotate.online.completion import read_completion
from annotate.online.profiles import ModelProfile, cost_usd, profile, profile_place, retirement
from annotate.online.transport import Endpoint
from annotate.protocol import Outcome, Reading, Request, Response, Usage
from annotate.schema import LabelSpan, Paragraph, Status

DEFAULT_HOST = urlsplit(DEFAULT_URL).hostname
CAP = 1024
CAP_REASONING = 4096
RAISE = 4
"""How many times larger the cap is when an answer was cut off."""

_OPTIONS = ("effort", "format", "prompt", "temperature", "max_tokens", "structured", "host")
_STRUCTURED = ("strict", "schema", "json_object", "none")
_LOOP_CHARS = 120
"""So many characters at the end of an answer that repeat what stands before them make a loop."""
_MOST_PERIOD = 600
_MOST_LISTED = 5
_MALFORMED = (
    "That answer cannot be used: {why}. Answer again from the beginning, in exactly the form that was asked for,"
    " and with nothing else."
)


@dataclass(frozen=True)
class Turn:
    """What is asked next in a conversation: messages, and the cap of the answer in tokens."""

    messages: list[Message]
    cap: int


@dataclass(frozen=True)
class OpenAIAnnotator:
    """Asks a model for the words that matter, in one of the label formats.

    A conversation has one request, and at most one more of each kind: with a larger cap after an answer that
    was cut off, unless it had begun to repeat itself, again after one without the right form, again about quotes that
    could not be placed.

    Attributes:
        name: As ``--annotator`` takes it, with the options that differ from the defaults.
        model: Name of the model.
        profile: What it takes and costs.
        format: How marks are asked for and read.
        endpoint: Where it is asked.
        host: Host of the endpoint; part of the identity of every request.
        effort: ``reasoning_effort``; not sent when empty.
        temperature: Not sent when ``None``.
        cap: Most tokens of an answer, reasoning included.
        structured: How the form of the answer is asked for.
        known: Answers that were read before: placing quotes costs more than all the rest, and a conversation is
            followed anew for each of its requests and for its label.
    """

    name: str
    model: str
    profile: ModelProfile
    format: ResponseFormat
    endpoint: Endpoint
    host: str
    effort: str
    temperature: float | None
    cap: int
    structured: str
    deterministic: bool = False
    known: dict[tuple[str, str], tuple[LabelSpan, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def prompt_sha256(self) -> str:
        """Checksum of the prompt file."""
        return self.format.prompt.sha256

    def request(self, paragraph: Paragraph, repeat: int, earlier: Sequence[Response]) -> Request | None:
        """The next request of the conversation."""
        turn, _ = self._follow(paragraph, earlier)
        if turn is None:
            return None
        origin = {"host": self.host, "prompt_sha256": self.prompt_sha256}
        return Request(self._body(turn), repeat, origin)

    def annotate(self, paragraph: Paragraph, request: Request) -> Response:
        """Make one attempt."""
        self.open()
        return self.attempt(request).response

    def open(self) -> None:
        """Make the client.

        Raises:
            LabelError: There is no key, or the endpoint is not the one this annotator is named after.
        """
        if self.host != self.endpoint.host:
            raise LabelError(
                f"{self.name} is asked at {self.host}, not at {self.endpoint.host}: give its address by --base-url"
            )
        _ = self.endpoint.client

    def attempt(self, request: Request, seconds: float = math.inf) -> Outcome:
        """Make one attempt, from any thread."""
        outcome = self.endpoint.attempt(request.body, seconds)
        priced = outcome.response.model_copy(update={"cost_usd": self.cost(outcome.response.usage)})
        return replace(outcome, response=priced)

    def read(self, paragraph: Paragraph, answers: Sequence[Response]) -> Reading:
        """Read stored bodies."""
        return self._follow(paragraph, answers)[1]

    def worst_usage(self, request: Request) -> Usage:
        """One input token per byte, since no token is shorter, and the whole cap."""
        sent = json.dumps(request.body, ensure_ascii=False).encode("utf-8")
        return Usage(input_tokens=len(sent), output_tokens=int(request.body[self.profile.cap_param]))

    def cost(self, usage: Usage | None) -> float | None:
        """Price of an attempt in US dollars, or ``None`` when not known."""
        return cost_usd(usage, self.profile)

    def warnings(self, today: date) -> list[str]:
        """That the model is being shut down, its price is not known, or the key is sent in the open."""
        warnings = [retirement(self.model, today)]
        if self.host == DEFAULT_HOST and self.profile.input is None:
            warnings.append(
                f"no price of {self.model} is known, so no cost is shown; add it in"
                f" {profile_place(self.model, 'input')}"
            )
        if self.endpoint.exposes_key:
            warnings.append(
                f"the key goes to {self.endpoint.host} over http as it is, for everyone on the way to read; use https"
            )
        return [warning for warning in warnings if warning]

    def unlisted(self) -> str:
        """That the server does not list the model, which some answer for by another one; empty where nothing is amiss.

        Asks the server, but for OpenAI's, which refuses a model that it does not have.
        """
        listed = (
            ()
            if self.host in (DEFAULT_HOST, "") or self.host != self.endpoint.host
            else self.endpoint.models()
        )
        if not listed or self.model in listed:
            return ""
        shown = ", ".join(listed[:_MOST_LISTED]) + (", ..." if len(listed) > _MOST_LISTED else "")
        return (
            f"the server at {self.host} does not list {self.model} among its models ({shown}); some servers answer with"
            " another model in its name"
        )

    def _follow(self, paragraph: Paragraph, answers: Sequence[Response]) -> tuple[Turn | None, Reading]:
        """What is asked after ``answers``, if anything, and what they say so far."""
        turn = Turn(self.format.messages(paragraph), self.cap)
        reading = Reading("missing")
        asked_again: set[str] = set()
        for answer in answers:
            following, reading, reason = self._step(paragraph, turn, answer, reading.spans)
            if following is None or reason in asked_again:
                return None, reading
            turn = following
            asked_again.add(reason)
        return turn, reading

    def _step(
        self, paragraph: Paragraph, turn: Turn, answer: Response, placed: tuple[LabelSpan, ...]
    ) -> tuple[Turn | None, Reading, str]:
        """Read one answer: what could be asked next, what is known by then, and why to ask."""
        if answer.status == "truncated":
            larger = (
                None if loops(read_completion(answer.raw).content) else replace(turn, cap=turn.cap * RAISE)
            )
            return (
                larger,
                _failure("truncated", _cut_off(turn.cap, answer.usage, larger is None), placed),
                "cap",
            )
        if answer.status != "ok":
            return None, _failure(answer.status, answer.detail, placed), ""
        content = read_completion(answer.raw).content
        try:
            spans = self._spans(paragraph, content)
        except FormatError as error:
            again = _ask_again(turn, content, str(error))
            schema = self.format.schema is not None and self.structured in ("strict", "schema")
            ignored = "; the server did not keep to the schema that was sent" if schema and content else ""
            return again, _failure("invalid_output", f"{error}{ignored}", placed), "form"
        merged = self.format.merge(placed, spans) if placed else spans
        unplaced = [span for span in merged if span.rung == "unresolved"]
        if not unplaced:
            return None, Reading("ok", merged), ""
        quotes = ", ".join(repr(span.quote) for span in unplaced)
        reading = Reading("unresolved", merged, f"not found in the text: {quotes}")
        return replace(turn, messages=self.format.again(paragraph, content, unplaced)), reading, "quotes"

    def _spans(self, paragraph: Paragraph, content: str) -> tuple[LabelSpan, ...]:
        key = (paragraph.text_sha256, content)
        if key not in self.known:
            self.known[key] = self.format.read(paragraph, content)
        return self.known[key]

    def _body(self, turn: Turn) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "messages": turn.messages}
        body[self.profile.cap_param] = turn.cap
        if self.effort:
            body["reasoning_effort"] = self.effort
        if self.temperature is not None:
            body["temperature"] = self.temperature
        if self.format.schema is not None and self.structured == "strict":
            schema = {"name": self.format.name, "strict": True, "schema": self.format.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.format.schema is not None and self.structured == "schema":
            body["response_format"] = {"type": "json_object", "schema": self.format.schema}
        elif self.format.schema is not None and self.structured == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body


def _failure(status: Status, detail: str, placed: tuple[LabelSpan, ...]) -> Reading:
    """A failed answer; after an answer with quotes that could not be placed, these remain what is wrong."""
    if not placed:
        return Reading(status, detail=detail)
    return Reading("unresolved", placed, f"asked again about quotes that were not found: {detail or status}")


def loops(content: str) -> bool:
    """Whether a text that was cut off had begun to repeat itself, numbers aside: more of it would be more of the same.

    The last characters are a period of up to 600 characters, at least twice, over at least 120 characters.
    """
    tail = regex.sub(r"\d+", "0", content)[-2 * _MOST_PERIOD :]
    for period in range(1, len(tail) // 2 + 1):
        times = max(2, -(-_LOOP_CHARS // period))
        if tail.endswith(tail[-period:] * times):
            return True
    return False


def _cut_off(cap: int, usage: Usage | None, looped: bool) -> str:
    """Where an answer was cut off."""
    if looped:
        return f"cut off at {cap:,} tokens while it repeated itself"
    if usage is not None and usage.output_tokens + 1 < cap:
        return (
            f"cut off after {usage.output_tokens:,} tokens, under the cap of {cap:,}: the window may be full"
        )
    return f"cut off at {cap:,} tokens"


def _ask_again(turn: Turn, content: str, why: str) -> Turn:
    said = {"role": "assistant", "content": content}
    return replace(
        turn, messages=[*turn.messages, said, {"role": "user", "content": _MALFORMED.format(why=why)}]
    )


def build_openai(options: str, endpoint: Endpoint) -> OpenAIAnnotator:
    """Make the annotator of ``openai:MODEL,effort=low,format=quotes,temperature=0,max_tokens=2048``.

    Args:
        options: What stands after the first colon: the model, then options.
        endpoint: Where it is asked. An option ``host`` names the host of answers recorded elsewhere.

    Raises:
        LabelError: No model is named, an option is unknown, out of range or not for this model.
        UnknownNameError: There is no such format.
        AnnotateError: The prompt file of an option ``prompt`` cannot be used.
    """
    model, _, rest = options.partition(",")
    if not model:
        raise LabelError("annotator openai: say which model, for instance openai:gpt-4o")
    given = parse_options("openai", rest, _OPTIONS)
    known = profile(model)
    effort = _effort(model, known, given.get("effort"))
    reasoning = bool(effort or known.efforts) and effort not in ("none", "minimal")
    usual_cap = CAP_REASONING if reasoning else CAP
    cap = whole("openai", "max_tokens", given.get("max_tokens", str(usual_cap)))
    if cap < 1:
        raise LabelError(f"annotator openai: max_tokens={cap} must be 1 or more")
    usual_temperature = 0.0 if known.known and _takes_temperature(known, effort) else None
    temperature = _temperature(model, known, effort, given["temperature"]) if "temperature" in given else None
    structured = given.get("structured", known.structured)
    if structured not in _STRUCTURED:
        raise UnknownNameError("way of structured output", structured, list(_STRUCTURED))
    prompt = given.get("prompt", "")
    label_format = make_format(given.get("format", ""), prompt)
    host = given.get("host", endpoint.host)
    unusual = {
        "effort": effort if effort != known.default_effort else "",
        "format": label_format.name if label_format.name != DEFAULT_FORMAT else "",
        "prompt": prompt,
        "temperature": f"{temperature:g}" if temperature not in (None, usual_temperature) else "",
        "max_tokens": str(cap) if cap != usual_cap else "",
        "structured": structured if structured != known.structured else "",
        "host": host if host != DEFAULT_HOST else "",
    }
    return OpenAIAnnotator(
        name=",".join([f"openai:{model}", *(f"{key}={unusual[key]}" for key in _OPTIONS if unusual[key])]),
        model=model,
        profile=known,
        format=label_format,
        endpoint=endpoint,
        host=host,
        effort=effort,
        temperature=usual_temperature if temperature is None else temperature,
        cap=cap,
        structured=structured,
    )


def _effort(model: str, profile: ModelProfile, given: str | None) -> str:
    if given is None:
        return profile.default_effort
    if profile.known and given not in profile.efforts:
        known = ", ".join(profile.efforts) or "none at all"
        raise LabelError(
            f"annotator openai: {model} takes no effort={given}; it takes: {known}"
            f" ({profile_place(model, 'efforts')})"
        )
    return given


def _takes_temperature(profile: ModelProfile, effort: str) -> bool:
    return profile.temperature == "always" or (profile.temperature == "effort_none" and effort == "none")


def _temperature(model: str, profile: ModelProfile, effort: str, given: str) -> float:
    value = number("openai", "temperature", given)
    if not 0 <= value <= 2:
        raise LabelError(f"annotator openai: temperature={given} must lie between 0 and 2")
    if not _takes_temperature(profile, effort):
        when = "with effort=none only" if profile.temperature == "effort_none" else "never"
        place = profile_place(model, "temperature")
        raise LabelError(f"annotator openai: {model} takes a temperature {when} ({place})")
    return value
