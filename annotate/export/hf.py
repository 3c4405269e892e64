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
from annotate.export.parquet import parquet_files
from annotate.export.rows import LabelledBenchmark


def hf_files(source: LabelledBenchmark, out: Path) -> dict[Path, bytes]:
    """A folder that ``datasets.load_dataset`` reads: card, data, and what the labels were made from.

    Args:
        source: The labelled benchmark.
        out: The folder.

    Returns:
        The files to write, the card first.

    Raises:
        BenchmarkError: ``out`` is a benchmark, whose card would be lost.
    """
    if (out / PARAGRAPHS).exists():
        raise BenchmarkError(
            f"{out} is a benchmark, whose card would be written over; export to another --out"
        )
    manifest = source.benchmark.manifest()
    split = re.sub(r"\W+", "_", str(manifest.config.get("split", ""))) or "train"
    result = _agreement(source)
    sentence = paper_sentence(source.benchmark, result) if result else ""
    card = export_card(source, manifest, split, result, sentence)
    files = {out / CARD: card.encode("utf-8"), **parquet_files(source, out / "data" / f"{split}.parquet")}
    if result:
        text = json.dumps(agreement_json(result, sentence), ensure_ascii=False, indent=2) + "\n"
        files[out / "agreement.json"] = text.encode("utf-8")
    for path in (source.benchmark.manifest_path, source.benchmark.ledger, source.benchmark.reviews):
        if path.exists():
            files[out / "provenance" / path.name] = path.read_bytes()
    return files


def _agreement(source: LabelledBenchmark) -> Agreement | None:
    try:
        return agreement(source.paragraphs, source.labels)
    except LabelError:  # nobody to compare: the card says so
        return None
