"""The results of measuring agreement, as records."""

from __future__ import annotations

from annotate.kinds import Kind
from annotate.schema import Record, Role, Status

CONVENTIONS = (
    "Eligible are words with a letter or digit; marks on punctuation are not counted.",
    "A paragraph counts for a pair when both labels have status ok; missing and failed labels are counted,"
    " never read as empty.",
    "Pooled figures sum word counts over paragraphs. Macro F1 is the mean of the paragraphs' F1, 1 where both"
    " mark nothing; the variant without empty leaves those paragraphs out.",
    "Negative agreement is the F1 of the words left unmarked.",
    "Fleiss' kappa rests on the paragraphs that all annotators labelled, Krippendorff's alpha (nominal) on"
    " those that at least two labelled.",
    "Test-retest compares every two repetitions of one annotator. The baseline marks the words that question,"
    " answer and one sentence of the support share (the rule overlap).",
    "Against people: each person in turn is left out, and an annotator is compared with that person by its agreement"
    " with the others, on the paragraphs that all of them labelled.",
    "Intervals: 95 % percentile bootstrap over unique paragraphs (equal text is one cluster).",
    "Worst case: every eligible word of a paragraph without two labels counted as a disagreement.",
)
FEW_CLUSTERS = 30
"""Below this many unique paragraphs a bootstrap interval is too narrow to be trusted."""


