"""What is recorded of a body that came back, online or in a batch, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from annotate.online.completion import Completion, CompletionError, read_completion
from annotate.online.faults import PROMPT_CUT, Fault, read_fault
from annotate.outside import read_json, whole_characters
from annotate.protocol import Outcome, Response


def read_body(
    http: int,
    raw: str,
    request_id: str,
    model: str,
    read: Callable[[str], Completion] = read_completion,
) -> Outcome:
    """Read the body of a response to a request for a completion.

    Args:
        http: HTTP status.
        raw: The body, as received but for the key.
        request_id: The server's id of the request.
        model: The model asked, to be named in errors.
        read: Reads a body without an error; raises `CompletionError` where it is something else.

    Returns:
        What is recorded, without a price, and what to do. A body that holds an error is one whatever its status.
    """
    raw = whole_characters(raw)
    response = Response(status="error", raw=raw, http=http, request_id=request_id)
    fault = _fault(http, raw)
    if fault is not None:
        changes = {"status": fault.status, "detail": fault.explain(model), "code": fault.code}
        billed = http < 400 and fault.action == "retry"
        return Outcome(response.model_copy(update=changes), fault.action, maybe_billed=billed)
    try:
        said = read(raw)
    except CompletionError as error:
        broken = {"code": "no_completion", "detail": str(error)}
        return Outcome(response.model_copy(update=broken), "retry", maybe_billed=True)
    response = response.model_copy(
        update={"model": said.model, "fingerprint": said.fingerprint, "usage": said.usage}
    )
    if said.status == "error":
        changes = {
            "code": f"finish_{said.end}",
            "detail": f"the server gave up on its answer (finish_reason {said.end!r})",
        }
        return Outcome(response.model_copy(update=changes), "retry", maybe_billed=said.usage is None)
    changes = {"status": said.status, "detail": said.content if said.status == "refused" else ""}
    return Outcome(response.model_copy(update=changes), "answer")


def refuse_cut_prompt(outcome: Outcome, messages: Iterable[Mapping[str, str]]) -> Outcome:
    """An answer to a prompt that the server cut in silence is none: it is about another text.

    Some servers drop what does not fit into their window, or what their chat template has no place for. They give
    themselves away by their count of tokens: no tokenizer in use joins words over a space, so a prompt has as many
    tokens as words, or more.

    Args:
        outcome: What came back.
        messages: What was sent.

    Returns:
        The outcome; a failure that no further attempt mends where the server counted fewer tokens than words. What it
        billed stays. A count of 0 is read as none.
    """
    usage = outcome.response.usage
    if outcome.action != "answer" or usage is None or not usage.input_tokens:
        return outcome
    # Servers with Anthropic's names leave the cached tokens out of those of the input.
    counted = usage.input_tokens + usage.cached_tokens
    words = sum(len(message["content"].split()) for message in messages)
    if counted >= words:
        return outcome
    detail = (
        f"the server cut the prompt: it counted {counted:,} tokens where {words:,} words were sent; start it with a"
        " larger context window (n_ctx, num_ctx, --max-model-len), or with a chat template that keeps system messages"
    )
    changes = {"status": "error", "code": PROMPT_CUT, "detail": detail}
    return Outcome(outcome.response.model_copy(update=changes), "reject")


def _fault(http: int, raw: str) -> Fault | None:
    """The error a body holds; ``None`` where the status is good and the body holds none, or an answer too."""
    try:
        body = read_json(raw, mend=True)
    except ValueError:
        return read_fault(http, raw) if http >= 300 else None
    if http >= 300:
        return read_fault(http, body)
    is_error = isinstance(body, dict) and bool(body.get("error")) and not body.get("choices")
    return read_fault(http, body) if is_error else None
