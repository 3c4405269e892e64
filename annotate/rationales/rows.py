"""Rows of a benchmark from a file or the hub. A row that is no good is named, and does not end the reading."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from annotate.errors import RowsError, UnusableRowError
from annotate.files import file_hash

T = TypeVar("T")

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
NOT_UTF8 = "not UTF-8"


@dataclass(frozen=True)
class Row:
    """One row as it was found.

    Attributes:
        number: Its line in a file of lines, else its position, from 1; examples are called after it.
        place: What a report calls it: `line 3` or `row 3`.
        values: Its fields.
        problem: Why it has no fields; empty where it has.
    """

    number: int
    place: str
    values: Mapping[str, Any]
    problem: str = ""


@dataclass(frozen=True)
class Rows:
    """Rows with what they came from.

    Attributes:
        source: What the task records: a hub name with revision, a file with its checksum, or `sample`.
        read: Reads the rows from the first on, as they are asked for.
    """

    source: str
    read: Callable[[], Iterable[Row]]


def file_rows(path: Path) -> Rows:
    """The rows of a JSON Lines, JSON (a list of objects), CSV (with a header) or parquet file.

    Args:
        path: The file; its name's ending says which of them it is.

    Raises:
        RowsError: It is missing, empty or of another kind, at once; it is torn or holds no rows, when read.
    """
    source = checked_source(path, SUFFIXES)
    read = {".jsonl": _json_lines, ".json": _json_list, ".csv": _csv_rows, ".parquet": _parquet_rows}
    return Rows(source, partial(read[path.suffix], path))


# What a file begins with that is no text, whatever its name says.
_SIGNATURES = {
    b"\x1f\x8b": "gzip data; unpack it first (gunzip)",
    b"PK\x03\x04": "a zip archive; unpack it first (unzip)",
    b"PAR1": "parquet; let its name end with .parquet",
    b"GGUF": "the weights of a model; it goes to --model",
}


def checked_source(path: Path, suffixes: tuple[str, ...]) -> str:
    """The name of a file with its checksum.

    Args:
        path: The file.
        suffixes: The endings its name may have.

    Raises:
        RowsError: It is missing, empty, unreadable, its name ends otherwise, or its first bytes say otherwise.
    """
    if not path.exists():
        raise RowsError(f"{path} does not exist; --source takes sample, hub, or the path of a file")
    other = f"{path} is no {', '.join(suffixes)} file; save the rows as one of them"
    if not path.is_file():
        raise RowsError(other)
    try:
        if path.stat().st_size == 0:
            raise RowsError(f"{path} is empty; name a file that holds rows")
        found = signature(path)
        if found and not (path.suffix == ".parquet" and found.startswith("parquet")):
            raise RowsError(f"{path} is {found}")
        if path.suffix not in suffixes:
            raise RowsError(other)
        return f"{path} sha256:{file_hash(path)}"
    except OSError as error:
        raise RowsError(f"{path} cannot be read: {error.strerror}; mend its permissions") from error


def signature(path: Path) -> str:
    """What a file that is no text is, and what to do with it; empty where its first bytes do not say."""
    with path.open("rb") as file:
        start = file.read(4)
    return next((what for magic, what in _SIGNATURES.items() if start.startswith(magic)), "")


def text_lines(path: Path) -> Iterator[Row]:
    """The lines of a text file that hold anything, each with its text in the field `line`."""
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield Row(number, f"line {number}", {"line": line.decode("utf-8")})
        except UnicodeDecodeError:
            yield Row(number, f"line {number}", {}, NOT_UTF8)


def _json_lines(path: Path) -> Iterator[Row]:
    for row in text_lines(path):
        if row.problem:
            yield row
            continue
        try:
            value = json.loads(row.values["line"])
        except (ValueError, RecursionError):
            yield Row(row.number, row.place, {}, "not JSON")
            continue
        yield _object_row(row.number, row.place, value)


def json_of(path: Path) -> object:
    """What a JSON file holds.

    Raises:
        RowsError: It is not UTF-8, or not JSON.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RowsError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise RowsError(
            f"{path} is not JSON ({error}); one object a line belongs into a .jsonl file"
        ) from error


def parts_of(value: Mapping[str, Any], *fields: str) -> Iterator[Mapping[str, Any]]:
    """The objects in the lists that a field holds, and so on through further fields; what is none is passed over."""
    field, *rest = fields
    inside = value.get(field)
    for item in inside if isinstance(inside, list) else []:
        if isinstance(item, Mapping):
            yield from parts_of(item, *rest) if rest else [item]


