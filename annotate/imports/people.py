"""A benchmark folder of a public set that people marked: its texts, their labels, the gold they settle."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annotate.annotators.imported import ImportedAnnotator
from annotate.benchmark import CARD, PARAGRAPHS, Benchmark, open_benchmark
from annotate.dataset.card import FIELDS, front_matter, licence_table
from annotate.errors import BenchmarkError
from annotate.files import write_atomic
from annotate.gold import gold_annotators, settle
from annotate.imports import spans
from annotate.imports.answers import Answer
from annotate.imports.run import record_answer
from annotate.label_files import manifest_file, write_labels
from annotate.labelling.label import chosen_rule
from annotate.ledger.derive import derive
from annotate.ledger.ledger import Ledger
from annotate.manifest import write_manifest
from annotate.overwriting import refuse_foreign
from annotate.rationales.marked import MarkedText
from annotate.rationales.sets import MarkedSet, marked_set
from annotate.schema import Paragraph, Role, Segment, text_hash
from annotate.words import rule_for, split_words

RULE = "majority"


@dataclass(frozen=True)
class PeopleResult:
    """A benchmark with people as its annotators.

    Attributes:
        benchmark: The folder of the benchmark.
        format: The set.
        paragraphs: Number of its paragraphs.
        annotators: How many of them each person labelled.
        rule: The rule of the gold.
        kept: Whether the gold is left as somebody settled it since an earlier import.
        left_out: What the files hold and nothing is made of: places by reason.
    """

    benchmark: str
    format: str
    paragraphs: int
    annotators: dict[str, int]
    rule: str
    kept: bool
    left_out: dict[str, tuple[str, ...]]

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


def import_people(name: str, path: Path, out: Path, command: str = "") -> PeopleResult:
    """Make a benchmark folder of a public set, with the people who marked it as its annotators.

    A paragraph is a text of the set; its question is read beside it and is no part of what is marked. The annotator
    ``human:1`` is the first person who marked a text, ``human:2`` the second; the ledger holds what the set calls
    them. Gold are the words that more than half of a text's people marked; `annotate label` leaves it alone. The same
    call on the same files again changes nothing, nor gold that was settled otherwise since.

    Args:
        name: A key of `SETS`, with a subset after a slash where it has some (`eraser/movies`).
        path: A file of the set, or a folder of its files.
        out: The folder of the benchmark; made if missing.
        command: The command line, noted in the manifests.

    Returns:
        What was made and what was left out.

    Raises:
        UnknownNameError: There is no such set or subset.
        RowsError: The files cannot be read, or no row of one can be used.
        BenchmarkError: ``out`` is a file, another benchmark, or holds what this project did not write.
        LabelError: Another process writes to the benchmark's ledger.
        OSError: Something cannot be read or written.
    """
    chosen, subset = marked_set(name)
    files = chosen.files(path, subset)
    texts: dict[str, MarkedText] = {}
    paragraphs: list[Paragraph] = []
    beside = path if path.is_dir() else path.parent
    left_out: dict[str, list[str]] = {}
    for file in files:
        made, unusable = chosen.read(file, subset)
        part = chosen.part(file)
        for text in made:
            paragraph = _paragraph(text, chosen.name, part)
            texts[paragraph.id] = text
            paragraphs.append(paragraph)
        for reason, places in unusable.items():
            left_out.setdefault(reason, []).extend(f"{file.relative_to(beside)} {place}" for place in places)
    dropped = {reason: tuple(places) for reason, places in sorted(left_out.items())}
    benchmark = _write_benchmark(chosen, name, files, paragraphs, dropped, out, command)
    annotators = _write_labels(benchmark, paragraphs, texts, name, files, command)
    rule = _kept_rule(benchmark, list(annotators))
    if not rule:
        settle(benchmark, RULE, list(annotators), command=command)
    return PeopleResult(
        str(benchmark.path), name, len(paragraphs), annotators, rule or RULE, bool(rule), dropped
    )


def _kept_rule(benchmark: Benchmark, people: Sequence[str]) -> str:
    """The rule of gold that somebody settled otherwise since an earlier import; empty where nobody did."""
    rule = chosen_rule(benchmark)
    rests_on = gold_annotators(benchmark)
    return "" if rule == RULE and rests_on is not None and set(rests_on) == {*people} else rule


def _paragraph(text: MarkedText, source: str, split: str) -> Paragraph:
    role: Role = "support" if text.question else "question"
    return Paragraph(
        id=f"{split}-{text.id}",
        text=text.text,
        segments=(Segment(role=role, start=0, end=len(text.text), source=source, split=split, row=text.row),),
        question=text.question or text.text,
        answer=text.answer,
        words=split_words(text.text),
        word_rule=rule_for(text.text),
        text_sha256=text_hash(text.text),
    )


def _write_benchmark(
    chosen: MarkedSet,
    name: str,
    files: Sequence[Path],
    paragraphs: Sequence[Paragraph],
    left_out: Mapping[str, Sequence[str]],
    out: Path,
    command: str,
) -> Benchmark:
    """Write paragraphs, card and manifest, the manifest last; or open the folder where they are there."""
    if out.is_file():
        raise BenchmarkError(f"{out} is a file; name a folder with --out")
    benchmark = Benchmark(out)
    content = {
        PARAGRAPHS: "".join(paragraph.model_dump_json() + "\n" for paragraph in paragraphs),
        CARD: _card(chosen, name, paragraphs, left_out, command),
    }
    if benchmark.manifest_path.exists():
        if benchmark.manifest().files.get(PARAGRAPHS) != text_hash(content[PARAGRAPHS]):
            raise BenchmarkError(f"{out} is a benchmark of other texts; name another folder with --out")
        return open_benchmark(out)
    encoded = {out / part: text.encode("utf-8") for part, text in content.items()}
    refuse_foreign(encoded, benchmark.manifest_path)
    if benchmark.has_labels():
        raise BenchmarkError(f"{out} holds labels of no benchmark; name another folder with --out")
    for part, text in content.items():
        write_atomic(out / part, text)
    write_manifest(
        benchmark.manifest_path,
        command=command,
        seed=0,
        config={
            "source": name,
            "split": ", ".join(chosen.part(file) for file in files),
            "size": len(paragraphs),
            "word_rule": max(paragraph.word_rule for paragraph in paragraphs),
        },
        inputs=files,
        files=[benchmark.paragraphs_path, benchmark.card_path],
        report={"paragraphs": len(paragraphs), "left_out": {k: list(v) for k, v in left_out.items()}},
    )
    return benchmark


def _write_labels(
    benchmark: Benchmark,
    paragraphs: Sequence[Paragraph],
    texts: Mapping[str, MarkedText],
    name: str,
    files: Sequence[Path],
    command: str,
) -> dict[str, int]:
    """Write what people said to the ledger and their labels from there; returns how many each gave."""
    numbers = sorted({number for text in texts.values() for number in text.people})
    given = {}
    with Ledger(benchmark.ledger) as ledger:
        for number in numbers:
            annotator = ImportedAnnotator(f"human:{number}")
            for paragraph in paragraphs:
                marking = texts[paragraph.id].people.get(number)
                if marking is not None:
                    raw = {"format": spans.FORMAT, "spans": marking.spans, "person": marking.person}
                    record_answer(ledger, annotator, Answer(paragraph, json.dumps(raw, ensure_ascii=False)))
            ledger.sync()
            labels = derive(paragraphs, annotator, ledger.attempts)
            statuses = Counter(label.status for label in labels)
            file = write_labels(benchmark.labels_dir, annotator.name, labels)
            write_manifest(
                manifest_file(file),
                command=command,
                seed=0,
                config={"annotator": annotator.name, "format": name},
                inputs=[benchmark.paragraphs_path, *files],
                files=[file],
                report={"statuses": dict(statuses.most_common())},
            )
            given[annotator.name] = statuses["ok"]
    return given


def _card(
    chosen: MarkedSet,
    name: str,
    paragraphs: Sequence[Paragraph],
    left_out: Mapping[str, Sequence[str]],
    command: str,
) -> str:
    title = f"{name} with people's marks"
    dropped = "\n".join(f"| {reason} | {len(places):,} |" for reason, places in left_out.items())
    return f"""\
{front_matter(title, [chosen.licence], len(paragraphs), "  data_files: paragraphs.jsonl")}
# {title}

{len(paragraphs):,} texts whose words people marked. The annotator `human:1` is the first person who marked a text,
`human:2` the second, and so on; gold are the words that more than half of a text's people marked.

## Left out

| reason | count |
|---|---|
{dropped or "| nothing | 0 |"}

## Licences

{licence_table([chosen.licence])}

## Fields of `paragraphs.jsonl`

{FIELDS}
## How to make it again

    {command}

`manifest.json` holds the checksums of the files read and written.
"""
