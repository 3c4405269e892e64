"""What the model is asked: the paragraph, a cue, and the answer as the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from annotate.schema import Paragraph

CUE = "\nAnswer:"

Target = Literal["first", "all"]


def prompt_of(paragraph: Paragraph) -> str:
    """The text before the answer: the paragraph as it is, then the cue. Words keep their offsets in it."""
    return paragraph.text + CUE


def target_of(paragraph: Paragraph) -> str:
    """The text to attribute: the answer after one space."""
    return " " + paragraph.answer


def max_targets(target: Target) -> int | None:
    """How many target tokens are attributed: one for ``"first"``, no limit for ``"all"``."""
    return 1 if target == "first" else None
