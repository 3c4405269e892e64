"""The parts of a text that scores are read by: tokens, words, sentences, lines, messages, worked examples.

A unit's score is made of its tokens' scores by the rule of `heat.projection`, whatever the unit: the mean, or the sum.
A token belongs to the units whose visible characters it overlaps, in proportion to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import regex

from heat.errors import UnitError
from heat.markers import with_whole_markers
from heat.projection import Aggregation, counts, word_scores
from heat.segments import Segment, worked_examples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

Unit = Literal["token", "word", "sentence", "line", "message", "example"]
UNITS: tuple[Unit, ...] = get_args(Unit)

# The benchmark's rule for words (annotate.words), so that a picture shows what an evaluation judges; and one word for
# each character of scripts that put no space between words, which would else be one word a line.
_UNSPACED = r"(?!\p{Nd})[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmr}\p{scx=Mymr}]"
_CORE = rf"(?!{_UNSPACED})[\p{{L}}\p{{N}}](?:(?!{_UNSPACED})[\p{{L}}\p{{N}}]|[\p{{M}}\u200c\u200d])*"
_WORD = regex.compile(rf"{_CORE}(?:['’\-.,]{_CORE})*|(?!\s)\X")
# A stop and what closes with it before space, or a line's end; scripts without spaces need none.
_SENTENCE = regex.compile(r"\S.*?(?:[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+[」』”）]*|$)", regex.MULTILINE)
_LINE = regex.compile(r"\S(?:[^\n]*\S)?")
_BLOCK = regex.compile(r"\S(?:(?:(?!\n[^\S\n]*\n).)*\S)?", regex.DOTALL)
_SPACE = regex.compile(r"\s")


@dataclass(frozen=True)
class Part:
    """A unit of a prompt.

    Attributes:
        start: First code point.
        end: One past the last.
        label: What it is where its text does not say: a message's role, `example 2`; else empty.
    """

    start: int
    end: int
    label: str = ""


def visible(text: str) -> bool:
    """Whether some character of a text is no white space, by the rule that makes words."""
    return bool(_SPACE.sub("", text))


def split_words(text: str) -> list[tuple[int, int]]:
    """Where words are: the benchmark's rule, and single characters where a script puts no spaces.

    Args:
        text: Any text.

    Returns:
        `[start, end)` of each; together they cover every visible character.
    """
    return [match.span() for match in _WORD.finditer(text)]


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Where sentences are: up to a stop before white space, or the end of a line; `[start, end)` of each."""
    return [match.span() for match in _SENTENCE.finditer(text)]


def split(text: str, unit: Unit, segments: Sequence[Segment] = ()) -> list[Part]:
    """The units of a prompt, but tokens.

    In a chat, units lie inside messages and what the template says; marks of a turn belong to none. A worked example is
    an earlier message of the user's with the answer to it; in a plain text examples stand between blank lines.

    Args:
        text: The prompt.
        unit: Any but `token`.
        segments: Messages in it; empty for a plain text.

    Returns:
        In order and without overlap; in a plain text they cover every visible character.

    Raises:
        UnitError: Messages are asked for where there are none.
    """
    if unit == "message":
        if not segments:
            raise UnitError(
                "the prompt is no chat whose messages can be found; use --chat FILE (in Python a list of messages), "
                "or another unit: word, sentence, line or example"
            )
        return [Part(one.start, one.end, one.role) for one in segments if visible(text[one.start : one.end])]
    if unit == "example":
        if segments:
            return [Part(start, end, label) for label, start, end in worked_examples(segments)]
        blocks = [match.span() for match in _BLOCK.finditer(text)]
        labels = [f"example {number}" for number in range(1, len(blocks))] + ["question"]
        # An only block is no example of anything.
        return [
            Part(start, end, label if len(blocks) > 1 else "")
            for (start, end), label in zip(blocks, labels, strict=False)
        ]
    return [
        Part(region + start, region + end)
        for region, end_of_region in _regions(text, segments)
        for start, end in _within(text[region:end_of_region], unit)
    ]


