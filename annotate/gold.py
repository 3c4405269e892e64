"""Settle the gold: which words of a paragraph matter, by a named rule, and how each came to be gold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from pydantic import ValidationError

from annotate.errors import LabelError, UnknownNameError
from annotate.files import read_records, write_records
from annotate.label_files import labels_file, read_labels
from annotate.manifest import write_manifest
from annotate.review.log import Review, read_reviews
from annotate.schema import Gold, GoldWord, Label, Manifest, Paragraph, WordOrigin

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark

Rule = Literal["intersection", "majority", "union", "evidence", "reviewed"]
DEFAULT_RULE: Rule = "intersection"


@dataclass(frozen=True)
class Settlement:
    """Gold and what it rests on.

    Attributes:
        rule: The rule.
        annotators: Whose labels were used.
        gold: One row per paragraph that could be settled, in paragraph order.
        unsettled: Ids of the paragraphs without gold, in paragraph order.
    """

    rule: Rule
    annotators: tuple[str, ...]
    gold: tuple[Gold, ...]
    unsettled: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Rule, annotators, number of paragraphs settled and ids of the others, as JSON values."""
        return {
            "rule": self.rule,
            "annotators": list(self.annotators),
            "paragraphs": len(self.gold),
            "without_gold": list(self.unsettled),
        }


def adjudicate(
    paragraphs: Sequence[Paragraph],
    labels: Mapping[str, Sequence[Label]],
    rule: str = DEFAULT_RULE,
    reviews: Mapping[str, Review] | None = None,
) -> Settlement:
    """Settle which words matter.

    Only labels with status ``ok`` and repetition 0 count; a failure is never read as an empty label. Where a
    single annotator succeeded, its words are taken and marked ``single``.

    Args:
        paragraphs: The paragraphs of the benchmark.
        labels: Labels by annotator; not used by ``evidence``.
        rule: ``intersection`` (words all annotators marked), ``majority`` (words more than half of them marked),
            ``union`` (words any marked), ``evidence`` (words known by construction) or ``reviewed`` (words a person
            decided).
        reviews: Final reviews by paragraph id, for ``reviewed``.

    Returns:
        The gold with the origin of each word, and the paragraphs that could not be settled.

    Raises:
        UnknownNameError: There is no such rule.
        LabelError: Nothing at all can be settled: no labels, no evidence or no reviews.
    """
    known = _known(rule)
    used = () if known == "evidence" else tuple(labels)
    marks = _marks(labels)
    gold = []
    for paragraph in paragraphs:
        marked = marks.get(paragraph.id, {})
        review = (reviews or {}).get(paragraph.id) if known == "reviewed" else None
        words = _words(known, paragraph, list(marked.values()), review)
        if words is not None:
            who = [] if known == "evidence" else [*marked, *([review.annotator] if review else [])]
            gold.append(
                Gold(
                    paragraph_id=paragraph.id,
                    text_sha256=paragraph.text_sha256,
                    rule=known,
                    annotators=tuple(who),
                    words=tuple(GoldWord(index=i, origin=words[i]) for i in sorted(words)),
                )
            )
    if not gold:
        raise LabelError(_nothing(known))
    settled = {row.paragraph_id for row in gold}
    return Settlement(known, used, tuple(gold), tuple(p.id for p in paragraphs if p.id not in settled))


