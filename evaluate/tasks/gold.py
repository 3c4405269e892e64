"""Which words count as right, and who said so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from annotate.annotators import is_offline
from annotate.errors import LabelError
from annotate.files import read_whole
from annotate.gold import DEFAULT_RULE, Rule, adjudicate
from annotate.label_files import check_texts, read_labels
from annotate.review.log import read_reviews
from annotate.schema import Gold, Paragraph
from evaluate.errors import NoGoldError
from evaluate.tasks.task import GoldSource

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark

CHOICES = ("auto", "gold", *get_args(Rule))


def load_gold(benchmark: Benchmark, choice: str = "auto") -> tuple[dict[str, Gold], GoldSource]:
    """The gold words of a benchmark.

    Args:
        benchmark: Where to look.
        choice: ``gold`` reads ``gold.jsonl``, as `annotate adjudicate` leaves it; the name of a rule
            (``intersection``, ``majority``, ``union``, ``evidence``, ``reviewed``) applies it now; ``auto`` reads
            ``gold.jsonl`` where there is one and else applies ``intersection`` to the labels.

    Returns:
        Gold by paragraph id, without the paragraphs that have none, and where it comes from.

    Raises:
        NoGoldError: There is none of that kind, or it does not fit the paragraphs.
        LabelError: Labels are of another benchmark.
        BenchmarkError: A file is not what it should be.
    """
    if choice not in CHOICES:
        raise NoGoldError(f"there is no gold {choice!r}; there are: {', '.join(CHOICES)}")
    paragraphs = benchmark.paragraphs()
    if choice == "gold" or (choice == "auto" and benchmark.gold_path.exists()):
        rows = _read_gold(benchmark, paragraphs)
    else:
        rows = _settle(benchmark, paragraphs, DEFAULT_RULE if choice == "auto" else choice)
    return {row.paragraph_id: row for row in rows}, _source(rows)


def _read_gold(benchmark: Benchmark, paragraphs: Sequence[Paragraph]) -> Sequence[Gold]:
    path = benchmark.gold_path
    if not path.exists():
        raise NoGoldError(
            f"{path} does not exist; make it with: annotate adjudicate --benchmark {benchmark.path}"
        )
    rows = read_whole(path, Gold, f"make it again with: annotate adjudicate --benchmark {benchmark.path}")
    check_texts(path, paragraphs, [(row.paragraph_id, row.text_sha256) for row in rows])
    size = {paragraph.id: len(paragraph.words) for paragraph in paragraphs}
    for row in rows:
        if not all(0 <= index < size[row.paragraph_id] for index in row.indices()):
            raise NoGoldError(
                f"{path}: the gold of paragraph {row.paragraph_id} names a word that does not exist"
            )
    if not rows:
        raise NoGoldError(
            f"{path} is empty; make it again with: annotate adjudicate --benchmark {benchmark.path}"
        )
    return rows


def _settle(benchmark: Benchmark, paragraphs: Sequence[Paragraph], rule: str) -> Sequence[Gold]:
    if rule == "evidence":
        if all(paragraph.evidence is None for paragraph in paragraphs):
            raise NoGoldError(
                f"{benchmark.path} holds no evidence known by construction (real text has none); "
                "leave --gold away to use the labels"
            )
        return adjudicate(paragraphs, {}, rule).gold
    if not any(benchmark.labels_dir.glob("*.jsonl")):
        raise NoGoldError(
            f"{benchmark.path} has no labels and so no gold words; "
            f"run: annotate label --benchmark {benchmark.path}"
        )
    labels = read_labels(benchmark.labels_dir, paragraphs)
    reviews = read_reviews(benchmark.reviews, paragraphs) if rule == "reviewed" else None
    try:
        return adjudicate(paragraphs, labels, rule, reviews).gold
    except LabelError as error:
        raise NoGoldError(f"{benchmark.path}: {error}".replace("--rule", "--gold")) from error


def _source(rows: Sequence[Gold]) -> GoldSource:
    rule = rows[0].rule
    annotators = tuple(sorted({name for row in rows for name in row.annotators}))
    if rule == "evidence":
        note = "the evidence known by construction; no annotator was asked."
        return GoldSource(rule=rule, annotators=annotators, offline=True, note=note)
    offline = rule != "reviewed" and all(is_offline(name) for name in annotators)
    who = ", ".join(annotators)
    note = f"labels of {who}, settled by {rule}."
    if offline:
        kind = "OFFLINE annotators, rules and neither people nor language models"
        note = f"labels of {who} ({kind}), settled by {rule}."
    return GoldSource(rule=rule, annotators=annotators, offline=offline, note=note)
