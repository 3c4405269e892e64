"""The folder ``labels/`` of a benchmark: one file per annotator, one label per paragraph and repetition."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from annotate.errors import LabelError, UnknownNameError
from annotate.files import read_whole, write_records
from annotate.schema import Label, Manifest, Paragraph, text_hash

_SAFE = "._=,+@-"
_LONGEST = 120
"""Most characters of a name in a file name, which may have 255 bytes with a checksum and endings."""


def slug(annotator: str) -> str:
    """A readable file name in which names may collide: what is not a letter, digit or ``._=-`` becomes ``-``."""
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", annotator)


def file_stem(annotator: str) -> str:
    """The annotator's name as a file name, another one for every name.

    The first ``-`` stands for the first ``:``, before which no ``-`` is left; what is not a letter, digit or
    ``._=,+@-`` is percent-encoded, as is a dot at the start. Too long a name ends with ``~`` and its checksum.
    """
    scheme, colon, rest = annotator.partition(":")
    stem = quote(scheme, _SAFE).replace("-", "%2D") + ("-" + quote(rest, _SAFE) if colon else "")
    if stem.startswith("."):
        stem = "%2E" + stem[1:]
    return stem.replace("~", "%7E") if len(stem) <= _LONGEST else f"{stem[:_LONGEST]}~{text_hash(annotator)}"


def labels_file(folder: Path, annotator: str) -> Path:
    """Where the labels of ``annotator`` lie in the folder ``labels/``, or would.

    A file that an earlier release named otherwise, and that holds this annotator's labels, keeps its name.
    """
    path = folder / f"{file_stem(annotator)}.jsonl"
    if path.exists() and _whose(path) in ("", annotator):
        return path
    former = (slug(annotator), f"{slug(annotator)}-{text_hash(annotator)[:8]}")
    return next(
        (old for old in (folder / f"{stem}.jsonl" for stem in former) if _whose(old) == annotator), path
    )


def manifest_file(labels: Path) -> Path:
    """Where the manifest of a file of labels lies."""
    return labels.with_name(f"{labels.name.removesuffix('.jsonl')}.manifest.json")


def _whose(path: Path) -> str:
    """The annotator whose labels a file holds, by its first line or its manifest; empty where neither tells."""
    with contextlib.suppress(OSError, ValueError), path.open("rb") as stream:
        return Label.model_validate_json(stream.readline()).annotator
    with contextlib.suppress(OSError, ValueError):
        manifest = Manifest.model_validate_json(manifest_file(path).read_bytes())
        return str(manifest.config.get("annotator", "")) if path.exists() else ""
    return ""


def write_labels(folder: Path, annotator: str, labels: Sequence[Label]) -> Path:
    """Write all labels of one annotator atomically.

    Returns:
        The file written.
    """
    path = labels_file(folder, annotator)
    holder = _whose(path)
    if holder not in ("", annotator):  # an earlier release gave this name to another annotator
        elsewhere = folder / f"{file_stem(holder)}.jsonl"
        if manifest_file(path).exists():
            manifest_file(path).replace(manifest_file(elsewhere))
        path.replace(elsewhere)
    write_records(path, labels)
    return path


def read_labels(
    folder: Path, paragraphs: Sequence[Paragraph], annotators: Sequence[str] = ()
) -> dict[str, list[Label]]:
    """Read labels and check that they belong to ``paragraphs``.

    Args:
        folder: The folder ``labels/``.
        paragraphs: The paragraphs of the benchmark.
        annotators: Names of annotators to read, in the order wanted; all in the folder when empty.

    Returns:
        Labels by annotator.

    Raises:
        LabelError: There are none, or a label is of a paragraph or word that the benchmark does not hold.
        UnknownNameError: A named annotator has no labels; lists those that have.
        BenchmarkError: A file is not a file of labels.
    """
    by_annotator: dict[str, list[Label]] = {}
    size = {paragraph.id: len(paragraph.words) for paragraph in paragraphs}
    for path in sorted(folder.glob("*.jsonl")):
        labels = read_whole(path, Label, "annotate reparse makes it again from the ledger")
        check_texts(path, paragraphs, [(label.paragraph_id, label.text_sha256) for label in labels])
        for label in labels:
            if not all(0 <= word < size[label.paragraph_id] for word in label.words):
                raise LabelError(f"{path}: the label of {label.paragraph_id} names a missing word")
            by_annotator.setdefault(label.annotator, []).append(label)
    if not by_annotator:
        raise LabelError(f"there are no labels in {folder}; make them with: annotate label")
    typed = {unicodedata.normalize("NFC", name): name for name in by_annotator}
    chosen = [typed.get(unicodedata.normalize("NFC", name), name) for name in annotators]
    for name in chosen:
        if name not in by_annotator:
            raise UnknownNameError(f"annotator with labels in {folder}", name, list(by_annotator))
    return {name: by_annotator[name] for name in chosen or by_annotator}


def check_texts(path: Path, paragraphs: Sequence[Paragraph], rows: Sequence[tuple[str, str]]) -> None:
    """Refuse records that were made for another benchmark.

    Args:
        path: The file they come from.
        paragraphs: The paragraphs of this benchmark.
        rows: Paragraph id and text checksum of each record, in file order.

    Raises:
        LabelError: A record is of a paragraph that is not here, or had another text.
    """
    texts = {paragraph.id: paragraph.text_sha256 for paragraph in paragraphs}
    for number, (paragraph_id, text_sha256) in enumerate(rows, start=1):
        if texts.get(paragraph_id) != text_sha256:
            what = "with another text" if paragraph_id in texts else "which is not in this benchmark"
            raise LabelError(
                f"{path} belongs to another benchmark: record {number} is of {paragraph_id}, {what};"
                " move that file away or use another --benchmark"
            )
