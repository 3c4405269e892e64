"""Rows in the schema of the hub's `deepmind/narrativeqa` and `allenai/sciq`, made into passages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annotate.errors import SourceError
from annotate.schema import Narrative, Science
from annotate.sources.base import Licence

NARRATIVE_COLUMNS = ("document.id", "document.summary.text")
SCIENCE_COLUMNS = ("question", "correct_answer", "support")
SAME_DOCUMENT = "narrative: another question about a document already read"

LICENCES = (
    Licence(
        "NarrativeQA document list and annotations",
        "apache-2.0",
        "Kočiský et al. 2018, The NarrativeQA Reading Comprehension Challenge. Only summaries are used; the "
        "stories and the questions about them are left out.",
    ),
    Licence(
        "NarrativeQA summaries",
        "cc-by-sa-3.0",
        "Written for Wikipedia by its contributors; copies of the data set may state further terms.",
    ),
    Licence(
        "SciQ questions, answers and supports",
        "cc-by-nc-3.0",
        "Welbl, Liu and Gardner 2017, Crowdsourcing Multiple Choice Science Questions. Non-commercial use.",
    ),
)


_MISSING = object()


@dataclass(frozen=True)
class Table:
    """Rows of one file or split; ``origin`` is what an error calls it."""

    origin: str
    rows: Iterable[Mapping[str, Any]]


def narratives(tables: Iterable[Table], source: str, split: str) -> tuple[list[Narrative], dict[str, int]]:
    """One narrative per document, from rows that each hold a question about one.

    Args:
        tables: Rows with ``document.id`` and ``document.summary.text`` (``title`` and ``url`` are optional).
        source: Name of the source, recorded in each passage.
        split: Name of the split, recorded in each passage.

    Returns:
        The narratives in order of their first row, and the rows left out by reason.

    Raises:
        SourceError: A column is missing or does not hold text.
    """
    by_document: dict[str, Narrative] = {}
    repeated = 0
    for number, place, row in _numbered(tables):
        document = _text(row, "document.id", place)
        if document in by_document:
            repeated += 1
            continue
        text = _text(row, "document.summary.text", place)
        by_document[document] = Narrative(
            source=source,
            split=split,
            row=number,
            document_id=document,
            title=_optional(row, "document.summary.title"),
            text=text,
            url=_optional(row, "document.summary.url"),
        )
    return list(by_document.values()), {SAME_DOCUMENT: repeated} if repeated else {}


def science(tables: Iterable[Table], source: str, split: str) -> list[Science]:
    """One science passage per row.

    Args:
        tables: Rows with ``question``, ``correct_answer`` and ``support``.
        source: Name of the source, recorded in each passage.
        split: Name of the split, recorded in each passage.

    Raises:
        SourceError: A column is missing or does not hold text.
    """
    return [
        Science(
            source=source,
            split=split,
            row=number,
            question=_text(row, "question", place),
            answer=_text(row, "correct_answer", place),
            support=_text(row, "support", place),
        )
        for number, place, row in _numbered(tables)
    ]


def _numbered(tables: Iterable[Table]) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    number = 0
    for table in tables:
        for within, row in enumerate(table.rows):
            yield number, f"{table.origin} row {within}", row
            number += 1


def _text(row: Mapping[str, Any], column: str, place: str) -> str:
    value = _value(row, column)
    if value is _MISSING:
        columns = ", ".join(_columns(row)) or "none"
        raise SourceError(f"{place}: column {column!r} is missing; columns found: {columns}")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SourceError(f"{place}: column {column!r} holds {type(value).__name__}, not text")
    return value.strip()


def _optional(row: Mapping[str, Any], column: str) -> str:
    value = _value(row, column)
    return "" if value is _MISSING else value or ""


def _value(row: Mapping[str, Any], column: str) -> Any:
    """What a column holds, nested as on the hub or flat under its whole name; `_MISSING` where it is not there."""
    if column in row:
        return row[column]
    value: Any = row
    for key in column.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return _MISSING
        value = value[key]
    return value


def _columns(row: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _columns(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
