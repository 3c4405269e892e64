"""A dataset folder of the Hugging Face hub, written locally; sending it there is left to its owner."""

from __future__ import annotations

import json
import re
from pathlib import Path

from annotate.agreement import Agreement, agreement
from annotate.agreement.files import agreement_json, paper_sentence
from annotate.benchmark import CARD, PARAGRAPHS
from annotate.errors import BenchmarkError, LabelError
from annotate.export.card import export_card
from annotate.export.parquet import write_parquet
from annotate.export.rows import LabelledBenchmark
from annotate.files import write_atomic, write_atomic_bytes


def write_hf(source: LabelledBenchmark, out: Path) -> list[Path]:
    """Write a folder that ``datasets.load_dataset`` reads: data, card, and what the labels were made from.

    Args:
        source: The labelled benchmark.
        out: The folder; made if missing. What an earlier export left is written over.

    Returns:
        The files written.

    Raises:
        BenchmarkError: ``out`` is a benchmark, whose card would be lost.
        OSError: Something cannot be written.
    """
    if (out / PARAGRAPHS).exists():
        raise BenchmarkError(
            f"{out} is a benchmark, whose card would be written over; export to another --out"
        )
    manifest = source.benchmark.manifest()
    split = re.sub(r"\W+", "_", str(manifest.config.get("split", ""))) or "train"
    result = _agreement(source)
    sentence = paper_sentence(source.benchmark, result) if result else ""
    written = write_parquet(source, out / "data" / f"{split}.parquet")
    if result:
        figures = out / "agreement.json"
        text = json.dumps(agreement_json(result, sentence), ensure_ascii=False, indent=2)
        write_atomic(figures, text + "\n")
        written.append(figures)
    for path in (source.benchmark.manifest_path, source.benchmark.ledger, source.benchmark.reviews):
        if path.exists():
            write_atomic_bytes(out / "provenance" / path.name, path.read_bytes())
            written.append(out / "provenance" / path.name)
    write_atomic(out / CARD, export_card(source, manifest, split, result, sentence))
    return [out / CARD, *written]


def _agreement(source: LabelledBenchmark) -> Agreement | None:
    try:
        return agreement(source.paragraphs, source.labels)
    except LabelError:  # nobody to compare: the card says so
        return None
