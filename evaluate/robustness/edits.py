"""Edits of a text that keep its meaning, each with its words aligned by construction."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from itertools import pairwise

from annotate.files import shipped
from annotate.schema import Span
from evaluate.robustness.body import body_sentences
from evaluate.robustness.rewriting import Change, Rewriting, rewritten
from evaluate.tasks.task import Example


def synonym(example: Example) -> Rewriting | None:
    """Every word of the body that `data/robustness/synonyms.txt` lists becomes its partner there."""
    partners = _synonyms()
    swaps = []
    for start, end in _body_words(example):
        word = example.prompt[start:end]
        other = partners.get(word.lower())
        if other is not None:
            swaps.append(_swap(start, end, other.capitalize() if word[0].isupper() else other))
    return rewritten(example, "synonym", swaps)


def case(example: Example) -> Rewriting | None:
    """Every word of the body in lower case."""
    return rewritten(
        example,
        "case",
        [_swap(start, end, example.prompt[start:end].lower()) for start, end in _body_words(example)],
    )


def punctuation(example: Example) -> Rewriting | None:
    """Commas of the body go, where they are words of their own.

    No mark is put in: one that a model has never read is no small edit to it.
    """
    changes = [
        Change(start, end, "") for start, end in _body_words(example) if example.prompt[start:end] == ","
    ]
    return rewritten(example, "punctuation", changes)


def distractor(example: Example) -> Rewriting | None:
    """A sentence about nothing in the text stands behind the first line of the body."""
    lines = body_sentences(example)
    if not lines:
        return None
    sentences = _listed("distractors.txt")
    place = lines[0][-1][1]
    chosen = sentences[zlib.crc32(example.prompt.encode()) % len(sentences)]
    return rewritten(example, "distractor", [Change(place, place, f" {chosen}")])


def order(example: Example) -> Rewriting | None:
    """The first sentence of every line of the body goes to the line's end.

    Facts side by side mean the same in any order; a story told so keeps its sentences, not its course.
    """
    changes = []
    for line in body_sentences(example):
        if len(line) < 2:
            continue
        moved = [*line[1:], line[0]]
        gaps = [example.prompt[a:b] for (_, a), (b, _) in pairwise(line)]
        text, partners = "", []
        for (start, end), gap in zip(moved, [*gaps, ""], strict=True):
            partners.append(((start, end), (len(text), len(text) + end - start)))
            text += example.prompt[start:end] + gap
        changes.append(Change(line[0][0], line[-1][1], text, tuple(partners)))
    return rewritten(example, "order", changes)


EDITS: dict[str, Callable[[Example], Rewriting | None]] = {
    "synonym": synonym,
    "case": case,
    "punctuation": punctuation,
    "distractor": distractor,
    "order": order,
}
"""Every edit by name; each gives ``None`` where it finds nothing to change."""


def _swap(start: int, end: int, text: str) -> Change:
    return Change(start, end, text, (((start, end), (0, len(text))),))


def _body_words(example: Example) -> list[Span]:
    spans = [span for line in body_sentences(example) for span in line]
    return [word for word in example.words if any(a <= word[0] and word[1] <= b for a, b in spans)]


@cache
def _synonyms() -> dict[str, str]:
    partners: dict[str, str] = {}
    for line in _listed("synonyms.txt"):
        one, other = line.split()
        partners.setdefault(one, other)
        partners.setdefault(other, one)
    return partners


@cache
def _listed(name: str) -> tuple[str, ...]:
    lines = (shipped("robustness") / name).read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))
