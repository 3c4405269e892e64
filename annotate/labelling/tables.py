"""Results of labelling as tables and sentences for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from annotate.online.completion import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from annotate.gold import Settlement
    from annotate.imports.people import PeopleResult
    from annotate.imports.run import ImportResult
    from annotate.labelling.label import LabelRun, LabelSummary
    from annotate.schema import Status


def label_table(summaries: Sequence[LabelSummary]) -> Table:
    """One row per annotator: labels ok and not, share of words marked, what was asked and what was known."""
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


def describe_failures(
    annotator: str, statuses: Mapping[Status, int], reasons: Mapping[Status, str] | None = None
) -> list[str]:
    """A sentence on the labels that are not ok, by status; none where all are. One more a status says why.

    Args:
        annotator: Its name.
        statuses: Number of labels by status.
        reasons: Why, by status, where that is known.
    """
    failed = ", ".join(f"{count:,} {status}" for status, count in statuses.items() if status != "ok")
    lines = [f"Not labelled by {annotator}: {failed}."] if failed else []
    return lines + [f"  {status}, mostly: {shorten(why)}" for status, why in (reasons or {}).items()]


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
    if len(spent.models) > 1:
        lines.append(
            f"{summary.annotator}: the server changed its model; the field `model` of each label says which answered."
        )
    if spent.other_prompts:
        lines.append(
            f"{spent.other_prompts:,} attempts in the ledger were made with another version of the prompt;"
            " their answers are not used."
        )
    return lines


def describe_gold(settled: Settlement) -> str:
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


def describe_kept(run: LabelRun) -> str:
    """Why the gold is as it was, and how to settle it anew."""
    if not run.kept_annotators:
        return f"gold: left as it was chosen ({run.kept_rule}); annotate adjudicate settles it anew"
    return (
        f"gold: left as it was ({run.kept_rule} of {', '.join(run.kept_annotators)}); annotate adjudicate settles it"
        " from all who labelled, or from those named with --annotator"
    )


def describe_imported(done: ImportResult) -> list[str]:
    """The answers that were imported, how they were placed, and what was left out."""
    statuses = ", ".join(f"{count:,} {status}" for status, count in done.statuses.items())
    lines = [f"{done.annotator}: {done.new:,} new, {done.known:,} known before; labels: {statuses}."]
    if done.rungs:
        lines.append(f"Places: {', '.join(f'{count:,} {rung}' for rung, count in done.rungs.items())}.")
    if done.rungs.get("ambiguous"):
        lines.append("Ambiguous: the file fits several places; the first are taken and flagged.")
    lines += [f"Left out, {reason}: {count:,}." for reason, count in done.left_out.items()]
    return lines


def describe_people(done: PeopleResult) -> list[str]:
    """Who marked how many texts, the gold, and what was left out, with an example of each reason."""
    who = ", ".join(f"{name} {count:,}" for name, count in done.annotators.items())
    return [
        f"{done.paragraphs:,} texts; labelled by {who}.",
        f"Gold: left as it was settled since ({done.rule})."
        if done.kept
        else f"Gold: by {done.rule} of these people.",
        *(
            f"Left out, {reason}: {len(places):,}, such as {places[0]}."
            for reason, places in done.left_out.items()
        ),
    ]
