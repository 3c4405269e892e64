"""A small benchmark made by hand, and a random model that can read it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fakes.tiny_models import tiny_lm

from annotate.benchmark import Benchmark, open_benchmark
from annotate.files import file_hash, write_atomic, write_records
from annotate.schema import Gold, GoldWord, Label, Manifest, Paragraph, Segment, text_hash
from annotate.words import split_words
from evaluate.alignment.run import alignment
from evaluate.pipeline.run import RunConfig
from evaluate.tasks.curated import curated
from evaluate.tasks.task import Example
from heat import LanguageModel

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
        own = [label for label in labels if label.annotator == annotator]
        write_records(folder / "labels" / f"{annotator.replace(':', '-')}.jsonl", own)
    return open_benchmark(folder)


@pytest.fixture(scope="session")
def paragraphs() -> list[Paragraph]:
    return [make_paragraph(number, *row) for number, row in enumerate(ROWS)]


@pytest.fixture
def make_benchmark(tmp_path: Path) -> Callable[..., Benchmark]:
    """Write a benchmark folder: paragraphs, and gold or labels where they are given."""

    def make(
        paragraphs: Sequence[Paragraph],
        gold: Sequence[Gold] = (),
        labels: Sequence[Label] = (),
        name: str = "benchmark",
    ) -> Benchmark:
        return write_benchmark(tmp_path / name, paragraphs, gold, labels)

    return make


@pytest.fixture
def benchmark_of(make_benchmark: Callable[..., Benchmark], paragraphs: list[Paragraph]) -> Benchmark:
    """Five paragraphs whose gold is their evidence, as if two offline annotators had agreed on it."""
    return make_benchmark(paragraphs, gold=[make_gold(p, p.evidence) for p in paragraphs])


@pytest.fixture
def examples(benchmark_of: Benchmark) -> list[Example]:
    """The same five as examples."""
    return list(curated(benchmark_of).examples)


@pytest.fixture(scope="session")
def lm() -> LanguageModel:
    return tiny_lm("llama", max_position_embeddings=256)


@pytest.fixture(scope="session")
def lm_folder(lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a folder, for the command line."""
    folder = tmp_path_factory.mktemp("model")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def finished(
    paragraphs: list[Paragraph], lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A results folder of HEAT, two baselines and random on the five paragraphs; copy it to change it."""
    folder = tmp_path_factory.mktemp("finished")
    gold = [make_gold(p, p.evidence or ()) for p in paragraphs]
    task = curated(write_benchmark(folder / "benchmark", paragraphs, gold))
    methods = ["random", "input-x-gradient", "gradient-norm", "heat"]
    alignment(task, lm, methods, RunConfig(folder / "out", command="evaluate alignment -x"))
    return folder / "out"
