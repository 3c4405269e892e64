"""Whether an annotator agrees with people as well as people agree with each other.

Two answers from the same leaving-out of one person at a time: by how much the annotator's agreement with the others
differs from that of the person left out, and the alternative annotator test, which counts the texts on which the
annotator is no worse.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from annotate.agreement.coefficients import Counts, cohen_kappa, pooled_f1, ratio
from annotate.agreement.counts import CELLS, Eligible, Marks, cells, clusters, word_f1
from annotate.agreement.figures import CHANCE, NO_MARK
from annotate.agreement.intervals import Sums, estimate
from annotate.agreement.records import (
    FEW_CLUSTERS,
    AlternativeTest,
    Estimate,
    PeopleComparison,
    PeopleFigures,
    PersonTest,
)
from annotate.kinds import kind_of

EPSILON = 0.1
"""What the alternative annotator test allows an annotator: the least of the three values that its authors name."""
FALSE_DISCOVERY_RATE = 0.05
PEOPLE_NEEDED = 3
"""With two people each is the other's only measure, so there is no group that an annotator could stand for."""
TEXTS_NEEDED = 30
"""Fewer texts of a person do not bear the t-test."""
_TIE = 1e-9  # means of equal fractions may differ in their last digits


def triple_rows(
    words: Mapping[str, Eligible], marked: Marks, people: Sequence[Marks]
) -> list[tuple[str, list[float]]]:
    """Counts of an annotator and every two people, of paragraphs that it and at least two people labelled.

    Of each two people three two-by-two tables of the words that all three judged: the annotator with the first, the
    annotator with the second, and the two people; zeros where one of them did not label the paragraph.

    Args:
        words: Eligible words by paragraph id.
        marked: The annotator's marks.
        people: Those of each person.
    """
    rows = []
    for name, eligible in words.items():
        given = [person.get(name) for person in people]
        if name not in marked or sum(marks is not None for marks in given) < 2:
            continue
        row: list[float] = []
        for first, second in itertools.combinations(given, 2):
            if first is None or second is None:
                row += [0.0] * 3 * CELLS
            else:
                for one, other in ((marked[name], first), (marked[name], second), (first, second)):
                    row += cells(eligible.words, one, other)
        rows.append((name, row))
    return rows


def compare_with_people(
    name: str,
    words: Mapping[str, Eligible],
    marked: Marks,
    people: Mapping[str, Marks],
    sums: Sums,
    paragraphs: int,
    epsilon: float = EPSILON,
) -> PeopleComparison:
    """Compare an annotator's agreement with people with that of people with each other.

    Args:
        name: The annotator.
        words: Eligible words by paragraph id.
        marked: The annotator's marks.
        people: Those of each person, by name, of at least two.
        sums: Counts as `triple_rows` makes them.
        paragraphs: Number of paragraphs they were made of.
        epsilon: As for `alternative_test`.
    """
    return PeopleComparison(
        annotator=name,
        kind=kind_of(name),
        people=tuple(people),
        paragraphs=paragraphs,
        unique=sums.clusters,
        f1=_figures(pooled_f1, sums, NO_MARK),
        kappa=_figures(cohen_kappa, sums, CHANCE),
        alternative=alternative_test(words, marked, people, epsilon),
        few_clusters=sums.clusters < FEW_CLUSTERS,
    )


def _figures(coefficient: Callable[[Counts], Counts], sums: Sums, reason: str) -> PeopleFigures:
    def figure(read: Callable[[Counts], Counts]) -> Estimate:
        return estimate(lambda counts: read(_of_pairs(coefficient, counts)), sums, reason)

    return PeopleFigures(
        with_people=figure(lambda values: _mean(values[..., :2].mean(axis=-1))),
        among_people=figure(lambda values: _mean(values[..., 2])),
        difference=figure(lambda values: _mean(values[..., :2].mean(axis=-1) - values[..., 2])),
    )


def _of_pairs(coefficient: Callable[[Counts], Counts], counts: Counts) -> Counts:
    """A coefficient of every table, shape (rows, pairs of people, 3); NaN for all of a pair where it is for one."""
    values = coefficient(counts.reshape(-1, CELLS)).reshape(len(counts), -1, 3)
    return np.where(np.isnan(values).any(axis=-1, keepdims=True), np.nan, values)


def _mean(values: Counts) -> Counts:
    """Mean of each row over the pairs where it is defined; NaN without any."""
    return ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1).astype(float))


def people_rows(
    words: Mapping[str, Eligible], marked: Marks, people: Sequence[Marks]
) -> list[tuple[str, list[float]]]:
    """Counts of an annotator with each person, of all paragraphs; zeros where the person did not label one.

    What the annotator did not label counts as if it had found nothing there: who chooses an annotator wants labels, and
    one that fails on hard paragraphs is not to look the better for it.

    Args:
        words: Eligible words by paragraph id.
        marked: The annotator's marks.
        people: Those of each person.
    """
    return [
        (
            name,
            [
                count
                for person in people
                for count in (
                    cells(eligible.words, marked.get(name, frozenset()), person[name])
                    if name in person
                    else [0.0] * CELLS
                )
            ],
        )
        for name, eligible in words.items()
    ]


