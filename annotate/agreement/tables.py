"""Agreement as tables and sentences for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from annotate.agreement.sentence import group, group_order, interval, people_verdict
from annotate.kinds import marked_alone
from annotate.labelling.tables import describe_failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from annotate.agreement.records import (
        Agreement,
        Baseline,
        Estimate,
        Many,
        PairAgreement,
        PeopleComparison,
        Retest,
    )

MOST_PAIRS = 6
"""Those of four annotators: more are not printed one by one, since who counts six people has 36 and more."""
SHARE_GAP = 0.05
"""From this difference between implied and observed marked share on, F1 and kappa do not fit together."""


def agreement_tables(result: Agreement) -> list[Table | str]:
    """Everything to be printed, in order: tables, and sentences after the table they explain."""
    shown: list[Table | str] = [annotator_table(result)]
    if len(result.pairs) > 1:
        shown.append(overview_table(result.pairs))
    if result.against_people:
        shown.append(people_table(result.against_people))
    if any(one.alternative.people for one in result.against_people):
        shown.append(alternative_table(result.against_people))
    shown += describe_people(result)
    if result.many:
        shown.append(many_table(result.many))
    if len(result.pairs) > MOST_PAIRS:
        shown.append(f"The {len(result.pairs):,} pairs are shown one by one in the files, not here.")
    for pair in result.pairs if len(result.pairs) <= MOST_PAIRS else ():
        shown += [pair_table(pair), *describe_pair(pair)]
        if pair.segments:
            shown.append(segment_table(pair))
    shown += [f"No paragraph was labelled by both {' and '.join(names)}." for names in result.apart]
    if result.retests:
        shown.append(retest_table(result.retests))
        shown += [
            f"Only {retest.unique} unique paragraphs of {retest.annotator}: the interval is too narrow."
            for retest in result.retests
            if retest.few_clusters
        ]
    if result.baselines:
        shown.append(baseline_table(result.baselines))
    return shown


def annotator_table(result: Agreement) -> Table:
    """One row per annotator: who it is, the status of its labels, how much it marks."""
    table = Table(title="annotators", title_justify="left")
    table.add_column("annotator", overflow="fold")
    for heading in ("kind", "answered as"):
        table.add_column(heading)
    for heading in ("ok", "not ok", "repetitions", "marked share"):
        table.add_column(heading, justify="right")
    for annotator in result.annotators:
        ok = annotator.statuses.get("ok", 0)
        table.add_row(
            annotator.name,
            annotator.kind,
            ", ".join(annotator.models),
            f"{ok:,}",
            f"{sum(annotator.statuses.values()) - ok:,}",
            str(annotator.repetitions),
            interval(annotator.marked_share),
        )
    return table


def overview_table(pairs: Sequence[PairAgreement]) -> Table:
    """One row per pair, pairs of people, of people and models and so on together."""
    table = Table("group", title="pairs side by side", title_justify="left")
    table.add_column("pair", overflow="fold")
    for heading in ("both", "word F1", "kappa", "negative"):
        table.add_column(heading, justify="right")
    for pair in sorted(pairs, key=group_order):
        table.add_row(
            group(pair.kinds),
            " / ".join(pair.annotators),
            f"{pair.valid:,}",
            interval(pair.f1),
            interval(pair.kappa),
            interval(pair.negative_agreement),
        )
    return table


def people_table(comparisons: Sequence[PeopleComparison]) -> Table:
    """One row an annotator: its agreement with people beside that of people with each other."""
    table = Table(title="against people", title_justify="left")
    table.add_column("annotator", overflow="fold")
    for heading in (
        "texts",
        "word F1 with people",
        "people with each other",
        "difference",
        "difference of kappa",
    ):
        table.add_column(heading, justify="right")
    for one in comparisons:
        table.add_row(
            one.annotator,
            f"{one.unique:,}",
            _cells(one.f1.with_people)[0],
            _cells(one.f1.among_people)[0],
            interval(one.f1.difference),
            interval(one.kappa.difference),
        )
    return table


def alternative_table(comparisons: Sequence[PeopleComparison]) -> Table:
    """One row an annotator: the alternative annotator test."""
    epsilon = comparisons[0].alternative.epsilon
    table = Table(title=f"alternative annotator test, epsilon {epsilon:g}", title_justify="left")
    table.add_column("annotator", overflow="fold")
    for heading in ("wins against", "winning rate", "advantage probability", "passed"):
        table.add_column(heading, justify="right")
    for one in comparisons:
        test = one.alternative
        if test.winning_rate is None or test.advantage_probability is None:
            table.add_row(one.annotator, "", "no test", "", "")
            continue
        won = sum(person.won for person in test.people)
        table.add_row(
            one.annotator,
            f"{won} of {len(test.people)} people",
            f"{test.winning_rate:.2f}",
            f"{test.advantage_probability:.3f}",
            "yes" if test.passed else "no",
        )
    return table


def describe_people(result: Agreement) -> list[str]:
    """What can be said about people, and what cannot."""
    lines = [people_verdict(one) for one in result.against_people]
    lines += list(
        dict.fromkeys(
            f"The alternative annotator test {one.alternative.reason}."
            for one in result.against_people
            if one.alternative.reason
        )
    )
    lines += [
        f"Only {one.unique} unique texts of {one.annotator} and two people: the intervals are too narrow."
        for one in result.against_people
        if one.few_clusters
    ]
    alone = [annotator.name for annotator in result.annotators if marked_alone(annotator.name)]
    if len(alone) == 1 and any(annotator.kind != "person" for annotator in result.annotators):
        lines.append(
            f"{alone[0]} is the only person: how people agree with each other is not known here, so agreement with"
            f" {alone[0]} tells how near an annotator comes to that person, and not whether as near as another would."
        )
    return lines


def many_table(many: Many) -> Table:
    """Fleiss' kappa and Krippendorff's alpha over all words and by segment."""
    table = Table("words", title=f"all {len(many.annotators)} together", title_justify="left")
    table.add_column(f"Fleiss' kappa ({many.complete:,} labelled by all)", justify="right")
    table.add_column(f"Krippendorff's alpha ({many.rated:,} by two or more)", justify="right")
    for name, figures in [("all", many.figures), *many.segments.items()]:
        table.add_row(name, interval(figures.fleiss_kappa), interval(figures.alpha))
    return table


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
        "negative agreement": pair.negative_agreement,
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
    rules = [name for name, kind in zip(pair.annotators, pair.kinds, strict=True) if kind == "rule"]
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


def segment_table(pair: PairAgreement) -> Table:
    """The figures of one pair in each part of the paragraphs."""
    first, second = pair.annotators
    table = Table("segment", title=f"{first} / {second}, by segment", title_justify="left")
    for heading in ("words", "word F1", "kappa", f"marked, {first}", f"marked, {second}"):
        table.add_column(heading, justify="right")
    for role, figures in pair.segments.items():
        table.add_row(
            role,
            f"{figures.words:,}",
            interval(figures.f1),
            interval(figures.kappa),
            *(interval(share) for share in figures.marked_share),
        )
    return table


def retest_table(retests: Sequence[Retest]) -> Table:
    """How far annotators agree with themselves."""
    table = Table(title="test-retest", title_justify="left")
    table.add_column("annotator", overflow="fold")
    for heading in ("repetitions", "comparisons", "word F1", "kappa"):
        table.add_column(heading, justify="right")
    for retest in retests:
        table.add_row(
            retest.annotator,
            str(retest.repetitions),
            f"{retest.comparisons:,}",
            interval(retest.figures.f1),
            interval(retest.figures.kappa),
        )
    return table


def baseline_table(baselines: Sequence[Baseline]) -> Table:
    """How far a rule that only looks at shared words agrees with annotators."""
    table = Table(title="lexical-overlap rule against each", title_justify="left")
    table.add_column("annotator", overflow="fold")
    for heading in ("paragraphs", "word F1", "kappa"):
        table.add_column(heading, justify="right")
    for baseline in baselines:
        table.add_row(
            baseline.annotator,
            f"{baseline.valid:,}",
            interval(baseline.figures.f1),
            interval(baseline.figures.kappa),
        )
    return table
