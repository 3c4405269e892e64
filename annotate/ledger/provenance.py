"""Where labels come from, as the ledger tells it: models, prompts, dates, cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from annotate.ledger.ledger import Attempt
from annotate.schema import Record


class Provenance(Record):
    """What the ledger holds of one annotator.

    Attributes:
        annotator: Its name.
        attempts: Attempts made.
        models: Models that answered, as the server named them, most frequent first.
        prompts: Checksums of the prompt files it was asked with, sorted.
        first: Day of the first attempt, ISO 8601; empty where the ledger notes no time.
        last: Day of the last attempt.
        cost_usd: Sum of the prices known; ``None`` where none is.
    """

    annotator: str
    attempts: int
    models: tuple[str, ...]
    prompts: tuple[str, ...]
    first: str
    last: str
    cost_usd: float | None


def provenance(attempts: Iterable[Attempt]) -> dict[str, Provenance]:
    """Sum up a ledger by annotator, in order of first appearance."""
    by_annotator: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_annotator[attempt.annotator].append(attempt)
    return {name: _provenance(name, rows) for name, rows in by_annotator.items()}


def _provenance(name: str, rows: list[Attempt]) -> Provenance:
    models = Counter(row.model for row in rows if row.model)
    days = sorted(row.asked_at[:10] for row in rows if row.asked_at)
    costs = [row.cost_usd for row in rows if row.cost_usd is not None]
    return Provenance(
        annotator=name,
        attempts=len(rows),
        models=tuple(model for model, _ in models.most_common()),
        prompts=tuple(sorted({row.prompt_sha256 for row in rows} - {""})),
        first=days[0] if days else "",
        last=days[-1] if days else "",
        cost_usd=sum(costs) if costs else None,
    )