def owners(text: str, parts: Sequence[Part], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Which unit each token is taken away with, so that every token has one owner at most.

    A token on several units belongs to the first that it has a visible character of; one without any to the unit before
    it if it lies within or directly behind it, else to none.

    Args:
        text: The prompt.
        parts: Its units.
        offsets: `[start, end)` of each token; (0, 0) for special tokens, which have no owner.

    Returns:
        Indices into `parts`, -1 for none.
    """
    at = [-1] * len(text)
    for index, part in enumerate(parts):
        at[part.start : part.end] = [index] * (part.end - part.start)
    found: list[int] = []
    latest = -1
    for start, end in offsets:
        own = [at[place] for place in range(start, end) if at[place] >= 0 and visible(text[place])]
        blank = end > start and not visible(text[start:end])
        latest = own[0] if own else latest if blank else -1
        found.append(latest)
    return found


@dataclass(frozen=True, eq=False)
class UnitScores:
    """Scores of the units of a prompt.

    Attributes:
        unit: What the prompt was divided into.
        aggregation: How a unit's score is made of its tokens'.
        texts: Text of each of the U units; a token's name where it has no characters.
        labels: A message's role or an example's number; empty for other units.
        spans: `[start, end)` code points of each in the prompt; None where it was given as ids.
        scores: float64 [m, U], a row for each target.
        components: Parts that the scores were made of, each float64 [m, U].
        outside: float64 [m], the sum of the scores of the prompt's tokens that belong to no unit. By `sum`, a row of
            `scores` and its number here add up to the scores of the prompt's tokens.
    """

    unit: Unit
    aggregation: Aggregation
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    spans: tuple[tuple[int, int], ...] | None
    scores: NDArray[np.float64]
    components: Mapping[str, NDArray[np.float64]]
    outside: NDArray[np.float64]

    def to_frame(self, target: int | None = None) -> DataFrame:
        """A row a unit: `label` where there are labels, text, `score` and a column for each component.

        Args:
            target: Index of the target token; None sums over all of them.
        """
        import pandas as pd

        def row(values: NDArray[np.float64]) -> NDArray[np.float64]:
            of_target: NDArray[np.float64] = values.sum(0) if target is None else values[target]
            return of_target

        labels = {"label": self.labels} if any(self.labels) else {}
        numbers = {name: row(values) for name, values in {"score": self.scores, **self.components}.items()}
        return pd.DataFrame({**labels, self.unit: self.texts, **numbers})


def on_parts(
    values: NDArray[np.float32],
    text: str,
    parts: Sequence[Part],
    offsets: Sequence[tuple[int, int]],
    aggregation: Aggregation,
) -> NDArray[np.float64]:
    """Scores of units from scores of tokens, float64 [m, units]; a unit that the tokenizer drops has none, 0."""
    import numpy as np

    spans = [(part.start, part.end) for part in parts]
    scores = np.zeros((len(values), len(parts)))
    if spans:
        touched = np.flatnonzero(counts(text, spans, offsets).sum(axis=0))
        if len(touched):
            covered = [spans[index] for index in touched]
            scores[:, touched] = word_scores(values, text, covered, offsets, aggregation)
    return scores


def untouched(text: str, parts: Sequence[Part], offsets: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which tokens belong to no unit, bool [n]."""
    import numpy as np

    return np.asarray(counts(text, [(p.start, p.end) for p in parts], offsets).sum(axis=1) == 0)


def _regions(text: str, segments: Sequence[Segment]) -> Iterator[tuple[int, int]]:
    """The stretches that units lie in."""
    yield from ((one.start, one.end) for one in segments)
    if not segments:
        yield 0, len(text)


def _within(text: str, unit: Unit) -> list[tuple[int, int]]:
    if unit == "word":
        return with_whole_markers(text, split_words(text))
    if unit == "sentence":
        return split_sentences(text)
    return [match.span() for match in _LINE.finditer(text)]
