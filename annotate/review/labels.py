"""People as annotators: finished reviews as labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from annotate.errors import UnknownNameError
from annotate.kinds import marked_alone
from annotate.label_files import read_labels
from annotate.review.log import Review, last_reviews, read_log
from annotate.schema import Label, Paragraph

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark


def review_labels(reviews: Iterable[Review]) -> dict[str, list[Label]]:
    """Turn finished reviews into labels.

    Args:
        reviews: Reviews, of which the last of each person and paragraph counts if it is done.

    Returns:
        Labels by annotator, in order of name and then of ``seq``; ``detail`` says what the person saw.
    """
    labels: dict[str, list[Label]] = {}
    for review in last_reviews(reviews):
        if review.done:
            labels.setdefault(review.annotator, []).append(
                Label(
                    paragraph_id=review.paragraph_id,
                    text_sha256=review.text_sha256,
                    annotator=review.annotator,
                    status="ok",
                    words=tuple(sorted(review.words)),
                    detail=_seen(review),
                )
            )
    return dict(sorted(labels.items()))


def _seen(review: Review) -> str:
    if review.mode == "audit":
        return "marked without suggestions"
    whose = f" of {', '.join(review.annotators)}" if review.annotators else ""
    return f"decided on the marks{whose}" + (", names hidden" if review.mode == "blind" else "")


def read_labels_and_reviews(
    benchmark: Benchmark, paragraphs: Sequence[Paragraph], annotators: Sequence[str] = ()
) -> dict[str, list[Label]]:
    """Read the labels of annotators and of people.

    Args:
        benchmark: The benchmark.
        paragraphs: Its paragraphs.
        annotators: Names to read, in the order wanted; all there are when empty.

    Returns:
        Labels by annotator; people come last.

    Raises:
        LabelError: There are neither labels nor finished reviews, or a file belongs to another benchmark.
        UnknownNameError: A named annotator has no labels; lists those that have.
        BenchmarkError: A file is damaged.
    """
    people = review_labels(read_log(benchmark.reviews, paragraphs))
    if not people:
        return read_labels(benchmark.labels_dir, paragraphs, annotators)
    labelled = any(benchmark.labels_dir.glob("*.jsonl"))
    by_annotator = (read_labels(benchmark.labels_dir, paragraphs) if labelled else {}) | people
    for name in annotators:
        if name not in by_annotator:
            raise UnknownNameError("annotator with labels or reviews", name, list(by_annotator))
    return {name: by_annotator[name] for name in annotators or by_annotator}


def people_labels(benchmark: Benchmark, paragraphs: Sequence[Paragraph]) -> dict[str, list[Label]]:
    """The labels of people who marked without seeing those of others, by name; empty where there are none.

    Raises:
        LabelError: A file belongs to another benchmark.
        BenchmarkError: A file is damaged.
    """
    if not any(benchmark.labels_dir.glob("*.jsonl")) and not benchmark.reviews.exists():
        return {}
    labels = read_labels_and_reviews(benchmark, paragraphs)
    return {name: rows for name, rows in labels.items() if marked_alone(name)}
