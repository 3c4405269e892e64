"""A text with what people marked in it: what every reader of a public set comes to."""

from __future__ import annotations

from dataclasses import dataclass

from annotate.schema import Span


@dataclass(frozen=True)
class Marking:
    """What one person marked.

    Attributes:
        person: Who, as the set names the person; a number, from 1, where it names nobody.
        spans: ``(start, end)`` code points of the text, not empty.
    """

    person: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class MarkedText:
    """A text, what is asked about it, and the marks of one or more people.

    Attributes:
        id: Unique in its file.
        row: The row it stands in, or the first of them.
        text: The text, exactly.
        question: What is asked about it; empty where the text is itself the question.
        answer: The right answer.
        people: The marks of each person that count, by the person's place among all who marked the text, from 1.
        distractor: ``(start, end)`` of what was marked as speaking for a wrong answer; empty where nobody marked that.
        choices: The answers that are asked for by name, the right one among them; empty for any answer.
        foil: A wrong answer that might have been given; empty where none is known.
    """

    id: str
    row: int
    text: str
    question: str
    answer: str
    people: dict[int, Marking]
    distractor: tuple[Span, ...] = ()
    choices: tuple[str, ...] = ()
    foil: str = ""
