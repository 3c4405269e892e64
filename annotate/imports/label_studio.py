"""Annotations exported from Label Studio as JSON.

Its page counts offsets in code points (1.23); older ones counted UTF-16 code units, which the regions' texts tell.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annotate.errors import LabelError
from annotate.imports.answers import Answer, ParseResult
from annotate.imports.markings import choose_people
from annotate.imports.regions import is_mark, read_regions
from annotate.outside import no_text, read_json
from annotate.schema import Paragraph, text_hash

FORMAT = "label-studio"


def parse_label_studio(
    path: Path, paragraphs: Sequence[Paragraph], completed_by: Sequence[str] = ()
) -> ParseResult:
    """Read the annotations of one person, a task a paragraph, and check every region.

    Args:
        path: The file, exported as JSON.
        paragraphs: The paragraphs of the benchmark.
        completed_by: Whose annotations to read, by the number or the address that Label Studio knows the
            person by; several who shared the work are read as one. Everyone's when empty, which must be one's.

    Returns:
        An answer for each task with an annotation; predictions are never read.

    Raises:
        LabelError: The file is not such an export or of several people of whom none is named, a task is of no
            paragraph here or has several annotations, or a region does not mark the text it carries; the message
            names the place.
        OSError: The file cannot be read.
    """
    by_id = {paragraph.id: paragraph for paragraph in paragraphs}
    by_text: dict[str, list[Paragraph]] = defaultdict(list)
    for paragraph in paragraphs:
        by_text[paragraph.text_sha256].append(paragraph)
    seen: dict[str, int] = {}
    answers = []
    left_out: Counter[str] = Counter()
    tasks = _tasks(path)
    given = [_annotations(task, f"{path} task {number}") for number, task in enumerate(tasks, start=1)]
    people = [_person(annotation) for annotations in given for annotation in annotations]
    chosen = choose_people(people, completed_by, path)
    for number, (task, of_task) in enumerate(zip(tasks, given, strict=True), start=1):
        place = f"{path} task {number}"
        paragraph = _paragraph(task, by_id, by_text, place)
        of_chosen = [annotation for annotation in of_task if _person(annotation) in chosen]
        left_out["annotations of other people"] += len(of_task) - len(of_chosen)
        if len(of_chosen) > 1:
            raise LabelError(
                f"{place} has {len(of_chosen)} annotations of those who are read as one; keep one of them"
            )
        annotation = of_chosen[0] if of_chosen else None
        if annotation is None:
            left_out["tasks without an annotation"] += 1
            continue
        if paragraph.id in seen:
            raise LabelError(
                f"{place} is of {paragraph.id}, as task {seen[paragraph.id]} is; keep one of them"
            )
        seen[paragraph.id] = number
        result = annotation["result"]
        try:
            read_regions(paragraph, result)
        except LabelError as error:
            raise LabelError(f"{place} ({paragraph.id}) {error}") from None
        left_out["regions with another label"] += sum(not is_mark(region) for region in result)
        raw = json.dumps({"format": FORMAT, "result": result}, ensure_ascii=False)
        created = annotation.get("created_at")
        answers.append(Answer(paragraph, raw, created if isinstance(created, str) else None))
    return ParseResult(answers, {reason: count for reason, count in left_out.items() if count})


def _tasks(path: Path) -> list[dict[str, Any]]:
    if other := no_text(path):
        raise LabelError(other)
    try:
        # Mended, since half an emoji at the edge of a region marks the emoji.
        content: list[dict[str, Any]] = read_json(path.read_bytes(), mend=True)
    except ValueError as error:
        raise LabelError(f"{path} is not JSON: {error}") from None
    ours = isinstance(content, list) and all(
        isinstance(task, dict) and isinstance(task.get("data"), dict) for task in content
    )
    if not ours:
        raise LabelError(
            f"{path} is no list of tasks with data; export from Label Studio as JSON (not JSON-MIN, not CSV)"
        )
    return content


def _paragraph(
    task: Mapping[str, Any],
    by_id: Mapping[str, Paragraph],
    by_text: Mapping[str, list[Paragraph]],
    place: str,
) -> Paragraph:
    """The paragraph of a task, by its id or else by its text, which must be the same."""
    data = task["data"]
    text, identifier = data.get("text"), data.get("paragraph_id")
    if not isinstance(text, str):
        raise LabelError(f"{place} has no text in its data")
    if identifier is None:
        alike = by_text.get(text_hash(text), [])
        if len(alike) != 1:
            what = "of no paragraph here" if not alike else f"the text of {len(alike)} paragraphs"
            raise LabelError(f"{place} names no paragraph_id, and its text is {what}")
        return alike[0]
    paragraph = by_id.get(identifier)
    if paragraph is None:
        raise LabelError(f"{place} is of {identifier}, which is not in this benchmark")
    if text_hash(text) != paragraph.text_sha256:
        lines = _same_line_ends(text) == _same_line_ends(paragraph.text)
        what = "other line ends than" if lines else "another text than"
        raise LabelError(
            f"{place} has {what} {paragraph.id}, so its offsets cannot be trusted; import the tasks that"
            " annotate export wrote into Label Studio as they are"
        )
    return paragraph


def _same_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _annotations(task: Mapping[str, Any], place: str) -> list[Mapping[str, Any]]:
    """The annotations of a task without those that were skipped."""
    annotations = task.get("annotations") or []
    fits = isinstance(annotations, list) and all(
        isinstance(annotation, dict)
        and isinstance(annotation.get("result"), list)
        and all(isinstance(region, dict) for region in annotation["result"])
        for annotation in annotations
    )
    if not fits:
        raise LabelError(f"{place} has annotations without a result; export from Label Studio as JSON")
    return [annotation for annotation in annotations if not annotation.get("was_cancelled")]


def _person(annotation: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that Label Studio has for who made an annotation: number, address; empty where it tells none."""
    by = annotation.get("completed_by")
    names = [by.get("id"), by.get("email")] if isinstance(by, dict) else [by]
    return tuple(str(name) for name in names if name is not None)
