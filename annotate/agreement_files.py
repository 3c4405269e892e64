"""Agreement as files: a table of paragraphs to sort and filter, and a manifest with the figures."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.agreement import Agreement
from annotate.files import write_atomic
from annotate.label_files import labels_file
from annotate.manifest import write_manifest

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark

COLUMNS = (
    "first",
    "second",
    "paragraph_id",
    "text_sha256",
    "first_status",
    "second_status",
    "words",
    "both",
    "first_only",
    "second_only",
    "f1",
)


def agreement_csv(result: Agreement) -> str:
    """One row a pair of annotators and paragraph, columns ``COLUMNS``; no counts unless both are ok."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair in result.pairs:
        for row in pair.rows:
            counts = (row.words, row.both, row.first_only, row.second_only, row.f1)
            writer.writerow([*pair.annotators, row.paragraph_id, row.text_sha256, *row.statuses, *counts])
    return stream.getvalue()


def write_agreement(benchmark: Benchmark, result: Agreement, path: Path, command: str) -> None:
    """Write the table to ``path`` and ``<name>.manifest.json`` beside it.

    Args:
        benchmark: The benchmark that was measured.
        result: The agreement.
        path: The CSV file.
        command: The command line, noted in the manifest.

    Raises:
        OSError: A file cannot be written.
    """
    write_atomic(path, agreement_csv(result))
    annotators = list(dict.fromkeys(name for pair in result.pairs for name in pair.annotators))
    write_manifest(
        path.with_suffix(".manifest.json"),
        command=command,
        seed=result.seed,
        config={"annotators": annotators, "bootstrap": result.bootstrap},
        inputs=[
            benchmark.paragraphs_path,
            *(labels_file(benchmark.labels_dir, name) for name in annotators),
        ],
        files=[path],
        report=result.model_dump(mode="json", exclude={"pairs": {"__all__": {"rows"}}}),
    )
