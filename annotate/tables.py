"""Results of labelling and agreement as tables and sentences for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from annotate.annotators import is_offline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from annotate.adjudicate import Settled
    from annotate.agreement import Estimate, PairAgreement
    from annotate.label import LabelSummary
    from annotate.schema import Status

SHARE_GAP = 0.05
"""From this difference between implied and observed marked share on, F1 and kappa do not fit together."""


def label_table(summaries: Sequence[LabelSummary]) -> Table:
    """One row an annotator: labels ok and not, share of words marked, what was asked and what was known."""
    table = Table(title="labels", title_justify="left")
    table.add_column("annotator", overflow="fold")
    for heading in ("ok", "not ok", "marked share", "asked", "known"):
        table.add_column(heading, justify="right")
    for summary in summaries:
        share = "none" if summary.marked_share is None else f"{summary.marked_share:.3f}"
        ok = summary.statuses.get("ok", 0)
        table.add_row(
            summary.annotator,
            f"{ok:,}",
            f"{sum(summary.statuses.values()) - ok:,}",
            share,
            f"{summary.asked:,}",
            f"{summary.reused:,}",
        )
    return table


def describe_failures(annotator: str, statuses: Mapping[Status, int]) -> list[str]:
    """A sentence on the labels that are not ok, by status; none where all are."""
    failed = ", ".join(f"{count:,} {status}" for status, count in statuses.items() if status != "ok")
    return [f"Not labelled by {annotator}: {failed}."] if failed else []


def describe_spent(summary: LabelSummary) -> list[str]:
    """What an online annotator cost this run, who answered, and what earlier answers were left aside."""
    spent = summary.spent
    if spent is None:
        return []
    cost = "cost not known" if spent.cost_usd is None else f"${spent.cost_usd:.4f}"
    lost = f", {spent.lost:,} lost that may be billed" if spent.lost else ""
    lines = [
        f"{summary.annotator}: {summary.asked:,} attempts this run ({spent.retries:,} of them retries{lost}),"
        f" {cost}; answered by {', '.join(spent.models) or 'nobody'}."
    ]
    if spent.other_prompts:
        lines.append(
            f"{spent.other_prompts:,} attempts in the ledger were made with another version of the prompt;"
            " their answers are not used."
        )
    return lines


def describe_gold(settled: Settled) -> str:
    """What the gold rests on, and which paragraphs have none."""
    source = f" of {', '.join(settled.annotators)}" if settled.annotators else ""
    origins: dict[str, int] = {}
    for row in settled.gold:
        for word in row.words:
            origins[word.origin] = origins.get(word.origin, 0) + 1
    words = ", ".join(f"{count:,} {origin}" for origin, count in sorted(origins.items())) or "no words"
    text = f"gold: {settled.rule}{source}; {len(settled.gold):,} paragraphs; words: {words}"
    if not settled.unsettled:
        return text
    shown = ", ".join(settled.unsettled[:5]) + (", ..." if len(settled.unsettled) > 5 else "")
    return f"{text}; {len(settled.unsettled):,} without gold: {shown}"


def pair_table(pair: PairAgreement) -> Table:
    """The figures of one pair with their intervals."""
    first, second = pair.annotators
    table = Table("measure", title=f"{first} / {second}", title_justify="left")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    estimates = {
        "word F1, pooled": pair.f1,
        "word F1, mean of paragraphs": pair.macro_f1,
        "  without empty ones": pair.macro_f1_without_empty,
        "intersection over union": pair.iou,
        "Cohen's kappa": pair.kappa,
    }
    for name, estimate in estimates.items():
        table.add_row(name, *_cells(estimate))
    if pair.valid < pair.paragraphs and pair.worst_case_f1 is not None:
        table.add_row("word F1, worst case", f"{pair.worst_case_f1:.3f}", "")
    for name, share in zip(pair.annotators, pair.marked_share, strict=True):
        table.add_row(f"marked share, {name}", f"{share:.3f}", "")
    return table


def _cells(estimate: Estimate) -> tuple[str, str]:
    if estimate.value is None:
        return "undefined", estimate.reason
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}", estimate.reason
    return f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}"


def describe_pair(pair: PairAgreement) -> list[str]:
    """What the figures of one pair rest on, and whether they fit together."""
    lines = [
        f"{pair.paragraphs:,} paragraphs ({pair.unique:,} unique); both labelled {pair.valid:,}"
        f" ({pair.valid_unique:,} unique, {pair.identical:,} marked identically); {pair.words:,} words."
    ]
    for name, missing in zip(pair.annotators, pair.missing, strict=True):
        lines += describe_failures(name, missing)
    rules = [name for name in pair.annotators if is_offline(name)]
    if rules:
        lines.append(f"Offline annotators, rules and neither models nor people: {', '.join(rules)}.")
    if pair.few_clusters:
        lines.append(f"Only {pair.valid_unique} unique paragraphs: the intervals are too narrow.")
    if pair.implied_share is not None:
        observed = sum(pair.marked_share) / 2
        fits = abs(pair.implied_share - observed) <= SHARE_GAP
        lines.append(
            f"F1 and kappa imply marked share {pair.implied_share:.3f} (observed {observed:.3f})"
            + ("." if fits else ": they do not fit, the two mark very different shares.")
        )
    return lines
