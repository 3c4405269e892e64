"""The part of a prompt that may be rewritten: what tells, not what asks."""

from __future__ import annotations

from annotate.schema import Span
from annotate.sentences import split_sentences
from evaluate.tasks.task import Example


def body_sentences(example: Example) -> list[list[Span]]:
    """Sentences of the part of an example that tells, line by line, see `body_lines`.

    What stands before the text that is asked about (a template's words) and behind its last word (the cue) is no part
    of it.

    Args:
        example: The example.

    Returns:
        Spans of the sentences of each line that has one.
    """
    start = example.body[0] if example.body is not None else 0
    text = example.prompt[start : example.words[-1][1]]
    lines = body_lines(text, asks_apart=bool(example.question))
    return [[(start + first, start + last) for first, last in line] for line in lines]


def body_lines(text: str, *, asks_apart: bool = False) -> list[list[Span]]:
    """Sentences of the part of a text that tells, line by line.

    The last line is the question and stays out; so does, in a text of one line, the last sentence, which the target
    follows.

    Args:
        text: Up to its last word.
        asks_apart: Whether the question stands elsewhere, so that all of the text tells.

    Returns:
        Spans of the sentences of each line that has one.
    """
    lines: list[list[Span]] = []
    last = 0
    for start, end in split_sentences(text):
        if not lines or "\n" in text[last:start]:
            lines.append([])
        lines[-1].append((start, end))
        last = end
    if asks_apart:
        return lines
    if len(lines) > 1:
        return lines[:-1]
    return [lines[0][:-1]] if lines and len(lines[0]) > 1 else []
