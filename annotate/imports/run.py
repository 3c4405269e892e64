"""Import a file of labels: checked as a whole, written to the ledger, labels derived from there."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotate.annotators import make_annotator
from annotate.annotators.imported import SCHEMES
from annotate.benchmark import DEFAULT, Benchmark, open_benchmark
from annotate.errors import LabelError, UnknownNameError
from annotate.files import write_records
from annotate.imports import factgenie, label_studio, potato, word_list
from annotate.imports.answers import Answer, ParseResult
from annotate.label_files import check_texts, manifest_file, write_labels
from annotate.ledger.derive import derive
from annotate.ledger.ledger import Ledger, make_attempt, request_record
from annotate.manifest import write_manifest
from annotate.protocol import Response
from annotate.schema import Paragraph, Rung, Status

if TYPE_CHECKING:
    from annotate.protocol import Annotator

_TOOLS: dict[str, Callable[[Path, Sequence[Paragraph], Sequence[str]], ParseResult]] = {
    label_studio.FORMAT: label_studio.parse_label_studio,
    potato.FORMAT: potato.parse_potato,
    factgenie.FORMAT: factgenie.parse_factgenie,
}
"""What reads the annotations of people in an annotation tool."""
FORMATS = (*_TOOLS, word_list.FORMAT)
"""The kinds of files of labels."""


@dataclass(frozen=True)
class ImportResult:
    """The result of an import.

    Attributes:
        benchmark: The folder of the benchmark.
        annotator: Whose labels these are.
        new: Answers that the ledger did not hold.
        known: Answers that were imported before.
        statuses: The annotator's labels by status, most frequent first.
        rungs: Places marked by how they were found, most frequent first.
        left_out: What the file holds and no label is made of, by reason.
    """

    benchmark: str
    annotator: str
    new: int
    known: int
    statuses: dict[Status, int]
    rungs: dict[Rung, int]
    left_out: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


def import_labels(
    folder: Path | None,
    name: str,
    path: Path,
    annotator: str,
    command: str = "",
    completed_by: Sequence[str] = (),
) -> ImportResult:
    """Import a file of labels into a benchmark. Nothing is imported unless the whole file fits.

    What is imported goes to the ledger as the answers of ``annotator``: importing a corrected file adds to
    it, and the last answer counts. A word list brings its own texts: a folder that does not exist is made of
    them.

    Args:
        folder: The benchmark's folder; ``./curated`` if not given.
        name: One of ``FORMATS``.
        path: The file, of Potato and factgenie also a folder.
        annotator: ``human:NAME`` or ``import:NAME``.
        command: The command line, noted in the manifests.
        completed_by: Whose annotations to read, where the file is of an annotation tool.

    Raises:
        UnknownNameError: There is no such format.
        LabelError: The annotator's name begins otherwise, people are named for a file that knows none, the file
            does not fit the benchmark, or another
            process is writing to the ledger.
        BenchmarkError: The folder holds no whole benchmark.
        OSError: Something cannot be read or written.
    """
    if name not in FORMATS:
        raise UnknownNameError("import format", name, list(FORMATS))
    if annotator.partition(":")[0] not in SCHEMES:
        raise LabelError(
            f"labels are not imported as those of {annotator!r}; use human:NAME for a person, import:NAME for"
            " what a file holds"
        )
    if completed_by and name not in _TOOLS:
        raise LabelError(f"--completed-by is for {', '.join(_TOOLS)}; a {name} does not tell who made it")
    annotator = unicodedata.normalize("NFC", annotator)  # "é" is typed in two ways
    reader = make_annotator(annotator)
    chosen = DEFAULT if folder is None else folder
    if name == word_list.FORMAT and not chosen.exists():
        make_benchmark(path, chosen, command)
    benchmark = open_benchmark(chosen)
    paragraphs = benchmark.paragraphs()
    parsed = (
        word_list.parse_word_list(path, paragraphs)
        if name == word_list.FORMAT
        else _TOOLS[name](path, paragraphs, completed_by)
    )
    with Ledger(benchmark.ledger) as ledger:
        rows = [(row.paragraph_id, row.text_sha256) for row in ledger.attempts.rows]
        check_texts(benchmark.ledger, paragraphs, rows)
        new = sum(record_answer(ledger, reader, answer) for answer in parsed.answers)
        ledger.sync()
        labels = derive(paragraphs, reader, ledger.attempts)
        file = write_labels(benchmark.labels_dir, annotator, labels)
    imported = ImportResult(
        benchmark=str(benchmark.path),
        annotator=annotator,
        new=new,
        known=len(parsed.answers) - new,
        statuses=dict(Counter(label.status for label in labels).most_common()),
        rungs=dict(Counter(span.rung for label in labels for span in label.spans).most_common()),
        left_out=parsed.left_out,
    )
    write_manifest(
        manifest_file(file),
        command=command,
        seed=0,
        config={"annotator": annotator, "format": name}
        | ({"completed_by": list(completed_by)} if completed_by else {}),
        inputs=[benchmark.paragraphs_path, *_files(path)],
        files=[file],
        report={key: value for key, value in imported.as_json().items() if key != "benchmark"},
    )
    return imported


def _files(path: Path) -> list[Path]:
    """A file, or those of a folder that hold labels."""
    return sorted(each for each in path.rglob("*.json*") if each.is_file()) if path.is_dir() else [path]


def record_answer(ledger: Ledger, annotator: Annotator, answer: Answer) -> bool:
    """Append an answer unless it is what the annotator said last; returns whether it was appended."""
    request = annotator.request(answer.paragraph, 0, [])
    assert request is not None  # the first of a conversation is never
    last = ledger.attempts.answer(annotator.name, request.sha256)
    if last is not None and last.raw == answer.raw:
        return False
    response = Response(status="ok", raw=answer.raw, asked_at=answer.asked_at)
    record = request_record(answer.paragraph, request)
    ledger.append(make_attempt(annotator.name, record, response, ledger.attempts))
    return True


def make_benchmark(path: Path, folder: Path, command: str = "") -> Benchmark:
    """Make a benchmark of the texts of a file of word lists, each text once.

    Args:
        path: The file.
        folder: The folder, which does not exist yet.
        command: The command line, noted in the manifest.

    Raises:
        LabelError: The file is not such a file.
        OSError: Something cannot be read or written.
    """
    items = word_list.read_items(path)
    unique, left_out = word_list.unique_items(items)
    benchmark = Benchmark(folder)
    paragraphs = word_list.make_paragraphs(unique)
    write_records(benchmark.paragraphs_path, paragraphs)
    write_manifest(
        benchmark.manifest_path,
        command=command,
        seed=0,
        config={
            "source": word_list.FORMAT,
            "split": word_list.SPLIT,
            "size": len(unique),
            "word_rule": max(paragraph.word_rule for paragraph in paragraphs),
        },
        inputs=[path],
        files=[benchmark.paragraphs_path],
        report={"rows": len(items), "unique": len(unique), "left_out": left_out},
    )
    return benchmark
