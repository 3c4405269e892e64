"""Label Studio's JSON: one task a paragraph, the labels of each annotator as predictions."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotate.errors import LabelError
from annotate.export.rows import LabelledBenchmark
from annotate.imports.regions import MARK
from annotate.schema import Label, Paragraph
from annotate.words import word_runs

FROM_NAME, TO_NAME = "label", "text"
INTERFACE = f"""\
<View>
  <Header value="$question"/>
  <Header value="$answer"/>
  <Text name="{TO_NAME}" value="$text" granularity="word"/>
  <Labels name="{FROM_NAME}" toName="{TO_NAME}">
    <Label value="{MARK}"/>
  </Labels>
</View>
"""
"""The labelling interface that shows the tasks."""


def label_studio_files(source: LabelledBenchmark, out: Path) -> dict[Path, bytes]:
    """The tasks, and beside them the labelling interface (``.xml``).

    Raises:
        LabelError: ``out`` would be overwritten by the interface.
    """
    interface = out.with_suffix(".xml")
    if interface == out:
        raise LabelError(f"{out} names the tasks, which are JSON: let it end in .json")
    text = json.dumps(tasks(source.paragraphs, source.labels), ensure_ascii=False, indent=1) + "\n"
    return {out: text.encode("utf-8"), interface: INTERFACE.encode("utf-8")}


def tasks(paragraphs: Sequence[Paragraph], labels: dict[str, list[Label]]) -> list[dict[str, Any]]:
    """One task a paragraph, as JSON values.

    Only labels of repetition 0 with status ok become predictions: a failure is not an empty label.

    Args:
        paragraphs: The paragraphs.
        labels: Labels by annotator.
    """
    by_paragraph: dict[str, list[Label]] = {paragraph.id: [] for paragraph in paragraphs}
    for label in itertools.chain.from_iterable(labels.values()):
        if label.repeat == 0 and label.status == "ok":
            by_paragraph[label.paragraph_id].append(label)
    return [
        {
            "data": {
                "text": paragraph.text,
                "question": paragraph.question,
                "answer": paragraph.answer,
                "paragraph_id": paragraph.id,
                "text_sha256": paragraph.text_sha256,
            },
            "predictions": [
                {"model_version": label.annotator, "result": list(_regions(paragraph, label))}
                for label in by_paragraph[paragraph.id]
            ],
        }
        for paragraph in paragraphs
    ]


def _regions(paragraph: Paragraph, label: Label) -> Iterator[dict[str, Any]]:
    """One region a run of neighbouring words; offsets in code points."""
    for run in word_runs(label.words):
        start, end = paragraph.words[run[0]][0], paragraph.words[run[-1]][1]
        yield {
            "id": f"{paragraph.id}-{start}-{end}",
            "from_name": FROM_NAME,
            "to_name": TO_NAME,
            "type": "labels",
            "value": {"start": start, "end": end, "text": paragraph.text[start:end], "labels": [MARK]},
        }
