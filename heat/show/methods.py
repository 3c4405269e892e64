"""Several methods in a terminal: rows of the same words under each other, how alike they rank, where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from heat.comparison import Comparison
from heat.show.colours import INK, as_hex, background
from heat.show.display import FAINT, LIMIT, MARKED, outside_note
from heat.show.words import Reading, excerpt, one_line, read, visible

# Columns of a line where there is no terminal to say how many it has.
_COLUMNS = 100


def show_methods(comparison: Comparison, top: int, console: Console) -> None:
    """Print the prompt once for each method, line by line under each other, and what they agree on.

    Args:
        comparison: At least two methods.
        top: How many of the strongest words, and of those they disagree on, to list.
        console: Where to.
    """
    readings = [read(one, comparison.unit, comparison.aggregation) for one in comparison.attributions]
    names = [visible(name) for name in comparison.names]
    plain = console.color_system is None or console.no_color
    whole = not console.is_terminal
    width = _COLUMNS if whole else console.width
    for line in side_by_side(readings, names, width, plain=plain):
        console.print(line, soft_wrap=True)
    first = comparison.attributions[0]
    lines = [
        f"-> {visible(readings[0].target)}",
        visible(
            f"probability {readings[0].probability:.3g}   model {first.model}   {readings[0].rule}"
        ).rstrip(),
    ]
    if any(reading.signed() for reading in readings):
        lines.append(
            f"[{comparison.unit}] speaks for it, [-{comparison.unit}] against."
            if plain
            else "orange speaks for it, blue against."
        )
    for name, reading in zip(names, readings, strict=True):
        if reading.outside >= 0.01:
            lines.append(f"{name}: {outside_note(reading)}")
    lines += ["", *strongest_lines(comparison, readings, top), ""]
    lines += [*correlation_lines(comparison), "", *disagreement_lines(comparison, top)]
    for text in lines:
        if whole:
            console.print(Text(text), soft_wrap=True)
        else:
            console.print(Text(text), no_wrap=True, overflow="ellipsis")


def side_by_side(
    readings: Sequence[Reading], names: Sequence[str], width: int, *, plain: bool
) -> Iterator[Text]:
    """Lines of the prompt, each once for every method, with the method's name before it.

    Args:
        readings: One for each method, of the same units.
        names: Names of the methods.
        width: Columns of a line.
        plain: Whether there are no colours: [word] then marks what speaks for the target, [-word] against.

    Yields:
        Lines; an empty one after the rows of each line of the prompt.
    """
    label = max(cell_len(name) for name in names) + 2
    pieces = readings[0].prompt
    shares = [reading.shares() for reading in readings]
    strongest = list(dict.fromkeys(i for reading in readings for i in reading.strongest(10)))
    rows = [Text(name.ljust(label), style="dim") for name in names]
    used, gap = label, 0

    def finished() -> Iterator[Text]:
        nonlocal rows, used, gap
        if used > label:
            yield from rows
            if len(names) > 1:
                yield Text("")
        rows, used, gap = [Text(name.ljust(label), style="dim") for name in names], label, 0

    reached = 0
    for start, end in excerpt(len(pieces), strongest, LIMIT):
        if start > reached:
            yield from finished()
            yield Text(f"... {start - reached:,} {readings[0].unit}s ...", style="dim")
        for index in range(start, end):
            piece = pieces[index]
            if piece.heading or "\n" in piece.before:
                yield from finished()
            if piece.heading:
                yield Text(f"{piece.heading}:", style="dim")
            gap = 1 if piece.before and used > label else 0
            for place, part in enumerate(piece.text.split()):
                cells = [_cell(visible(part), of_method[index], plain=plain) for of_method in shares]
                wide = max(cell_len(cell.plain) for cell in cells)
                gap = 1 if place and used > label else gap
                if used > label and used + gap + wide > width:
                    yield from finished()
                for row, cell in zip(rows, cells, strict=True):
                    row.append(" " * gap)
                    row.append_text(cell)
                    row.append(" " * (wide - cell_len(cell.plain)))
                used += gap + wide
        reached = end
    yield from finished()


def strongest_lines(comparison: Comparison, readings: Sequence[Reading], top: int) -> list[str]:
    """The strongest words of each method, a line each."""
    width = max(cell_len(name) for name in comparison.names) + 2
    return [
        f"{visible(name).ljust(width)}"
        + "  ".join(one_line(reading.prompt[i].text, 40) for i in reading.strongest(top))
        for name, reading in zip(comparison.names, readings, strict=True)
    ]


def correlation_lines(comparison: Comparison) -> list[str]:
    """Spearman's rank correlation of every two methods: a sentence for two, a triangle for more."""
    names, values = [visible(name) for name in comparison.names], comparison.correlation
    if len(names) == 2:
        return [f"rank correlation (Spearman) of {names[0]} and {names[1]}: {figure(values[0, 1])}"]
    width = max(cell_len(name) for name in names) + 2
    lines = ["rank correlation (Spearman)"]
    for row, name in enumerate(names[1:], 1):
        numbers = "".join(figure(values[row, column]).rjust(width) for column in range(row))
        lines.append(name.ljust(width) + numbers)
    return [*lines, " " * width + "".join(name.rjust(width) for name in names[:-1])]


def disagreement_lines(comparison: Comparison, top: int) -> list[str]:
    """The words whose ranks differ most, with their rank under each method."""
    if not comparison.disagreements:
        return [f"They rank every {comparison.unit} alike."]
    names = [visible(name) for name in comparison.names]
    columns = [max(6, cell_len(name) + 2) for name in names]
    lines = [
        f"ranks of the {comparison.unit}s on which they disagree most, of {comparison.scores.shape[1]} "
        f"(1 speaks most for it)",
        "".join(name.rjust(width) for name, width in zip(names, columns, strict=True))
        + f"  {comparison.unit}",
    ]
    for one in comparison.disagreements[:top]:
        ranks = "".join(f"{rank:{width}g}" for rank, width in zip(one.ranks, columns, strict=True))
        lines.append(f"{ranks}  {one_line(one.text)}")
    return lines


def figure(value: float) -> str:
    """A correlation with two digits; a dash where there is none."""
    return "-" if np.isnan(value) else f"{value:.2f}"


def _cell(text: str, share: float, *, plain: bool) -> Text:
    if plain:
        strong = abs(share) >= MARKED
        return Text(f"[{'-' if share < 0 else ''}{text}]" if strong else f" {text} ")
    return Text(text, style="" if abs(share) < FAINT else f"{as_hex(INK)} on {as_hex(background(share))}")
