"""Costs as a table and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluate.efficiency.result import Cost, Efficiency
from evaluate.errors import ReportError
from evaluate.pipeline.table import seconds

if TYPE_CHECKING:
    from rich.table import Table

HEAD = ("tokens", "method", "s/1000", "forward passes, time", "counted", "predicted", "peak MiB")
# Colours of the picture; methods beyond have them again on broken lines.
COLOURS = 20
STROKES = ("-", "--", ":")


def terminal_table(result: Efficiency) -> Table:
    """A row a length and method, fastest first; fits 120 columns."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(HEAD[0], justify="right")
    table.add_column(HEAD[1], no_wrap=True)
    for column in HEAD[2:]:
        table.add_column(column, justify="right")
    for row in result.rows:
        if not row.skipped:
            table.add_row(*_cells(row))
    return table


def notes(result: Efficiency) -> list[str]:
    """What must be known to read the table, a sentence each."""
    lines = [
        f"{result.model}, {result.dtype}, on {result.device}, {result.threads} threads; weights "
        f"{result.weight_bytes / 2**20:,.1f} MiB, which peaks come on top of.",
        f"Texts of {result.task}, cut or strung together to length; one at a time, one target token; median of "
        f"{result.repeats} runs by turns.",
        "forward passes: over a pass on the same text; by time, timed just before each run; counted, in "
        "floating-point operations of matrix products; predicted, as the method says of itself.",
    ]
    skipped: dict[str, list[str]] = {}
    for row in result.rows:
        if row.skipped:
            skipped.setdefault(f"{row.method}: {row.skipped}", []).append(f"{row.tokens:,}")
    lines += [f"Not measured at {', '.join(at)} tokens: {why}." for why, at in skipped.items()]
    return lines


def as_markdown(result: Efficiency) -> str:
    """The table with notes and the command that made it."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in result.rows if not row.skipped]
    made = [f"Made by `{result.command}`."] if result.command else []
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(result)), "", *made]).rstrip() + "\n"


def _cells(row: Cost) -> tuple[str, ...]:
    return (
        f"{row.tokens:,}",
        row.method,
        seconds(row.seconds_per_1000),
        "-" if row.ratio is None else _short(row.ratio),
        "-" if row.counted is None else _short(row.counted),
        _short(row.predicted),
        "-" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:,.0f}",
    )


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def check_picture(path: Path) -> None:
    """Refuse a picture that could not be written, before anything is measured for it.

    Raises:
        ReportError: The ending names no format.
    """
    from matplotlib.figure import Figure

    if path.suffix.removeprefix(".") not in Figure().canvas.get_supported_filetypes():
        raise ReportError(f"{path}: no picture is written as '{path.suffix}'; use .svg, .png or .pdf")


def plot(result: Efficiency, path: Path) -> Path:
    """Draw passes' worth of time and peak memory over length, a line a method; SVG, PNG or PDF by the name's ending.

    Raises:
        ReportError: The ending names no format.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    check_picture(path)
    figure = Figure(figsize=(11, 5), layout="constrained")
    time, memory = figure.subplots(1, 2)
    measured = [row for row in result.rows if not row.skipped]
    palette = colormaps["tab20"]
    heat_first = sorted(
        {row.method for row in measured}, key=lambda name: (not name.startswith("heat"), name)
    )
    for index, name in enumerate(heat_first):
        rows = [row for row in measured if row.method == name]
        style: dict[str, Any] = {"label": name, "marker": ".", "color": palette(index % COLOURS)}
        style["linestyle"] = STROKES[index // COLOURS % len(STROKES)]
        time.plot([row.tokens for row in rows], [row.ratio for row in rows], **style)
        with_peak = [row for row in rows if row.peak_bytes is not None]
        memory.plot([row.tokens for row in with_peak], [row.peak_bytes / 2**20 for row in with_peak], **style)  # type: ignore[operator]
    for axes, label in (
        (time, "forward passes' worth of time"),
        (memory, "peak memory beside the model, MiB"),
    ):
        axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel=label)
        axes.set_xticks(result.lengths, [str(length) for length in result.lengths])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.legend(*time.get_legend_handles_labels(), loc="outside right upper", fontsize="xx-small", ncols=2)
    figure.suptitle(f"{result.model}, {result.dtype}, {result.device}", fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
