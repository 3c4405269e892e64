"""A Potato project: its config and the texts, with an annotator's labels as what its users start from."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from annotate.errors import LabelError
from annotate.export.rows import LabelledBenchmark
from annotate.imports.potato import SCHEME
from annotate.imports.regions import MARK
from annotate.schema import Label, Paragraph
from annotate.words import word_runs


def potato_files(source: LabelledBenchmark, out: Path) -> dict[Path, bytes]:
    """``config.yaml`` and ``data/paragraphs.jsonl`` of a project, which `potato start` takes.

    Raises:
        LabelError: There are labels of several annotators, and Potato shows those of one.
    """
    if len(source.labels) > 1:
        raise LabelError(
            f"Potato shows the labels of one annotator, and there are {len(source.labels)}"
            f" ({', '.join(source.labels)}): choose with --annotator"
        )
    labels = [label for each in source.labels.values() for label in each]
    usable = {label.paragraph_id: label for label in labels if label.repeat == 0 and label.status == "ok"}
    items = [_item(paragraph, usable.get(paragraph.id)) for paragraph in source.paragraphs]
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    # YAML holds JSON; written so, no library decides about quotes.
    config = json.dumps(_config(), ensure_ascii=False, indent=1) + "\n"
    return {out / "config.yaml": config.encode(), out / "data" / "paragraphs.jsonl": lines.encode()}


def _item(paragraph: Paragraph, label: Label | None) -> dict[str, Any]:
    spans = [
        {"start": paragraph.words[run[0]][0], "end": paragraph.words[run[-1]][1], "name": MARK}
        for run in word_runs(label.words if label else ())
    ]
    return {
        "id": paragraph.id,
        # Potato shows a text as HTML; its offsets count what is seen.
        "text": html.escape(paragraph.text, quote=False),
        "question": paragraph.question,
        "answer": paragraph.answer,
        "predictions": {SCHEME: spans},
    }


def _config() -> dict[str, Any]:
    return {
        "annotation_task_name": "Words that matter for the answer",
        "task_dir": ".",
        "output_annotation_dir": "annotation_output",
        "data_files": ["data/paragraphs.jsonl"],
        "item_properties": {"id_key": "id", "text_key": "text"},
        "annotation_schemes": [
            {
                "annotation_type": "span",
                "name": SCHEME,
                "description": "Mark the words that matter for the answer",
                "labels": [MARK],
            },
            # A text without a span leaves no trace in Potato; this tells "nothing matters" from "not looked at".
            {
                "annotation_type": "radio",
                "name": "looked-at",
                "description": "Are all the words marked that matter? It may be none.",
                "labels": ["yes"],
                "label_requirement": {"required": True},
            },
        ],
        "pre_annotation": {"enabled": True, "field": "predictions", "allow_modification": True},
    }
