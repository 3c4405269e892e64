"""How a language model is asked for a paraphrase, and what of its answer is taken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from annotate.formats import FormatError
from annotate.formats.json_answer import parse_answer
from annotate.formats.prompted import PromptedFormat
from annotate.formats.prompts import load_prompt
from annotate.schema import LabelSpan, Paragraph, Record, text_hash
from annotate.words import WORD_RULE
from evaluate.robustness.body import body_lines
from evaluate.tasks.task import Example

_SCHEMA = {
    "type": "object",
    "properties": {"paragraph": {"type": "string"}},
    "required": ["paragraph"],
    "additionalProperties": False,
}


class _Answer(Record):
    paragraph: str


@dataclass(frozen=True)
class ParaphraseFormat(PromptedFormat):
    """Asks for a text in other words. Nothing is marked: an answer that can be taken is read as no spans."""

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the answer."""
        return _SCHEMA

    def read(self, paragraph: Paragraph, content: str) -> tuple[LabelSpan, ...]:
        """Check an answer.

        Raises:
            FormatError: The answer is no paraphrase of the paragraph; `lines` has the rules.
        """
        self.lines(paragraph, content)
        return ()

    def lines(self, paragraph: Paragraph, content: str) -> tuple[str, ...]:
        """The reworded lines of the part that tells, as many as it has.

        Raises:
            FormatError: The answer is not of the form asked for, changes the question, loses the answer's words or a
                line, or changes nothing.
        """
        said = parse_answer(_Answer, content).paragraph.strip()
        if not said.endswith(paragraph.question):
            raise FormatError(f"it does not end with the unchanged {paragraph.question!r}")
        body = said.removesuffix(paragraph.question)
        new = tuple(line.strip() for line in body.splitlines() if line.strip())
        spans = body_lines(paragraph.text)
        old = tuple(paragraph.text[line[0][0] : line[-1][1]] for line in spans)
        if len(new) != len(old):
            raise FormatError(f"before the question stand {len(new)} lines instead of {len(old)}")
        if _holds("\n".join(old), paragraph.answer) and not _holds("\n".join(new), paragraph.answer):
            raise FormatError(f"the answer {paragraph.answer!r} is lost")
        if new == old:
            raise FormatError("nothing was said in other words")
        return new


def paraphrase_format() -> ParaphraseFormat:
    """The format with the prompt that ships, ``data/prompts/paraphrase.toml``."""
    return ParaphraseFormat(*load_prompt("paraphrase"))


def shown(example: Example) -> Paragraph | None:
    """An example as it is put to a language model; ``None`` where nothing of it may be reworded.

    The question is what stands behind the part that tells: the last line, or the last sentence of a text of one line.
    """
    start = example.body[0] if example.body is not None else 0
    text = example.prompt[start : example.words[-1][1]]
    if example.question:
        text += f"\n{example.question}"
    lines = body_lines(text)
    if not lines:
        return None
    return Paragraph(
        id=example.id,
        text=text,
        segments=(),
        question=text[lines[-1][-1][1] :].strip(),
        answer=example.target.strip(),
        words=tuple((first - start, last - start) for first, last in example.words),
        word_rule=WORD_RULE,
        text_sha256=text_hash(text),
    )


def _holds(text: str, answer: str) -> bool:
    """Whether the answer stands in the text as whole words, whatever its case."""
    return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text, re.IGNORECASE) is not None
