"""The files of the Batch API: lines that ask, and lines that answer. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from annotate.errors import LabelError
from annotate.ledger.batches import Line
from annotate.ledger.ledger import Attempts, request_record
from annotate.ledger.pending import Ask
from annotate.online.recorded import read_body
from annotate.outside import read_json
from annotate.protocol import Response

MOST_LINES = 50_000
"""Most requests that the API takes in one batch."""
MOST_BYTES = 200_000_000
"""Most bytes of one file."""
ENDPOINT: Final = "/v1/chat/completions"
NOT_WORKED_ON = frozenset({"batch_expired", "batch_cancelled"})
"""Codes of requests that the batch did not come to; they cost nothing."""


@dataclass(frozen=True)
class Part:
    """A file to upload, the requests in it, and what its lines stand for, in the same order."""

    text: str
    asks: tuple[Ask, ...]
    lines: tuple[Line, ...]


def cut(
    asks: Sequence[Ask],
    annotator: str,
    attempts: Attempts,
    most_lines: int = MOST_LINES,
    most_bytes: int = MOST_BYTES,
) -> Iterator[Part]:
    """Cut requests into files that the API takes.

    Args:
        asks: The requests of one model, each once.
        annotator: Whom they go to.
        attempts: What was recorded before; a request that is made again gets another name.
        most_lines: Most requests in a file.
        most_bytes: Most bytes of a file.

    Raises:
        LabelError: A single request is larger than a file may be.
    """
    taken: list[tuple[str, Ask, Line]] = []
    size = 0
    for ask in asks:
        line = _line(ask, attempts.count(annotator, ask.request.sha256) + 1)
        asked = {"custom_id": line.custom_id, "method": "POST", "url": ENDPOINT, "body": ask.request.body}
        text = json.dumps(asked, ensure_ascii=False) + "\n"
        length = len(text.encode("utf-8"))
        if length > most_bytes:
            raise LabelError(f"the request about {ask.paragraph.id} is larger than a batch file may be")
        if taken and (len(taken) == most_lines or size + length > most_bytes):
            yield _part(taken)
            taken, size = [], 0
        taken.append((text, ask, line))
        size += length
    if taken:
        yield _part(taken)


def _part(taken: Sequence[tuple[str, Ask, Line]]) -> Part:
    texts, asks, lines = zip(*taken, strict=True)
    return Part("".join(texts), asks, lines)


def _line(ask: Ask, attempt: int) -> Line:
    record = request_record(ask.paragraph, ask.request)
    return Line(custom_id=custom_id(ask, attempt), **record.model_dump())


def custom_id(ask: Ask, attempt: int) -> str:
    """A name of a request within its batch: at most 64 of the characters ``A-Za-z0-9_.-``.

    It starts with the paragraph, for people; the 96 bits of the request's checksum make it unique.
    """
    paragraph = re.sub(r"[^A-Za-z0-9_-]", "-", ask.paragraph.id)[:24]
    return f"{paragraph}.{ask.request.repeat % 10**4}.{ask.request.sha256[:24]}.{attempt % 10**6}"


@dataclass(frozen=True)
class Answer:
    """One line that came back.

    Attributes:
        custom_id: The request it answers.
        worked_on: Whether the batch came to the request at all.
        response: What is recorded, still without a price.
    """

    custom_id: str
    worked_on: bool
    response: Response


def read_answers(text: str, model: str) -> Iterator[tuple[int, Answer | None]]:
    """Read a file of output or errors.

    Args:
        text: The file.
        model: The model asked, to be named in errors.

    Yields:
        Line number and answer; ``None`` where a line is not what the API sends.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _read_answer(line, model)


def _read_answer(line: str, model: str) -> Answer | None:
    try:
        row = read_json(line, mend=True)
        name, got, error = str(row["custom_id"]), row.get("response"), row.get("error") or {}
        if got is None:
            return Answer(name, error.get("code") not in NOT_WORKED_ON, _unanswered(error))
        raw = json.dumps(got.get("body"), ensure_ascii=False, separators=(",", ":"))
        request_id = str(got.get("request_id") or "")
        return Answer(name, True, read_body(int(got["status_code"]), raw, request_id, model).response)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _unanswered(error: dict[str, Any]) -> Response:
    detail, code = str(error.get("message") or ""), str(error.get("code") or "")
    return Response(status="error", detail=detail or code, code=code)


def describe_errors(errors: Iterable[Any], lines: Sequence[Line]) -> str:
    """What the API found wrong with a file, with the paragraph that each fault is about.

    Args:
        errors: Entries with ``code``, ``line`` (from 1), ``message`` and ``param``.
        lines: The lines of the file.
    """
    faults = []
    for error in errors:
        number = error.line
        known = number is not None and 1 <= number <= len(lines)
        place = f"line {number} ({lines[number - 1].paragraph_id}): " if known else ""
        faults.append(f"{place}{error.code}: {error.message}")
    shown = "; ".join(faults[:3])
    return f"{shown}; and {len(faults) - 3:,} more" if len(faults) > 3 else shown
