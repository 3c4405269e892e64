"""Paragraphs, labels, gold and benchmark folders made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from annotate.benchmark import Benchmark
from annotate.files import file_hash, write_atomic, write_records
from annotate.label_files import write_labels
from annotate.schema import Gold, GoldWord, Label, Manifest, Paragraph, Role, Segment, Status, text_hash
from annotate.words import rule_for, split_words

NARRATIVE = "Mira lost her lantern. The baker found a key."
NAMES = ("fox", "otter", "badger", "heron", "weasel", "lynx", "moose", "goat", "camel", "panda")


def make_paragraph(
    identifier: str,
    support: str,
    question: str,
    answer: str,
    narrative: str = NARRATIVE,
    evidence: Sequence[int] | None = None,
) -> Paragraph:
    parts: list[tuple[Role, str]] = [("narrative", narrative), ("support", support), ("question", question)]
    segments, start = [], 0
    for role, text in parts:
        segments.append(
            Segment(role=role, start=start, end=start + len(text), source="test", split="test", row=0)
        )
        start += len(text) + 1
    text = "\n".join(text for _, text in parts)
    return Paragraph(
        id=identifier,
        text=text,
        segments=tuple(segments),
        question=question,
        answer=answer,
        words=split_words(text),
        word_rule=rule_for(text),
        evidence=None if evidence is None else tuple(evidence),
        text_sha256=text_hash(text),
    )


def make_paragraphs(count: int) -> list[Paragraph]:
    """Distinct paragraphs: in the n-th, one animal and one number are what matters."""
    return [
        make_paragraph(
            f"p{n:05d}",
            f"During storms the {NAMES[n % 10]} eats plum {n}. The tiger, as farmers know, avoids salt.",
            f"What does the {NAMES[n % 10]} eat?",
            f"plum {n}",
        )
        for n in range(count)
    ]


def make_benchmark(
    folder: Path, paragraphs: Sequence[Paragraph], gold: Sequence[Gold] = (), labels: Sequence[Label] = ()
) -> Benchmark:
    """A benchmark folder as `annotate` would leave it: paragraphs, and gold and labels where they are given."""
    folder.mkdir(parents=True, exist_ok=True)
    benchmark = Benchmark(folder)
    write_records(benchmark.paragraphs_path, paragraphs)
    files = {benchmark.paragraphs_path.name: file_hash(benchmark.paragraphs_path)}
    manifest = Manifest(command="test", seed=0, config={}, inputs={}, files=files, report={}, versions={})
    write_atomic(benchmark.manifest_path, manifest.model_dump_json())
    if gold:
        write_records(benchmark.gold_path, gold)
    for annotator in {label.annotator for label in labels}:
        write_labels(benchmark.labels_dir, annotator, [row for row in labels if row.annotator == annotator])
    return benchmark


def make_gold(
    paragraph: Paragraph,
    words: Sequence[int],
    rule: str = "intersection",
    annotators: Sequence[str] = ("overlap", "clause"),
) -> Gold:
    """Gold as annotators who agreed would have left it."""
    return Gold(
        paragraph_id=paragraph.id,
        text_sha256=paragraph.text_sha256,
        rule=rule,
        annotators=tuple(annotators),
        words=tuple(GoldWord(index=word, origin="agreed") for word in words),
    )


def make_label(
    paragraph: Paragraph,
    annotator: str,
    words: Sequence[int] = (),
    status: Status = "ok",
    repeat: int = 0,
) -> Label:
    return Label(
        paragraph_id=paragraph.id,
        text_sha256=paragraph.text_sha256,
        annotator=annotator,
        repeat=repeat,
        status=status,
        words=tuple(words),
    )


def texts_at(paragraph: Paragraph, words: Sequence[int]) -> list[str]:
    texts = paragraph.word_texts()
    return [texts[i] for i in sorted(words)]
