"""Passages from local files in the hub's schema: parquet, JSON lines, or a folder of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from annotate.errors import SourceError
from annotate.files import file_hash
from annotate.outside import file_kind, read_json
from annotate.sources import rows
from annotate.sources.base import Licence, Passages
from annotate.sources.rows import Table

SUFFIXES = (".parquet", ".jsonl", ".json")
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class LocalSource:
    """NarrativeQA and SciQ from files.

    Attributes:
        narrativeqa: A ``.parquet``, ``.jsonl`` or ``.json`` file, a folder of them, or a folder written by
            ``datasets.Dataset.save_to_disk``. Of a folder whose files are named by split, those of the split
            are read.
        sciq: The same for SciQ.
    """

    narrativeqa: Path
    sciq: Path
    name: ClassVar[str] = "local"
    licences: ClassVar[tuple[Licence, ...]] = rows.LICENCES

    def inputs(self, split: str) -> dict[str, str]:
        """The files that are read, each with its SHA-256."""
        files = [*_files(self.narrativeqa, split), *_files(self.sciq, split)]
        return {file.as_posix(): file_hash(file) for file in files}

    def passages(self, split: str, size: int, seed: int) -> Passages:
        """Read both inputs whole; ``size`` and ``seed`` change nothing here.

        Raises:
            SourceError: An input is missing, empty, torn, not UTF-8 or not in the hub's schema.
        """
        narratives, drops = rows.narratives(
            _tables(self.narrativeqa, split, rows.NARRATIVE_COLUMNS), self.name, split
        )
        science = rows.science(_tables(self.sciq, split, rows.SCIENCE_COLUMNS), self.name, split)
        for passages, path in ((narratives, self.narrativeqa), (science, self.sciq)):
            if not passages:
                raise SourceError(f"{path} holds no rows")
        return Passages(narratives, science, drops)


def _is_saved_dataset(folder: Path) -> bool:
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def _files(path: Path, split: str) -> list[Path]:
    if not path.exists():
        raise SourceError(f"{path} does not exist")
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise SourceError(f"{path} is not one of {', '.join(SUFFIXES)}")
        return [path]
    if _is_saved_dataset(path):
        return sorted(path.rglob("*.arrow"))
    files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise SourceError(f"{path} holds no {', '.join(SUFFIXES)} file")
    named = [file for file in files if file.name.startswith(SPLITS)]
    if not named:
        return files
    chosen = [file for file in named if file.name.startswith(split)]
    if not chosen:
        raise SourceError(
            f"{path} has no file of the split {split!r}; found {', '.join(f.name for f in named)}"
        )
    return chosen


def _tables(path: Path, split: str, needed: tuple[str, ...]) -> Iterator[Table]:
    files = _files(path, split)
    if path.is_dir() and _is_saved_dataset(path):
        yield Table(str(path), _saved_dataset_rows(path, split))
        return
    for file in files:
        if file.stat().st_size == 0:
            raise SourceError(f"{file} is empty")
        _refuse_other_kind(file)
        yield Table(str(file), _parquet_rows(file, needed) if file.suffix == ".parquet" else _json_rows(file))


def _refuse_other_kind(file: Path) -> None:
    """Refuse a file whose first bytes say that it is something else than its name says."""
    kind = file_kind(file)
    if kind == ("Parquet" if file.suffix == ".parquet" else ""):
        return
    remedy = {
        "gzip": "is compressed by gzip; unpack it first: gunzip -c FILE > rows.jsonl",
        "zip": "is a zip archive; unpack it first",
        "GGUF": "is a GGUF model, not a data set; models are for heat and evaluate",
        "Parquet": "is a Parquet file; let its name end in .parquet",
        "": "is no Parquet file, whatever its name says",
    }
    raise SourceError(f"{file} {remedy[kind]}")


def _saved_dataset_rows(path: Path, split: str) -> Iterator[Mapping[str, Any]]:
    from datasets import DatasetDict, load_from_disk

    saved = load_from_disk(str(path))
    if isinstance(saved, DatasetDict):
        if split not in saved:
            raise SourceError(f"{path} has no split {split!r}; found {', '.join(saved)}")
        saved = saved[split]
    yield from saved


def _parquet_rows(path: Path, needed: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            present = {file.schema.column(i).path for i in range(len(file.schema.names))}
            # Only what is needed is read, so that story text never enters memory; all of it when something is
            # missing, so that the error can name what is there.
            optional = {"document.summary.title", "document.summary.url"} & present
            columns = sorted({*needed, *optional}) if present.issuperset(needed) else None
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        raise SourceError(f"{path} cannot be read as parquet: {error}") from error


def _json_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    lines = [text] if text.lstrip().startswith("[") else text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = read_json(line, keep=True)  # a text with half a surrogate pair is dropped and counted
        except ValueError as error:
            # The rows of a source are read whole or not at all: a torn line would change what a seed yields.
            raise SourceError(
                f"{path} line {number} is not JSON: {getattr(error, 'msg', error)}; mend or remove the line"
            ) from error
        yield from _objects(value, f"{path} line {number}")


def _objects(value: object, place: str) -> Iterator[Mapping[str, Any]]:
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, Mapping):
            raise SourceError(f"{place} holds {type(item).__name__}, not a JSON object")
        yield item
