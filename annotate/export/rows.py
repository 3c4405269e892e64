"""One row per paragraph: text, words, the labels of every annotator and the gold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.files import read_whole
from annotate.label_files import check_texts
from annotate.review.labels import read_labels_and_reviews
from annotate.schema import Gold, GoldWord, Label, LabelSpan, Paragraph, Record, Status

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark


class RowLabel(Record):
    """What one annotator said of the paragraph, as in ``Label``; a failure is a status without words."""

    annotator: str
    repeat: int
    status: Status
    model: str
    detail: str
    words: tuple[int, ...]
    spans: tuple[LabelSpan, ...]


class RowGold(Record):
    """The words that matter and how each came to be gold, as in ``Gold``."""

    rule: str
    annotators: tuple[str, ...]
    words: tuple[GoldWord, ...]


class Row(Paragraph):
    """A paragraph with all that was said of it.

    Attributes:
        labels: One an annotator and repetition, in the order of annotators and repetitions.
        gold: The gold, or ``None`` where none was settled.
    """

    labels: tuple[RowLabel, ...]
    gold: RowGold | None


@dataclass(frozen=True)
class LabelledBenchmark:
    """A benchmark with its labels and gold, read and checked.

    Attributes:
        benchmark: Where it comes from.
        paragraphs: Its paragraphs.
        labels: Labels by annotator; may be empty.
        gold: The gold; may be empty.
    """

    benchmark: Benchmark
    paragraphs: list[Paragraph]
    labels: dict[str, list[Label]]
    gold: list[Gold]

    def rows(self) -> list[Row]:
        """One row per paragraph, in paragraph order."""
        return rows(self.paragraphs, self.labels, self.gold)


def labelled(benchmark: Benchmark, annotators: Sequence[str] = ()) -> LabelledBenchmark:
    """Read a benchmark with its labels, if there are any, and its gold, if there is any.

    Args:
        benchmark: The benchmark.
        annotators: Whose labels to read; all there are when empty.

    Raises:
        UnknownNameError: A named annotator has no labels.
        LabelError: Labels or gold are of another benchmark.
        BenchmarkError: A file is damaged.
    """
    paragraphs = benchmark.paragraphs()
    wanted = annotators or benchmark.reviews.exists() or any(benchmark.labels_dir.glob("*.jsonl"))
    labels = read_labels_and_reviews(benchmark, paragraphs, annotators) if wanted else {}
    gold = []
    if benchmark.gold_path.exists():
        gold = read_whole(benchmark.gold_path, Gold, "annotate adjudicate makes it again")
        check_texts(benchmark.gold_path, paragraphs, [(row.paragraph_id, row.text_sha256) for row in gold])
    return LabelledBenchmark(benchmark, paragraphs, labels, gold)


def rows(paragraphs: Iterable[Paragraph], labels: dict[str, list[Label]], gold: Iterable[Gold]) -> list[Row]:
    """Put labels and gold to their paragraphs.

    Args:
        paragraphs: The paragraphs, in the order wanted.
        labels: Labels by annotator.
        gold: The gold.
    """
    said: dict[str, list[RowLabel]] = defaultdict(list)
    for of_annotator in labels.values():
        for label in sorted(of_annotator, key=lambda label: label.repeat):
            fields = {name: getattr(label, name) for name in RowLabel.model_fields}
            said[label.paragraph_id].append(RowLabel(**fields))
    settled = {
        row.paragraph_id: RowGold(rule=row.rule, annotators=row.annotators, words=row.words) for row in gold
    }
    return [
        Row(
            **{name: getattr(paragraph, name) for name in Paragraph.model_fields},
            labels=tuple(said[paragraph.id]),
            gold=settled.get(paragraph.id),
        )
        for paragraph in paragraphs
    ]


def jsonl_files(source: LabelledBenchmark, out: Path) -> dict[Path, bytes]:
    """One JSON object per paragraph."""
    return {out: "".join(row.model_dump_json() + "\n" for row in source.rows()).encode("utf-8")}
