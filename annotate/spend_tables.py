"""What was spent, and what reading answers again brought, as tables and sentences for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from annotate.cost import Cost, Spent, Way
    from annotate.reparse import Reparsed, Reread


def cost_table(cost: Cost) -> Table:
    """One row an annotator, model, way and status."""
    table = Table(title="cost", title_justify="left")
    for heading in ("annotator", "model", "via", "status"):
        table.add_column(heading, overflow="fold")
    for heading in ("attempts", "tokens in", "cached", "out", "reasoning", "USD"):
        table.add_column(heading, justify="right")
    for row in cost.rows:
        spent = row.spent
        counts = (
            spent.attempts,
            spent.input_tokens,
            spent.cached_tokens,
            spent.output_tokens,
            spent.reasoning_tokens,
        )
        table.add_row(
            row.annotator,
            row.model or "-",
            row.way,
            row.status,
            *(f"{count:,}" for count in counts),
            _row_dollars(spent, row.way),
        )
    return table


def _row_dollars(spent: Spent, way: Way) -> str:
    if way == "offline":
        return "free"
    priced = spent.attempts - spent.unpriced - spent.rejected
    parts = [f"{spent.usd:.4f}"] if priced else []
    parts += [f"{spent.unpriced:,} unknown"] if spent.unpriced else []
    parts += [f"{spent.rejected:,} rejected"] if spent.rejected else []
    return " + ".join(parts)


def describe_cost(cost: Cost) -> list[str]:
    """The totals, and what they leave out."""
    total = cost.total
    lines = [
        f"paid: ${total.usd:.4f} (online ${cost.online.usd:.4f}, batch ${cost.batch.usd:.4f});"
        f" of it ${cost.failures.usd:.4f} for {cost.failures.attempts:,} attempts that brought no answer"
    ]
    if total.unpriced:
        lines.append(
            f"not in these sums: {total.unpriced:,} attempts whose price is unknown"
            " (timeouts, dropped connections, models without a known price)"
        )
    if total.rejected:
        lines.append(
            f"{total.rejected:,} attempts were turned down by the server (HTTP 4xx, 5xx),"
            " which is not billed as a rule"
        )
    return lines


def reparse_table(reparsed: Reparsed) -> Table:
    """One row an annotator: its labels, and how they differ from those before."""
    table = Table(title="labels made again", title_justify="left")
    table.add_column("annotator", overflow="fold")
    for heading in ("ok", "not ok", "new", "gone", "changed", "words added", "removed"):
        table.add_column(heading, justify="right")
    for reread in reparsed.annotators:
        ok = reread.statuses.get("ok", 0)
        counts = (
            ok,
            sum(reread.statuses.values()) - ok,
            reread.new,
            reread.gone,
            reread.changed,
            reread.words_added,
            reread.words_removed,
        )
        table.add_row(reread.annotator, *(f"{count:,}" for count in counts))
    return table


def describe_reparse(reparsed: Reparsed) -> list[str]:
    """Changes of status, requests that were not read, and what became of the gold."""
    lines = [line for reread in reparsed.annotators for line in _describe_reread(reread)]
    gold = {
        "settled": "gold: settled anew from the same annotators",
        "kept": "gold: left as it was chosen; annotate adjudicate settles it anew",
        "none": "gold: there is none; annotate adjudicate settles it",
    }
    return [*lines, gold[reparsed.gold]]


def _describe_reread(reread: Reread) -> list[str]:
    lines = [f"{reread.annotator}: {count:,} {move}" for move, count in reread.moves.items()]
    if reread.unread:
        lines.append(
            f"{reread.annotator}: {reread.unread:,} recorded requests are in no label: of another version of the"
            " prompt, or second questions no longer needed"
        )
    return lines