def settle(
    benchmark: Benchmark,
    rule: str = DEFAULT_RULE,
    annotators: Sequence[str] = (),
    *,
    chosen: bool = True,
    seed: int = 0,
    command: str = "",
) -> Settlement:
    """Settle the gold of a benchmark and write ``gold.jsonl`` with its manifest.

    Args:
        benchmark: The benchmark.
        rule: As in :func:`adjudicate`.
        annotators: Whose labels to use; all there are when empty.
        chosen: Whether a person chose this rule and these annotators; noted in the manifest.
        seed: Noted in the manifest.
        command: The command line, noted in the manifest.

    Returns:
        The gold that was written.

    Raises:
        UnknownNameError: There is no such rule, or a named annotator has no labels.
        LabelError: Nothing can be settled, or a file belongs to another benchmark; ``gold.jsonl`` is then as
            it was.
    """
    known = _known(rule)
    paragraphs = benchmark.paragraphs()
    reviewed_alone = known == "reviewed" and not any(benchmark.labels_dir.glob("*.jsonl"))
    unlabelled = known == "evidence" or reviewed_alone
    labels = {} if unlabelled else read_labels(benchmark.labels_dir, paragraphs, annotators)
    reviews = read_reviews(benchmark.reviews, paragraphs) if known == "reviewed" else None
    settled = adjudicate(paragraphs, labels, known, reviews)
    write_records(benchmark.gold_path, settled.gold)
    write_manifest(
        gold_manifest(benchmark),
        command=command,
        seed=seed,
        config={"rule": settled.rule, "annotators": list(settled.annotators), "chosen": chosen},
        inputs=[
            benchmark.paragraphs_path,
            *(labels_file(benchmark.labels_dir, name) for name in labels),
            *([benchmark.reviews] if reviews else []),
        ],
        files=[benchmark.gold_path],
        report=settled.as_json(),
    )
    return settled


def gold_manifest(benchmark: Benchmark) -> Path:
    """Where it is noted how the gold was settled."""
    return benchmark.gold_path.with_suffix(".manifest.json")


def gold_annotators(benchmark: Benchmark) -> list[str] | None:
    """Whose labels the gold rests on; ``None`` where there is no gold, or it is not noted."""
    try:
        manifest = Manifest.model_validate_json(gold_manifest(benchmark).read_bytes())
        noted = manifest.config["annotators"]
    except (OSError, ValidationError, KeyError):
        rows = read_records(benchmark.gold_path, Gold) if benchmark.gold_path.exists() else []
        noted = dict.fromkeys(name for row in rows for name in row.annotators)
    return [str(name) for name in noted] or None


def _known(rule: str) -> Rule:
    for known in get_args(Rule):
        if rule == known:
            return cast(Rule, known)
    raise UnknownNameError("rule", rule, list(get_args(Rule)))


def _marks(labels: Mapping[str, Sequence[Label]]) -> dict[str, dict[str, set[int]]]:
    """Words marked, by paragraph and annotator, of the labels that count."""
    marks: dict[str, dict[str, set[int]]] = {}
    for annotator, rows in labels.items():
        for label in rows:
            if label.status == "ok" and label.repeat == 0:
                marks.setdefault(label.paragraph_id, {})[annotator] = set(label.words)
    return marks


def _words(
    rule: Rule, paragraph: Paragraph, marks: list[set[int]], review: Review | None
) -> dict[int, WordOrigin] | None:
    """Origin of each gold word, or ``None`` where the rule has nothing to go by."""
    if rule == "evidence":
        return None if paragraph.evidence is None else dict.fromkeys(paragraph.evidence, "constructed")
    everyone = set.intersection(*marks) if len(marks) > 1 else set()
    if rule == "reviewed":
        if review is None:
            return None
        return {word: "agreed" if word in everyone else "adjudicated" for word in review.words}
    if not marks:
        return None
    if len(marks) == 1:
        return dict.fromkeys(marks[0], "single")
    if rule == "intersection":
        return dict.fromkeys(everyone, "agreed")
    votes = Counter(word for marked in marks for word in marked)
    if rule == "majority":
        return {
            word: "agreed" if word in everyone else "majority"
            for word, count in votes.items()
            if 2 * count > len(marks)
        }
    return {word: "agreed" if word in everyone else "union" for word in votes}


def _nothing(rule: Rule) -> str:
    if rule == "evidence":
        return "no paragraph has evidence known by construction (real text has none); use --rule intersection"
    if rule == "reviewed":
        return "no paragraph has a finished review; until then use --rule intersection or union"
    return "no paragraph has a label with status ok; run annotate label first"
