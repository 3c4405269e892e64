"""Agreement as one paragraph that can stand in a paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from annotate.agreement.records import Agreement, AnnotatorSummary, Estimate, PairAgreement, PeopleComparison
from annotate.kinds import KINDS, Kind
from annotate.ledger.provenance import Provenance
from annotate.schema import Gold

_COUNTS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def paragraph(
    result: Agreement, provenance: Mapping[str, Provenance] | None = None, gold: Sequence[Gold] = ()
) -> str:
    """Write the result as running text.

    Args:
        result: The agreement.
        provenance: What the ledger tells of the annotators, by name.
        gold: The gold that was settled from them.

    Returns:
        One paragraph without line breaks; what was not measured is left out.
    """
    known = provenance or {}
    sentences = [
        _who(result, known),
        *_missing(result),
        _shares(result),
        *(_pair(pair) for pair in sorted(result.pairs, key=group_order)),
        *(people_verdict(one) for one in result.against_people),
        *_alternative(result),
        *_many(result),
        *_retests(result),
        *_baselines(result),
        *_gold(gold),
        f"Brackets hold 95 % percentile intervals of a bootstrap over unique paragraphs"
        f" ({result.bootstrap:,} replicates, seed {result.seed}).",
    ]
    return " ".join(sentences)


def group(kinds: tuple[Kind, Kind]) -> str:
    """The group of a pair, for instance ``"person / model"``, people first."""
    return " / ".join(sorted(kinds, key=KINDS.index))


def group_order(pair: PairAgreement) -> tuple[int, ...]:
    """Sort key that puts pairs of one group together, people first."""
    return tuple(sorted(KINDS.index(kind) for kind in pair.kinds))


def interval(estimate: Estimate) -> str:
    """``0.910 [0.898, 0.921]``, without brackets where there is no interval, or ``undefined``."""
    if estimate.value is None:
        return "undefined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _who(result: Agreement, known: Mapping[str, Provenance]) -> str:
    names = "; ".join(_annotator(annotator, known.get(annotator.name)) for annotator in result.annotators)
    count = len(result.annotators)
    spelled = _COUNTS[count] if count < len(_COUNTS) else str(count)
    return (
        f"{spelled} annotator{'s' if count != 1 else ''} ({names}) labelled {result.paragraphs:,} paragraphs"
        f" ({result.unique:,} unique, {result.words:,} eligible words; eligible are words with a letter or"
        " digit)."
    )


def _annotator(annotator: AnnotatorSummary, known: Provenance | None) -> str:
    facts = ["imported" if annotator.kind == "other" else f"a {annotator.kind}"]
    if annotator.models:
        facts.append(f"answered as {', '.join(annotator.models)}")
    if known and known.first:
        facts.append(known.first if known.first == known.last else f"{known.first} to {known.last}")
    if known and known.prompts:
        facts.append(f"prompt {', '.join(sha256[:12] for sha256 in known.prompts)}")
    return f"{annotator.name}, {', '.join(facts)}"


def _missing(result: Agreement) -> list[str]:
    parts = []
    for annotator in result.annotators:
        failed = ", ".join(
            f"{count:,} {status}" for status, count in annotator.statuses.items() if status != "ok"
        )
        if failed:
            parts.append(f"{annotator.name} {failed}")
    return [f"Not labelled: {'; '.join(parts)}."] if parts else []


def _shares(result: Agreement) -> str:
    shares = ", ".join(
        f"{annotator.name} {interval(annotator.marked_share)}" for annotator in result.annotators
    )
    return f"Share of words marked: {shares}."


def _pair(pair: PairAgreement) -> str:
    first, second = pair.annotators
    text = (
        f"{first} and {second} ({group(pair.kinds)}), on the {pair.valid:,} paragraphs both labelled: pooled"
        f" word F1 {interval(pair.f1)}, IoU {interval(pair.iou)}, Cohen's kappa {interval(pair.kappa)},"
        f" negative agreement {interval(pair.negative_agreement)}; mean F1 of paragraphs"
        f" {interval(pair.macro_f1)}."
    )
    if pair.valid < pair.paragraphs and pair.worst_case_f1 is not None:
        lost = pair.paragraphs - pair.valid
        text += (
            f" If they disagreed on every word of the {lost:,} others, F1 would be {pair.worst_case_f1:.3f}."
        )
    return text


def people_verdict(comparison: PeopleComparison) -> str:
    """Whether an annotator agrees with people as well as they do with each other, in a sentence."""
    figures = comparison.f1
    low, high = figures.difference.low, figures.difference.high
    name = comparison.annotator
    if low is None or high is None:
        return f"Whether {name} agrees with people as well as they do with each other is undefined."
    verdict = (
        f"{name} agrees with people less than they agree with each other"
        if high < 0
        else f"{name} agrees with people more than they agree with each other"
        if low > 0
        else f"{name} cannot be told from a person by its agreement with people"
    )
    return (
        f"{verdict}: word F1 {interval(figures.with_people)} against {interval(figures.among_people)}, difference"
        f" {interval(figures.difference)}; of kappa {interval(comparison.kappa.difference)}"
        f" ({len(comparison.people)} people, {comparison.unique:,} texts)."
    )


def _alternative(result: Agreement) -> list[str]:
    tests = [
        (one.annotator, one.alternative)
        for one in result.against_people
        if one.alternative.winning_rate is not None
    ]
    rates = "; ".join(
        f"{name} winning rate {test.winning_rate:.2f} of {len(test.people)} people, average advantage probability"
        f" {test.advantage_probability:.3f}"
        for name, test in tests
    )
    return (
        [f"Alternative annotator test (epsilon {tests[0][1].epsilon:g}, passed from one half on): {rates}."]
        if tests
        else []
    )


def _many(result: Agreement) -> list[str]:
    if result.many is None:
        return []
    figures = result.many.figures
    return [
        f"All together: Fleiss' kappa {interval(figures.fleiss_kappa)} on the {result.many.complete:,}"
        f" paragraphs that all labelled, Krippendorff's alpha {interval(figures.alpha)} on the"
        f" {result.many.rated:,} that at least two labelled."
    ]


def _retests(result: Agreement) -> list[str]:
    agreements = ", ".join(
        f"{retest.annotator} {interval(retest.figures.f1)} ({retest.repetitions} repetitions)"
        for retest in result.retests
    )
    return [f"Test-retest F1: {agreements}."] if agreements else []


def _baselines(result: Agreement) -> list[str]:
    agreements = ", ".join(
        f"{baseline.annotator} {interval(baseline.figures.f1)}" for baseline in result.baselines
    )
    return [f"F1 of a lexical-overlap rule against {agreements}."] if agreements else []


def _gold(gold: Sequence[Gold]) -> list[str]:
    origins = Counter(word.origin for row in gold for word in row.words)
    words = sum(origins.values())
    if not words:
        return []
    shares = ", ".join(f"{count / words:.1%} {origin}" for origin, count in origins.most_common())
    return [f"Gold ({gold[0].rule}): {words:,} words in {len(gold):,} paragraphs, {shares}."]
