"""One attribution as one PNG: words as coloured boxes in lines, and a legend."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heat.attribution import Attribution
from heat.show.colours import INK, as_hex, background
from heat.show.words import Reading, excerpt, read, visible

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


def picture(attribution: Attribution) -> bytes:
    """The attribution, summed over target tokens, as a PNG.

    Characters that no installed font has become white squares. Scripts that join letters or run from right to left
    are drawn as far as matplotlib can; the page shows them properly.

    Args:
        attribution: What to show.

    Returns:
        The file's content; the same for the same attribution, fonts and version of matplotlib.
    """
    with _hushed():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        reading = read(attribution)
        facts = (
            f"method {attribution.method}   model {attribution.model}   probability {reading.probability:.3g}"
        )
        families, missing = _families(set(facts).union(*(visible(piece.text) for piece in reading.pieces)))

        def drawable(text: str) -> str:
            return "".join(_MISSING if c in missing else c for c in visible(text))

        figure = Figure(figsize=(WIDTH, 1.0), dpi=DPI)
        measure = _measure(FigureCanvasAgg(figure), families)
        marks = list(_text(reading, drawable, measure))
        below = max(mark.y for mark in marks) + _LINE
        height = _legend_at(below) + _LINE
        lines = [drawable(facts)]
        if reading.outside >= 0.01:
            lines.append(f"{reading.outside:.0%} of the score lies on tokens that are no word of the prompt")
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
        _draw_legend(figure, reading, _legend_at(below), height, families)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return content.getvalue()


def _text(reading: Reading, drawable: Callable[[str], str], measure: Measure) -> Iterator[_Mark]:
    """Prompt and answer in lines."""
    shares = reading.shares()
    n_prompt = len(reading.prompt)
    stretches = excerpt(n_prompt, reading.strongest(_AROUND), LIMIT)
    order = [index for start, end in stretches for index in range(start, end)]
    answer = excerpt(len(reading.answer), (), LIMIT // 4)
    order += [n_prompt + index for start, end in answer for index in range(start, end)]
    right = WIDTH - _MARGIN
    x, y = _MARGIN, _MARGIN
    reached = 0
    for index in order:
        piece = reading.pieces[index]
        breaks = min(2, piece.before.count("\n"))
        if index > reached:
            gap = f"... {index - reached:,} {'words' if index <= n_prompt else 'tokens'} ..."
            y += 0 if x == _MARGIN else _LINE
            yield _Mark(_MARGIN, y, 0.0, gap, size=_SMALL)
            x, breaks = _MARGIN, 1
        if breaks:
            x, y = _MARGIN, y + breaks * _LINE
        elif piece.before and x > _MARGIN:
            x += _SPACE
        text = drawable(piece.text)
        width = measure(text, _LARGE)
        if x > _MARGIN and x + width > right:
            x, y = _MARGIN, y + _LINE
        for place, part in enumerate(_broken(text, _LARGE, right - _MARGIN, measure)):
            if place:
                x, y = _MARGIN, y + _LINE
            width = measure(part, _LARGE)
            yield _Mark(x, y, width, part, shares[index], index >= n_prompt)
            x += width
        reached = index + 1


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


def _draw_legend(figure: "Figure", reading: Reading, y: float, height: float, families: list[str]) -> None:
    bottom = height - y - _LINE
    largest = reading.largest()
    signed = reading.signed()
    steps, width = 60, 1.8
    left = _MARGIN
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
