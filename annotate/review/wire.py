"""What the page and the server say to each other. Words cross the wire as indices, never as offsets."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Any

from pydantic import Field, ValidationError

from annotate.errors import AnnotateError
from annotate.review.log import Action, History, Mode
from annotate.review.queue import Item
from annotate.schema import Paragraph, Record

LONGEST_HISTORY = 200
"""How many decisions of a paragraph the page gets for undo."""


class WireError(AnnotateError):
    """A message of the page cannot be understood."""


class SessionError(WireError):
    """The page was opened on a run with other settings."""


class Change(Record):
    """One action, as the page sends it.

    Attributes:
        session: Which run the page was opened on.
        key: The page's name for the action.
        paragraph: Position of the paragraph in the benchmark.
        pair: Positions of the annotators shown, A before B.
        base: ``seq`` of the review that the action follows, 0 for none.
        action: What was done.
        words: The words that matter after it, growing.
        done: Whether the decision is final after it.
        flag: Whether the paragraph is flagged after it.
        note: The remark after it.
    """

    session: str
    key: Annotated[str, Field(min_length=8, max_length=64)]
    paragraph: Annotated[int, Field(ge=0)]
    pair: tuple[int, ...]
    base: Annotated[int, Field(ge=0)]
    action: Action
    words: tuple[int, ...]
    done: bool
    flag: bool
    note: Annotated[str, Field(max_length=2000)]


def read_change(body: bytes) -> Change:
    """Read an action.

    Raises:
        WireError: It is not JSON, or does not fit.
    """
    try:
        return Change.model_validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise WireError(
            f"the message cannot be read: {f'{place}: ' if place else ''}{first['msg']}"
        ) from error


def check_words(words: tuple[int, ...], paragraph: Paragraph) -> None:
    """Check that words are those of the paragraph, each once and in order.

    Raises:
        WireError: They are not.
    """
    if list(words) != sorted(set(words)) or (words and not 0 <= words[0] <= words[-1] < len(paragraph.words)):
        last = len(paragraph.words) - 1
        raise WireError(f"words must be growing indices from 0 to {last}, as {paragraph.id} has them")


def row(item: Item, history: History) -> dict[str, Any]:
    """One row of the queue."""
    return {
        "paragraph": item.index,
        "id": item.paragraph.id,
        "disagreement": round(item.disagreement, 3),
        "filters": item.filters(history.current),
    }


def sheet(item: Item, history: History, seq: int, mode: Mode) -> dict[str, Any]:
    """Everything the page shows of one paragraph, and the decisions so far.

    ``blocks`` are the parts of the text in order: role, index of the first word, the words, and the text after
    each. Names are left out where the mode hides them.
    """
    paragraph = item.paragraph
    first = max(0, history.position - LONGEST_HISTORY)
    decisions = history.decisions[first : history.position + LONGEST_HISTORY]
    return {
        "paragraph": item.index,
        "id": paragraph.id,
        "question": paragraph.question,
        "answer": paragraph.answer,
        "blocks": _blocks(paragraph),
        "sides": [
            {
                "name": None if mode == "blind" else side.annotator,
                "status": side.status,
                "unresolved": side.unresolved,
                "words": side.words,
            }
            for side in item.sides
        ],
        "seq": seq,
        "history": [
            {"words": decision.words, "flag": decision.flag, "done": decision.done, "note": decision.note}
            for decision in decisions
        ],
        "position": history.position - first,
        "filters": item.filters(history.current),
    }


def _blocks(paragraph: Paragraph) -> list[dict[str, Any]]:
    texts, words = paragraph.word_texts(), paragraph.words
    ends = [start for start, _ in words[1:]] + [len(paragraph.text)]
    after = [paragraph.text[end:until] for (_, end), until in zip(words, ends, strict=True)]
    place = {
        word: number
        for number, segment in enumerate(paragraph.segments)
        for word, (start, end) in enumerate(words)
        if segment.start <= start and end <= segment.end
    }
    blocks = []
    for number, group in groupby(range(len(words)), lambda word: place.get(word)):
        indices = list(group)
        blocks.append(
            {
                "role": "text" if number is None else paragraph.segments[number].role,
                "first": indices[0],
                "words": [texts[word] for word in indices],
                "after": [after[word] for word in indices],
            }
        )
    return blocks
