"""Texts whose words several people marked, each for the label that he or she chose."""

from __future__ import annotations

from collections.abc import Iterable

from annotate.errors import RowsError, UnusableRowError
from annotate.rationales.fair_rationales import (
    NAME,
    NOBODY,
    QUESTION,
    SENTIMENTS,
    Marks,
    read_people,
    why_not,
)
from annotate.rationales.rows import Rows, reasons_of
from evaluate.tasks.prompt import CUE
from evaluate.tasks.task import Example, GoldSource, Task

RULE = "majority"
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

INSTRUCTION = "Answer with one word, positive or negative."
NO_GOLD = "no word was marked by more than half"
ALL_GOLD = "every word was marked by more than half"


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
        RowsError: No text can be used.
    """
    texts, left_out = read_people(rows, name)
    places = {reason: list(ids) for reason, ids in left_out.items()}
    examples: list[Example] = []
    for text_id, of_text in texts.items():
        counted = []
        for marks in of_text:
            why = why_not(marks)
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
        raise RowsError(f"no text of {rows.source} can be used: {reasons_of(left_out)}")
    return Task(name=name, source=rows.source, examples=tuple(examples), gold=gold, left_out=left_out)


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
