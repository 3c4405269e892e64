"""The examples that a report shows, chosen by a rule, with a heat map a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluate.metrics.alignment import Scores
from evaluate.pipeline.store import Score
from evaluate.plots.canvas import leading, singled
from evaluate.tasks.task import Example
from evaluate.word_scores import WordScores

METRIC = "auprc"
# Steps of colour from none to full.
STEPS = 10
# The components of HEAT that are shown apart, where its attributions have them.
COMPONENTS = ("transition", "curvature", "information")


@dataclass(frozen=True)
class Piece:
    """A stretch of text in a heat map: a word with its score, or what lies between words.

    Attributes:
        text: The characters.
        share: Score over the largest absolute score of the paragraph, in [-1, 1]; ``None`` between words.
        gold: Whether the word is gold.
    """

    text: str
    share: float | None = None
    gold: bool = False

    @property
    def shade(self) -> str:
        """Style class: ``u`` above zero or ``d`` below, and 1 to 10; empty where there is no colour to see."""
        step = 0 if self.share is None else round(STEPS * self.share)
        return f"u{step}" if step > 0 else f"d{-step}" if step < 0 else ""


@dataclass(frozen=True)
class Map:
    """Word scores on one paragraph.

    Attributes:
        name: The method, or one of HEAT's components.
        auprc: Of a method, where it is defined.
        pieces: The text; empty where the method gave no numbers.
    """

    name: str
    auprc: float | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Selection:
    """An example and why it is shown.

    Attributes:
        index: Its number.
        reasons: The rules that chose it.
    """

    index: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ExampleView:
    """A chosen example with its heat maps.

    Attributes:
        example: The example.
        reasons: The rules that chose it.
        maps: HEAT and the methods that figures tell apart.
        components: HEAT's parts.
        others: All other methods.
    """

    example: Example
    reasons: tuple[str, ...]
    maps: tuple[Map, ...]
    components: tuple[Map, ...]
    others: tuple[Map, ...]


def choose(words: WordScores, rows: Mapping[str, Sequence[Score]]) -> list[Selection]:
    """The examples on which the leading method is best, median and worst, and the one on which methods differ most.

    By AUPRC; of equal ones the first by id. Differ most: the largest standard deviation of the AUPRC over all methods
    but controls, examples without a value left out. An example that several rules choose stands there once.

    Args:
        words: Word scores of an alignment run.
        rows: Its rows, by method.

    Returns:
        Up to four examples; none where gold is empty or full throughout.
    """
    lead = leading(words.result)
    values = {name: _values(scores) for name, scores in rows.items()}
    ids = [example.id for example in words.examples]
    ranked = sorted(np.flatnonzero(~np.isnan(values[lead])), key=lambda i: (-values[lead][i], ids[i]))
    if not ranked:
        return []
    indices = {
        f"best for {lead}": ranked[0],
        f"median for {lead}": ranked[len(ranked) // 2],
        f"worst for {lead}": ranked[-1],
    }
    judged = [row.method for row in words.result.methods if row.method_kind != "control"]
    spreads = np.array(
        [np.nan_to_num(np.nanstd([values[name][i] for name in judged or [lead]])) for i in ranked]
    )
    if len(judged) > 1:
        indices["most disputed"] = min(
            zip(ranked, spreads, strict=True), key=lambda ranking: (-ranking[1], ids[ranking[0]])
        )[0]
    reasons: dict[int, list[str]] = {}
    for reason, index in indices.items():
        reasons.setdefault(int(index), []).append(reason)
    return [Selection(index, tuple(named)) for index, named in reasons.items()]


def _values(rows: Sequence[Score]) -> Scores:
    return np.array([np.nan if (value := row.values.get(METRIC)) is None else value for row in rows])


def show(words: WordScores, rows: Mapping[str, Sequence[Score]], chosen: Selection) -> ExampleView:
    """The heat maps of a chosen example."""
    index, example = chosen.index, words.examples[chosen.index]
    maps = {
        name: Map(
            name, rows[name][index].values.get(METRIC), tuple(pieces(example, words.scores[name][index]))
        )
        for name in rows
    }
    first = singled(words.result)
    lead = first[0]
    parts = words.components(lead, index) if words.scores[lead][index] is not None else {}
    return ExampleView(
        example=example,
        reasons=chosen.reasons,
        maps=tuple(maps[name] for name in first),
        components=tuple(
            Map(name, None, tuple(pieces(example, parts[name]))) for name in COMPONENTS if name in parts
        ),
        others=tuple(word_map for name, word_map in maps.items() if name not in first),
    )


def pieces(example: Example, scores: Scores | None) -> list[Piece]:
    """Cut a prompt into words with their scores and what lies between them.

    Args:
        example: The example.
        scores: One finite number a word; ``None`` where there are none.

    Returns:
        Pieces whose texts join to the prompt; none without scores.
    """
    if scores is None:
        return []
    largest = float(np.abs(scores).max()) or 1.0
    gold = set(example.gold or ())
    parts: list[Piece] = []
    last = 0
    for index, (start, end) in enumerate(example.words):
        parts.append(Piece(example.prompt[last:start]))
        parts.append(Piece(example.prompt[start:end], float(scores[index]) / largest, index in gold))
        last = end
    return [*parts, Piece(example.prompt[last:])]
