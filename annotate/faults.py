"""What an HTTP error of the API means: whether to try again, give this request up, or stop the run."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

from annotate.completion import shorten
from annotate.profiles import profile_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from annotate.schema import Status

_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_FILTERED = frozenset({"content_policy_violation", "content_filter", "invalid_prompt"})
_UNSUPPORTED = frozenset({"unsupported_parameter", "unsupported_value"})
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
    """An HTTP error of the API.

    Attributes:
        http: Status, 400 or more.
        code: The error's code; empty when there is none.
        message: What the server says.
        param: The parameter it is about; empty when there is none.
    """

    http: int
    code: str
    message: str
    param: str

    @property
    def unstructured(self) -> bool:
        """Whether the endpoint does not take a schema for the answer."""
        about = self.param == "response_format" or any(
            word in self.message for word in ("response_format", "json_schema")
        )
        return self.http in (400, 422) and about

    @property
    def action(self) -> Literal["retry", "reject", "stop"]:
        """``retry``: another attempt may help; ``reject``: give this request up; ``stop``: give the run up."""
        if self.code in _QUOTA | _UNSUPPORTED or self.http in (401, 403, 404) or self.unstructured:
            return "stop"
        if self.http in (408, 409, 429) or self.http >= 500:
            return "retry"
        return "reject"

    @property
    def status(self) -> Status:
        """Status of the attempt."""
        return "filtered" if self.code in _FILTERED and self.action == "reject" else "error"

    def explain(self, model: str) -> str:
        """One sentence for a person: what was refused and what to do about it."""
        said = f"HTTP {self.http} {self.code}".rstrip() + (f": {self.message}" if self.message else "")
        if self.code in _QUOTA:
            return f"the quota of this key is used up ({said}); raise it, then run the same command again"
        if self.http == 401:
            return f"the key in OPENAI_API_KEY is not accepted ({said})"
        if self.http in (403, 404):
            return f"{model} cannot be used here: it is unknown, shut down or not open to this key ({said})"
        if self.code in _UNSUPPORTED and not self.unstructured:
            field = _FIELDS.get(self.param, "")
            edit = (
                f"edit {profile_place(model, field)}" if field else "leave it out of the annotator's options"
            )
            return f"{model} does not take {self.param or 'a parameter'} as sent ({said}); {edit}"
        if self.unstructured:
            return (
                f"the endpoint takes no schema for the answers of {model} ({said}); add structured=json_object"
                f" or structured=none to the annotator, or edit {profile_place(model, 'structured')}"
            )
        if self.code == "context_length_exceeded":
            return f"the prompt is longer than the window of {model} ({said})"
        return said


def read_fault(http: int, body: object) -> Fault:
    """Read an error of the API.

    Args:
        http: Status, 400 or more.
        body: The ``error`` object of the body, or what came instead.
    """
    error: dict[str, Any] = body if isinstance(body, dict) else {"message": body}
    error = error["error"] if isinstance(error.get("error"), dict) else error
    message = error.get("message") or error.get("error") or error.get("detail") or ""
    return Fault(http, str(error.get("code") or ""), shorten(str(message)), str(error.get("param") or ""))


def may_pass(http: int | None, code: str) -> bool:
    """Whether a failed attempt that is recorded with this status and code may succeed another time."""
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
