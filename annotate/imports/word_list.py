"""Released lists of important words: JSONL with a text and its words, without their places.

A word that stands at several places of its text is ambiguous: the list does not tell which one is meant. The
first places are taken, as many as the list names the word, and flagged.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.errors import LabelError
from annotate.imports.answers import Answer, ParseResult
from annotate.outside import no_text, read_json
from annotate.schema import LabelSpan, Paragraph, Role, Rung, Segment, text_hash
from annotate.words import is_content, rule_for, split_words

FORMAT = "word-list"
SPLIT = "released"
_TEXTS = ("input", "text")


@dataclass(frozen=True)
class Item:
    """One row of the file.

    Attributes:
        row: Its line, from 1.
        text: The text.
        words: The words said to matter, in the order of the file.
        question: The question, where the row has one.
        answer: The answer, likewise.
    """

    row: int
    text: str
    words: tuple[str, ...]
    question: str
    answer: str


def read_items(path: Path) -> list[Item]:
    """Read a file of word lists.

    Args:
        path: JSONL; each row has ``input`` (or ``text``) and ``important_words``, a list of strings.

    Raises:
        LabelError: A row is something else, there is none, or the file holds no text.
        OSError: The file cannot be read.
    """
    if other := no_text(path):
        raise LabelError(other)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise LabelError(f"{path} is not UTF-8 (byte {error.start})") from None
    items = [
        _item(line, f"{path} line {number}", number) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not items:
        raise LabelError(f"{path} holds no rows")
    return items


def _item(line: str, place: str, number: int) -> Item:
    try:
        row = read_json(line)
    except ValueError as error:
        raise LabelError(f"{place} is not JSON: {error}") from None
    text = next((row[key] for key in _TEXTS if key in row), None) if isinstance(row, dict) else None
    words: Any = row.get("important_words") if isinstance(row, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise LabelError(f"{place} has no text in {' or '.join(_TEXTS)}")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise LabelError(f"{place} has no important_words, a list of strings")
    question, answer = row.get("question"), row.get("answer")
    return Item(
        row=number,
        text=text,
        words=tuple(words),
        question=question if isinstance(question, str) else "",
        answer=answer if isinstance(answer, str) else "",
    )


def unique_items(items: Sequence[Item]) -> tuple[list[Item], dict[str, int]]:
    """The first row of each text, and how many rows were left out, by reason."""
    first: dict[str, Item] = {}
    left_out: Counter[str] = Counter()
    for item in items:
        known = first.setdefault(item.text, item)
        if known is not item:
            same = Counter(known.words) == Counter(item.words)
            left_out["rows of a text seen before" + ("" if same else ", with other words")] += 1
    return list(first.values()), dict(left_out)


def make_paragraphs(items: Sequence[Item]) -> list[Paragraph]:
    """Paragraphs of texts that no benchmark holds yet: one segment, and one for a question at the end."""
    return [_paragraph(item) for item in items]


def _paragraph(item: Item) -> Paragraph:
    end = len(item.text)
    asked = bool(item.question) and item.text.endswith(item.question)
    start = end - len(item.question) if asked else end
    parts: list[tuple[Role, int, int]] = [("support", 0, start), ("question", start, end)]
    return Paragraph(
        id=f"r{item.row:05d}",
        text=item.text,
        segments=tuple(
            Segment(role=role, start=first, end=last, source=FORMAT, split=SPLIT, row=item.row)
            for role, first, last in parts
            if first < last
        ),
        question=item.question,
        answer=item.answer,
        words=split_words(item.text),
        word_rule=rule_for(item.text),
        text_sha256=text_hash(item.text),
    )


def parse_word_list(path: Path, paragraphs: Sequence[Paragraph]) -> ParseResult:
    """Read a file of word lists for a benchmark that holds its texts.

    Args:
        path: The file.
        paragraphs: The paragraphs of the benchmark.

    Raises:
        LabelError: As :func:`read_items`, or a text is of no paragraph here.
        OSError: The file cannot be read.
    """
    items, left_out = unique_items(read_items(path))
    words = {text_hash(item.text): item for item in items}
    here = {paragraph.text_sha256 for paragraph in paragraphs}
    for sha256, item in words.items():
        if sha256 not in here:
            raise LabelError(
                f"{path} line {item.row} has a text that is not in this benchmark; name a folder that does not"
                " exist with --benchmark, and one is made of the texts of the file"
            )
    answers = [
        Answer(
            paragraph,
            json.dumps({"format": FORMAT, "words": words[paragraph.text_sha256].words}, ensure_ascii=False),
        )
        for paragraph in paragraphs
        if paragraph.text_sha256 in words
    ]
    return ParseResult(answers, left_out)


def place_words(paragraph: Paragraph, listed: Sequence[str]) -> tuple[LabelSpan, ...]:
    """Find listed words in a text, as whole words.

    Args:
        paragraph: The paragraph.
        listed: Words, or phrases of several, as often as they were named.

    Returns:
        A span per place: ``exact``, ``normalized`` (without punctuation) or ``casefold`` where a word is named
        as often as it stands there, ``ambiguous`` for the first places where it stands there more often; and
        ``unresolved`` without words where it stands nowhere.
    """
    return tuple(span for entry, times in Counter(listed).items() for span in _place(paragraph, entry, times))


def _place(paragraph: Paragraph, entry: str, times: int) -> list[LabelSpan]:
    words = split_words(entry, paragraph.word_rule)
    places, rung = _find(paragraph.word_texts(), [entry[start:end] for start, end in words])
    placed: Rung = "ambiguous" if len(places) > times else rung
    if not places:
        return [LabelSpan(words=(), quote=entry, rung="unresolved")]
    return [LabelSpan(words=tuple(place), quote=entry, rung=placed) for place in places[:times]]


def _find(texts: Sequence[str], entry: Sequence[str]) -> tuple[list[range], Rung]:
    bare = [word for word in entry if is_content(word)]
    places = _occurrences(texts, entry)
    if places:
        return places, "exact"
    places = _occurrences(texts, bare)
    if places:
        return places, "normalized"
    folded = _occurrences([text.casefold() for text in texts], [word.casefold() for word in bare])
    return folded, "casefold"


def _occurrences(texts: Sequence[str], entry: Sequence[str]) -> list[range]:
    """Where ``entry`` stands in ``texts``, from left to right, without overlap."""
    places: list[range] = []
    start = 0
    while entry and start + len(entry) <= len(texts):
        if list(texts[start : start + len(entry)]) == list(entry):
            places.append(range(start, start + len(entry)))
            start += len(entry)
        else:
            start += 1
    return places
