"""Answers and comparisons as JSON, for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from heat.answers import Answer
from heat.attribution import Attribution
from heat.comparison import Comparison, compare
from heat.projection import Aggregation
from heat.units import Unit


def document(
    attributions: Sequence[Attribution],
    unit: Unit = "word",
    aggregation: Aggregation = "mean",
    answer: Answer | None = None,
) -> str:
    """Several attributions of one text, how they compare, and the answer they are about.

    Args:
        attributions: One for each method; empty where no token of the answer depends on the text.
        unit: What the prompt is divided into.
        aggregation: How a unit's score is made of its tokens'.
        answer: The answer, where a whole one is explained.

    Returns:
        JSON: `answer` (`text`, `threshold`, `ended`, `without`, `tokens`), `comparison` (`unit`, `aggregation`,
        `units`, `scores` by method, `spearman` by two methods, null for none, `disagreements`), and `attributions`,
        each as `Attribution.to_json` has it.
    """
    content: dict[str, Any] = {}
    if answer is not None:
        content["answer"] = {
            "text": answer.text,
            "threshold": answer.threshold,
            "ended": answer.ended,
            "without": answer.without,
            "tokens": [asdict(token) for token in answer.tokens],
        }
    if attributions:
        content["comparison"] = _comparison(compare(attributions, unit, aggregation))
    content["attributions"] = [json.loads(one.to_json()) for one in attributions]
    return json.dumps(content, ensure_ascii=False)


def _comparison(found: Comparison) -> dict[str, Any]:
    units = found.units[0]
    names = found.names
    return {
        "unit": found.unit,
        "aggregation": found.aggregation,
        "units": [
            {"text": text, "label": label, "span": None if units.spans is None else units.spans[index]}
            for index, (text, label) in enumerate(zip(units.texts, units.labels, strict=True))
        ],
        "scores": {name: row.tolist() for name, row in zip(names, found.scores, strict=True)},
        "spearman": {
            name: {
                other: None if np.isnan(value) else float(value)
                for other, value in zip(names, row, strict=True)
            }
            for name, row in zip(names, found.correlation, strict=True)
        },
        "disagreements": [asdict(one) for one in found.disagreements],
    }
