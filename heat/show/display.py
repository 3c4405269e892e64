"""An attribution for a terminal: a coloured text and the words that matter most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from heat.projection import Aggregation
from heat.show.colours import INK, as_hex, background
from heat.show.words import SCORE, Piece, Reading, excerpt, one_line, read, visible
from heat.units import Unit

if TYPE_CHECKING:
    from heat.attribution import Attribution

# A longer prompt is shown in stretches around the words that matter.
LIMIT = 400
# Below this share of the largest number a word stays without colour.
FAINT = 0.02
# Where there is no colour, a word needs this share to be marked.
MARKED = 0.2
_WIDE = 60
# One token with this share of a prompt's score leaves all others white; in a prompt of a few words it may.
CONCENTRATED = 0.9
_FEW_WORDS = 5
# A target token with less than this probability is nothing that the model would say.
IMPROBABLE = 1e-6


def show(
    attribution: Attribution,
    top: int,
    console: Console,
    unit: Unit = "word",
    aggregation: Aggregation = "mean",
) -> None:
    """Print the prompt in colours, what was explained, and the strongest words.

    Where the console has no colour (a pipe, NO_COLOR), the strongest words stand in brackets instead.

    Args:
        attribution: What to show.
        top: How many words to list.
        console: Where to.
        unit: What to divide the prompt into.
        aggregation: How a unit's number is made of its tokens'.
    """
    reading = read(attribution, unit, aggregation)
    strongest = reading.strongest(top)
    plain = console.color_system is None or console.no_color
    # A pipe gets whole lines; only a terminal has an edge to break them at.
    whole = not console.is_terminal
    console.print(marked(reading, strongest) if plain else coloured(reading, strongest), soft_wrap=whole)
    console.print()
    console.print(Text(f"-> {visible(reading.target)}"), soft_wrap=whole)
    facts = f"probability {reading.probability:.3g}   method {attribution.method}   model {attribution.model}"
    facts += f"   {reading.rule}" if reading.rule else ""
    console.print(Text(visible(facts)), soft_wrap=whole)
    for line in notes(reading, plain=plain):
        console.print(Text(line), style="dim", soft_wrap=whole)
    wide = whole or console.width >= _WIDE
    for line in rows(reading, strongest, components=wide):
        if whole:
            console.print(Text(line), soft_wrap=True)
        else:
            console.print(Text(line), no_wrap=True, overflow="ellipsis")


def coloured(reading: Reading, strongest: list[int], limit: int = LIMIT) -> Text:
    """The prompt: the more orange, the more a word speaks for the target; blue speaks against it.

    Args:
        reading: An attribution in words.
        strongest: Indices of the words to show in any case.
        limit: How many words to show, about.

    Returns:
        Text for a rich console.
    """
    shares = reading.shares()
    return _lines(reading, strongest, limit, {i: _style(shares[i]) for i in range(len(reading.prompt))}, {})


def marked(reading: Reading, strongest: list[int], limit: int = LIMIT) -> Text:
    """The prompt without colours: [word] speaks for the target, [-word] against it.

    Args:
        reading: An attribution in words.
        strongest: Indices of the words that may be marked, if they are strong enough.
        limit: How many words to show, about.

    Returns:
        Text for a rich console.
    """
    shares = reading.shares()
    marks = {i: "[" if shares[i] > 0 else "[-" for i in strongest if abs(shares[i]) >= MARKED}
    return _lines(reading, strongest, limit, {}, marks)


def notes(
    reading: Reading, *, plain: bool, remedy: str = "--skip-first, Attribution.without_first"
) -> list[str]:
    """How to read the colours, and what makes them doubtful, in sentences.

    Args:
        reading: An attribution in words.
        plain: Whether there are no colours.
        remedy: How first and special tokens are left out.

    Returns:
        Lines.
    """
    lines = []
    if reading.largest() == 0:
        return [f"Every {reading.unit} has score 0."]
    if reading.signed():
        lines.append(
            f"[{reading.unit}] speaks for it, [-{reading.unit}] against."
            if plain
            else "orange speaks for it, blue against."
        )
    if reading.outside >= 0.01:
        lines.append(outside_note(reading))
    if reading.heaviest_share >= CONCENTRATED and len(reading.prompt) >= _FEW_WORDS:
        lines.append(
            f"{reading.heaviest_share:.0%} of the score lies on one token, {visible(reading.heaviest)}; leave out "
            f"first and special tokens ({remedy}), or look at the components."
        )
    if min(reading.probabilities) < IMPROBABLE:
        lines.append(
            f"The model gives the target a probability of {min(reading.probabilities):.1g}, so this explains what it "
            "would hardly say; without a target its own answer is explained."
        )
    return lines


def outside_note(reading: Reading) -> str:
    """A sentence on what lies on tokens that belong to no unit."""
    such = ", such as a chat's marks of a turn" if any(piece.heading for piece in reading.prompt) else ""
    return (
        f"{reading.outside:.0%} of the score lies on tokens that are no {reading.unit} of the prompt{such}."
    )


def rows(reading: Reading, strongest: list[int], *, components: bool) -> list[str]:
    """The strongest words with their numbers, the word last.

    Args:
        reading: An attribution in words.
        strongest: Indices of the words, in order.
        components: Whether to print the components too, under a heading.

    Returns:
        Lines.
    """
    views = list(reading.views) if components else [SCORE]
    numbers = {view: reading.numbers(view) for view in views}
    heading = "".join(f"{visible(view):>{_column(view)}}" for view in views)
    lines = [f"{heading}  {reading.unit}"] if len(views) > 1 else []
    for index in strongest:
        figures = "".join(f"{numbers[view][index]:{_column(view)}.4g}" for view in views)
        lines.append(f"{figures}  {named(reading.prompt[index])}")
    return lines


def named(piece: Piece) -> str:
    """A unit in a row of a list: who says it, where it begins a message, and its text."""
    return (f"{piece.heading}: " if piece.heading else "") + one_line(piece.text)


def _lines(
    reading: Reading, strongest: list[int], limit: int, styles: dict[int, str], marks: dict[int, str]
) -> Text:
    text = Text()
    reached = 0
    for start, end in excerpt(len(reading.prompt), strongest, limit):
        if start > reached:
            text.append(f"\n... {start - reached:,} words ...\n", style="dim")
        for index in range(start, end):
            piece = reading.prompt[index]
            if index > start or start == 0:
                text.append(_gap(piece.before))
            if piece.heading:
                # The gap before it has begun a line.
                text.append(f"{piece.heading}:\n", style="dim")
            mark = marks.get(index)
            word = visible(piece.text, "\n")
            text.append(f"{mark}{word}]" if mark else word, style=styles.get(index, ""))
        reached = end
    return text


def _gap(space: str) -> str:
    """At most one empty line, else at most one space."""
    return "\n" * min(2, space.count("\n")) or " "[: len(space)]


def _column(view: str) -> int:
    return max(11, len(view) + 2)


def _style(share: float) -> str:
    return "" if abs(share) < FAINT else f"{as_hex(INK)} on {as_hex(background(share))}"
