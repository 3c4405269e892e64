"""One attribution as one PNG: words as coloured boxes in lines, and a legend."""

import contextlib
import io
import logging
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heat.attribution import Attribution
from heat.comparison import compare
from heat.projection import Aggregation
from heat.show.colours import INK, as_hex, background
from heat.show.methods import figure as figure_of
from heat.show.words import Reading, excerpt, read, visible
from heat.units import Unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A longer prompt is shown in stretches around its strongest words.
LIMIT = 400
# Strongest words that get a stretch of their own.
_AROUND = 12
DPI = 150
# Inches.
WIDTH = 8.0
_MARGIN = 0.3
_LINE = 0.28
_BOX = 0.215
_BASELINE = 0.09
_SPACE = 0.05
_BETWEEN = 0.12
_LEGEND = 0.24
# Points.
_LARGE = 11.0
_SMALL = 9.0
_FONT = "DejaVu Sans"
_MISSING = "\N{WHITE SQUARE}"
_SOFT = "#5f6670"

Measure = Callable[[str, float], float]


@dataclass(frozen=True)
class _Mark:
    """A text with its left and upper edge and width in inches; a share gives it a coloured box."""

    x: float
    y: float
    width: float
    text: str
    share: float | None = None
    answer: bool = False
    size: float = _LARGE


def picture(
    attribution: Attribution | Sequence[Attribution],
    *,
    unit: Unit = "word",
    aggregation: Aggregation = "mean",
) -> bytes:
    """The attribution, summed over target tokens, as a PNG; several methods line by line under each other.

    Characters that no installed font has become white squares. Scripts that join letters or run from right to left
    are drawn as far as matplotlib can; the page shows them properly.

    Args:
        attribution: What to show.
        unit: What the prompt is divided into.
        aggregation: How a unit's number is made of its tokens'.

    Returns:
        The file's content; the same for the same attribution, fonts and version of matplotlib.
    """
    attributions = [attribution] if isinstance(attribution, Attribution) else list(attribution)
    with _hushed():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        readings = [read(one, unit, aggregation) for one in attributions]
        names = [one.method for one in attributions] if len(attributions) > 1 else []
        explained = attributions[0].explained
        explained = tuple(range(len(readings[0].answer))) if explained is None else explained
        lines = _facts(attributions, readings)
        pieces = readings[0].pieces
        families, missing = _families(
            set("".join([*lines, *names])).union(*(visible(piece.text + piece.heading) for piece in pieces))
        )

        def drawable(text: str) -> str:
            return "".join(_MISSING if c in missing else c for c in visible(text))

        figure = Figure(figsize=(WIDTH, 1.0), dpi=DPI)
        measure = _measure(FigureCanvasAgg(figure), families)
        marks = list(_text(readings, [drawable(name) for name in names], explained, drawable, measure))
        below = max(mark.y for mark in marks) + _LINE
        legends = [_legend_at(below) + index * _LEGEND for index in range(len(readings))]
        height = legends[-1] + _LINE
        lines = [drawable(line) for line in lines]
        if missing:
            lines.append(f"{_MISSING} stands for a character that no font here has")
        for line in lines:
            for part in _broken(line, _SMALL, WIDTH - 2 * _MARGIN, measure):
                marks.append(_Mark(_MARGIN, height, 0.0, part, size=_SMALL))
                height += 0.22
        height += _MARGIN
        figure.set_size_inches(WIDTH, height)
        for mark in marks:
            _draw(figure, mark, height, families)
        for index, (reading, y) in enumerate(zip(readings, legends, strict=True)):
            name = drawable(names[index]) if names else ""
            _draw_legend(figure, reading, name, _label_width(names, measure), y, height, families)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return content.getvalue()