class Estimate(Record):
    """A figure with its 95 % interval; ``value`` is ``None`` where undefined, for ``reason``."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


class Figures(Record):
    """Pooled figures of two labellings.

    Attributes:
        words: Eligible words compared.
        f1: Word F1, 2·n11 / (2·n11 + n10 + n01).
        kappa: Cohen's kappa.
        negative_agreement: F1 of unmarked words, 2·n00 / (2·n00 + n10 + n01).
        marked_share: Share of words that the first and the second mark.
    """

    words: int
    f1: Estimate
    kappa: Estimate
    negative_agreement: Estimate
    marked_share: tuple[Estimate, Estimate]


class AnnotatorSummary(Record):
    """One annotator and its labels.

    Attributes:
        name: Its name.
        kind: Whether a person, a model or a rule is behind it.
        models: Models that answered, as the server named them, most frequent first.
        statuses: Labels of repetition 0 by status, ``missing`` ones included, most frequent first.
        repetitions: How often it was asked about a paragraph, at most.
        marked_share: Share of eligible words marked in its paragraphs with status ok.
    """

    name: str
    kind: Kind
    models: tuple[str, ...]
    statuses: dict[Status, int]
    repetitions: int
    marked_share: Estimate


class PairedParagraph(Record):
    """How two annotators agree on one paragraph.

    Attributes:
        paragraph_id: The paragraph.
        text_sha256: Checksum of its text.
        statuses: Status of the two labels.
        words: Number of eligible words.
        both: Words that both marked, of labels that are ``ok``; ``None`` otherwise, as the next three.
        first_only: Words that only the first marked.
        second_only: Words that only the second marked.
        f1: Word F1; 1 where neither marked anything.
    """

    paragraph_id: str
    text_sha256: str
    statuses: tuple[Status, Status]
    words: int
    both: int | None = None
    first_only: int | None = None
    second_only: int | None = None
    f1: float | None = None


class PairAgreement(Record):
    """How two annotators agree.

    Attributes:
        annotators: Their names.
        kinds: Who is behind each.
        paragraphs: Paragraphs of the benchmark.
        unique: Unique texts among them.
        valid: Paragraphs that both labelled.
        valid_unique: Unique texts among those; the clusters of the bootstrap.
        identical: Unique texts among those on which both mark exactly the same words.
        missing: For each annotator, labels that are not ``ok``, by status.
        words: Eligible words in valid paragraphs.
        f1: Pooled (micro) word F1, 2·n11 / (2·n11 + n10 + n01).
        macro_f1: Mean F1 of paragraphs, 1 where neither marks anything.
        macro_f1_without_empty: The same without paragraphs where neither marks anything.
        iou: Pooled intersection over union, n11 / (n11 + n10 + n01).
        kappa: Cohen's kappa of words, pooled.
        negative_agreement: F1 of unmarked words, 2·n00 / (2·n00 + n10 + n01).
        marked_share: Share of eligible words each annotator marks.
        worst_case_f1: Pooled F1 if all words of paragraphs without two labels were disagreements.
        implied_share: Marked share p that F1 and kappa imply by 1 - kappa = (1 - F1) / (1 - p), which is
            exact for equal shares; ``None`` where kappa is undefined or 1.
        few_clusters: Whether there are too few unique paragraphs for the intervals to be trusted.
        segments: The figures in each part of the paragraphs, of the parts that hold eligible words.
        rows: The paragraphs one by one, in paragraph order.
    """

    annotators: tuple[str, str]
    kinds: tuple[Kind, Kind]
    paragraphs: int
    unique: int
    valid: int
    valid_unique: int
    identical: int
    missing: tuple[dict[Status, int], dict[Status, int]]
    words: int
    f1: Estimate
    macro_f1: Estimate
    macro_f1_without_empty: Estimate
    iou: Estimate
    kappa: Estimate
    negative_agreement: Estimate
    marked_share: tuple[float, float]
    worst_case_f1: float | None
    implied_share: float | None
    few_clusters: bool
    segments: dict[Role, Figures]
    rows: tuple[PairedParagraph, ...]


class ManyFigures(Record):
    """Figures of three or more labellings.

    Attributes:
        complete_words: Eligible words in paragraphs that all labelled.
        fleiss_kappa: Fleiss' kappa of those words.
        ratings: Judgements of a word, marked or not, in paragraphs that at least two labelled.
        alpha: Krippendorff's alpha (nominal) of those.
    """

    complete_words: int
    fleiss_kappa: Estimate
    ratings: int
    alpha: Estimate


class Many(Record):
    """How three or more annotators agree together.

    Attributes:
        annotators: Their names.
        complete: Paragraphs that all labelled.
        rated: Paragraphs that at least two labelled.
        rated_unique: Unique texts among those; the clusters of the bootstrap.
        figures: The figures over all words.
        segments: The figures in each part of the paragraphs, of the parts that hold eligible words.
        few_clusters: Whether there are too few unique paragraphs for the intervals to be trusted.
    """

    annotators: tuple[str, ...]
    complete: int
    rated: int
    rated_unique: int
    figures: ManyFigures
    segments: dict[Role, ManyFigures]
    few_clusters: bool


class Retest(Record):
    """How far one annotator agrees with itself when asked again.

    Attributes:
        annotator: Its name.
        repetitions: How often it was asked about a paragraph, at most.
        comparisons: Pairs of repetitions compared, summed over paragraphs.
        unique: Unique texts among those; the clusters of the bootstrap.
        figures: The figures, pooled over all pairs of repetitions; first is the earlier one.
        few_clusters: Whether there are too few unique paragraphs for the intervals to be trusted.
    """

    annotator: str
    repetitions: int
    comparisons: int
    unique: int
    figures: Figures
    few_clusters: bool


class Baseline(Record):
    """How far the lexical-overlap rule agrees with one annotator.

    Attributes:
        annotator: The annotator; the second in ``figures``, the rule is the first.
        valid: Paragraphs that it labelled.
        figures: The figures.
        few_clusters: Whether there are too few unique paragraphs for the intervals to be trusted.
    """

    annotator: str
    valid: int
    figures: Figures
    few_clusters: bool


class PeopleFigures(Record):
    """A figure of an annotator and people.

    Attributes:
        with_people: Mean over every two people of the annotator's figure with either.
        among_people: Mean over the same of the figure of the two people with each other.
        difference: The former less the latter: what the annotator's agreement with the others differs from that of a
            person who is left out, by mean over the people left out.
    """

    with_people: Estimate
    among_people: Estimate
    difference: Estimate


class PersonTest(Record):
    """One person's part in the alternative annotator test.

    Attributes:
        person: Who was left out.
        texts: Unique texts that the person, the annotator and another person labelled.
        advantage: Share of them on which the annotator agrees with the others at least as well as the person.
        person_advantage: Share on which the person agrees with them at least as well as the annotator.
        p_value: Of the null hypothesis that the latter exceeds the former by epsilon or more.
        p_adjusted: The same, adjusted by Benjamini and Yekutieli for the number of people.
        won: Whether that rejects it.
    """

    person: str
    texts: int
    advantage: float
    person_advantage: float
    p_value: float
    p_adjusted: float
    won: bool


class AlternativeTest(Record):
    """The alternative annotator test (Calderon, Reichart and Dror 2025).

    Attributes:
        epsilon: By how much the annotator may have the advantage less often than a person.
        winning_rate: Share of people against whom the annotator wins (omega); ``None`` for ``reason``.
        advantage_probability: Mean share of texts on which it has the advantage (rho).
        passed: Whether the winning rate is at least one half.
        people: The people who were left out in turn.
        untested: People with too few texts, with the number of those.
        reason: Why there is no test.
    """

    epsilon: float
    winning_rate: float | None = None
    advantage_probability: float | None = None
    passed: bool | None = None
    people: tuple[PersonTest, ...] = ()
    untested: dict[str, int]
    reason: str = ""


class PeopleComparison(Record):
    """Whether one annotator agrees with people as well as they agree with each other.

    Attributes:
        annotator: The annotator, who is no person.
        kind: Whether a model or a rule is behind it.
        people: The people; not those who decided on marks of others.
        paragraphs: Paragraphs that it and at least two people labelled.
        unique: Unique texts among those; the clusters of the bootstrap.
        f1: Pooled word F1; of every two people on the paragraphs that both and the annotator labelled.
        kappa: Cohen's kappa of the same.
        alternative: The alternative annotator test.
        few_clusters: Whether there are too few unique paragraphs for the intervals to be trusted.
    """

    annotator: str
    kind: Kind
    people: tuple[str, ...]
    paragraphs: int
    unique: int
    f1: PeopleFigures
    kappa: PeopleFigures
    alternative: AlternativeTest
    few_clusters: bool


class Agreement(Record):
    """Agreement of annotators on the words that matter.

    Attributes:
        paragraphs: Paragraphs of the benchmark.
        unique: Unique texts among them.
        words: Eligible words in them.
        annotators: Who is compared.
        pairs: Every two annotators with a paragraph that both labelled, in the order of the annotators.
        apart: Every two annotators without one.
        many: All together; ``None`` for fewer than three.
        against_people: Every annotator that is no person against the people, where there are two who marked alone.
        retests: Annotators that were asked again.
        baselines: Every annotator that is not that rule itself against the lexical-overlap rule.
        bootstrap: Number of bootstrap replicates.
        seed: Seed of the bootstrap.
        epsilon: What the alternative annotator test allowed.
        conventions: How to read the figures.
    """

    paragraphs: int
    unique: int
    words: int
    annotators: tuple[AnnotatorSummary, ...]
    pairs: tuple[PairAgreement, ...]
    apart: tuple[tuple[str, str], ...]
    many: Many | None
    against_people: tuple[PeopleComparison, ...]
    retests: tuple[Retest, ...]
    baselines: tuple[Baseline, ...]
    bootstrap: int
    seed: int
    epsilon: float
    conventions: tuple[str, ...] = CONVENTIONS
