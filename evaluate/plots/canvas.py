"""What all figures share: size, type, colours that the colour-blind can tell apart, and how they are saved."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from evaluate.pipeline.records import Evaluation

INK = "#1c1e21"
SOFT = "#5f6670"
GRID = "#d9dce0"
PAPER = "#ffffff"

# From Okabe and Ito (2008) and near them, dark enough for white paper and light enough for black.
KIND_COLOURS = {"heat": "#d55e00", "ablation": "#b0578d", "baseline": "#0072b2", "control": "#7a7f87"}
KIND_MARKERS = {"heat": "D", "ablation": "s", "baseline": "o", "control": "X"}
SERIES = ("#d55e00", "#0072b2", "#009e73", "#b0578d", "#8a7400", "#7a7f87")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (6, 2)),
    (0, (4, 1.5, 1, 1.5)),
    (0, (2, 1.2)),
    (0, (8, 2, 2, 2)),
    (0, (1, 1.4)),
)

# What the report shows as HEAT, wherever a method has to be singled out.
LEADING = "heat"
RANDOM = "random"
# Best baselines that get a colour of their own.
SINGLED = 3

DPI = 120

ABOVE, BELOW = "#d55e00", "#2f62d9"


def leading(result: Evaluation) -> str:
    """HEAT where it was run, else the first row."""
    names = [row.method for row in result.methods]
    return LEADING if LEADING in names else names[0]


def singled(result: Evaluation) -> list[str]:
    """Methods that figures tell apart by colour: HEAT, its best ablation, the best baselines, random; at most six."""
    by_kind: dict[str, list[str]] = {}
    for row in result.methods:
        by_kind.setdefault(row.method_kind, []).append(row.method)
    chosen = [leading(result), *by_kind.get("ablation", [])[:1], *by_kind.get("baseline", [])[:SINGLED]]
    names = [row.method for row in result.methods]
    return list(dict.fromkeys([*chosen, *([RANDOM] if RANDOM in names else [])]))


@contextmanager
def style() -> Iterator[None]:
    """The settings that figures are made and saved under; matplotlib's own are as before when it ends."""
    from matplotlib import rc_context

    with (
        rc_context(
            {
                "font.family": "DejaVu Sans",
                "font.size": 9.0,
                "axes.titlesize": 9.5,
                "axes.titlelocation": "left",
                "axes.labelsize": 9.0,
                "text.color": INK,
                "axes.labelcolor": INK,
                "axes.titlecolor": INK,
                "axes.edgecolor": SOFT,
                "axes.facecolor": "none",
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.axisbelow": True,
                "grid.color": GRID,
                "grid.linewidth": 0.8,
                "xtick.color": SOFT,
                "ytick.color": SOFT,
                "xtick.labelcolor": INK,
                "ytick.labelcolor": INK,
                "figure.facecolor": PAPER,
                "figure.dpi": DPI,
                "hatch.linewidth": 0.7,
                "legend.frameon": False,
                "legend.fontsize": 8.5,
                "svg.fonttype": "none",
                "svg.hashsalt": "heat-alignment",
            }
        ),
        warnings.catch_warnings(),
    ):
        # Scripts that the font lacks become boxes in a picture; the page's own text shows them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_figure(
    width: float,
    height: float,
    *,
    left: float = 0.6,
    right: float = 0.15,
    top: float = 0.3,
    bottom: float = 0.5,
) -> Figure:
    """An empty figure of a size in inches with margins in inches; `pyplot` is not involved.

    Margins are said and not found out: laying a figure out takes as long as drawing it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=left / width, right=1 - right / width, top=1 - top / height, bottom=bottom / height
    )
    return figure


def name_width(names: Sequence[str]) -> float:
    """Inches that the longest of some names takes on an axis, in the type of the figures."""
    return 0.2 + 0.068 * max(len(name) for name in names)


def diverging() -> Colormap:
    """Blue below 0, orange above, and at 0 the paper that lies below, be it white or black."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    nodes = [
        (0.0, to_rgba(BELOW, 0.9)),
        (0.5, to_rgba(BELOW, 0.0)),
        (0.5, to_rgba(ABOVE, 0.0)),
        (1.0, to_rgba(ABOVE, 0.9)),
    ]
    return LinearSegmentedColormap.from_list("diverging", nodes)


def method_axis(axes: Axes, methods: list[str]) -> None:
    """A line for each method on the vertical axis, the first one at the top."""
    axes.set_yticks(range(len(methods)), methods)
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def as_svg(figure: Figure, command: str = "") -> str:
    """The figure as SVG text, the same for the same figure: no date in it, and no names drawn at random.

    Args:
        figure: A figure of this package.
        command: What made its numbers; stands in the file's metadata.
    """
    stream = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with style():
        figure.savefig(stream, format="svg", metadata={**metadata, "Description": command or None})
    return stream.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")


def as_png(figure: Figure, command: str = "") -> bytes:
    """The figure as PNG, the same for the same figure.

    Args:
        figure: A figure of this package.
        command: What made its numbers; stands in the file's metadata.
    """
    stream = io.BytesIO()
    metadata = {"Software": None, **({"Description": command} if command else {})}
    with style():
        figure.savefig(stream, format="png", dpi=DPI, metadata=metadata)
    return stream.getvalue()
