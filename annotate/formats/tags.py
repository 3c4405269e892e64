"""The format ``tags``: the whole text again, with tags around what matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import regex

from annotate.formats.copies import place_marks
from annotate.formats.format import FormatError
from annotate.formats.prompted import PromptedFormat
from annotate.formats.thinking import without_thoughts
from annotate.schema import LabelSpan, Paragraph, Span

_DEFAULT_TAG = "m"


@dataclass(frozen=True)
class Tags(PromptedFormat):
    """Asks for a copy with tags; the copy is aligned to the text, so that no edit of it moves a mark."""

    @property
    def schema(self) -> None:
        """The answer is plain text."""
        return None

    def fields(self, paragraph: Paragraph) -> dict[str, str]:
        """The name of the tag, one that does not occur in the text."""
        return super().fields(paragraph) | {"tag": tag_name(paragraph.text)}

    def worked(self, paragraph: Paragraph) -> str:
        """The example's answer, with the tag used for ``paragraph``."""
        tag = tag_name(paragraph.text)
        return regex.sub(rf"<(/?){_DEFAULT_TAG}>", rf"<\1{tag}>", self.example.content)

    def read(self, paragraph: Paragraph, content: str) -> tuple[LabelSpan, ...]:
        """Place the marks of a tagged copy; a part of the text that is not copied is unresolved too.

        Raises:
            FormatError: Tags are not in pairs, or the answer is not a copy of the text.
        """
        said = without_thoughts(content, paragraph.text)
        copy, marks = split_tags(said, tag_name(paragraph.text))
        return place_marks(paragraph, copy, marks)

    def merge(self, first: Sequence[LabelSpan], second: Sequence[LabelSpan]) -> tuple[LabelSpan, ...]:
        """The second copy, which is whole, unless it is the worse one."""
        worse = sum(not span.words for span in second) > sum(not span.words for span in first)
        return tuple(first if worse else second)


def tag_name(text: str) -> str:
    """The name of the tag to use for ``text``: ``m``, or the first of ``m1``, ``m2``, ... that it does not hold."""
    name, number = _DEFAULT_TAG, 0
    folded = text.casefold()
    while f"<{name}" in folded or f"</{name}" in folded:
        number += 1
        name = f"{_DEFAULT_TAG}{number}"
    return name


def split_tags(content: str, tag: str) -> tuple[str, list[Span]]:
    """Take the tags out of a copy.

    Returns:
        The copy without tags, and the ``(start, end)`` of what each pair of them marked in it.

    Raises:
        FormatError: A tag is opened within another, or not closed, or closed and not open.
    """
    pieces: list[str] = []
    marks: list[Span] = []
    length = 0
    opened: int | None = None
    for piece in regex.split(rf"(</?{tag}>)", content):
        if piece == f"<{tag}>":
            if opened is not None:
                raise FormatError(f"<{tag}> is opened again before it is closed, after {length} characters")
            opened = length
        elif piece == f"</{tag}>":
            if opened is None:
                raise FormatError(f"</{tag}> closes nothing, after {length} characters")
            marks.append((opened, length))
            opened = None
        else:
            pieces.append(piece)
            length += len(piece)
    if opened is not None:
        raise FormatError(f"<{tag}> is not closed")
    return "".join(pieces), marks
