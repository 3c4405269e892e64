"""A dataset for factgenie: texts as outputs, and the labels of each annotator as an external campaign."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotate.export.rows import LabelledBenchmark
from annotate.imports.regions import MARK
from annotate.schema import Label, Paragraph
from annotate.words import word_runs

DATASET, SPLIT, SETUP, CAMPAIGN = "heat", "test", "paragraphs", "heat-labels"
CATEGORIES = [
    {"name": MARK, "color": "rgba(214, 39, 40, 0.4)", "description": "Words that matter for the answer"}
]


def factgenie_files(source: LabelledBenchmark, out: Path) -> dict[Path, bytes]:
    """The folders ``data`` and ``campaigns`` of factgenie, to be copied into its own, and an entry of its datasets.

    Offsets count UTF-16 code units, as its page does.
    """
    about = {
        "name": "Words that matter",
        "class": "basic.JSONDataset",
        "description": "Paragraphs with a question each; marked are the words that matter for its answer",
        "splits": [SPLIT],
        "enabled": True,
    }
    inputs = [{"id": row.id, "question": row.question, "answer": row.answer} for row in source.paragraphs]
    outputs = [_place(number, paragraph) for number, paragraph in enumerate(source.paragraphs)]
    config = {"annotation_span_categories": CATEGORIES, "annotation_granularity": "words"}
    campaign = {"id": CAMPAIGN, "mode": "external", "status": "finished", "created": "", "config": config}
    data, campaigns = out / "data", out / "campaigns" / CAMPAIGN
    return {
        data / "datasets.yml": _json({DATASET: about}),
        data / "inputs" / DATASET / f"{SPLIT}.json": _json(inputs),
        data / "outputs" / DATASET / f"{SETUP}.jsonl": _lines(outputs),
        campaigns / "metadata.json": _json(campaign),
        campaigns / "files" / "labels.jsonl": _lines(_records(source)),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def _lines(rows: Any) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _place(number: int, paragraph: Paragraph) -> dict[str, Any]:
    # factgenie shows an output as HTML.
    output = html.escape(paragraph.text, quote=False).replace("\r", "&#13;")
    return {"dataset": DATASET, "split": SPLIT, "setup_id": SETUP, "example_idx": number, "output": output}


def _records(source: LabelledBenchmark) -> Iterator[dict[str, Any]]:
    """A record for each annotator and text that has a label."""
    numbers = {paragraph.id: number for number, paragraph in enumerate(source.paragraphs)}
    for group, (annotator, labels) in enumerate(source.labels.items()):
        for label in labels:
            if label.repeat == 0 and label.status == "ok":
                number = numbers[label.paragraph_id]
                paragraph = source.paragraphs[number]
                about = {"annotator_id": annotator, "annotator_group": group, "campaign_id": CAMPAIGN}
                yield _place(number, paragraph) | {
                    "annotations": list(_spans(paragraph, label)),
                    "metadata": about | {"annotation_span_categories": CATEGORIES},
                }


def _spans(paragraph: Paragraph, label: Label) -> Iterator[dict[str, Any]]:
    for run in word_runs(label.words):
        start, end = paragraph.words[run[0]][0], paragraph.words[run[-1]][1]
        units = len(paragraph.text[:start].encode("utf-16-le")) // 2
        yield {"type": 0, "text": paragraph.text[start:end], "start": units}
