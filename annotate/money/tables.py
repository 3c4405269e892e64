"""Costs and re-read labels, as tables and sentences for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from annotate.agreement import Estimate as Figure
    from annotate.batch.server import BatchState
    from annotate.labelling.reparse import LabelChanges, ReparseResult
    from annotate.money.cost import Cost, Spending, Way
    from annotate.money.estimate import Band, Estimate
    from annotate.pilot import Pilot, Trial


def cost_tables(cost: Cost) -> list[Table]:
    """One table an annotator, with a row for each model, way and status."""
    tables: dict[str, Table] = {}
    for row in cost.rows:
        if row.annotator not in tables:
            tables[row.annotator] = _cost_table(row.annotator)
        spent = row.spent
        counts = (
            spent.attempts,
            spent.input_tokens,
            spent.cached_tokens,
            spent.output_tokens,
            spent.reasoning_tokens,
        )
        numbers = [f"{count:,}" for count in counts]
        dollars = _row_dollars(spent, row.way)
        tables[row.annotator].add_row(row.model or "-", row.way, row.status, *numbers, dollars)
    return list(tables.values())


def _cost_table(annotator: str) -> Table:
    table = Table(title=annotator, title_justify="left")
    table.add_column("model", overflow="fold")
    table.add_column("via")
    table.add_column("status")
    for heading in ("attempts", "tokens in", "cached", "out", "reasoning", "USD"):
        table.add_column(heading, justify="right")
    return table


def _row_dollars(spent: Spending, way: Way) -> str:
    if way == "offline":
        return "free"
    priced = spent.attempts - spent.unpriced - spent.rejected
    parts = [f"{spent.usd:.4f}"] if priced else []
    parts += [f"{spent.unpriced:,} unknown"] if spent.unpriced else []
    parts += [f"{spent.rejected:,} rejected"] if spent.rejected else []
    return " + ".join(parts)


def _paid(spent: Spending) -> str:
    """A sum; not 0 where no price is known at all."""
    known = spent.attempts > spent.unpriced + spent.rejected
    return "not known" if spent.unpriced and not known else f"${spent.usd:.4f}"


def describe_cost(cost: Cost, pilot: Cost) -> list[str]:
    """The totals, what they leave out, and what a pilot beside it cost."""
    total = cost.total
    lines = [
        f"paid: {_paid(total)} (online {_paid(cost.online)}, batch {_paid(cost.batch)});"
        f" of it {_paid(cost.failures)} for {cost.failures.attempts:,} attempts that brought no answer"
    ]
    if total.unpriced:
        lines.append(
            f"not in these sums: {total.unpriced:,} attempts whose price is unknown"
            " (timeouts, dropped connections, answers without a count of tokens, models without a known price)"
        )
    if total.rejected:
        lines.append(
            f"nor {total.rejected:,} that the server turned down (HTTP 4xx, 5xx) or that never reached it;"
            " those are not billed as a rule"
        )
    if pilot.rows:
        unknown = f" and {pilot.total.unpriced:,} attempts of unknown price" if pilot.total.unpriced else ""
        lines.append(f"beside it: {_paid(pilot.total)}{unknown} for annotate pilot, in a ledger of its own")
    return lines


def reparse_table(reparsed: ReparseResult) -> Table:
    """One row per annotator: its labels, and how they differ from those before."""
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


def describe_reparse(reparsed: ReparseResult) -> list[str]:
    """Changes of status, requests that were not read, and whether the gold was settled again."""
    lines = [line for reread in reparsed.annotators for line in _describe_reread(reread)]
    gold = {
        "settled": "gold: settled anew from the annotators it rests on; annotate adjudicate takes in others",
        "kept": "gold: left as it was chosen; annotate adjudicate settles it anew",
        "none": "gold: none, since no paragraph is labelled",
    }
    return [*lines, gold[reparsed.gold]]


def _describe_reread(reread: LabelChanges) -> list[str]:
    moves = ", ".join(f"{count:,} {move}" for move, count in reread.moves.items())
    lines = [f"{reread.annotator}: {moves}"] if moves else []
    if reread.unread:
        lines.append(
            f"{reread.annotator}: {reread.unread:,} recorded requests are in no label: of another version of the"
            " prompt, or second questions no longer needed"
        )
    return lines


def estimate_table(estimate: Estimate) -> Table:
    """One row per effort: tokens and dollars, low to high; the effort that would be run is marked."""
    table = Table(title=estimate.annotator, title_justify="left")
    table.add_column("effort")
    for heading in ("tokens in", "tokens out", "USD online", "USD batch"):
        table.add_column(f"{heading}: low / likely / high", justify="right")
    for effort in estimate.efforts:
        name = effort.effort or "-"
        table.add_row(
            f"{name} *" if effort.chosen and len(estimate.efforts) > 1 else name,
            _tokens(effort.input_tokens),
            _tokens(effort.output_tokens),
            _dollars(effort.online),
            _dollars(effort.batch),
        )
    return table


def _tokens(band: Band) -> str:
    return " / ".join(f"{value:,.0f}" for value in (band.low, band.likely, band.high))


def _dollars(band: Band | None) -> str:
    return " / ".join(f"{value:.2f}" for value in (band.low, band.likely, band.high)) if band else "unknown"


def describe_estimate(estimate: Estimate) -> list[str]:
    """What the estimate of one annotator rests on."""
    held = f", {estimate.held:,} wait in a batch" if estimate.held else ""
    lines = [
        f"{estimate.annotator}: {estimate.requests:,} requests to make; {estimate.finished:,} need none{held}"
    ]
    if not estimate.requests:
        return lines
    if not estimate.model:
        return [f"{lines[0]}; free"]
    chosen = " for the effort marked *" if len(estimate.efforts) > 1 else ""
    lines.append(
        f"output{chosen} as in {estimate.fitted_on:,} paragraphs of the ledger; low and high are two standard errors"
        if estimate.fitted_on
        else "output is assumed, not measured; ask about 20 paragraphs (--limit 20), then look again"
    )
    prices = f"prices of {estimate.prices_of}; check them" if estimate.prices_of else "prices are not known"
    lines.append(f"input counted by {estimate.counted_by}; {prices}")
    return lines


def describe_total(estimates: Sequence[Estimate]) -> list[str]:
    """What all annotators together would cost with their chosen efforts; nothing where that adds nothing."""
    chosen = [effort for estimate in estimates for effort in estimate.efforts if effort.chosen]
    if len(chosen) < 2:
        return []
    ways = (("online", [effort.online for effort in chosen]), ("batch", [effort.batch for effort in chosen]))
    sums = [f"{way} {_dollars(_sum(bands))}" for way, bands in ways]
    return [f"all together, USD low / likely / high: {', '.join(sums)}"]


def _sum(bands: Sequence[Band | None]) -> Band | None:
    known = [band for band in bands if band is not None]
    if len(known) < len(bands):
        return None
    return known[0].model_copy(
        update={name: sum(getattr(band, name) for band in known) for name in ("low", "likely", "high")}
    )


def describe_samples(estimates: Sequence[Estimate]) -> list[str]:
    """The messages of the first request to each annotator as they would be sent, the same ones once."""
    samples: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for estimate in estimates:
        messages = tuple((message["role"], message["content"]) for message in estimate.sample)
        samples.setdefault(messages, []).append(estimate.annotator)
    lines = []
    for messages, names in samples.items():
        if messages:
            lines.append(f"the first request to {', '.join(names)}:")
            lines += [line for role, content in messages for line in (f"--- {role}", content)]
    return lines


def batch_table(states: Sequence[BatchState]) -> Table:
    """One row per batch."""
    table = Table(title="batches", title_justify="left")
    for heading in ("batch", "annotator", "status"):
        table.add_column(heading, overflow="fold")
    for heading in ("requests", "done", "failed", "not done"):
        table.add_column(heading, justify="right")
    for state in states:
        counts = (state.requests, state.done, state.failed, state.unanswered)
        table.add_row(state.batch_id or "?", state.annotator, state.status, *(f"{n:,}" for n in counts))
    return table


def describe_batches(states: Sequence[BatchState]) -> list[str]:
    """What went wrong with each batch."""
    return [f"{state.batch_id or state.shard}: {state.detail}" for state in states if state.detail]


def pilot_table(pilot: Pilot) -> Table:
    """One row per annotator and format; where people were asked for, the best agreement with them first."""
    by_people = bool(pilot.people)
    table = Table(title="pilot", title_justify="left")
    table.add_column("annotator", overflow="fold")
    headings = ("ok", "not ok", "not placed at first", "at last", "marked", "USD / 1,000")
    agreement = ("F1 with people", "behind the best") if by_people else ("retest F1",)
    for heading in (*agreement, *headings):
        table.add_column(heading, justify="right")
    for trial in sorted(pilot.trials, key=_by_people):
        ok = trial.statuses.get("ok", 0)
        table.add_row(
            trial.annotator,
            *((_figure(trial.people), _figure(trial.behind)) if by_people else (_figure(trial.retest),)),
            f"{ok:,}",
            f"{sum(trial.statuses.values()) - ok:,}",
            _share(trial.unplaced_first),
            _share(trial.unresolved),
            _share(trial.marked_share),
            "free"
            if trial.free
            else "unknown"
            if trial.usd_per_1000 is None
            else f"{trial.usd_per_1000:.2f}",
        )
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _by_people(trial: Trial) -> float:
    """Sort key that puts the best agreement with people first, and leaves alone who has none."""
    return 0.0 if trial.people is None or trial.people.value is None else -trial.people.value


def _figure(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "-"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _describe_best(pilot: Pilot) -> list[str]:
    """Which trial to take, by people, and which others cannot be told from it."""
    if not pilot.people:
        return []
    among = (
        f"the people agree with each other at {_figure(pilot.among_people)}"
        if pilot.among_people
        else f"{pilot.people[0]} is the only person"
    )
    if not pilot.best:
        return [f"none can be chosen: nobody marked a word; {among}"]
    near = [
        trial.annotator
        for trial in pilot.trials
        if trial.behind and trial.behind.low is not None and trial.behind.low <= 0
    ]
    alike = f"; not told from it by these paragraphs: {' and '.join(near)}" if near else ""
    return [f"best by agreement with people: {pilot.best}{alike} ({among})"]


def describe_pilot(pilot: Pilot) -> list[str]:
    """How spans were placed, and what the figures rest on."""
    times = "once each" if pilot.repeats == 1 else f"{pilot.repeats} times each"
    lines = [
        f"{pilot.paragraphs:,} paragraphs, {times}, drawn with seed {pilot.seed}",
        *_describe_best(pilot),
    ]
    for trial in pilot.trials:
        rungs = ", ".join(f"{count:,} {rung}" for rung, count in trial.rungs.items()) or "none"
        lines.append(f"{trial.annotator}: spans placed: {rungs}")
        if trial.unpriced:
            lines.append(
                f"{trial.annotator}: {trial.unpriced:,} attempts without a known price are not in its USD"
            )
    return lines
