"""What methods there are, and what each costs and needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.pipeline.runner import why_only_named

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class MethodRow:
    """One method.

    Attributes:
        kind: heat, ablation, baseline or control.
        cost: Forward passes over the prompt, for one target.
        needs: What it takes from the model.
        signed: Whether a score below zero means something.
        only_named: Why `--method all` leaves it out; empty where it does not.
    """

    name: str
    kind: str
    cost: float
    needs: tuple[str, ...]
    signed: bool
    summary: str
    source: str
    only_named: str


def method_rows(n_tokens: int) -> list[MethodRow]:
    """All registered methods, cheapest first within their kind, with their cost on a prompt of N tokens."""
    import heat

    rows = []
    for name, method in heat.methods().items():
        rows.append(
            MethodRow(
                name=name,
                kind=method.kind,
                cost=method().cost(n_tokens, 1),
                needs=method.needs,
                signed=method.signed,
                summary=method.summary,
                source=method.source,
                only_named=why_only_named(name),
            )
        )
    kinds = ["heat", "ablation", "baseline", "control"]
    return sorted(rows, key=lambda row: (kinds.index(row.kind), row.cost, row.name))


def methods_table(rows: Sequence[MethodRow], n_tokens: int) -> Table:
    """The list for people at a terminal."""
    from rich.table import Table

    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        caption=f"passes: forward passes over a prompt of {n_tokens} tokens, one target; backward counts 1. "
        "*: not in `--method all`, name it to run it.",
        caption_justify="left",
    )
    for column in ("kind", "method"):
        table.add_column(column, no_wrap=True)
    table.add_column("passes", justify="right", no_wrap=True)
    for column in ("signed", "what it does (source)", "needs"):
        table.add_column(column)
    for row in rows:
        remark = f"; * {row.only_named}" if row.only_named else ""
        table.add_row(
            row.kind,
            row.name + ("*" if row.only_named else ""),
            f"{row.cost:,.0f}",
            "yes" if row.signed else "",
            f"{row.summary} ({row.source}{remark})",
            ", ".join(need for need in row.needs if need != "forward"),
        )
    return table