def mean_f1(counts: Counts) -> Counts:
    """Mean over the tables of each row of their pooled word F1, where it is defined.

    Args:
        counts: Shape (rows, tables x 4).
    """
    return _mean(pooled_f1(counts.reshape(-1, CELLS)).reshape(len(counts), -1))


def alternative_test(
    words: Mapping[str, Eligible], marked: Marks, people: Mapping[str, Marks], epsilon: float = EPSILON
) -> AlternativeTest:
    """The alternative annotator test: may the annotator take the place of a person?

    Each person in turn is left out. On every paragraph that both labelled with at least one other person, the annotator
    and the person left out are scored by their mean word F1 with the others; whoever scores at least as high has the
    advantage, which may be both. The null hypothesis is that the person has it more often by ``epsilon`` or more; it is
    tested on the difference of the two indicators by a one-sided t-test, and the p-values of all people are adjusted
    by the procedure of Benjamini and Yekutieli (2001). The winning rate is the share of people whose null hypothesis is
    rejected, the advantage probability the mean share of texts on which the annotator has the advantage.

    Source: Calderon, Reichart and Dror 2025, "The Alternative Annotator Test for LLM-as-a-Judge". Word F1 as its
    scoring function is ours, and so is that texts and not paragraphs are the units: the indicators are averaged over
    paragraphs of equal text.

    Args:
        words: Eligible words by paragraph id.
        marked: The annotator's marks.
        people: Those of each person, by name.
        epsilon: By how much the annotator may have the advantage less often than the person, for what it saves; the
            authors name 0.2 for experts, 0.15 for trained people and 0.1 for crowd workers.

    Returns:
        The test; without rates, and with the reason, where fewer than `PEOPLE_NEEDED` people have `TEXTS_NEEDED` texts.
    """
    from scipy.stats import false_discovery_control

    advantages = {person: _advantages(words, marked, people, person) for person in people}
    tested = {person: table for person, table in advantages.items() if len(table) >= TEXTS_NEEDED}
    untested = {person: len(table) for person, table in advantages.items() if person not in tested}
    if len(tested) < PEOPLE_NEEDED:
        return AlternativeTest(
            epsilon=epsilon,
            untested=untested,
            reason=f"needs {PEOPLE_NEEDED} people with {TEXTS_NEEDED} texts each that another person labelled too;"
            f" there {'is' if len(tested) == 1 else 'are'} {len(tested) or 'none'}",
        )
    p_values = {person: _p_value(table[:, 1] - table[:, 0], epsilon) for person, table in tested.items()}
    adjusted = false_discovery_control(list(p_values.values()), method="by")
    tests = tuple(
        PersonTest(
            person=person,
            texts=len(table),
            advantage=float(table[:, 0].mean()),
            person_advantage=float(table[:, 1].mean()),
            p_value=p_values[person],
            p_adjusted=float(p),
            won=bool(p <= FALSE_DISCOVERY_RATE),
        )
        for (person, table), p in zip(tested.items(), adjusted, strict=True)
    )
    winning = sum(test.won for test in tests) / len(tests)
    return AlternativeTest(
        epsilon=epsilon,
        winning_rate=winning,
        advantage_probability=sum(test.advantage for test in tests) / len(tests),
        passed=winning >= 0.5,
        people=tests,
        untested=untested,
    )


def _advantages(
    words: Mapping[str, Eligible], marked: Marks, people: Mapping[str, Marks], left_out: str
) -> Counts:
    """Who has the advantage, by text: shape (texts, 2), the annotator and the person left out."""
    rows = []
    for name, eligible in words.items():
        person = people[left_out].get(name)
        others = [marks[name] for other, marks in people.items() if other != left_out and name in marks]
        if name not in marked or person is None or not others:
            continue
        own, theirs = (
            sum(word_f1(eligible.words, one, other) for other in others) / len(others)
            for one in (marked[name], person)
        )
        rows.append((name, [float(own >= theirs - _TIE), float(theirs >= own - _TIE), 1.0]))
    if not rows:
        return np.empty((0, 2))
    table = clusters(words, rows)
    return table[:, :2] / table[:, 2:]


def _p_value(differences: Counts, epsilon: float) -> float:
    """One-sided p-value of a mean of ``epsilon`` or more; texts that are all alike leave no doubt."""
    from scipy.stats import ttest_1samp

    if np.ptp(differences) == 0:
        return float(differences[0] >= epsilon)
    return float(ttest_1samp(differences, epsilon, alternative="less").pvalue)
