"""A small benchmark made by hand: paragraphs, gold, labels, and tasks of some examples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annotate.benchmark import Benchmark, open_benchmark
from annotate.files import file_hash, write_atomic, write_records
from annotate.schema import Gold, GoldWord, Label, Manifest, Paragraph, Segment, text_hash
from annotate.words import split_words
from evaluate.faithfulness.options import Options
from evaluate.tasks.task import Example, GoldSource, Task

# As little work as every metric of faithfulness allows.
FEW = Options(steps=2, draws=1, random_draws=2, subsets=4, retentions=(0.5,), bins=(0.5,))

# Narrative, support, question, answer, evidence words.
ROWS = [
    ("Tom met the queen.", "The tower is made of copper.", "What is the tower made of?", "copper"),
    ("The old 👍🏽 dog slept.", "Iron is what the gate is made of.", "What is the gate made of?", "iron"),
    ("A boat came home.", "The lamp is made of tin.", "What is the lamp made of?", "tin"),
    ("שלום said the king.", "People made the vault of zinc.", "What is the vault made of?", "zinc"),
    ("Rain fell; nobody sang.", "The bell is made of lead.", "What is the bell made of?", "lead"),
]


def make_paragraph(row: int, narrative: str, support: str, question: str, answer: str) -> Paragraph:
    """Narrative, support and question in one line each; evidence is the answer in the support."""
    segments, start = [], 0
    for role, part in (("narrative", narrative), ("support", support), ("question", question)):
        segments.append(
            Segment(role=role, start=start, end=start + len(part), source="made", split="test", row=row)
        )
        start += len(part) + 1
    text = "\n".join((narrative, support, question))
    words = split_words(text)
    evidence = [i for i, (a, b) in enumerate(words) if text[a:b].lower() == answer]
    return Paragraph(
        id=f"p{row}",
        text=text,
        segments=segments,
        question=question,
        answer=answer,
        words=words,
        word_rule="regex-1",
        evidence=evidence,
        text_sha256=text_hash(text),
    )


def make_gold(paragraph: Paragraph, words: Sequence[int], rule: str = "intersection") -> Gold:
    """Gold as two offline annotators would have left it."""
    return Gold(
        paragraph_id=paragraph.id,
        text_sha256=paragraph.text_sha256,
        rule=rule,
        annotators=("overlap", "clause"),
        words=[GoldWord(index=i, origin="agreed") for i in words],
    )


def make_label(paragraph: Paragraph, annotator: str, words: Sequence[int]) -> Label:
    """A label that succeeded."""
    return Label(
        paragraph_id=paragraph.id,
        text_sha256=paragraph.text_sha256,
        annotator=annotator,
        status="ok",
        words=words,
    )


def write_benchmark(
    folder: Path, paragraphs: Sequence[Paragraph], gold: Sequence[Gold] = (), labels: Sequence[Label] = ()
) -> Benchmark:
    """A benchmark folder as `annotate` would leave it."""
    write_records(folder / "paragraphs.jsonl", paragraphs)
    manifest = Manifest(
        command="made by hand",
        seed=0,
        config={},
        inputs={},
        files={"paragraphs.jsonl": file_hash(folder / "paragraphs.jsonl")},
        report={},
        versions={},
    )
    write_atomic(folder / "manifest.json", manifest.model_dump_json())
    if gold:
        write_records(folder / "gold.jsonl", gold)
    for annotator in {label.annotator for label in labels}:
        rows = [label for label in labels if label.annotator == annotator]
        write_records(folder / "labels" / f"{annotator.replace(':', '-')}.jsonl", rows)
    return open_benchmark(folder)


def made_task(examples: Sequence[Example], **changes: Any) -> Task:
    """A task of some examples, whose gold somebody made by hand."""
    gold = GoldSource(rule="hand", annotators=(), offline=True, note="by hand.")
    return Task(name="made", source="by hand", examples=tuple(examples), gold=gold, **changes)
