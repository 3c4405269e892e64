"""Rows as Parquet, with a schema of our own: a column without any value still has its type."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from annotate.export.rows import LabelledBenchmark

if TYPE_CHECKING:
    import pyarrow as pa


def parquet_files(source: LabelledBenchmark, out: Path) -> dict[Path, bytes]:
    """One row per paragraph; nested fields as in the JSONL."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([row.model_dump(mode="json") for row in source.rows()], schema=schema())
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    return {out: buffer.getvalue().to_pybytes()}


def schema() -> pa.Schema:
    """The Arrow schema of a row."""
    import pyarrow as pa

    indices = pa.list_(pa.int32())
    segment = pa.struct(
        {
            "role": pa.string(),
            "start": pa.int32(),
            "end": pa.int32(),
            "source": pa.string(),
            "split": pa.string(),
            "row": pa.int64(),
            "document_id": pa.string(),
            "pattern": pa.string(),
        }
    )
    span = pa.struct({"words": indices, "quote": pa.string(), "rung": pa.string()})
    label = pa.struct(
        {
            "annotator": pa.string(),
            "repeat": pa.int32(),
            "status": pa.string(),
            "model": pa.string(),
            "detail": pa.string(),
            "words": indices,
            "spans": pa.list_(span),
        }
    )
    gold = pa.struct(
        {
            "rule": pa.string(),
            "annotators": pa.list_(pa.string()),
            "words": pa.list_(pa.struct({"index": pa.int32(), "origin": pa.string()})),
        }
    )
    return pa.schema(
        {
            "schema_version": pa.int32(),
            "id": pa.string(),
            "text": pa.string(),
            "segments": pa.list_(segment),
            "question": pa.string(),
            "answer": pa.string(),
            "words": pa.list_(indices),
            "word_rule": pa.string(),
            "evidence": indices,
            "text_sha256": pa.string(),
            "labels": pa.list_(label),
            "gold": gold,
        }
    )
