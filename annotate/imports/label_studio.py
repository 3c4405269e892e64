"""Annotations exported from Label Studio as JSON.

Label Studio shows text in a browser, which counts UTF-16 code units: behind an emoji its offsets are too large.
Every region carries the text it marks, so each offset is checked, repaired or refused.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import regex

from annotate.errors import LabelError
from annotate.formats.folding import casefold, letters
from annotate.imports.answers import Answer, ParseResult
from annotate.outside import no_text, read_json
from annotate.schema import LabelSpan, Paragraph, Rung, text_hash

FORMAT = "label-studio"
MARK = "IMPORTANT"
"""The label of the regions that matter."""


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
    chosen = _choose_people(given, completed_by, path)
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
        left_out["regions with another label"] += sum(not _is_mark(region) for region in result)
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


def _choose_people(
    given: Sequence[Sequence[Mapping[str, Any]]], names: Sequence[str], path: Path
) -> set[tuple[str, ...]]:
    """Whose annotations are read.

    Raises:
        LabelError: There are several people and none is named, or a name is nobody's.
    """
    people = list(dict.fromkeys(_person(annotation) for annotations in given for annotation in annotations))
    shown = ", ".join("/".join(person) or "unknown" for person in people)
    if not names:
        if len(people) > 1:
            raise LabelError(
                f"{path} holds the annotations of {len(people)} people ({shown}): say whose to read with"
                " --completed-by, once for each annotator; named several times, they are read as one"
            )
        return set(people)
    for name in names:
        if not any(name in person for person in people):
            raise LabelError(
                f"{path} holds no annotation of --completed-by {name}; there are those of: {shown}"
            )
    return {person for person in people if set(person) & set(names)}


def _names(region: Mapping[str, Any]) -> list[str]:
    """The labels of a region, one without a name where it has lost them; none of a choice, comment or relation."""
    kind, value = region.get("type"), region.get("value")
    if not isinstance(kind, str) or not kind.endswith("labels"):
        return []
    names = value.get(kind) if isinstance(value, dict) else None
    return [str(name) for name in names] if names and isinstance(names, list) else [str(names or "")]


def _is_mark(region: Mapping[str, Any]) -> bool:
    return MARK in _names(region)


def _check_names(result: Sequence[Mapping[str, Any]]) -> None:
    """Refuse regions whose labels leave it open what was marked, so that a misnamed label is no empty one.

    Raises:
        LabelError: A label differs from the one that counts by case or blanks alone, no region carries that
            one though others were made, or it is of another kind of text than plain text.
    """
    others: Counter[str] = Counter()
    for number, region in enumerate(result, start=1):
        names = _names(region)
        if MARK in names and region["type"] != "labels":
            raise LabelError(
                f"region {number} is of type {region['type']!r}; what is read are labels of plain text, made"
                " with the interface that annotate export writes"
            )
        others.update(name for name in names if name != MARK)
        alike = [name for name in names if name != MARK and _same_name(name)]
        if alike:
            raise LabelError(f"region {number} is labelled {alike[0]!r}; name that label {MARK!r}")
    if others and not any(map(_is_mark, result)):
        listed = ", ".join(f"{count} {name!r}" for name, count in others.items())
        raise LabelError(
            f"has no region labelled {MARK!r} but others ({listed}), so it is not known what matters; name the"
            f" label of what matters {MARK!r}"
        )


def _same_name(name: str) -> bool:
    """Whether a name is that of the label that counts but for case, blanks and invisible characters."""
    return letters(casefold(name)).text == MARK.casefold()


def read_regions(paragraph: Paragraph, result: Sequence[Mapping[str, Any]]) -> tuple[LabelSpan, ...]:
    """Turn the regions labelled ``IMPORTANT`` into spans of words.

    Args:
        paragraph: The paragraph that was annotated.
        result: Regions of one annotation. One that covers a part of a word marks the word.

    Returns:
        A span a region, with rung ``exact`` where its offsets count code points, ``normalized`` where they
        were repaired from UTF-16, ``ambiguous`` where both fit and differ (code points are then taken).

    Raises:
        LabelError: A region does not mark the text it carries, or no word; or regions were made and none of
            them has that label.
    """
    _check_names(result)
    return tuple(
        _span(paragraph, region["value"], f"region {number}")
        for number, region in enumerate(result, start=1)
        if _is_mark(region)
    )


def _span(paragraph: Paragraph, value: Mapping[str, Any], place: str) -> LabelSpan:
    start, end, quote = value.get("start"), value.get("end"), value.get("text")
    if type(start) is not int or type(end) is not int or not isinstance(quote, str):
        raise LabelError(f"{place} has no start and end (whole numbers) and text")
    first, last, rung = _locate(paragraph.text, start, end, quote, place)
    words = tuple(i for i, (a, b) in enumerate(paragraph.words) if a < last and first < b)
    if not words:
        raise LabelError(f"{place} ({start} to {end}) marks no word: {quote!r}")
    return LabelSpan(words=words, quote=quote, rung=rung)


def _locate(text: str, start: int, end: int, quote: str, place: str) -> tuple[int, int, Rung]:
    """Offsets in code points, and how they were found."""
    shifted = _from_utf16(text, start, end)
    for same in (str.__eq__, _same_on_screen):
        fits = 0 <= start <= end and same(text[start:end], quote)
        repaired = shifted is not None and same(text[slice(*shifted)], quote)
        if fits:
            ambiguous = shifted is not None and repaired and _bare(text, *shifted) != _bare(text, start, end)
            return start, end, "ambiguous" if ambiguous else "exact"
        if repaired and shifted is not None:
            return *shifted, "normalized"
    raise LabelError(
        f"{place} ({start} to {end}) carries {quote!r}, but there stands {text[max(start, 0) : max(end, 0)]!r},"
        " counted in code points or in UTF-16; nothing was imported"
    )


# Label Studio writes each character of a line end in a region's text as these two.
_LINE_END = regex.compile(r"\\[nr]")
# What reading leaves of half an emoji, which a selection in a browser may cut in two.
_HALF = "\ufffd"


def _same_on_screen(text: str, quote: str) -> bool:
    """Whether a region's text is that of the paragraph but for spaces and line ends, and an emoji cut at its edge.

    A browser's selection drops line ends at its edges and joins or makes spaces, none of which is in a word.
    """
    here, there = ("".join(_LINE_END.sub(" ", part).split()) for part in (text, quote))
    alike = (a == b or (b == _HALF and a > "\uffff") for a, b in zip(here, there, strict=False))
    return here != "" and len(here) == len(there) and all(alike)


def _bare(text: str, start: int, end: int) -> tuple[int, int]:
    """Offsets without the spaces at the edges."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())


def _from_utf16(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Offsets in code points of what lies between two in UTF-16, with whole the characters that these cut."""
    units = _code_points(text)
    first, last = units.get(start, units.get(start - 1)), units.get(end, units.get(end + 1))
    return None if first is None or last is None or start > end else (first, last)


@lru_cache(maxsize=64)
def _code_points(text: str) -> dict[int, int]:
    """Code-point offset by UTF-16 offset; the middle of a surrogate pair has none."""
    units = accumulate((2 if ord(character) > 0xFFFF else 1 for character in text), initial=0)
    return {unit: position for position, unit in enumerate(units)}
