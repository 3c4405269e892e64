"""What an HTTP error of the API means: whether to try again, give this request up, or stop the run."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

import regex

from annotate.online.completion import shorten
from annotate.online.profiles import profile_place
from annotate.outside import whole_characters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from annotate.schema import Status

UNREACHABLE = "unreachable"
"""Code of an attempt that never reached a server."""
PROMPT_CUT = "prompt_cut"
"""Code of an answer to a prompt of which the server read a part only."""
_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "exceeded_current_quota_error"})
# Not "quota" alone: that is also what a limit a minute is called, which passes.
_PENNILESS = regex.compile(
    r"insufficient (account )?(balance|credits?|funds)|insufficient_(balance|credits?|funds)"
    r"|(balance|credits?|funds) (is |are )?(insufficient|exhausted|too low|not enough|used up)"
    r"|(not enough|out of|no more|used all available) (credits?|balance|funds)|(credit|spend(ing)?) limit"
    r"|billing (hard )?limit|payment required|in arrears|arrearage|余额不足|欠费",
    regex.IGNORECASE,
)
_FILTERED = frozenset({"content_policy_violation", "content_filter", "invalid_prompt"})
_WINDOW = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_UNSUPPORTED = frozenset({"unsupported_parameter", "unsupported_value"})
# FastAPI servers that refuse a field: vLLM's and Mistral's pydantic models, and `transformers serve`.
_EXTRA = regex.compile(
    r"unexpected fields|extra (inputs|fields)|unrecognized request argument", regex.IGNORECASE
)
_UNKNOWN_MODEL = regex.compile(r"^Server is pinned to ")
_FIELDS = {
    "temperature": "temperature",
    "max_tokens": "cap_param",
    "max_completion_tokens": "cap_param",
    "reasoning_effort": "efforts",
    "response_format": "structured",
}
"""Parameters of a request, and the field of the model's profile that decides whether they are sent."""


@dataclass(frozen=True)
class Fault:
    """An error of the API.

    Attributes:
        http: Status; below 400 where the error came in a body that should have been an answer.
        code: The error's code; empty when there is none.
        message: What the server says.
        param: The parameter it is about; empty when there is none.
        kind: The error's type; empty when there is none.
    """

    http: int
    code: str
    message: str
    param: str
    kind: str = ""

    @property
    def meant(self) -> int:
        """The status that is meant: the code, where the status is good and the code is one."""
        is_status = regex.fullmatch(r"[45]\d\d", self.code) is not None
        return int(self.code) if self.http < 400 and is_status else self.http

    @property
    def penniless(self) -> bool:
        """Whether the account can pay for nothing more, which no waiting mends."""
        told = bool(_QUOTA & {self.code, self.kind}) or self.meant == 402
        return told or _PENNILESS.search(f"{self.code} {self.kind} {self.message}") is not None

    @property
    def unstructured(self) -> bool:
        """Whether the endpoint does not take a schema for the answer.

        llama-cpp-python says so with status 500, which elsewhere is a fault that passes.
        """
        about = self.param == "response_format" or any(
            word in self.message for word in ("response_format", "json_schema")
        )
        return about and (self.meant in (400, 422) or (self.meant == 500 and "validation" in self.message))

    @property
    def unsupported(self) -> bool:
        """Whether a parameter is refused."""
        extra = self.kind == "extra_forbidden" or _EXTRA.search(self.message) is not None
        return self.code in _UNSUPPORTED or (self.meant in (400, 422) and extra)

    @property
    def unknown_model(self) -> bool:
        """Whether the model is not to be had here."""
        return (
            self.meant in (403, 404)
            or self.code == "model_not_found"
            or _UNKNOWN_MODEL.search(self.message) is not None
        )

    @property
    def action(self) -> Literal["retry", "reject", "stop"]:
        """``retry``: another attempt may help; ``reject``: give this request up; ``stop``: give the run up."""
        if self.penniless or self.unsupported or self.meant == 401 or self.unknown_model or self.unstructured:
            return "stop"
        if 300 <= self.meant < 400:
            return "stop"
        if self.meant in (408, 409, 429) or self.meant >= 500 or self.meant < 400:
            return "retry"
        return "reject"

    @property
    def status(self) -> Status:
        """Status of the attempt."""
        return "filtered" if self.code in _FILTERED and self.action == "reject" else "error"

    def explain(self, model: str) -> str:
        """One sentence for a person: what was refused and what to do about it."""
        code = "" if self.code == str(self.http) else self.code
        said = f"HTTP {self.http} {code}".rstrip() + (f": {self.message}" if self.message else "")
        if self.penniless:
            return f"the quota or balance of this key is used up ({said}); raise it, then re-run the command"
        if self.meant == 401:
            return f"the key in OPENAI_API_KEY is not accepted ({said})"
        if 300 <= self.meant < 400:
            return f"the server sends requests on without saying where ({said}); check --base-url"
        if self.meant == 404 and not self.code and self.message.casefold() in ("", "not found"):
            return f"nothing answers at this address ({said}); check --base-url, which mostly ends in /v1"
        if self.unknown_model:
            return f"{model} cannot be used here: it is unknown, shut down or not open to this key ({said})"
        if self.unsupported and not self.unstructured:
            field = _FIELDS.get(self.param, "")
            edit = (
                f"edit {profile_place(model, field)}" if field else "leave it out of the annotator's options"
            )
            return f"{model} does not take {self.param or 'a parameter'} as sent ({said}); {edit}"
        if self.unstructured:
            return (
                f"the endpoint takes no schema for the answers of {model} in this form ({said}); add"
                " structured=schema, structured=json_object or structured=none to the annotator, or edit"
                f" {profile_place(model, 'structured')}"
            )
        if _WINDOW & {self.code, self.kind}:
            return f"the prompt is longer than the window of {model} ({said})"
        return said


def read_fault(http: int, body: object) -> Fault:
    """Read an error of the API.

    Args:
        http: Status.
        body: The body, its ``error`` object, or what came instead.
    """
    error: dict[str, Any] = body if isinstance(body, dict) else {"message": body}
    error = error["error"] if isinstance(error.get("error"), dict) else error
    message = error.get("message") or error.get("error") or error.get("detail") or ""
    if isinstance(message, list) and message and isinstance(message[0], dict):  # of FastAPI: an entry a field
        first = message[0]
        place = [str(part) for part in first.get("loc") or ()]
        error = {
            "param": next((part for part in place if part in _FIELDS), place[-1] if place else "")
        } | first
        message = f"{'.'.join(place)}: {first.get('msg')}"
    code, param, kind = (whole_characters(str(error.get(name) or "")) for name in ("code", "param", "type"))
    return Fault(http, code, shorten(str(message)), param, kind)


def may_pass(http: int | None, code: str) -> bool:
    """Whether a failed attempt that is recorded with this status and code may succeed another time."""
    if code == PROMPT_CUT:
        return False
    return http is None or http < 400 or Fault(http, code, "", "").action != "reject"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to wait, however many; ``None`` when it does not ask.

    A date is read against the server's own clock (header ``Date``), never against ours.
    """
    milliseconds, after = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        return max(0.0, float(after)) if after else None
    except ValueError:
        pass
    try:
        wait = parsedate_to_datetime(str(after)) - parsedate_to_datetime(headers.get("date") or "")
    except (ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())
