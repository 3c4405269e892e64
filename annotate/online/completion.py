"""Read the body of a chat completion: what was said, how it ended, what was billed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annotate.outside import read_json, whole_characters
from annotate.protocol import Usage
from annotate.schema import Status

_ENDS: dict[str, Status] = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "truncated"),
    **dict.fromkeys(
        ("content_filter", "safety", "sensitive", "recitation", "prohibited_content"), "filtered"
    ),
    **dict.fromkeys(("error", "failed", "abort", "aborted", "cancelled", "canceled"), "error"),
    **dict.fromkeys(("network_error", "insufficient_system_resource"), "error"),
}
"""What the ways to end an answer mean; servers have names of their own. Any other is an answer."""
_SPOKEN = ("text", "output_text")
_MOST_TOKENS = 10**12


class CompletionError(ValueError):
    """A body is not a chat completion; the text says why."""


@dataclass(frozen=True)
class Completion:
    """A chat completion.

    Attributes:
        status: ``ok``; ``refused``, ``filtered`` or ``truncated``; ``error`` where the server gave up on the way.
        content: What the model said; of a refusal, why.
        end: Why the answer ended, as the server names it.
        model: The model that answered, as the server names it.
        fingerprint: The server's fingerprint of its system.
        usage: Tokens billed, or ``None`` when the server does not say.
    """

    status: Status
    content: str
    end: str
    model: str
    fingerprint: str
    usage: Usage | None


def read_completion(raw: str) -> Completion:
    """Read a body of ``/v1/chat/completions``.

    Args:
        raw: The body as received. Half a surrogate pair in it is read as U+FFFD.

    Raises:
        CompletionError: It is something else, for instance a page of a proxy.
    """
    try:
        body = read_json(raw, mend=True)
    except ValueError:
        raise CompletionError(f"the body is not JSON: {shorten(raw)}") from None
    try:
        choice = body["choices"][0]
        message = choice["message"]
        content, refusal = _said(message.get("content"))
        refusal = str(message.get("refusal") or refusal)
        end = "error" if choice.get("error") else str(choice.get("finish_reason") or "")
    except (LookupError, TypeError, AttributeError):
        raise CompletionError(f"the body is no chat completion: {shorten(raw)}") from None
    return Completion(
        status="refused" if refusal else _ENDS.get(end.casefold(), "ok"),
        content=refusal or content,
        end=end,
        model=str(body.get("model") or ""),
        fingerprint=str(body.get("system_fingerprint") or ""),
        usage=read_usage(body.get("usage")),
    )


def _said(content: Any) -> tuple[str, str]:
    """What the content of a message says, and what it refuses: text, or parts of which some are thoughts."""
    if isinstance(content, dict) and "type" not in content:
        return json.dumps(content, ensure_ascii=False), ""  # the server has read the answer's JSON
    parts = content if isinstance(content, list) else [content]
    spoken, refused = [], []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "refusal":
            refused.append(str(part.get("refusal") or "refused"))
        elif kind in _SPOKEN:
            text = part.get("text")
            spoken.append(str((text.get("value") if isinstance(text, dict) else text) or ""))
        elif part is not None and not isinstance(part, dict):
            spoken.append(str(part))
    return "".join(spoken), " ".join(refused)


def read_usage(usage: Any) -> Usage | None:
    """Tokens billed, from the ``usage`` of a body, by the names that servers use.

    Args:
        usage: Any JSON value.

    Returns:
        The tokens, or ``None`` when what was sent or received is missing or malformed: never 0 for unknown.
    """
    if not isinstance(usage, dict):
        return None
    details = _first(usage, "prompt_tokens_details", "input_tokens_details")
    reasoning = _first(usage, "completion_tokens_details", "output_tokens_details")
    cached = _first(details, "cached_tokens")
    if cached is None:
        cached = _first(usage, "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens")
    try:
        tokens = Usage(
            input_tokens=_first(usage, "prompt_tokens", "input_tokens"),
            cached_tokens=cached or 0,
            output_tokens=_first(usage, "completion_tokens", "output_tokens"),
            reasoning_tokens=_first(reasoning, "reasoning_tokens") or 0,
        )
    except ValueError:
        return None
    counts = tokens.model_dump().values()
    return tokens if min(counts) >= 0 and max(counts) <= _MOST_TOKENS else None


def _first(value: Any, *names: str) -> Any:
    """The first of some fields that is there and not null."""
    values = (value.get(name) for name in names) if isinstance(value, Mapping) else iter(())
    return next((field for field in values if field is not None), None)


def shorten(text: str, length: int = 200) -> str:
    """The beginning of ``text`` on one line, without half surrogate pairs."""
    line = " ".join(whole_characters(text[: 10 * length]).split())
    return line if len(line) <= length else f"{line[:length]}..."
