"""FairRationales: texts whose words several people marked, each for the label that he or she chose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from annotate.errors import RowsError, UnusableRowError
from annotate.rationales.marked import MarkedText, Marking
from annotate.rationales.marks import content_words, overlapping, token_spans
from annotate.rationales.rows import Row, Rows, convert, list_of, reasons_of, text_of
from annotate.schema import Span

T = TypeVar("T")

NAME = "fair-rationales"
SCHEMA = (
    "text_id, sentence, original_label, label, label_index (for a choice of five), rationale_binary (0 or 1 for each"
    " white-space token), annotator_ID; a row a person"
)

SUBSETS = ("sst", "dynasent", "cose")
SENTIMENTS = ("positive", "negative")
CHOICES = ("A", "B", "C", "D", "E")

QUESTION = "Is the sentiment of this text positive or negative?"

ANOTHER_LABEL = "the person chose another label than the text's"
EVERYTHING = "the person marked every word"
NOTHING = "the person marked no word"
NOBODY = "nobody's marks count"


@dataclass(frozen=True)
class Marks:
    """What one person said of one text.

    Attributes:
        text_id: Which text.
        text: The text.
        label: The text's own label: a sentiment, or the letter of the right choice.
        chosen: What the person chose: a sentiment, or the letter of a choice.
        answer: The same in words.
        words: ``(start, end)`` of the words of the text that have a letter or digit.
        spans: ``(start, end)`` of the white-space tokens that the person marked.
        marked: Indices of the words that a marked token overlaps.
        person: Who.
        row: The number of the row.
        place: Where the row stands.
    """

    text_id: str
    text: str
    label: str
    chosen: str
    answer: str
    words: tuple[Span, ...]
    spans: tuple[Span, ...]
    marked: tuple[int, ...]
    person: str
    row: int
    place: str


def read_people(rows: Rows, name: str = NAME) -> tuple[dict[str, list[Marks]], dict[str, tuple[str, ...]]]:
    """What people said, by the id of the text, in the order of the rows.

    Args:
        rows: Rows of people; those of one text need not stand together.
        name: What the set is called, for errors.

    Returns:
        The people of each text, and the places of the rows left out, by reason.

    Raises:
        RowsError: There are no rows, or none of them can be used.
    """
    seen: dict[str, tuple[str, str]] = {}
    done: set[tuple[str, str]] = set()

    def make(row: Row) -> Marks:
        marks = _marks(row)
        if seen.setdefault(marks.text_id, (marks.text, marks.label)) != (marks.text, marks.label):
            raise UnusableRowError(
                "the text or its label differs from that of an earlier row with its text_id"
            )
        if (marks.text_id, marks.person) in done:
            raise UnusableRowError("the person marked the text in an earlier row")
        done.add((marks.text_id, marks.person))
        return marks

    read, left_out = convert(name, rows, make, SCHEMA)
    texts: dict[str, list[Marks]] = {}
    for marks in read:
        texts.setdefault(marks.text_id, []).append(marks)
    return texts, left_out


def marked_texts(
    rows: Rows, make: Callable[[MarkedText], T], name: str = NAME, limit: int | None = None
) -> tuple[tuple[T, ...], dict[str, tuple[str, ...]]]:
    """Make something of every text with the marks of the people who count, by `why_not`.

    Hundreds of people marked a handful of texts each. What identifies a person here is therefore the person's place,
    in the order of their ids, among those who marked the text: people who marked the same texts keep their place.

    Args:
        rows: Rows of people; those of one text need not stand together.
        make: Makes it, or raises `UnusableRowError` with the reason.
        name: What the set is called, for errors.
        limit: How many to make at most.

    Returns:
        What was made, in the order of the rows, and the places of what was left out, by reason.

    Raises:
        RowsError: There are no rows, or no text of them can be used.
    """
    texts, left_out = read_people(rows, name)
    places = {reason: list(found) for reason, found in left_out.items()}
    made: list[T] = []
    for text_id, people in texts.items():
        for marks in people:
            if why := why_not(marks):
                places.setdefault(why, []).append(marks.place)
        try:
            made.append(make(_marked_text(text_id, people)))
        except UnusableRowError as error:
            places.setdefault(str(error), []).append(f"text {text_id}")
        if limit is not None and len(made) >= limit:
            break
    left_out = {reason: tuple(found) for reason, found in sorted(places.items())}
    if not made:
        raise RowsError(f"no text of {rows.source} can be used: {reasons_of(left_out)}")
    return tuple(made), left_out


def _marked_text(text_id: str, people: Sequence[Marks]) -> MarkedText:
    places = {marks.person: number for number, marks in enumerate(sorted(people, key=_by_person), start=1)}
    counted = {places[marks.person]: marks for marks in people if not why_not(marks)}
    if not counted:
        raise UnusableRowError(NOBODY)
    first = next(iter(counted.values()))
    sentiment = first.label in SENTIMENTS
    return MarkedText(
        id=text_id,
        row=min(marks.row for marks in people),
        text=first.text,
        question=QUESTION if sentiment else "",
        answer=first.label if sentiment else first.answer,
        people={number: Marking(marks.person, marks.spans) for number, marks in counted.items()},
        choices=SENTIMENTS if sentiment else (),
        foil=SENTIMENTS[1 - SENTIMENTS.index(first.label)] if sentiment else _wrong_choice(people),
    )


def _wrong_choice(people: Iterable[Marks]) -> str:
    """The wrong choice that most people chose, in their words; empty where nobody chose one."""
    wrong: dict[str, list[str]] = {}
    for marks in people:
        if marks.chosen != marks.label:
            wrong.setdefault(marks.chosen, []).append(marks.answer)
    return max(sorted(wrong.items()), key=lambda entry: len(entry[1]))[1][0] if wrong else ""


def _by_person(marks: Marks) -> tuple[int, str]:
    """Sort key by which ids that are numbers stand in the order of their values."""
    return (len(marks.person) if marks.person.isdecimal() else 0, marks.person)


def _marks(row: Row) -> Marks:
    text = text_of(row, "sentence")
    label = text_of(row, "original_label")
    tokens = list_of(row, "rationale_binary")
    if any(type(token) is not int or token not in (0, 1) for token in tokens):
        raise UnusableRowError("field 'rationale_binary' holds something else than 0 and 1")
    if len(tokens) != len(text.split()):
        raise UnusableRowError("field 'rationale_binary' has not one number for each white-space token")
    answer = text_of(row, "label").strip()
    if label in CHOICES:
        chosen = _choice(row)
    elif label in SENTIMENTS:
        chosen = answer
    else:
        raise UnusableRowError("the text's label is neither a sentiment nor one of five choices")
    words = content_words(text)
    spans = tuple(span for span, marked in zip(token_spans(text), tokens, strict=True) if marked)
    return Marks(
        text_id=_name_in(row, "text_id"),
        text=text,
        label=label,
        chosen=chosen,
        answer=answer,
        words=words,
        spans=spans,
        marked=overlapping(words, spans),
        person=_name_in(row, "annotator_ID"),
        row=row.number,
        place=row.place,
    )


def _name_in(row: Row, field: str) -> str:
    """A name that a CSV file holds as text and another file perhaps as a number."""
    value = row.values.get(field)
    return str(value) if type(value) is int else text_of(row, field)


def _choice(row: Row) -> str:
    """The letter of the choice whose number, from 1, stands in `label_index`."""
    number = _name_in(row, "label_index")
    if number not in {str(i) for i, _ in enumerate(CHOICES, start=1)}:
        raise UnusableRowError("field 'label_index' is not the number of one of five choices")
    return CHOICES[int(number) - 1]


def why_not(marks: Marks) -> str:
    """Why somebody's marks do not count; empty where they do."""
    if marks.chosen != marks.label:
        return ANOTHER_LABEL
    if not marks.marked:
        return NOTHING
    return EVERYTHING if len(marks.marked) == len(marks.words) else ""
