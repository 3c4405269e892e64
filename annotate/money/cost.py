"""What a ledger cost: tokens and dollars by annotator, model, way and status. Reads, asks nobody."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

from annotate.annotators import is_offline
from annotate.ledger.ledger import Attempt
from annotate.online.faults import UNREACHABLE
from annotate.schema import Record, Status

Way = Literal["online", "batch", "offline", "replayed"]
"""How an answer came. ``offline`` costs nothing; ``replayed`` was paid in another ledger and is no cost here."""


class Spending(Record):
    """Sums over attempts.

    Attributes:
        attempts: Number of attempts.
        input_tokens: Tokens sent, cached ones included; of attempts whose usage is known, as the next three.
        cached_tokens: Those of them that the server had cached.
        output_tokens: Tokens received, reasoning included.
        reasoning_tokens: Those of them spent on reasoning.
        usd: Dollars, over the attempts whose price is known.
        unpriced: Attempts whose price is unknown; they are in no sum of dollars.
        rejected: Attempts without usage that the server turned down with an HTTP error (400 and above), or that never
            reached it: neither priced nor unpriced, since such attempts are not billed as a rule.
    """

    attempts: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usd: float
    unpriced: int
    rejected: int


class CostRow(Record):
    """What the attempts of one kind cost.

    Attributes:
        annotator: Whom was asked.
        model: The model that answered, as the server names it; empty where none did.
        way: How the answers came.
        status: What came of the attempts.
        spent: Their sums.
    """

    annotator: str
    model: str
    way: Way
    status: Status
    spent: Spending


class Cost(Record):
    """What a ledger cost.

    Attributes:
        rows: Sums by annotator, model, way and status, sorted.
        total: Over everything paid here: online and batch.
        online: Over what was asked online.
        batch: Over what came in batches.
        failures: Over what was paid here and brought no answer.
    """

    rows: tuple[CostRow, ...]
    total: Spending
    online: Spending
    batch: Spending
    failures: Spending


def cost(attempts: Iterable[Attempt]) -> Cost:
    """Sum a ledger.

    Args:
        attempts: Its rows.

    Returns:
        The sums. An unknown price is counted, never taken for 0; prices are those noted when the answer came.
    """
    rows = list(attempts)
    kinds: dict[tuple[str, str, Way, Status], list[Attempt]] = {}
    for row in rows:
        kinds.setdefault((row.annotator, row.model, _way(row), row.status), []).append(row)

    def over(chosen: Callable[[Attempt], bool]) -> Spending:
        return _spent([row for row in rows if chosen(row)])

    return Cost(
        rows=tuple(
            CostRow(annotator=annotator, model=model, way=way, status=status, spent=_spent(kinds[key]))
            for key in sorted(kinds)
            for annotator, model, way, status in [key]
        ),
        total=over(lambda row: _way(row) in ("online", "batch")),
        online=over(lambda row: _way(row) == "online"),
        batch=over(lambda row: _way(row) == "batch"),
        failures=over(lambda row: _way(row) in ("online", "batch") and row.status != "ok"),
    )


def _way(row: Attempt) -> Way:
    if row.annotator.startswith("replay:"):
        return "replayed"
    if is_offline(row.annotator):
        return "offline"
    return "batch" if row.batch_id else "online"


def _rejected(row: Attempt) -> bool:
    turned_down = row.code == UNREACHABLE or (row.http is not None and row.http >= 400)
    return row.usage is None and row.cost_usd is None and turned_down


def _spent(rows: list[Attempt]) -> Spending:
    usages = [row.usage for row in rows if row.usage is not None]
    rejected = sum(map(_rejected, rows))
    free = sum(_way(row) == "offline" for row in rows)
    return Spending(
        attempts=len(rows),
        input_tokens=sum(usage.input_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
        usd=math.fsum(row.cost_usd for row in rows if row.cost_usd is not None),
        unpriced=sum(row.cost_usd is None for row in rows) - rejected - free,
        rejected=rejected,
    )
