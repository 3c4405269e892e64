"""A labelled benchmark for others to read: JSONL, Parquet, a Hugging Face dataset folder, Label Studio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.errors import BenchmarkError, UnknownNameError
from annotate.export.hf import write_hf
from annotate.export.label_studio import write_label_studio
from annotate.export.parquet import write_parquet
from annotate.export.rows import LabelledBenchmark, labelled, write_jsonl

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark

__all__ = ["FORMATS", "Labelled", "export", "labelled"]

FORMATS: dict[str, Callable[[LabelledBenchmark, Path], list[Path]]] = {
    "jsonl": write_jsonl,
    "parquet": write_parquet,
    "hf": write_hf,
    "label-studio": write_label_studio,
}
"""What writes a labelled benchmark to a path; returns the files written."""


def export(benchmark: Benchmark, name: str, out: Path, annotators: Sequence[str] = ()) -> list[Path]:
    """Write a labelled benchmark in another format.

    Args:
        benchmark: The benchmark.
        name: A key of ``FORMATS``.
        out: The file, or for ``hf`` the folder.
        annotators: Whose labels to write; all there are when empty.

    Returns:
        The files written.

    Raises:
        UnknownNameError: There is no such format, or a named annotator has no labels.
        LabelError: Labels or gold are of another benchmark, or the format needs labels and there are none.
        BenchmarkError: A file is damaged, or ``out`` lies in a benchmark folder.
        OSError: Something cannot be written.
    """
    if name not in FORMATS:
        raise UnknownNameError("export format", name, list(FORMATS))
    if out.resolve().is_relative_to(benchmark.path.resolve()):
        raise BenchmarkError(
            f"{out} lies in the benchmark folder, whose files stay as they are; use another --out"
        )
    return FORMATS[name](labelled(benchmark, annotators), out)