def _json_list(path: Path) -> Iterator[Row]:
    value = json_of(path)
    if not isinstance(value, list):
        raise RowsError(
            f"{path} holds {'one object' if isinstance(value, Mapping) else type(value).__name__}, not a list of"
            " objects; wrap the rows in [ ], or name the set that a file of this shape is of"
        )
    yield from (_object_row(number, f"row {number}", item) for number, item in enumerate(value, start=1))


def _object_row(number: int, place: str, value: object) -> Row:
    if not isinstance(value, Mapping):
        return Row(number, place, {}, "not a JSON object")
    return Row(number, place, value)


def _csv_rows(path: Path) -> Iterator[Row]:
    # What is not UTF-8 becomes lone surrogates, so that the row it stands in can be named.
    text = path.read_bytes().decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for number, values in enumerate(reader, start=1):
            extra = values.pop(None, None)  # where cells beyond the header go
            problem = "" if extra is None else "more cells than the header"
            if not all(is_unicode(cell or "") for cell in values.values()):
                problem = NOT_UTF8
            yield Row(number, f"row {number}", {} if problem else values, problem)
    except csv.Error as error:
        raise RowsError(f"{path} is not CSV near line {reader.line_num} ({error}); save it again") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, f"row {number}", values)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise RowsError(f"{path} cannot be read as parquet ({error}); save it again") from error


def is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8, which half of a surrogate pair cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def text_of(row: Row, field: str) -> str:
    """The text in a field, exactly as it stands there.

    Raises:
        UnusableRowError: The field is missing, no text, or blank.
    """
    value = row.values.get(field)
    if value is None:
        raise UnusableRowError(f"field {field!r} is missing")
    return checked_text(value, field)


def checked_text(value: object, field: str) -> str:
    """`value` if it is text that says something.

    Raises:
        UnusableRowError: It is no text, or blank.
    """
    if not isinstance(value, str):
        raise UnusableRowError(f"field {field!r} holds {type(value).__name__}, not text")
    if not value.strip():
        raise UnusableRowError(f"field {field!r} is empty")
    if not is_unicode(value):
        raise UnusableRowError(f"field {field!r} is not Unicode text")
    return value


def list_of(row: Row, field: str) -> list[Any]:
    """The list in a field; a CSV cell holds it as JSON.

    Raises:
        UnusableRowError: The field is missing or no list.
    """
    value = row.values.get(field)
    if value is None:
        raise UnusableRowError(f"field {field!r} is missing")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise UnusableRowError(f"field {field!r} holds text, not a list") from None
    if not isinstance(value, list):
        raise UnusableRowError(f"field {field!r} holds {type(value).__name__}, not a list")
    return value


def convert(
    task: str, rows: Rows, make: Callable[[Row], T], schema: str, limit: int | None = None
) -> tuple[tuple[T, ...], dict[str, tuple[str, ...]]]:
    """Make something, as a rule an example, of every row that allows it.

    Args:
        task: The name of the benchmark, for errors.
        rows: The rows; with a limit, no more are read than it takes.
        make: Makes one, or raises `UnusableRowError` with the reason.
        schema: What a row should hold, for errors.
        limit: How many to make at most.

    Returns:
        What was made, in the order of the rows, and the places of the rows left out, by reason.

    Raises:
        RowsError: There are no rows, or none of them can be used.
    """
    made: list[T] = []
    places: dict[str, list[str]] = {}
    for row in rows.read():
        try:
            if row.problem:
                raise UnusableRowError(row.problem)
            made.append(make(row))
        except UnusableRowError as error:
            places.setdefault(str(error), []).append(row.place)
        if limit is not None and len(made) >= limit:
            break
    left_out = {reason: tuple(ids) for reason, ids in sorted(places.items())}
    if made:
        return tuple(made), left_out
    if not left_out:
        raise RowsError(f"{rows.source} holds no rows; for {task} a row holds: {schema}")
    raise RowsError(
        f"no row of {rows.source} can be used: {reasons_of(left_out)}; for {task} a row holds: {schema}"
    )


def reasons_of(left_out: Mapping[str, Sequence[str]]) -> str:
    """Why rows were left out, how many for each reason, and one of them."""
    return "; ".join(f"{reason} ({len(ids)}, such as {ids[0]})" for reason, ids in left_out.items())
