"""A whole answer in a terminal: which of its tokens depend on the text, and on which of its words."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from heat.answers import Answer
from heat.attribution import Attribution
from heat.projection import Aggregation
from heat.show.words import Reading, one_line, read, visible
from heat.units import Unit

# Strongest words beside each token.
WORDS = 4
# A longer answer is listed without the tokens that do not depend on the text.
LISTED = 40


def show_answer(
    answer: Answer,
    attributions: Sequence[Attribution],
    console: Console,
    unit: Unit = "word",
    aggregation: Aggregation = "mean",
    *,
    words: bool = True,
) -> None:
    """Print an answer token by token: probability with the text and without it, divergence, strongest words.

    Args:
        answer: The answer.
        attributions: Of its tokens that depend on the text, one for each method; empty where none does.
        console: Where to.
        unit: What the prompt is divided into.
        aggregation: How a unit's number is made of its tokens'.
        words: Whether each token is shown with the words it depends on.
    """
    whole = not console.is_terminal
    console.print(_answer(answer), soft_wrap=whole)
    for fact in facts(answer):
        console.print(Text(fact), style="dim", soft_wrap=whole)
    console.print()
    readings = [read(one, unit, aggregation) for one in attributions] if words else []
    for line in _rows(answer, readings, [one.method for one in attributions] if words else []):
        if whole:
            console.print(line, soft_wrap=True)
        else:
            console.print(line, no_wrap=True, overflow="ellipsis")
    console.print()


def facts(answer: Answer) -> list[str]:
    """What was asked, in sentences.

    Args:
        answer: The answer.

    Returns:
        How many of its tokens depend on the text, and by which threshold.
    """
    n_tokens, n_depending = len(answer.tokens), len(answer.depending)
    lines = [
        f"{n_depending} of {n_tokens} tokens depend on the text: without it, their next-token distribution is "
        f"{answer.threshold:g} nats or more away (--threshold)."
    ]
    if answer.ended is False:
        lines.append(f"The answer was cut off after {n_tokens} tokens (--max-targets).")
    if any(foil >= 0 for foil in answer.encoded.foil_ids or ()):
        lines.append("Tokens with a foil are explained against it, whether they depend on the text or not.")
    return lines


def _answer(answer: Answer) -> Text:
    """The answer; what does not depend on the text is dim."""
    text = Text("-> ")
    for place, token in enumerate(answer.tokens):
        shown = token.text if place else token.text.lstrip()
        text.append(visible(shown, "\n"), style="bold" if token.depends else "dim")
    return text


def _rows(answer: Answer, readings: Sequence[Reading], methods: Sequence[str]) -> list[Text]:
    """A row a token; with several methods a row for each under it."""
    explained = answer.encoded.wanted
    listed = [
        index for index in range(len(answer.tokens)) if len(answer.tokens) <= LISTED or index in explained
    ]
    shown = {
        index: one_line(answer.tokens[index].text, 24) or repr(answer.tokens[index].text) for index in listed
    }
    width = max([5, *(cell_len(text) for text in shown.values())])
    several = max((len(method) for method in methods), default=0) if len(methods) > 1 else 0
    beside = f"  strongest {readings[0].unit}s" if readings else ""
    heading = f"{'#':>4}  {'token':<{width}}{'p':>9}{'without':>10}{'divergence':>12}{beside}"
    rows = [Text(heading, style="dim")]
    for index in listed:
        token = answer.tokens[index]
        pad = " " * (width - cell_len(shown[index]))
        line = (
            f"{index + 1:4}  {shown[index]}{pad}{exp(token.log_prob):9.3g}{exp(token.log_prob_without):10.2g}"
            f"{token.divergence:12.3g}"
        )
        if index not in explained:
            rows.append(Text(line, style="dim"))
            continue
        for place, (reading, method) in enumerate(zip(readings, methods, strict=True)):
            words = "  ".join(one_line(reading.prompt[i].text, 32) for i in reading.strongest(WORDS, index))
            label = f"{method:<{several}}  " if several else ""
            rows.append(Text(f"{line if place == 0 else ' ' * len(line)}  {label}{words}"))
        if not readings:
            rows.append(Text(line))
    left_out = len(answer.tokens) - len(listed)
    if left_out:
        rows.append(Text(f"{left_out} tokens that do not depend on the text are left out", style="dim"))
    return rows
