"""Texts whose words several people marked, each for the label that he or she chose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from annotate.schema import Span
from evaluate.tasks.errors import TaskError, UnusableRowError
from evaluate.tasks.marks import content_words, overlapping, token_spans
from evaluate.tasks.prompt import CUE
from evaluate.tasks.rows import Row, Rows, convert, list_of, reasons_of, text_of
from evaluate.tasks.task import Example, GoldSource, Task

NAME = "fair-rationales"
RULE = "majority"
SCHEMA = (
    "text_id, sentence, original_label, label, label_index (for a choice of five), rationale_binary (0 or 1 for each"
    " white-space token), annotator_ID; a row a person"
)
PEOPLE = GoldSource(
    rule=RULE,
    annotators=("people",),
    offline=False,
    note="words that more than half of those people marked who chose the text's label; whoever marked every word or"
    " none does not count.",
)
AUTHORS = GoldSource(
    rule=RULE,
    annotators=("people invented by the authors of the sample",),
    offline=False,
    note="words that more than half of the people marked whom the authors of the sample invented; nobody was asked.",
)

SENTIMENTS = ("positive", "negative")
CHOICES = ("A", "B", "C", "D", "E")

QUESTION = "Is the sentiment of this text positive or negative?"
INSTRUCTION = "Answer with one word, positive or negative."

ANOTHER_LABEL = "the person chose another label than the text's"
EVERYTHING = "the person marked every word"
NOTHING = "the person marked no word"
NOBODY = "nobody's marks count"
NO_GOLD = "no word was marked by more than half"
ALL_GOLD = "every word was marked by more than half"


@dataclass(frozen=True)
class Marks:
    """What one person said of one text.

    Attributes:
        text_id: Which text.
        text: The text.
        label: The text's own label: a sentiment, or the letter of the right choice.
        chosen: What the person chose: a sentiment, or the letter of a choice.
        answer: The same in words.
        words: ``(start, end)`` of the scored words of the text.
        marked: Indices of the words that the person marked.
        person: Who.
        place: Where the row stands.
    """

    text_id: str
    text: str
    label: str
    chosen: str
    answer: str
    words: tuple[Span, ...]
    marked: tuple[int, ...]
    person: str
    place: str


def fair_rationales(
    rows: Rows, gold: GoldSource = PEOPLE, limit: int | None = None, name: str = NAME
) -> Task:
    """Examples of texts that several people marked: one a text.

    Two kinds of text occur in rows of one schema. For a sentiment the prompt is the text, a question of ours and the
    cue; the target is the text's label and the foil the other one. For a question with five choices the prompt is the
    question and the cue: the rows name the choices that somebody chose, not all five, so none is listed. The target
    is the right one in the words of those who chose it, the foil the wrong one that most people chose, the first
    letter of those where several are.

    Marks are of white-space tokens, which take punctuation with them; scored are the words with a letter or digit,
    and a word is marked where a marked token overlaps it. Gold are those that more than half of the people marked
    who chose the text's label. Somebody who chose another label marked what speaks for that one, and does not
    count; neither does a person who marked every word or none.

    Left out and named are people by row, with what was said, and texts without gold, or of which every word is gold.

    Args:
        rows: Rows of people; those of one text need not stand together.
        gold: Who marked.
        limit: Make the first N examples only.
        name: What the task is called.

    Raises:
        TaskError: No text can be used.
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
    places = {reason: list(ids) for reason, ids in left_out.items()}
    examples: list[Example] = []
    for text_id, of_text in texts.items():
        counted = []
        for marks in of_text:
            why = _why_not(marks)
            if why:
                places.setdefault(why, []).append(marks.place)
            else:
                counted.append(marks)
        try:
            examples.append(_example(f"{name.replace('/', '-')}-{text_id}", counted, of_text))
        except UnusableRowError as error:
            places.setdefault(str(error), []).append(f"text {text_id}")
        if limit is not None and len(examples) >= limit:
            break
    left_out = {reason: tuple(ids) for reason, ids in sorted(places.items())}
    if not examples:
        raise TaskError(f"no text of {rows.source} can be used: {reasons_of(left_out)}")
    return Task(name=name, source=rows.source, examples=tuple(examples), gold=gold, left_out=left_out)


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
    spans = [span for span, marked in zip(token_spans(text), tokens, strict=True) if marked]
    return Marks(
        text_id=_name_in(row, "text_id"),
        text=text,
        label=label,
        chosen=chosen,
        answer=answer,
        words=words,
        marked=overlapping(words, spans),
        person=_name_in(row, "annotator_ID"),
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


def _why_not(marks: Marks) -> str:
    """Why somebody's marks do not count; empty where they do."""
    if marks.chosen != marks.label:
        return ANOTHER_LABEL
    if not marks.marked:
        return NOTHING
    return EVERYTHING if len(marks.marked) == len(marks.words) else ""


def _example(name: str, counted: list[Marks], everyone: list[Marks]) -> Example:
    """The example of one text.

    Args:
        name: Its id.
        counted: The people whose marks count.
        everyone: All who marked the text.
    """
    if not counted:
        raise UnusableRowError(NOBODY)
    text, label, words = counted[0].text, counted[0].label, counted[0].words
    people = tuple(person.marked for person in counted)
    votes = [sum(index in marked for marked in people) for index in range(len(words))]
    gold = tuple(index for index, count in enumerate(votes) if 2 * count > len(people))
    if not gold:
        raise UnusableRowError(NO_GOLD)
    if len(gold) == len(words):
        raise UnusableRowError(ALL_GOLD)
    asked = label in SENTIMENTS
    target = label if asked else counted[0].answer
    foil = SENTIMENTS[1 - SENTIMENTS.index(label)] if asked else _wrong_choice(everyone)
    return Example(
        id=name,
        prompt=f"{text}\n{QUESTION}{CUE}" if asked else text + CUE,
        target=f" {target}",
        words=words,
        gold=gold,
        gold_rule=RULE,
        body=(0, len(text)),
        question=QUESTION if asked else "",
        instruction=INSTRUCTION if asked else "",
        foil=f" {foil}" if foil else "",
        people=people,
    )


def _wrong_choice(everyone: Iterable[Marks]) -> str:
    """The wrong choice that most people chose, in their words; empty where nobody chose one."""
    wrong: dict[str, list[str]] = {}
    for marks in everyone:
        if marks.chosen != marks.label:
            wrong.setdefault(marks.chosen, []).append(marks.answer)
    return max(sorted(wrong.items()), key=lambda entry: len(entry[1]))[1][0] if wrong else ""
