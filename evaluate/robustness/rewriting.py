"""A text with some of its parts exchanged, and which of its words are which words of the new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annotate.schema import Span
from annotate.words import split_words
from evaluate.tasks.task import Example

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Change:
    """One stretch of a text and what takes its place.

    Attributes:
        start: First code point that goes.
        end: One past the last; `start` where something is only put in.
        text: What stands there instead.
        partners: Spans of the old text beside the spans of `text` that say the same. Text that only moved keeps its
            words, and one word becomes one word; other spans are paired word by word where they have as many.
    """

    start: int
    end: int
    text: str
    partners: tuple[tuple[Span, Span], ...] = ()


@dataclass(frozen=True)
class Rewriting:
    """An example in other words.

    Attributes:
        name: What was done.
        example: The new example; its words are the new text's.
        pairs: Index of a word and of its partner, in the order of the old words.
    """

    name: str
    example: Example
    pairs: Pairs


def rewritten(example: Example, name: str, changes: Sequence[Change]) -> Rewriting | None:
    """Make changes in an example's prompt.

    Args:
        example: The example.
        name: What is done.
        changes: Without overlap; no word lies across the edge of one.

    Returns:
        The new example and its word pairs: words outside the changes are their own partners. ``None`` where the text
        stays as it is, or a word is cut.
    """
    parts: list[str] = []
    words: list[Span] = []
    pairs: list[tuple[int, int]] = []
    old_at = new_at = 0
    index = {span: place for place, span in enumerate(example.words)}
    edges = {edge for change in changes for edge in (change.start, change.end)}
    if any(start < edge < end for start, end in example.words for edge in edges):
        return None
    rest = Change(len(example.prompt), len(example.prompt), "")
    for change in [*sorted(changes, key=lambda change: (change.start, change.end)), rest]:
        for span in example.words:
            if span[0] >= old_at and span[1] <= change.start:
                pairs.append((index[span], len(words)))
                words.append(_shifted(span, new_at - old_at))
        parts.append(example.prompt[old_at : change.start])
        new_at += change.start - old_at
        first, inside = len(words), _words_of(change, example)
        words += [_shifted(span, new_at) for span in inside]
        for old, new in change.partners:
            old_words = [i for span, i in index.items() if old[0] <= span[0] and span[1] <= old[1]]
            new_words = [first + i for i, (a, b) in enumerate(inside) if new[0] <= a and b <= new[1]]
            if len(old_words) == len(new_words):
                pairs += zip(old_words, new_words, strict=True)
        parts.append(change.text)
        new_at += len(change.text)
        old_at = change.end
    prompt = "".join(parts)
    if prompt == example.prompt:
        return None
    body = example.body and (example.body[0], example.body[1] + len(prompt) - len(example.prompt))
    changed = Example(
        id=f"{example.id}/{name}",
        prompt=prompt,
        target=example.target,
        words=tuple(words),
        body=body,
        question=example.question,
        foil=example.foil,
        special_tokens=example.special_tokens,
    )
    return Rewriting(name, changed, tuple(sorted(pairs)))


def _words_of(change: Change, example: Example) -> list[Span]:
    """Words of the new stretch: those of the old text where it says which they are, else by the common rule."""
    known: list[Span] = []
    settled: list[Span] = []
    for old, new in change.partners:
        inside = [span for span in example.words if old[0] <= span[0] and span[1] <= old[1]]
        if example.prompt[old[0] : old[1]] == change.text[new[0] : new[1]]:
            known += [_shifted(span, new[0] - old[0]) for span in inside]
        elif inside == [old]:
            known.append(new)
        else:
            continue
        settled.append(new)
    others = [
        (start, end)
        for start, end in split_words(change.text)
        if not any(start < b and a < end for a, b in settled)
    ]
    return sorted([*known, *others])


def _shifted(span: Span, by: int) -> Span:
    return span[0] + by, span[1] + by
