"""The ledger: every attempt ever made, one line each, never changed. Labels are derived from it alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Literal

from typing_extensions import override

from annotate.errors import LabelError
from annotate.exclusive import ExclusiveLog
from annotate.files import read_records, sweep
from annotate.protocol import Request, Response
from annotate.schema import Paragraph, Record


class Attempt(Response):
    """One attempt: what was asked, of whom, and what came back before it was read.

    Attributes:
        schema_version: Version of this record.
        request_sha256: Identity of the request, see ``Request.sha256``.
        annotator: Name of the annotator.
        paragraph_id: The paragraph asked about.
        text_sha256: Checksum of its text.
        repeat: Which repetition, from 0.
        attempt: Which attempt at this request, from 1.
        prompt_sha256: Checksum of the prompt file it was asked with; empty where there is none.
    """

    schema_version: Literal[1]
    request_sha256: str
    annotator: str
    paragraph_id: str
    text_sha256: str
    repeat: int
    attempt: int
    prompt_sha256: str = ""


class Attempts:
    """Recorded attempts, found by annotator and request.

    Args:
        rows: Attempts in the order they were made.
    """

    def __init__(self, rows: list[Attempt]) -> None:
        self.rows: list[Attempt] = []
        self._by_request: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
        for row in rows:
            self.add(row)

    def add(self, row: Attempt) -> None:
        """Take in one more attempt."""
        self.rows.append(row)
        self._by_request[row.annotator, row.request_sha256].append(row)

    def count(self, annotator: str, request_sha256: str) -> int:
        """How often a request was made."""
        return len(self._by_request.get((annotator, request_sha256), ()))

    def answer(self, annotator: str, request_sha256: str) -> Attempt | None:
        """The last good answer, else the last one at all, else the last failure; ``None`` when never asked."""
        rows = self._by_request.get((annotator, request_sha256))
        if not rows:
            return None
        return max(reversed(rows), key=lambda row: (row.status == "ok", row.answered))


class RequestRecord(Record):
    """What an answer to a request is recorded as.

    Attributes:
        request_sha256: Identity of the request, `Request.sha256`.
        paragraph_id: The paragraph asked about.
        text_sha256: Checksum of its text.
        repeat: Which repetition, from 0.
        prompt_sha256: Checksum of the prompt file it is made with; empty where there is none.
    """

    request_sha256: str
    paragraph_id: str
    text_sha256: str
    repeat: int
    prompt_sha256: str = ""


def request_record(paragraph: Paragraph, request: Request) -> RequestRecord:
    """What the answer to ``request`` about ``paragraph`` is recorded as."""
    return RequestRecord(
        request_sha256=request.sha256,
        paragraph_id=paragraph.id,
        text_sha256=paragraph.text_sha256,
        repeat=request.repeat,
        prompt_sha256=request.origin.get("prompt_sha256", ""),
    )


def make_attempt(annotator: str, record: RequestRecord, response: Response, attempts: Attempts) -> Attempt:
    """The row that records ``response``, the next attempt at a request, to be appended to a ledger.

    Args:
        annotator: Name of the annotator.
        record: What was asked.
        response: What came back.
        attempts: What was recorded before.
    """
    return Attempt(
        **{name: getattr(response, name) for name in Response.model_fields},
        **{name: getattr(record, name) for name in RequestRecord.model_fields},
        schema_version=1,
        annotator=annotator,
        attempt=attempts.count(annotator, record.request_sha256) + 1,
    )


def read_ledger(path: Path) -> Attempts:
    """Read a ledger without locking it.

    Args:
        path: The ledger file; a file that does not exist is an empty ledger.

    Returns:
        Its attempts; a torn last line is left out.

    Raises:
        BenchmarkError: A line is not an attempt.
    """
    return Attempts(read_records(path, Attempt) if path.exists() else [])


def read_existing_ledger(path: Path) -> Attempts:
    """Read a ledger that must be there.

    Raises:
        LabelError: It is not.
        BenchmarkError: A line is not an attempt.
    """
    if not path.exists():
        raise LabelError(f"there is no ledger {path}; make one with: annotate label")
    return read_ledger(path)


class Ledger(ExclusiveLog):
    """A ledger opened for writing by this process alone; a context manager.

    Args:
        path: The ledger file, made if missing; a torn last line is cut off, and what a killed run left
            unfinished beside it is removed.

    Raises:
        LabelError: Another process is writing to it.
        BenchmarkError: A line is not an attempt.
        OSError: The file cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        busy = f"another process is writing to {path}; wait for it to end or use another --benchmark"
        super().__init__(path, LabelError(busy))

    @override
    def _load(self) -> None:
        for folder in (self.path.parent, self.path.parent / "labels"):
            sweep(folder)
        self.attempts = read_ledger(self.path)

    def append(self, row: Attempt) -> None:
        """Write one attempt as one line; on the disk after :meth:`sync`.

        Raises:
            OSError: It could not be written whole; the ledger is then as it was.
        """
        self._write(row.model_dump_json(exclude_defaults=True), sync=False)
        self.attempts.add(row)
