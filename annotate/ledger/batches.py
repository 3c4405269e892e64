"""What was handed to the Batch API: an append-only log, so that the process may die at any moment.

A shard is noted as ``prepared`` before anything is sent, as ``submitted`` when the server has named its batch, and
as ``ended`` when all that came back is in the ledger. One that never became a batch is ``abandoned``. Until it has
ended or is abandoned its requests wait: they are asked neither online nor in another batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from annotate.files import append_record, read_records, repair_tail
from annotate.ledger.ledger import RequestRecord
from annotate.schema import Record

Event = Literal["prepared", "submitted", "ended", "abandoned"]


class Line(RequestRecord):
    """One request of a shard.

    Attributes:
        custom_id: Its name in the batch.
    """

    custom_id: str


class Note(Record):
    """One event in the life of a shard.

    Attributes:
        event: What happened.
        shard: Name of the shard, which the batch carries as metadata.
        at: When, ISO 8601 in UTC.
        annotator: Name of the annotator; with ``prepared`` only, as the next three.
        model: Its model.
        base_url: Where the batch is made.
        lines: The requests, in the order of the file that is uploaded.
        batch_id: The server's name of the batch; with ``submitted`` only.
        status: How the batch ended, as the server says; with ``ended`` only.
        answered: Answers recorded, with ``ended`` only, as the next two.
        failed: Failed attempts recorded.
        unanswered: Requests that were not worked on.
        detail: What went wrong, for a person.
    """

    schema_version: Literal[1] = 1
    event: Event
    shard: str
    at: str
    annotator: str = ""
    model: str = ""
    base_url: str = ""
    lines: tuple[Line, ...] = ()
    batch_id: str = ""
    status: str = ""
    answered: int = 0
    failed: int = 0
    unanswered: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Shard:
    """A shard as its notes tell.

    Attributes:
        prepared: Its first note, with the requests.
        last: Its last note.
        batch_id: The server's name of the batch; empty while it is not known.
    """

    prepared: Note
    last: Note
    batch_id: str = ""

    @property
    def name(self) -> str:
        """Name of the shard."""
        return self.prepared.shard

    @property
    def waits(self) -> bool:
        """Whether answers may still come."""
        return self.last.event in ("prepared", "submitted")

    def told(self, note: Note) -> Shard:
        """The shard after one more note."""
        return replace(self, last=note, batch_id=note.batch_id or self.batch_id)


class BatchLog:
    """The log of one benchmark; written by whoever holds the lock on its ledger.

    Args:
        path: The file; a missing one is an empty log.

    Raises:
        BenchmarkError: A line is not a note.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shards: dict[str, Shard] = {}
        for note in read_records(path, Note) if path.exists() else []:
            self._take(note)

    def append(self, note: Note) -> None:
        """Write one note and wait until it is on the disk."""
        repair_tail(self.path)
        append_record(self.path, note)
        self._take(note)

    def _take(self, note: Note) -> None:
        shard = self.shards.get(note.shard)
        self.shards[note.shard] = shard.told(note) if shard else Shard(note, note)

    def open_shards(self) -> list[Shard]:
        """The shards from which answers may still come, oldest first."""
        return [shard for shard in self.shards.values() if shard.waits]

    def waiting(self, annotator: str) -> set[str]:
        """Checksums of the requests to ``annotator`` that wait in a shard."""
        return {
            line.request_sha256
            for shard in self.open_shards()
            if shard.prepared.annotator == annotator
            for line in shard.prepared.lines
        }


def now() -> str:
    """The time for a note, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