def _facts(attributions: Sequence[Attribution], readings: Sequence[Reading]) -> list[str]:
    """What stands under the picture."""
    first, reading = attributions[0], readings[0]
    method = f"method {first.method}   " if len(attributions) == 1 else ""
    facts = f"{method}model {first.model}   probability {reading.probability:.3g}   {reading.rule}".rstrip()
    lines = [visible(facts)]
    for one, each in zip(attributions, readings, strict=True):
        if each.outside >= 0.01:
            of_method = "score" if len(attributions) == 1 else f"score of {one.method}"
            lines.append(
                f"{each.outside:.0%} of the {of_method} lies on tokens that are no {each.unit} of the prompt"
            )
    if len(attributions) > 1:
        compared = compare(attributions, reading.unit, reading.aggregation)
        lines.append("rank correlation (Spearman):")
        lines += [
            f"    {compared.names[column]} and {compared.names[row]} {figure_of(compared.correlation[row, column])}"
            for column in range(len(attributions))
            for row in range(column + 1, len(attributions))
        ]
        lines.append("underlined: the answer")
    return lines


def _label_width(names: Sequence[str], measure: Measure) -> float:
    return max((measure(name, _SMALL) for name in names), default=0.0) + (0.15 if names else 0.0)


def _text(
    readings: Sequence[Reading],
    names: Sequence[str],
    explained: Container[int],
    drawable: Callable[[str], str],
    measure: Measure,
) -> Iterator[_Mark]:
    """Prompt and answer in lines, each line once for every method; what is not explained of the answer stays white."""
    reading = readings[0]
    n_prompt = len(reading.prompt)
    shares = [
        [
            share if index < n_prompt or index - n_prompt in explained else 0.0
            for index, share in enumerate(row)
        ]
        for row in (each.shares() for each in readings)
    ]
    strongest = dict.fromkeys(index for each in readings for index in each.strongest(_AROUND))
    stretches = excerpt(n_prompt, list(strongest)[:_AROUND], LIMIT)
    order = [index for start, end in stretches for index in range(start, end)]
    answer = excerpt(len(reading.answer), (), LIMIT // 4)
    order += [n_prompt + index for start, end in answer for index in range(start, end)]
    left, right = _MARGIN + _label_width(names, measure), WIDTH - _MARGIN
    step = len(readings) * _LINE + (_BETWEEN if names else 0.0)
    x, y = left, _MARGIN
    labelled = -1.0
    reached = 0

    def row(text: str, index: int) -> Iterator[_Mark]:
        """A part of a unit that fits the line, for every method, and the methods' names where it begins a line."""
        nonlocal x, labelled
        if names and labelled != y:
            labelled = y
            for place, name in enumerate(names):
                yield _Mark(_MARGIN, y + place * _LINE, 0.0, name, size=_SMALL)
        width = measure(text, _LARGE)
        for place, of_method in enumerate(shares):
            yield _Mark(x, y + place * _LINE, width, text, of_method[index], index >= n_prompt)
        x += width

    for index in order:
        piece = reading.pieces[index]
        breaks = min(2, piece.before.count("\n"))
        if index > reached:
            gap = f"... {index - reached:,} {f'{reading.unit}s' if index <= n_prompt else 'tokens'} ..."
            y += 0 if x == left else step
            yield _Mark(_MARGIN, y, 0.0, gap, size=_SMALL)
            x, y, breaks = left, y + _LINE, 0
        if breaks:
            x, y = left, y + (0 if x == left else step) + (breaks - 1) * _LINE
        elif piece.before and x > left:
            x += _SPACE
        if piece.heading:
            x, y = left, y + (0 if x == left else step)
            yield _Mark(_MARGIN, y, 0.0, drawable(f"{piece.heading}:"), size=_SMALL)
            y += _LINE
        # A unit of several words is drawn word by word, so that lines break where text does.
        for number, fragment in enumerate(piece.text.split() or [piece.text]):
            x += _SPACE if number and x > left else 0.0
            text = drawable(fragment)
            if x > left and x + measure(text, _LARGE) > right:
                x, y = left, y + step
            for place, part in enumerate(_broken(text, _LARGE, right - left, measure)):
                if place:
                    x, y = left, y + step
                yield from row(part, index)
        reached = index + 1
    if names:
        # The rows of the last line reach further down than its first.
        yield _Mark(_MARGIN, y + (len(names) - 1) * _LINE, 0.0, "", size=_SMALL)


def _broken(text: str, size: float, width: float, measure: Measure) -> Iterator[str]:
    """The text in parts that fit the width."""
    while measure(text, size) > width:
        low, high = 1, len(text)
        while low < high - 1:
            middle = (low + high) // 2
            low, high = (middle, high) if measure(text[:middle], size) <= width else (low, middle)
        yield text[:low]
        text = text[low:]
    yield text


def _measure(canvas: object, families: list[str]) -> Measure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.font_manager import FontProperties

    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    known: dict[tuple[str, float], float] = {}

    def measure(text: str, size: float) -> float:
        if (text, size) not in known:
            # No line is that wide: longer text need not be measured to its end.
            head = text[:2000]
            font = FontProperties(family=families, size=size)
            pixels, _, _ = renderer.get_text_width_height_descent(head, font, False)
            known[text, size] = pixels / DPI
        return known[text, size]

    return measure


def _draw(figure: "Figure", mark: _Mark, height: float, families: list[str]) -> None:
    bottom = height - mark.y - _LINE
    if mark.share is not None:
        _rectangle(figure, mark.x, bottom + (_LINE - _BOX) / 2, mark.width, _BOX, _colour(mark.share), height)
    if mark.answer:
        _rectangle(figure, mark.x, bottom + 0.012, mark.width, 0.018, _SOFT, height)
    _write(figure, mark.x, bottom + _BASELINE, mark.text, mark.size, height, families)


def _legend_at(below: float) -> float:
    return below + 0.12


def _draw_legend(
    figure: "Figure",
    reading: Reading,
    name: str,
    label: float,
    y: float,
    height: float,
    families: list[str],
) -> None:
    bottom = height - y - _LINE
    largest = reading.largest()
    signed = reading.signed()
    steps, width = 60, 1.8
    if name:
        _write(figure, _MARGIN, bottom + _BASELINE, name, _SMALL, height, families)
    left = _MARGIN + label
    if signed:
        _write(figure, left, bottom + _BASELINE, f"−{largest:.3g}", _SMALL, height, families)
        left += 0.75
    for step in range(steps):
        share = (step + 0.5) / steps
        share = 2 * share - 1 if signed else share
        x = left + width * step / steps
        # A little wider than a step, so that no white line shows between two.
        _rectangle(figure, x, bottom + 0.06, 1.1 * width / steps, 0.16, _colour(share), height)
    says = "orange speaks for the answer, blue against; underlined: the answer"
    if not signed:
        says = "the more orange, the higher the score; underlined: the answer"
    if name:
        says = says.removesuffix("; underlined: the answer")
    text = f"{largest:.3g}   {says}"
    _write(figure, left + width + 0.1, bottom + _BASELINE, text, _SMALL, height, families)


def _rectangle(
    figure: "Figure", x: float, y: float, width: float, tall: float, colour: str, height: float
) -> None:
    from matplotlib.patches import Rectangle

    place = (x / WIDTH, y / height)
    figure.add_artist(
        Rectangle(place, width / WIDTH, tall / height, facecolor=colour, edgecolor="none", linewidth=0)
    )


def _write(
    figure: "Figure", x: float, y: float, text: str, size: float, height: float, families: list[str]
) -> None:
    figure.text(
        x / WIDTH,
        y / height,
        text,
        family=families,
        fontsize=size,
        color=_SOFT if size == _SMALL else as_hex(INK),
        parse_math=False,
    )


def _colour(share: float) -> str:
    return as_hex(background(share))


def _families(characters: set[str]) -> tuple[list[str], frozenset[str]]:
    """Fonts that together have the characters as far as any installed one has, and what none has."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager
    from matplotlib.ft2font import FT2Font

    families = [_FONT]
    missing = {
        c for c in characters if not FT2Font(findfont(FontProperties(family=_FONT))).get_char_index(ord(c))
    }
    for entry in sorted(
        fontManager.ttflist, key=lambda entry: (entry.weight != 400, entry.name, entry.fname)
    ):
        if not missing:
            break
        if entry.name in families or "Color" in entry.name or entry.style != "normal":
            continue
        try:
            font = FT2Font(findfont(FontProperties(family=entry.name)))
            covered = {c for c in missing if font.get_char_index(ord(c))}
        except (OSError, RuntimeError, ValueError):
            continue
        if covered:
            families.append(entry.name)
            missing -= covered
    return families, frozenset(missing)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep matplotlib's remarks on its caches and fonts off the terminal."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
