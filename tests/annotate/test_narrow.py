"""Tables on a narrow terminal: columns go, digits stay."""

import io
import re

import pytest
from rich.console import Console
from rich.table import Table

from annotate.narrow import fit, left_out


def costs() -> Table:
    table = Table(title="openai:gpt-5.2", title_justify="left")
    for heading in ("model", "via", "status", "attempts", "tokens in", "cached", "out", "reasoning", "USD"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_row(
        "gpt-5.2-2026-01", "online", "ok", "12,000", "8,123,456", "7,000,000", "612,345", "98,765", "12.3456"
    )
    return table


def printed(table: Table, width: int, spare: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    dropped = fit(table, console, spare)
    console.print(table)
    return dropped, stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_dollars_are_whole_at_any_width(width: int) -> None:
    dropped, lines = printed(costs(), width, ("cached", "reasoning", "via"))
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "12.3456" in text
    assert "…" not in text
    # Whatever number is there is one of those that were put in.
    whole = {"12,000", "8,123,456", "7,000,000", "612,345", "98,765", "12.3456"}
    assert set(re.findall(r"(?<![\w-])[\d,.]{4,}(?![\w-])", text)) <= whole
    assert dropped[:3] == ["cached", "reasoning", "via"][: len(dropped)]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_an_interval_stays_on_its_line(width: int) -> None:
    table = Table("place", "method", "AUPRC", "AUROC", "F1", "DSA", "s/1000", box=None, padding=(0, 1, 0, 0))
    table.add_row("10-11", "input-x-gradient", *["0.71 [.55, .81]-"] * 4, "3,923")
    dropped, (_, row) = printed(table, width, ("s/1000", "DSA", "F1"))
    assert dropped[0] == "s/1000"
    assert "10-11" in row
    assert row.count("0.71 [.55, .81]-") == 5 - len(dropped)
    assert "…" not in row


def test_what_fits_is_left_alone() -> None:
    dropped, lines = printed(costs(), 120)
    assert dropped == []
    assert "7,000,000" in "\n".join(lines)
    assert left_out(dropped, Console(width=120)) == ""


def test_what_is_left_out_is_said() -> None:
    assert left_out(["cached"], Console(width=80)).startswith("80 columns are too few for: cached")


def test_text_wraps_before_a_column_goes() -> None:
    table = Table("method", "passes", "what it does", box=None)
    table.add_row("integrated-gradients", "1,000", "gradients along the straight path from a baseline " * 2)
    dropped, lines = printed(table, 60)
    assert dropped == []
    assert len(lines) > 2
    assert max(map(len, lines)) <= 60


def test_a_long_name_is_folded_before_a_column_goes() -> None:
    table = Table()
    for heading in ("annotator", "ok", "not ok", "marked share", "asked", "known"):
        table.add_column(heading, overflow="fold")
    name = "openai:smollm2,prompt=passage,temperature=0,max_tokens=96,structured=schema,host=127.0.0.1"
    table.add_row(name, "14", "242", "0.123", "50", "0")
    dropped, lines = printed(table, 80)
    assert dropped == []
    first = [line.split("│")[1].strip() for line in lines if line.startswith("│")]
    assert "".join(first) == name
