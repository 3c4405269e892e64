"""Annotations of a Potato project: the states of its users, which hold spans by their offsets in code points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from annotate.errors import LabelError
from annotate.imports.answers import ParseResult
from annotate.imports.markings import Marking, answers_of, region
from annotate.outside import no_text, read_json
from annotate.schema import Paragraph

FORMAT = "potato"
SCHEME = "words"
"""Name of the annotation scheme that holds the spans."""
STATE = "user_state.json"


def parse_potato(
    path: Path, paragraphs: Sequence[Paragraph], completed_by: Sequence[str] = ()
) -> ParseResult:
    """Read the spans of one user.

    Potato does not repeat the text that a span marks: its offsets are checked against the paragraph's length alone.
    A text that the user went through without a span has an empty label, one never seen has none.

    Args:
        path: A user's ``user_state.json``, or a folder of users: ``annotation_output``, or the project's.
        paragraphs: The paragraphs of the benchmark.
        completed_by: Whose annotations to read, by the user's name; several are read as one. Everyone's when empty,
            which must be one's.

    Raises:
        LabelError: There is no such file or it is something else, a text is of no paragraph here, or a span lies
            outside its text. The message names the place.
        OSError: A file cannot be read.
    """
    by_id = {paragraph.id: paragraph for paragraph in paragraphs}
    files = sorted(path.rglob(STATE)) if path.is_dir() else [path]
    if not files:
        raise LabelError(f"{path} holds no {STATE}; name the project's folder annotation_output")
    markings = [marking for file in files for marking in _markings(file, by_id)]
    return answers_of(markings, completed_by, path, FORMAT)


def _markings(file: Path, by_id: Mapping[str, Paragraph]) -> Iterator[Marking]:
    if other := no_text(file):
        raise LabelError(other)
    try:
        state = read_json(file.read_bytes())
    except ValueError as error:
        raise LabelError(f"{file} is not JSON: {error}") from None
    if not isinstance(state, dict) or not isinstance(state.get("user_id"), str):
        raise LabelError(f"{file} is no state of a Potato user")
    spans = state.get("instance_id_to_span_to_value") or {}
    labels = state.get("instance_id_to_label_to_value") or {}
    for identifier in dict.fromkeys([*spans, *labels]):
        place = f"{file} {identifier}"
        paragraph = by_id.get(identifier)
        if paragraph is None:
            raise LabelError(f"{place} is not in this benchmark; annotate what annotate export wrote")
        found = [
            _region(paragraph, each, f"{place} span {number}")
            for number, each in enumerate(spans.get(identifier, []), start=1)
        ]
        yield Marking(place, paragraph, (state["user_id"],), [each for each in found if each is not None])


def _region(paragraph: Paragraph, pair: Any, place: str) -> dict[str, Any] | None:
    """A span as a region; None where it belongs to another scheme of the project."""
    try:
        span = pair[0]
        scheme, label, start, end = span["schema"], span["name"], int(span["start"]), int(span["end"])
        parts = span.get("additional_parts")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise LabelError(f"{place} lacks schema, name, start or end") from None
    if scheme != SCHEME:
        return None
    if parts:
        raise LabelError(f"{place} has several parts; mark each as a span of its own")
    if not 0 <= start < end <= len(paragraph.text):
        raise LabelError(f"{place} ({start} to {end}) is empty or lies outside the text")
    return region(start, end, paragraph.text[start:end], str(label))
