"""A labelled benchmark for others to read: JSONL, Parquet, a Hugging Face dataset folder, annotation tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.errors import BenchmarkError, UnknownNameError
from annotate.export.factgenie import factgenie_files
from annotate.export.hf import hf_files
from annotate.export.label_studio import label_studio_files
from annotate.export.parquet import parquet_files
from annotate.export.potato import potato_files
from annotate.export.rows import LabelledBenchmark, jsonl_files, labelled
from annotate.files import write_atomic_bytes
from annotate.manifest import write_manifest
from annotate.overwriting import refuse_foreign

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark

__all__ = ["FORMATS", "Labelled", "export", "labelled"]

FORMATS: dict[str, Callable[[LabelledBenchmark, Path], dict[Path, bytes]]] = {
    "jsonl": jsonl_files,
    "parquet": parquet_files,
    "hf": hf_files,
    "label-studio": label_studio_files,
    "potato": potato_files,
    "factgenie": factgenie_files,
}
"""What makes the files of a labelled benchmark at a path: each with its bytes."""
FOLDERS = ("hf", "potato", "factgenie")
"""The formats that are folders."""


def export(
    benchmark: Benchmark,
    name: str,
    out: Path,
    annotators: Sequence[str] = (),
    *,
    force: bool = False,
    command: str = "",
) -> list[Path]:
    """Write a labelled benchmark in another format, and beside it a manifest, by which a later export knows its files.

    Args:
        benchmark: The benchmark.
        name: A key of ``FORMATS``.
        out: The file, or for one of ``FOLDERS`` the folder.
        annotators: Whose labels to write; all there are when empty.
        force: Write over files that no export wrote, or that were changed since.
        command: The command line, noted in the manifest.

    Returns:
        The files written, without the manifest.

    Raises:
        UnknownNameError: There is no such format, or a named annotator has no labels.
        LabelError: Labels or gold are of another benchmark, or the format needs labels and there are none.
        BenchmarkError: A file is damaged, ``out`` lies in a benchmark folder, or a file there is not
            as an export wrote it.
        OSError: Something cannot be written.
    """
    if name not in FORMATS:
        raise UnknownNameError("export format", name, list(FORMATS))
    if out.resolve().is_relative_to(benchmark.path.resolve()):
        raise BenchmarkError(
            f"{out} lies in the benchmark folder, whose files stay as they are; use another --out"
        )
    files = FORMATS[name](labelled(benchmark, annotators), out)
    folder = name in FOLDERS
    manifest = out / "export.manifest.json" if folder else out.with_name(f"{out.name}.manifest.json")
    refuse_foreign(files, manifest, force=force)
    for path, content in files.items():
        write_atomic_bytes(path, content)
    write_manifest(
        manifest,
        command=command,
        seed=0,
        config={"format": name, "annotators": list(annotators)},
        inputs=[benchmark.paragraphs_path],
        files=list(files),
        report={},
    )
    return list(files)
