"""One example: what every method says of every word, above the gold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluate.alignment.run import masks
from evaluate.plots.canvas import INK, diverging, method_axis, name_width, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from evaluate.metrics.alignment import Scores
    from evaluate.word_scores import WordScores

# Words of a longer prompt lose their names: they would be smaller than print can show.
NAMED = 160
# Inches.
COLUMN = 0.105
LINE = 0.15


def strips(words: WordScores, index: int) -> Figure:
    """A line a method and a column a word, each line by its largest absolute score; the gold words below.

    Orange is above zero and blue below. Methods that gave no numbers have an empty line.

    Args:
        words: Word scores of a run.
        index: Number of the example.
    """
    example = words.examples[index]
    gold, _ = masks(example)
    methods = [row.method for row in words.result.methods]
    lines = [_by_largest(words.scores[name][index], len(gold)) for name in methods]
    values = np.stack([*lines, np.zeros(len(gold))])
    named = len(gold) <= NAMED
    with style():
        left = name_width(methods)
        figure = new_figure(
            left + max(3.0, COLUMN * len(gold)),
            0.2 + LINE * len(values) + (0.8 if named else 0.0),
            left=left,
            top=0.1,
            bottom=0.9 if named else 0.1,
        )
        axes = figure.subplots()
        axes.imshow(values, cmap=diverging(), vmin=-1, vmax=1, aspect="auto", interpolation="none")
        axes.vlines(np.flatnonzero(gold), len(methods) - 0.35, len(methods) + 0.35, color=INK, linewidth=3.5)
        method_axis(axes, [*methods, "gold"])
        axes.axhline(len(methods) - 0.5, color=INK, linewidth=0.8)
        axes.set_xticks([])
        for place, (start, end) in enumerate(example.words if named else ()):
            axes.text(
                place,
                len(methods) + 0.7,
                _printable(example.prompt[start:end]),
                rotation=90,
                ha="center",
                va="top",
                fontsize=6,
                parse_math=False,
                color=INK,
            )
    return figure


def _by_largest(scores: Scores | None, size: int) -> Scores:
    if scores is None:
        return np.zeros(size)
    return np.asarray(scores / (np.abs(scores).max() or 1.0))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{WHITE SQUARE}" for c in text)
