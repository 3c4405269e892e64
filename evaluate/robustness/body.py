"""The part of a prompt that may be rewritten: what tells, not what asks."""

from __future__ import annotations

from annotate.schema import Span
from annotate.sentences import split_sentences
from evaluate.tasks.task import Example


def body_sentences(example: Example) -> list[list[Span]]:
    """Sentences of the part of an example that tells, line by line, see `body_lines`.

    What stands behind the last word (the cue) is no part of it.

    Args:
        example: The example.

    Returns:
        Spans of the sentences of each line that has one.
    """
    return body_lines(example.prompt[: example.words[-1][1]])


def body_lines(text: str) -> list[list[Span]]:
    """Sentences of the part of a text that tells, line by line.

    The last line is the question and stays out; so does, in a text of one line, the last sentence, which the target
    follows.

    Args:
        text: Up to its last word.

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
    if len(lines) > 1:
        return lines[:-1]
    return [lines[0][:-1]] if lines and len(lines[0]) > 1 else []
