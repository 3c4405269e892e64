"""Write reports: the page, and beside it figures as SVG and PNG and tables as CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.files import write_atomic
from evaluate.report import figures, tables
from evaluate.report.content import Frame, gather
from evaluate.report.parts import Picture, Table
from evaluate.results.folder import open_results
from evaluate.results.two_runs import compare
from heat.files import write_whole

if TYPE_CHECKING:
    from jinja2 import Environment

Part = Table | Picture | Frame


def write_report(results: Path, html: Path | None = None, out: Path | None = None, command: str = "") -> Path:
    """Write the report on the runs in a results folder.

    Args:
        results: Folder that `evaluate alignment` or `evaluate faithfulness` wrote to.
        html: The page; by default ``report.html`` in the folder.
        out: Folder for figures and tables; by default ``report`` in the folder.
        command: How this was called; stands in the page.

    Returns:
        The page.

    Raises:
        EvaluateError: The folder holds no finished run.
    """
    html, out = html or results / "report.html", out or results / "report"
    content = gather(results)
    page = (
        _environment()
        .get_template("report.html")
        .render(content=content, command=command or f"evaluate report {results}", folder=out)
    )
    _write_files(content.parts, out, command)
    write_atomic(html, page)
    return html


def write_comparison(
    first: Path, second: Path, html: Path | None = None, out: Path | None = None, command: str = ""
) -> Path:
    """Write the differences between two runs.

    Args:
        first: Results folder A.
        second: Results folder B.
        html: The page; by default ``comparison.html`` in B.
        out: Folder for figures and tables; by default ``comparison`` in B.
        command: How this was called; stands in the page.

    Returns:
        The page.

    Raises:
        ReportError: The runs share no example, no method or no kind of evaluation.
        EvaluateError: A folder holds no finished run.
    """
    html, out = html or second / "comparison.html", out or second / "comparison"
    command = command or f"evaluate report {first} {second}"
    comparisons = compare(open_results(first), open_results(second))
    sections = [
        (
            comparison,
            tables.comparison_table(comparison, command),
            figures.differences(comparison, command),
        )
        for comparison in comparisons
    ]
    page = (
        _environment()
        .get_template("comparison.html")
        .render(first=first, second=second, sections=sections, command=command, folder=out)
    )
    _write_files([part for _, table, drawn in sections for part in (table, drawn)], out, command)
    write_atomic(html, page)
    return html


def _write_files(parts: Iterable[Part], out: Path, command: str) -> None:
    """Every figure and table, and `files.json`, which says of each what made it."""
    listed: dict[str, dict[str, str]] = {}
    for part in parts:
        if isinstance(part, Picture):
            write_atomic(out / f"{part.name}.svg", part.svg)
            write_whole(out / f"{part.name}.png", part.png)
            names = [f"{part.name}.svg", f"{part.name}.png"]
        else:
            write_atomic(out / f"{part.name}.csv", part.frame.to_csv(index=False, lineterminator="\n"))
            names = [f"{part.name}.csv"]
        listed |= {name: {"shows": part.caption, "made_by": part.command} for name in names}
    index = {"report": command, "files": listed}
    write_atomic(out / "files.json", json.dumps(index, ensure_ascii=False, indent=2) + "\n")


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from evaluate.report.parts import Missing
    from heat.show.colours import (
        AGAINST,
        DARK_INK,
        DARK_PAPER,
        DARK_STRENGTH,
        FOR,
        INK,
        PAPER,
        STRENGTH,
        as_hex,
    )

    environment = Environment(
        loader=PackageLoader("evaluate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_allowed,
    )
    environment.tests["missing"] = lambda part: isinstance(part, Missing)
    environment.filters["markup"] = Markup
    environment.globals |= {
        "colours": {
            "ink": as_hex(INK),
            "paper": as_hex(PAPER),
            "dark_ink": as_hex(DARK_INK),
            "dark_paper": as_hex(DARK_PAPER),
            "for_": " ".join(f"{part:g}" for part in FOR),
            "against": " ".join(f"{part:g}" for part in AGAINST),
            "strength": STRENGTH,
            "dark_strength": DARK_STRENGTH,
        }
    }
    return environment


def _allowed(value: object) -> object:
    """Text without the characters that HTML forbids: pictures or a replacement stand for them."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join(_picture(c) for c in value)


def _picture(c: str) -> str:
    code = ord(c)
    if code < 0x20 and c not in "\t\n":
        return chr(0x2400 + code)
    forbidden = 0x7F <= code <= 0x9F or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE
    return "\N{REPLACEMENT CHARACTER}" if forbidden or 0xD800 <= code <= 0xDFFF else c
