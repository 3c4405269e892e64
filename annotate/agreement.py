"""How far annotators agree on which words matter, with intervals that respect repeated paragraphs.

Everything pooled is a function of four counts a paragraph (marked by both, by one, by the other, by none), so
the bootstrap resamples unique paragraphs by weighting their counts.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from annotate.errors import LabelError
from annotate.schema import Label, Paragraph, Record, Status
from annotate.words import is_content

Counts: TypeAlias = NDArray[np.float64]
"""Columns: n11 (both mark), n10 (first only), n01 (second only), n00 (neither); then sum and number of
paragraphs' F1, over all of them and over those where a word is marked."""

CONVENTIONS = (
    "Eligible are words with a letter or digit; marks on punctuation are not counted.",
    "A paragraph counts for a pair when both labels have status ok; missing and failed labels are counted,"
    " never read as empty.",
    "Pooled figures sum word counts over paragraphs. Macro F1 is the mean of the paragraphs' F1, 1 where both"
    " mark nothing; the variant without empty leaves those paragraphs out.",
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
        marked_share: Share of eligible words each annotator marks.
        worst_case_f1: Pooled F1 if all words of paragraphs without two labels were disagreements.
        implied_share: Marked share p that F1 and kappa imply by 1 - kappa = (1 - F1) / (1 - p), which is
            exact for equal shares; ``None`` where kappa is undefined or 1.
        few_clusters: Whether there are too few unique paragraphs for the intervals to be trusted.
        rows: The paragraphs one by one, in paragraph order.
    """

    annotators: tuple[str, str]
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
    marked_share: tuple[float, float]
    worst_case_f1: float | None
    implied_share: float | None
    few_clusters: bool
    rows: tuple[PairedParagraph, ...]


class Agreement(Record):
    """Agreement of every pair of annotators.

    Attributes:
        pairs: The pairs, in the order of the annotators.
        bootstrap: Number of bootstrap replicates.
        seed: Seed of the bootstrap.
        conventions: How to read the figures.
    """

    pairs: tuple[PairAgreement, ...]
    bootstrap: int
    seed: int
    conventions: tuple[str, ...] = CONVENTIONS


def agreement(
    paragraphs: Sequence[Paragraph],
    labels: Mapping[str, Sequence[Label]],
    bootstrap: int = 10_000,
    seed: int = 0,
) -> Agreement:
    """Measure the agreement of every pair of annotators on words.

    Args:
        paragraphs: The paragraphs of the benchmark.
        labels: Labels by annotator; those of repetition 0 are compared.
        bootstrap: Number of replicates for the intervals.
        seed: Seed of the bootstrap; the same for every pair.

    Returns:
        The figures of each pair with their intervals.

    Raises:
        LabelError: There are fewer than two annotators, or two of them share no paragraph that both labelled.
    """
    if len(labels) < 2:
        have = ", ".join(labels) or "none"
        raise LabelError(f"agreement needs the labels of two annotators, there are those of: {have}")
    by_id = {
        name: {label.paragraph_id: label for label in rows if label.repeat == 0}
        for name, rows in labels.items()
    }
    eligible = [{i for i, text in enumerate(p.word_texts()) if is_content(text)} for p in paragraphs]
    pairs = tuple(
        _pair((a, b), paragraphs, eligible, (by_id[a], by_id[b]), bootstrap, seed)
        for a, b in itertools.combinations(labels, 2)
    )
    return Agreement(pairs=pairs, bootstrap=bootstrap, seed=seed)


def _pair(
    names: tuple[str, str],
    paragraphs: Sequence[Paragraph],
    eligible: Sequence[set[int]],
    labels: tuple[Mapping[str, Label], Mapping[str, Label]],
    bootstrap: int,
    seed: int,
) -> PairAgreement:
    rows = tuple(
        _compare(paragraph, words, labels[0].get(paragraph.id), labels[1].get(paragraph.id))
        for paragraph, words in zip(paragraphs, eligible, strict=True)
    )
    valid = [row for row in rows if row.f1 is not None]
    if not valid:
        raise LabelError(
            f"{names[0]} and {names[1]} share no paragraph that both labelled; choose others by --annotator"
        )
    clusters = _clusters(valid)
    total = clusters.sum(axis=0)
    weighted = _resample(clusters, bootstrap, seed)
    n11, n10, n01, n00 = total[:4]
    words = n11 + n10 + n01 + n00
    lost = sum(row.words for row in rows if row.f1 is None)
    f1 = _estimate(pooled_f1, total, weighted, "neither marks any word")
    kappa = _estimate(cohen_kappa, total, weighted, "both mark every word, or none: chance alone would agree")
    disagreed = n10 + n01 + lost
    return PairAgreement(
        annotators=names,
        paragraphs=len(rows),
        unique=len({row.text_sha256 for row in rows}),
        valid=len(valid),
        valid_unique=len(clusters),
        identical=int((clusters[:, 1] + clusters[:, 2] == 0).sum()),
        missing=(_missing(rows, 0), _missing(rows, 1)),
        words=int(words),
        f1=f1,
        macro_f1=_estimate(macro_f1, total, weighted, "no paragraph"),
        macro_f1_without_empty=_estimate(macro_f1_without_empty, total, weighted, "neither marks any word"),
        iou=_estimate(pooled_iou, total, weighted, "neither marks any word"),
        kappa=kappa,
        marked_share=(float((n11 + n10) / words), float((n11 + n01) / words)) if words else (0.0, 0.0),
        worst_case_f1=float(2 * n11 / (2 * n11 + disagreed)) if n11 + disagreed else None,
        implied_share=_implied_share(f1.value, kappa.value),
        few_clusters=len(clusters) < FEW_CLUSTERS,
        rows=rows,
    )


def _compare(
    paragraph: Paragraph, eligible: set[int], first: Label | None, second: Label | None
) -> PairedParagraph:
    statuses: tuple[Status, Status] = (
        first.status if first else "missing",
        second.status if second else "missing",
    )
    row = PairedParagraph(
        paragraph_id=paragraph.id, text_sha256=paragraph.text_sha256, statuses=statuses, words=len(eligible)
    )
    if first is None or second is None or statuses != ("ok", "ok"):
        return row
    a, b = eligible.intersection(first.words), eligible.intersection(second.words)
    return row.model_copy(
        update={
            "both": len(a & b),
            "first_only": len(a - b),
            "second_only": len(b - a),
            "f1": 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0,
        }
    )


def _clusters(valid: Sequence[PairedParagraph]) -> Counts:
    """One row of :data:`Counts` a unique text, in order of first appearance."""
    order = {sha256: i for i, sha256 in enumerate(dict.fromkeys(row.text_sha256 for row in valid))}
    counts = np.zeros((len(order), 8))
    for row in valid:
        both, first, second = row.both or 0, row.first_only or 0, row.second_only or 0
        f1, marked = row.f1 or 0.0, both + first + second > 0
        none = row.words - both - first - second
        counts[order[row.text_sha256]] += [both, first, second, none, f1, 1, f1 * marked, marked]
    return counts


def _resample(clusters: Counts, bootstrap: int, seed: int) -> Counts:
    """Sums of counts over resampled clusters, shape (replicates, 8)."""
    rng = np.random.default_rng(seed)
    size = len(clusters)
    share = np.full(size, 1 / size)
    sums = np.empty((bootstrap, clusters.shape[1]))
    step = 500  # keeps the weights of 2,000 paragraphs under 10 MB
    for start in range(0, bootstrap, step):
        stop = min(start + step, bootstrap)
        sums[start:stop] = rng.multinomial(size, share, size=stop - start) @ clusters
    return sums


def _estimate(
    statistic: Callable[[Counts], Counts], total: Counts, weighted: Counts, reason: str
) -> Estimate:
    value = float(statistic(total[None])[0])
    if np.isnan(value):
        return Estimate(value=None, reason=reason)
    replicates = statistic(weighted)
    defined = replicates[~np.isnan(replicates)]
    if not len(defined):
        return Estimate(value=value, reason="no interval: no bootstrap replicate defines it")
    low, high = np.quantile(defined, [0.025, 0.975])
    return Estimate(value=value, low=float(low), high=float(high))


def _ratio(above: Counts, below: Counts) -> Counts:
    """``above / below``, NaN where ``below`` is 0."""
    undefined: Counts = np.full(np.shape(above), np.nan)
    return np.divide(above, below, out=undefined, where=below != 0)


def pooled_f1(counts: Counts) -> Counts:
    """Pooled word F1 of each row, 2·n11 / (2·n11 + n10 + n01); NaN where neither marks any word."""
    n11, n10, n01 = counts[:, 0], counts[:, 1], counts[:, 2]
    return _ratio(2 * n11, 2 * n11 + n10 + n01)


def pooled_iou(counts: Counts) -> Counts:
    """Pooled intersection over union of each row, n11 / (n11 + n10 + n01); NaN where nothing is marked."""
    n11, n10, n01 = counts[:, 0], counts[:, 1], counts[:, 2]
    return _ratio(n11, n11 + n10 + n01)


def cohen_kappa(counts: Counts) -> Counts:
    """Cohen's kappa of each row (Cohen 1960): (po - pe) / (1 - pe).

    With agreement po = (n11 + n00) / n and chance agreement pe from the two marked shares; NaN where pe is 1.
    """
    n11, n10, n01, n00 = counts[:, 0], counts[:, 1], counts[:, 2], counts[:, 3]
    n = n11 + n10 + n01 + n00
    chance = (n11 + n10) * (n11 + n01) + (n01 + n00) * (n10 + n00)
    return _ratio(n * (n11 + n00) - chance, n * n - chance)


def macro_f1(counts: Counts) -> Counts:
    """Mean of paragraphs' F1 of each row; a paragraph where neither marks any word counts 1."""
    return _ratio(counts[:, 4], counts[:, 5])


def macro_f1_without_empty(counts: Counts) -> Counts:
    """Mean of paragraphs' F1 of each row over paragraphs where a word is marked; NaN without any."""
    return _ratio(counts[:, 6], counts[:, 7])


def _implied_share(f1: float | None, kappa: float | None) -> float | None:
    return None if f1 is None or kappa is None or kappa == 1 else 1 - (1 - f1) / (1 - kappa)


def _missing(rows: Sequence[PairedParagraph], side: int) -> dict[Status, int]:
    """Labels that are not ``ok``, by status, most frequent first."""
    return dict(Counter(row.statuses[side] for row in rows if row.statuses[side] != "ok").most_common())
