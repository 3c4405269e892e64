"""Read the body of a chat completion: what was said, how it ended, what was billed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from annotate.protocol import Usage
from annotate.schema import Status

_STATUSES: dict[str, Status] = {"length": "truncated", "content_filter": "filtered"}


class CompletionError(ValueError):
    """A body is no chat completion; the text says why."""


@dataclass(frozen=True)
class Completion:
    """A chat completion.

    Attributes:
        status: ``ok``, or ``refused``, ``filtered`` or ``truncated``.
        content: What the model said; of a refusal, why.
        model: The model that answered, as the server names it.
        fingerprint: The server's fingerprint of its system.
        usage: Tokens billed, or ``None`` when the server does not say.
    """

    status: Status
    content: str
    model: str
    fingerprint: str
    usage: Usage | None


def read_completion(raw: str) -> Completion:
    """Read a body of ``/v1/chat/completions``.

    Args:
        raw: The body as received.

    Raises:
        CompletionError: It is something else, for instance a page of a proxy.
    """
    try:
        body = json.loads(raw)
    except ValueError:
        raise CompletionError(f"the body is not JSON: {shorten(raw)}") from None
    try:
        choice = body["choices"][0]
        message = choice["message"]
        refusal, content = message.get("refusal"), message.get("content")
    except (LookupError, TypeError, AttributeError):
        raise CompletionError(f"the body is no chat completion: {shorten(raw)}") from None
    status = "refused" if refusal else _STATUSES.get(str(choice.get("finish_reason")), "ok")
    return Completion(
        status=status,
        content=str(refusal or content or ""),
        model=str(body.get("model") or ""),
        fingerprint=str(body.get("system_fingerprint") or ""),
        usage=read_usage(body.get("usage")),
    )


def read_usage(usage: Any) -> Usage | None:
    """Tokens billed, from the ``usage`` of a body; ``None`` when it is missing or malformed."""
    try:
        details = usage.get("prompt_tokens_details") or {}
        reasoning = usage.get("completion_tokens_details") or {}
        return Usage(
            input_tokens=usage["prompt_tokens"],
            cached_tokens=details.get("cached_tokens") or 0,
            output_tokens=usage["completion_tokens"],
            reasoning_tokens=reasoning.get("reasoning_tokens") or 0,
        )
    except (AttributeError, LookupError, ValueError):
        return None


def shorten(text: str, length: int = 200) -> str:
    """The beginning of ``text`` on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}..."
