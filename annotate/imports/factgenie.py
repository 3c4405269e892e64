"""Annotations of a factgenie campaign: the JSONL files of its folder `files`.

factgenie's page counts UTF-16 code units from the start of a text, and shows texts as HTML: `annotate export` escapes
them, so what is annotated is unescaped here.
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotate.errors import LabelError
from annotate.imports.answers import ParseResult
from annotate.imports.markings import Marking, answers_of, region
from annotate.imports.regions import from_utf16
from annotate.outside import no_text, read_json
from annotate.schema import Paragraph, text_hash

FORMAT = "factgenie"


def parse_factgenie(
    path: Path, paragraphs: Sequence[Paragraph], completed_by: Sequence[str] = ()
) -> ParseResult:
    """Read the annotations of one person, and check every span.

    Args:
        path: A JSONL file of a campaign, or a folder of them: the campaign's, or its folder ``files``.
        paragraphs: The paragraphs of the benchmark.
        completed_by: Whose annotations to read, by ``annotator_id``; several are read as one. Everyone's when empty,
            which must be one's.

    Raises:
        LabelError: There is no such file, a record is something else, of no paragraph here, or one of two of the same
            paragraph; or a span does not mark the text it carries. The message names the place.
        OSError: A file cannot be read.
    """
    by_text: dict[str, list[Paragraph]] = defaultdict(list)
    for paragraph in paragraphs:
        by_text[paragraph.text_sha256].append(paragraph)
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise LabelError(f"{path} holds no .jsonl file; name the campaign's folder, or its folder files")
    markings = [_marking(record, by_text, place) for file in files for record, place in _records(file)]
    return answers_of(markings, completed_by, path, FORMAT)


def _records(file: Path) -> Iterator[tuple[dict[str, Any], str]]:
    if other := no_text(file):
        raise LabelError(other)
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        place = f"{file} line {number}"
        if not line.strip():
            continue
        try:
            record = read_json(line, mend=True)  # half an emoji may be marked
        except ValueError as error:
            raise LabelError(f"{place} is not JSON: {error}") from None
        fits = (
            isinstance(record, dict)
            and isinstance(record.get("output"), str)
            and isinstance(record.get("metadata"), dict)
            and isinstance(record.get("annotations"), list)
        )
        if not fits:
            raise LabelError(f"{place} is no annotation of factgenie: output, metadata and annotations")
        yield record, place


def _marking(record: Mapping[str, Any], by_text: Mapping[str, Sequence[Paragraph]], place: str) -> Marking:
    alike = by_text.get(text_hash(html.unescape(record["output"])), [])
    if len(alike) != 1:
        what = "of no paragraph here" if not alike else f"the text of {len(alike)} paragraphs"
        raise LabelError(f"{place} has an output that is {what}; annotate what annotate export wrote")
    about = record["metadata"]
    text = alike[0].text
    person = about.get("annotator_id")
    ended = about.get("end_timestamp")
    return Marking(
        place=place,
        paragraph=alike[0],
        person=() if person is None else (str(person),),
        regions=[
            _region(text, each, about.get("annotation_span_categories"), f"{place} annotation {number}")
            for number, each in enumerate(record["annotations"], start=1)
        ],
        made_at=datetime.fromtimestamp(ended, UTC).isoformat() if isinstance(ended, int | float) else None,
    )


def _region(text: str, annotation: Any, categories: Any, place: str) -> dict[str, Any]:
    try:
        start, quote = annotation["start"], annotation["text"]
        label = categories[int(annotation["type"])]["name"]
        end = start + len(quote.encode("utf-16-le", "surrogatepass")) // 2
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise LabelError(f"{place} lacks start, text or a type that is one of the span categories") from None
    first, last = from_utf16(text, start, end) or (start, end)
    return region(first, last, quote, str(label))
