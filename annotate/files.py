"""Reading and writing that loses nothing: atomic files, fsynced append-only logs, shipped data."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from annotate.errors import AnnotateError, BenchmarkError
from annotate.outside import no_text

T = TypeVar("T", bound=BaseModel)

_UNFINISHED = ".part"


def shipped(name: str) -> Path:
    """The folder or file ``name`` of the data that ships with the project.

    Args:
        name: Path below ``data/``, for instance ``"world"``.

    Returns:
        Its path in the checkout, or beside the installed packages.

    Raises:
        AnnotateError: The installation lacks it.
    """
    root = Path(__file__).resolve().parent.parent
    for folder in ("heat_alignment_data", "data"):
        if (root / folder / name).exists():
            return root / folder / name
    raise AnnotateError(f"the installation lacks its data {name!r}; install heat-alignment again")


def write_atomic(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8 so that a reader sees the old file or the new one, never a part.

    Raises:
        OSError: The disk is full or the folder cannot be written; ``path`` is then as it was.
    """
    write_atomic_bytes(path, text.encode("utf-8"))


def write_atomic_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a part.

    Raises:
        OSError: The disk is full or the folder cannot be written; ``path`` is then as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "this is a file, not a folder", str(path.parent)) from error
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # not the unfinished file's name
        raise


def sweep(folder: Path, pattern: str = f".*{_UNFINISHED}") -> None:
    """Remove the unfinished files that a killed process left in ``folder``.

    Only for who holds the lock on what is in it: the unfinished file of a living writer would go too.

    Args:
        folder: The folder; it need not exist.
        pattern: Names of unfinished files; by default those of `write_atomic`.
    """
    for path in folder.glob(pattern):
        path.unlink(missing_ok=True)


def write_records(path: Path, records: Iterable[BaseModel]) -> None:
    """Write ``records`` to ``path`` atomically, one JSON object per line."""
    write_atomic(path, "".join(record.model_dump_json() + "\n" for record in records))


def repair_tail(path: Path) -> None:
    """Cut a torn last line off an append-only file, so that the next append starts on a line of its own."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as stream:
            stream.truncate(whole)
            os.fsync(stream.fileno())


def append_record(path: Path, record: BaseModel) -> None:
    """Append ``record`` to ``path`` as one line and fsync before returning."""
    append_records(path, [record])


def append_records(path: Path, records: Sequence[BaseModel]) -> None:
    """Append ``records`` to ``path``, one line each, with one write and one fsync before returning.

    Raises:
        OSError: The disk is full or the file cannot be written; names ``path``.
    """
    append_lines(path, [record.model_dump_json() for record in records])


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Append ``lines``, which have no ends yet, to ``path`` with one write and one fsync before returning.

    Raises:
        OSError: The disk is full or the file cannot be written; names ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        append_whole(handle, path, lines, sync=True)
    finally:
        os.close(handle)


def append_whole(handle: int, path: Path, lines: Sequence[str], *, sync: bool) -> None:
    """Append ``lines``, which have no ends yet, to an open file: all of them or, when the disk is full, none.

    Args:
        handle: Descriptor of the file, opened for appending.
        path: The file, for errors.
        lines: What to write.
        sync: Whether to wait until they are on the disk.

    Raises:
        OSError: They could not be written whole; names ``path``, and the file is as it was.
    """
    data = "".join(f"{line}\n" for line in lines).encode("utf-8")
    size = os.fstat(handle).st_size
    try:
        while data:
            data = data[os.write(handle, data) :]
        if sync:
            os.fsync(handle)
    except OSError as error:
        with contextlib.suppress(OSError):  # a device has no length
            os.ftruncate(handle, size)
        error.filename = str(path)
        raise


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield ``(line number, line)`` of a jsonl file, leaving out a torn last line.

    Raises:
        BenchmarkError: The file is missing, no text or not UTF-8.
    """
    if not path.is_file():
        raise BenchmarkError(f"{path} does not exist")
    if other := no_text(path):
        raise BenchmarkError(other)
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            yield number, line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BenchmarkError(f"{path} line {number} is not UTF-8 (byte {error.start})") from error


def read_records(path: Path, record: type[T]) -> list[T]:
    """Read a jsonl file of ``record``.

    Returns:
        The records in file order; a torn last line is left out.

    Raises:
        BenchmarkError: The file is missing, not UTF-8, or a line does not fit the schema.
    """
    records = []
    for number, line in read_lines(path):
        try:
            records.append(record.model_validate_json(line))
        except ValidationError as error:
            raise BenchmarkError(f"{path} line {number} {_misfit(error, record)}") from error
    return records


def _misfit(error: ValidationError, record: type[BaseModel]) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if place == "schema_version" and first["type"] == "literal_error":
        return f"has schema version {first['input']}, which this release does not read; use the release that made it"
    name = record.__name__.lower()
    return " ".join(f"is no {name} record: {place} {first['msg']}".split())


def read_whole(path: Path, record: type[T], remedy: str) -> list[T]:
    """Read a jsonl file that was written at once: unlike in a log, a torn last line is nothing to live with.

    Args:
        path: The file.
        record: What every line holds.
        remedy: What to do about a torn file.

    Raises:
        BenchmarkError: As `read_records`, or the last line is torn.
    """
    if path.is_file() and path.stat().st_size and path.read_bytes()[-1:] != b"\n":
        raise BenchmarkError(f"{path} is torn: it ends within a line; {remedy}")
    return read_records(path, record)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_hash(value: object) -> str:
    """SHA-256 of ``value`` as JSON with sorted keys and no spaces, as 64 hex digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
