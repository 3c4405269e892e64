"""Measure agreement: count, resample once, read every figure off the sums."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from annotate.agreement.coefficients import mean, pooled_iou
from annotate.agreement.counts import (
    MEANS,
    Eligible,
    Marks,
    clusters,
    eligible_words,
    many_row,
    marks,
    pair_row,
)
from annotate.agreement.figures import NO_MARK, figures, many_figures, segment_figures
from annotate.agreement.intervals import Sums, estimate, resample
from annotate.agreement.people import EPSILON, compare_with_people, triple_rows
from annotate.agreement.records import (
    FEW_CLUSTERS,
    Agreement,
    AnnotatorSummary,
    Baseline,
    Estimate,
    Many,
    PairAgreement,
    PairedParagraph,
    Retest,
)
from annotate.annotators.overlap import OVERLAP
from annotate.errors import LabelError
from annotate.kinds import kind_of, marked_alone
from annotate.schema import Label, Paragraph, Status

Rows = list[tuple[str, list[float]]]
"""Paragraph ids with the counts of a comparison, in paragraph order."""


def agreement(
    paragraphs: Sequence[Paragraph],
    labels: Mapping[str, Sequence[Label]],
    bootstrap: int = 10_000,
    seed: int = 0,
    epsilon: float = EPSILON,
) -> Agreement:
    """Measure the agreement of annotators on words.

    Args:
        paragraphs: The paragraphs of the benchmark.
        labels: Labels by annotator. Annotators are compared by those of repetition 0, each with itself by
            all.
        bootstrap: Number of replicates for the intervals.
        seed: Seed of the bootstrap; the same for all figures.
        epsilon: What the alternative annotator test allows an annotator beside a person.

    Returns:
        The figures with their intervals.

    Raises:
        LabelError: There are fewer than two annotators and none was asked again, or no two of them share a
            paragraph that both labelled.
    """
    words = {paragraph.id: eligible_words(paragraph) for paragraph in paragraphs}
    repeated = {name: _repetitions(rows) for name, rows in labels.items()}
    first = {name: repetitions[0] for name, repetitions in repeated.items()}
    rule = {paragraph.id: frozenset(OVERLAP.mark(paragraph)) for paragraph in paragraphs}
    pairs = {(a, b): _compare(words, [(first[a], first[b])]) for a, b in itertools.combinations(labels, 2)}
    apart = tuple(names for names, rows in pairs.items() if not rows)
    retests = {
        name: _compare(words, itertools.combinations(repetitions, 2))
        for name, repetitions in repeated.items()
    }
    if len(apart) == len(pairs) and not any(retests.values()):
        raise LabelError(_incomparable(list(labels), apart))
    baselines = {
        name: _compare(words, [(rule, marked)]) for name, marked in first.items() if name != OVERLAP.name
    }
    shares = {name: _shares(words, marked) for name, marked in first.items()}
    many = _rated(words, list(first.values())) if len(labels) > 2 else []
    people = {name: marked for name, marked in first.items() if marked_alone(name)}
    triples = {
        name: triple_rows(words, marked, list(people.values()))
        for name, marked in first.items()
        if kind_of(name) != "person"
    }
    counted: dict[tuple[str, ...], Rows] = {
        **{("pair", *names): rows for names, rows in pairs.items()},
        **{("retest", name): rows for name, rows in retests.items()},
        **{("baseline", name): rows for name, rows in baselines.items()},
        **{("shares", name): rows for name, rows in shares.items()},
        **{("people", name): rows for name, rows in triples.items()},
        ("many",): many,
    }
    sums = resample({key: clusters(words, rows) for key, rows in counted.items() if rows}, bootstrap, seed)
    return Agreement(
        paragraphs=len(paragraphs),
        unique=len({eligible.sha256 for eligible in words.values()}),
        words=sum(len(eligible.words) for eligible in words.values()),
        annotators=tuple(
            _annotator(name, paragraphs, labels[name], sums.get(("shares", name))) for name in labels
        ),
        pairs=tuple(
            _pair(
                names,
                _paragraphs(paragraphs, words, [labels[name] for name in names], rows),
                sums["pair", *names],
            )
            for names, rows in pairs.items()
            if rows
        ),
        apart=apart,
        many=_many(first, many, sums["many",]) if many else None,
        against_people=tuple(
            compare_with_people(name, words, first[name], people, sums["people", name], len(rows), epsilon)
            for name, rows in triples.items()
            if rows
        ),
        retests=tuple(
            _retest(name, len(repeated[name]), len(rows), sums["retest", name])
            for name, rows in retests.items()
            if rows
        ),
        baselines=tuple(
            _baseline(name, len(rows), sums["baseline", name]) for name, rows in baselines.items() if rows
        ),
        bootstrap=bootstrap,
        seed=seed,
        epsilon=epsilon,
    )


def _repetitions(labels: Sequence[Label]) -> list[Marks]:
    """The marks of each repetition, at least of the first."""
    count = 1 + max((label.repeat for label in labels), default=0)
    return [marks(labels, repeat) for repeat in range(count)]


def _compare(words: Mapping[str, Eligible], labellings: Iterable[tuple[Marks, Marks]]) -> Rows:
    """Counts of every two labellings of a paragraph."""
    both = list(labellings)
    return [
        (name, pair_row(eligible, first[name], second[name]))
        for name, eligible in words.items()
        for first, second in both
        if name in first and name in second
    ]


def _shares(words: Mapping[str, Eligible], marked: Marks) -> Rows:
    """Words marked and words there are, of the paragraphs labelled."""
    return [
        (name, [float(len(eligible.words & marked[name])), float(len(eligible.words))])
        for name, eligible in words.items()
        if name in marked
    ]


def _rated(words: Mapping[str, Eligible], labellings: Sequence[Marks]) -> Rows:
    """Counts of all labellings together, of paragraphs with at least two."""
    given = {name: [marked[name] for marked in labellings if name in marked] for name in words}
    return [
        (name, many_row(words[name], rated, len(labellings)))
        for name, rated in given.items()
        if len(rated) > 1
    ]


def _incomparable(names: Sequence[str], apart: Sequence[tuple[str, str]]) -> str:
    if apart:
        return f"{' and '.join(apart[0])} share no paragraph that both labelled; choose others by --annotator"
    have = ", ".join(names) or "none"
    return (
        f"agreement needs the labels of two annotators, there are those of: {have};"
        " or those of one that was asked again, by annotate label --repeats 3"
    )


def _annotator(
    name: str, paragraphs: Sequence[Paragraph], labels: Sequence[Label], shares: Sums | None
) -> AnnotatorSummary:
    statuses = {label.paragraph_id: label.status for label in labels if label.repeat == 0}
    counted: Counter[Status] = Counter(statuses.get(paragraph.id, "missing") for paragraph in paragraphs)
    models = Counter(label.model for label in labels if label.model)
    return AnnotatorSummary(
        name=name,
        kind=kind_of(name),
        models=tuple(model for model, _ in models.most_common()),
        statuses=dict(counted.most_common()),
        repetitions=len({label.repeat for label in labels}),
        marked_share=estimate(mean, shares, "no word")
        if shares
        else Estimate(value=None, reason="no label is ok"),
    )


def _paragraphs(
    paragraphs: Sequence[Paragraph],
    words: Mapping[str, Eligible],
    labels: Sequence[Sequence[Label]],
    rows: Rows,
) -> tuple[PairedParagraph, ...]:
    """The comparison of two annotators, paragraph by paragraph."""
    first, second = (
        {label.paragraph_id: label.status for label in side if label.repeat == 0} for side in labels
    )
    counts = dict(rows)
    return tuple(
        _paragraph(
            paragraph,
            len(words[paragraph.id].words),
            (first.get(paragraph.id, "missing"), second.get(paragraph.id, "missing")),
            counts.get(paragraph.id),
        )
        for paragraph in paragraphs
    )


def _paragraph(
    paragraph: Paragraph, words: int, statuses: tuple[Status, Status], counts: list[float] | None
) -> PairedParagraph:
    row = PairedParagraph(
        paragraph_id=paragraph.id, text_sha256=paragraph.text_sha256, statuses=statuses, words=words
    )
    if counts is None:
        return row
    both, first_only, second_only = (int(count) for count in counts[:3])
    return row.model_copy(
        update={
            "both": both,
            "first_only": first_only,
            "second_only": second_only,
            "f1": counts[MEANS.start],
        }
    )


def _pair(names: tuple[str, str], rows: tuple[PairedParagraph, ...], sums: Sums) -> PairAgreement:
    pooled = figures(sums)
    means = sums.columns(MEANS)
    n11, n10, n01, _ = sums.total[0, :4]
    disagreed = n10 + n01 + sum(row.words for row in rows if row.f1 is None)
    return PairAgreement(
        annotators=names,
        kinds=(kind_of(names[0]), kind_of(names[1])),
        paragraphs=len(rows),
        unique=len({row.text_sha256 for row in rows}),
        valid=sum(row.f1 is not None for row in rows),
        valid_unique=sums.clusters,
        identical=_identical(rows),
        missing=(_missing(rows, 0), _missing(rows, 1)),
        words=pooled.words,
        f1=pooled.f1,
        macro_f1=estimate(mean, means.columns(slice(0, 2)), "no paragraph"),
        macro_f1_without_empty=estimate(mean, means.columns(slice(2, 4)), NO_MARK),
        iou=estimate(pooled_iou, sums, NO_MARK),
        kappa=pooled.kappa,
        negative_agreement=pooled.negative_agreement,
        marked_share=(pooled.marked_share[0].value or 0.0, pooled.marked_share[1].value or 0.0),
        worst_case_f1=float(2 * n11 / (2 * n11 + disagreed)) if n11 + disagreed else None,
        implied_share=_implied_share(pooled.f1.value, pooled.kappa.value),
        few_clusters=sums.clusters < FEW_CLUSTERS,
        segments=segment_figures(sums),
        rows=rows,
    )


def _identical(rows: Sequence[PairedParagraph]) -> int:
    """Unique texts on which both always mark exactly the same words."""
    valid = {row.text_sha256 for row in rows if row.f1 is not None}
    return len(valid - {row.text_sha256 for row in rows if row.first_only or row.second_only})


def _implied_share(f1: float | None, kappa: float | None) -> float | None:
    return None if f1 is None or kappa is None or kappa == 1 else 1 - (1 - f1) / (1 - kappa)


def _missing(rows: Sequence[PairedParagraph], side: int) -> dict[Status, int]:
    """Labels that are not ``ok``, by status, most frequent first."""
    return dict(Counter(row.statuses[side] for row in rows if row.statuses[side] != "ok").most_common())


def _many(first: Mapping[str, Marks], rows: Rows, sums: Sums) -> Many:
    pooled, segments = many_figures(sums, len(first))
    return Many(
        annotators=tuple(first),
        complete=sum(all(name in marked for marked in first.values()) for name, _ in rows),
        rated=len(rows),
        rated_unique=sums.clusters,
        figures=pooled,
        segments=segments,
        few_clusters=sums.clusters < FEW_CLUSTERS,
    )


def _retest(name: str, repetitions: int, comparisons: int, sums: Sums) -> Retest:
    return Retest(
        annotator=name,
        repetitions=repetitions,
        comparisons=comparisons,
        unique=sums.clusters,
        figures=figures(sums),
        few_clusters=sums.clusters < FEW_CLUSTERS,
    )


def _baseline(name: str, valid: int, sums: Sums) -> Baseline:
    return Baseline(
        annotator=name, valid=valid, figures=figures(sums), few_clusters=sums.clusters < FEW_CLUSTERS
    )
