"""What people marked in other tools, each text by each person: whose to read, and one answer a text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.errors import LabelError
from annotate.imports.answers import Answer, ParseResult
from annotate.imports.regions import is_mark, read_regions
from annotate.schema import Paragraph


@dataclass(frozen=True)
class Marking:
    """What one person marked in one text.

    Attributes:
        place: Where it stands, for errors.
        paragraph: The text.
        person: The names that the tool has for the person; empty where it tells none.
        regions: Regions with labels, as `read_regions` takes them.
        made_at: When it was made, ISO 8601, where the tool tells.
    """

    place: str
    paragraph: Paragraph
    person: tuple[str, ...]
    regions: Sequence[Mapping[str, Any]]
    made_at: str | None = None


def region(start: int, end: int, text: str, label: str) -> dict[str, Any]:
    """A region of plain text with one label, as `read_regions` takes it."""
    return {"type": "labels", "value": {"start": start, "end": end, "text": text, "labels": [label]}}


def choose_people(
    people: Iterable[tuple[str, ...]], names: Sequence[str], path: Path
) -> set[tuple[str, ...]]:
    """Whose annotations are read.

    Args:
        people: Who made the annotations of a file, each by the names that the file has.
        names: Whose to read; those of the only person when empty.
        path: The file, for errors.

    Raises:
        LabelError: There are several people and none is named, or a name is nobody's.
    """
    found = list(dict.fromkeys(people))
    shown = ", ".join("/".join(person) or "unknown" for person in found)
    if not names:
        if len(found) > 1:
            raise LabelError(
                f"{path} holds the annotations of {len(found)} people ({shown}): say whose to read with"
                " --completed-by, once for each annotator; named several times, they are read as one"
            )
        return set(found)
    for name in names:
        if not any(name in person for person in found):
            raise LabelError(
                f"{path} holds no annotation of --completed-by {name}; there are those of: {shown}"
            )
    return {person for person in found if set(person) & set(names)}


def answers_of(
    markings: Sequence[Marking], completed_by: Sequence[str], path: Path, format: str
) -> ParseResult:
    """The answers of those who are read as one annotator, each region checked.

    Args:
        markings: All that the files hold.
        completed_by: Whose to read, see `choose_people`.
        path: The file or folder, for errors.
        format: The tool, for the ledger.

    Raises:
        LabelError: As `choose_people`; a text was marked twice, or a region does not fit its text.
    """
    chosen = choose_people([marking.person for marking in markings], completed_by, path)
    left_out: Counter[str] = Counter()
    places: dict[str, str] = {}
    answers = []
    for marking in markings:
        identifier = marking.paragraph.id
        if marking.person not in chosen:
            left_out["annotations of other people"] += 1
            continue
        if identifier in places:
            raise LabelError(
                f"{marking.place} is of {identifier}, as {places[identifier]} is; keep one of them"
            )
        places[identifier] = marking.place
        try:
            read_regions(marking.paragraph, marking.regions)
        except LabelError as error:
            raise LabelError(f"{marking.place} ({identifier}) {error}") from None
        left_out["regions with another label"] += sum(not is_mark(each) for each in marking.regions)
        raw = json.dumps({"format": format, "result": marking.regions}, ensure_ascii=False)
        answers.append(Answer(marking.paragraph, raw, marking.made_at))
    return ParseResult(answers, {reason: count for reason, count in left_out.items() if count})
