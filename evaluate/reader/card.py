"""The reader's model card, written from its recipe, its log and what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotate.files import write_atomic

if TYPE_CHECKING:
    from evaluate.reader.measure import Proportion

_CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---
# The embedded reader

A Llama of {parameters:,} parameters ({layers} blocks, width {width}, {heads} attention heads,
byte-level BPE of {vocabulary:,} tokens, context {context}) that answers one-word questions about a paragraph of the
sample world. It exists so that the default path of this project works with no download and its attributions mean
something. It knows nothing of the real world and cannot chat.

## What it was trained on

Text drawn by this project's generator (`data/world`, `annotate/sources/sample`): a support of 2 to 5 facts, later with
a narrative distractor, then pairs of nouns to complete (the drill of the first levels) and questions with answers.
Nouns are tied to verbs and to each other at random, so only the paragraph tells the answer. A fifth of the surface forms
of each relation, of its question forms and of the narrative patterns, and a fifth of all noun pairs, never occurred in
training.

    {command}

The recipe is in `recipe.json`, loss and accuracy every 100 steps in `log.jsonl`; it ended after {steps:,}
steps. The same command on the same kind of machine gives the same weights.

## What it can do

Measured on {size} paragraphs each, none with a noun pair that was seen in training, made like the benchmark's
(narrative of 2 to 5 sentences, support of 3 to 5 facts, one question). Greedy decoding; every answer token must be right.

    {measured_by}

| measure | right | of | share | 95 % interval (Wilson) | asked for |
|---|---|---|---|---|---|
{rows}
"""  # noqa: E501


def write_card(folder: Path, proportions: list[Proportion], command: str, parameters: int) -> Path:
    """Write ``README.md`` and ``measures.json`` into the reader's folder.

    Args:
        folder: Where ``recipe.json`` and ``log.jsonl`` are.
        proportions: What was measured.
        command: The command that measured it.
        parameters: Number of parameters.

    Returns:
        The card's path.

    Raises:
        OSError: The recipe or the log is missing, or the card cannot be written.
    """
    recipe: dict[str, Any] = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    last = json.loads((folder / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    rows = "\n".join(
        f"| {p.name} | {p.hits} | {p.n} | {p.value:.3f} | {p.low:.3f} to {p.high:.3f} | {p.wanted:.2f} |"
        for p in proportions
    )
    measures = {"command": command, "measures": [p.row() for p in proportions]}
    write_atomic(folder / "measures.json", json.dumps(measures, indent=2) + "\n")
    card = folder / "README.md"
    facts = {"size": proportions[0].n, "steps": last["step"], "measured_by": command, "rows": rows}
    write_atomic(card, _CARD.format(parameters=parameters, **facts, **recipe))
    return card
