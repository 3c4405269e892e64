"""What the model is asked: the paragraph, a cue, and the answer as the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annotate.schema import Paragraph

CUE = "\nAnswer:"


def prompt_of(paragraph: Paragraph) -> str:
    """The text before the answer: the paragraph as it is, then the cue. Words keep their offsets in it.

    A question that people read beside the paragraph, and that is no part of its text, stands before the cue.
    """
    beside = paragraph.question if paragraph.question and paragraph.question not in paragraph.text else ""
    return f"{paragraph.text}\n{beside}{CUE}" if beside else paragraph.text + CUE


def target_of(paragraph: Paragraph) -> str:
    """The text to attribute: the answer after one space."""
    return " " + paragraph.answer
