"""What the formats share: the conversation made from a prompt file, and how a second answer completes the first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from annotate.formats.format import Message, Prompt
from annotate.formats.prompts import Example, fill
from annotate.schema import LabelSpan, Paragraph


@dataclass(frozen=True)
class PromptedFormat:
    """Base of the formats.

    Attributes:
        prompt: The prompt file.
        example: Its worked example.
    """

    prompt: Prompt
    example: Example

    @property
    def name(self) -> str:
        """Registered name."""
        return self.prompt.name

    def fields(self, paragraph: Paragraph) -> dict[str, str]:
        """Values of the user template."""
        return {
            "text": paragraph.text,
            "parts": ", ".join(segment.role for segment in paragraph.segments),
            "question": paragraph.question,
            "answer": paragraph.answer,
        }

    def worked(self, paragraph: Paragraph) -> str:
        """The answer wanted to the worked example, as it is shown to who is asked about ``paragraph``."""
        return self.example.content

    def messages(self, paragraph: Paragraph) -> list[Message]:
        """System message, worked example, and the question about ``paragraph``."""
        return [
            {"role": "system", "content": self.prompt.system.strip()},
            {"role": "user", "content": fill(self.prompt.user, self.fields(self.example.paragraph))},
            {"role": "assistant", "content": self.worked(paragraph)},
            {"role": "user", "content": fill(self.prompt.user, self.fields(paragraph))},
        ]

    def again(self, paragraph: Paragraph, content: str, unplaced: Sequence[LabelSpan]) -> list[Message]:
        """The conversation so far, and a message that lists what is not in the text."""
        listed = "\n".join(json.dumps(span.quote, ensure_ascii=False) for span in unplaced)
        fields = self.fields(paragraph) | {"unplaced": listed}
        return [
            *self.messages(paragraph),
            {"role": "assistant", "content": content},
            {"role": "user", "content": fill(self.prompt.again, fields)},
        ]

    def merge(self, first: Sequence[LabelSpan], second: Sequence[LabelSpan]) -> tuple[LabelSpan, ...]:
        """Spans placed at first, then what the second answer gives in place of the rest, one for one.

        A span of ``second`` without quote takes back what it stands for. What the second answer says nothing of
        stays unresolved: an annotator that falls silent has not agreed.
        """
        placed = [span for span in first if span.words]
        unplaced = [span for span in first if not span.words]
        given = [span for span in second if span.quote]
        return tuple(dict.fromkeys([*placed, *given, *unplaced[len(second) :]]))
