"""Who says what in a chat that a template has put into one text: messages, and the template's own words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

# A stretch of the template with that many words says something of its own; with fewer it marks a turn.
_WORDS = 4
_ROLE = regex.compile(r"\s*(system|developer|user|assistant|model|tool)\s*\n\s*")
# Stands for a message while a template is rendered; no text holds private-use characters in this order by accident.
_MARK = regex.compile("\ue000([\ue100-\uf8ff])\ue001")
MOST = 0xF8FF - 0xE100


@dataclass(frozen=True)
class Segment:
    """A part of a prompt with the role that says it.

    Attributes:
        role: `system`, `user`, `assistant`, ..., or `template` for what a chat template says in no role.
        start: First code point in the prompt.
        end: One past the last.
        given: Whether it is a message that was given; False for the template's own text.
    """

    role: str
    start: int
    end: int
    given: bool = True


def mark(index: int) -> str:
    """What stands for message `index` while a template is rendered to find its place (`MOST` messages at most)."""
    return f"\ue000{chr(0xE100 + index)}\ue001"


def locate(
    text: str, marked: str, messages: Sequence[tuple[str, str]], special_tokens: Sequence[str] = ()
) -> tuple[Segment, ...]:
    """Find messages in the text that a template made of them.

    Args:
        text: The rendered chat.
        marked: The same chat rendered with `mark(index)` in place of each content.
        messages: Role and content of each.
        special_tokens: Strings that the tokenizer reads as marks of a turn.

    Returns:
        The messages and what the template says by itself, in order, without what only marks a turn; empty where the
        template changes a content by more than stripping it, so that its place is unknown.
    """
    pieces = _MARK.split(marked)
    gaps, indices = pieces[::2], [ord(letter) - 0xE100 for letter in pieces[1::2]]
    found: list[Segment] = []
    at = 0
    for place, gap in enumerate(gaps):
        if not text.startswith(gap, at):
            return ()
        found += _own_text(gap, at, special_tokens)
        at += len(gap)
        if place < len(indices):
            if indices[place] >= len(messages):
                return ()
            role, content = messages[indices[place]]
            behind = gaps[place + 1]
            variants = (content, content.strip(), content.lstrip(), content.rstrip())
            length = next((len(c) for c in variants if text.startswith(c + behind, at)), None)
            if length is None:
                return ()
            found.append(Segment(role, at, at + length))
            at += length
    return tuple(found) if at == len(text) else ()


def worked_examples(segments: Sequence[Segment]) -> list[tuple[str, int, int]]:
    """What stands before the last question: turns of a user's message with the answer to it, and the rest by itself.

    Args:
        segments: Of a chat.

    Returns:
        Label, start and end of each, in order: `example 1`, `example 2`, ..., `question` for the user's last message,
        and the role of whatever is neither.
    """
    users = [index for index, segment in enumerate(segments) if segment.role == "user"]
    last = users[-1] if users else len(segments)
    found: list[tuple[str, int, int]] = []
    number = index = 0
    while index < len(segments):
        one, other = segments[index], segments[index + 1] if index + 1 < len(segments) else None
        if index < last and one.role == "user" and other is not None and other.role in ("assistant", "model"):
            number += 1
            found.append((f"example {number}", one.start, other.end))
            index += 2
            continue
        found.append(("question" if index == last else one.role, one.start, one.end))
        index += 1
    return found


def _own_text(gap: str, at: int, special_tokens: Sequence[str]) -> Iterator[Segment]:
    """What the template says in a gap between messages, without marks of a turn."""
    marks = "|".join(regex.escape(token) for token in sorted(special_tokens, key=len, reverse=True) if token)
    reached = 0
    cuts = [match.span() for match in regex.finditer(marks, gap)] if marks else []
    for start, end in [*cuts, (len(gap), len(gap))]:
        part = gap[reached:start]
        named = _ROLE.match(part)
        begin = named.end() if named else len(part) - len(part.lstrip())
        said = part[begin:].rstrip()
        if len(said.split()) >= _WORDS:
            role = named[1] if named else "template"
            yield Segment(role, at + reached + begin, at + reached + begin + len(said), given=False)
        reached = end
