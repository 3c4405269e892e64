"""What a person is asked, and in which order: the most disputed paragraph first."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from annotate.errors import LabelError
from annotate.review.log import Decision, Mode
from annotate.schema import Label, Paragraph, Status
from annotate.words import is_content

Filter = Literal["pending", "done", "flagged", "unresolved", "all"]
UNSURE_RUNGS = ("unresolved", "ambiguous")


@dataclass(frozen=True)
class Side:
    """What one annotator marked in a paragraph.

    Attributes:
        annotator: Its name.
        status: Status of its label; ``missing`` where there is none.
        words: Indices of the words it marked, in order.
        unresolved: Whether a quote of it could not be placed, or not for sure.
    """

    annotator: str
    status: Status
    words: tuple[int, ...] = ()
    unresolved: bool = False


@dataclass(frozen=True)
class Item:
    """One paragraph of the queue.

    Attributes:
        index: Position of the paragraph in the benchmark.
        paragraph: The paragraph.
        sides: Whose marks are shown, A before B; none in an audit.
        disagreement: 1 - F1 of the two annotators' words with a letter or digit; 0 where both mark none; 1
            where a label is missing or failed.
        start: The words a person starts from: those all sides marked.
    """

    index: int
    paragraph: Paragraph
    sides: tuple[Side, ...]
    disagreement: float
    start: tuple[int, ...]

    def filters(self, decision: Decision) -> list[Filter]:
        """The filters that show this paragraph as it stands decided."""
        shown: list[Filter] = ["all", "done" if decision.done else "pending"]
        if decision.flag:
            shown.append("flagged")
        if any(side.unresolved for side in self.sides):
            shown.append("unresolved")
        return shown


def build_queue(
    paragraphs: Sequence[Paragraph],
    labels: Mapping[str, Sequence[Label]],
    mode: Mode = "review",
    seed: int = 0,
) -> list[Item]:
    """Put the paragraphs in the order in which they are worth a look.

    Args:
        paragraphs: The paragraphs of the benchmark.
        labels: Labels of the one or two annotators to show; those of repetition 0 count. Not used by an audit.
        mode: ``review`` shows A and B in the order of ``labels``; ``blind`` swaps them in about half of the
            paragraphs, drawn by ``seed``; ``audit`` shows no marks and shuffles the paragraphs by ``seed``, so
            that any first part of the queue is a random sample and the order tells nothing.
        seed: Seed of both draws; a paragraph's swap depends on it and its id alone.

    Returns:
        All paragraphs; the most disputed first, among equals in the order of the benchmark.

    Raises:
        LabelError: Not an audit, and there are labels of no annotator or of more than two.
    """
    if mode == "audit":
        items = [Item(index, paragraph, (), 0.0, ()) for index, paragraph in enumerate(paragraphs)]
        random.Random(f"{seed}").shuffle(items)
        return items
    if not 1 <= len(labels) <= 2:
        raise LabelError(f"a review shows the marks of one or two annotators, not of {len(labels)}")
    by_id = {
        name: {label.paragraph_id: label for label in rows if label.repeat == 0}
        for name, rows in labels.items()
    }
    items = []
    for index, paragraph in enumerate(paragraphs):
        sides = [_side(name, by_id[name].get(paragraph.id)) for name in labels]
        if mode == "blind" and random.Random(f"{seed} {paragraph.id}").random() < 0.5:
            sides.reverse()
        start = _common(side.words for side in sides if side.status == "ok")
        items.append(Item(index, paragraph, tuple(sides), _disagreement(paragraph, sides), start))
    return sorted(items, key=lambda item: -item.disagreement)


def _side(name: str, label: Label | None) -> Side:
    if label is None:
        return Side(name, "missing")
    unsure = label.status == "unresolved" or any(span.rung in UNSURE_RUNGS for span in label.spans)
    return Side(name, label.status, tuple(sorted(label.words)), unsure)


def _common(marks: Iterable[Sequence[int]]) -> tuple[int, ...]:
    sets = [set(words) for words in marks]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def _disagreement(paragraph: Paragraph, sides: Sequence[Side]) -> float:
    if len(sides) < 2:
        return float(sides[0].status != "ok")
    if any(side.status != "ok" for side in sides):
        return 1.0
    texts = paragraph.word_texts()
    a, b = ({word for word in side.words if is_content(texts[word])} for side in sides)
    return 1 - 2 * len(a & b) / (len(a) + len(b)) if a or b else 0.0
