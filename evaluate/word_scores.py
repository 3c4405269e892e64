"""The word scores that a results folder holds, and what they say beside the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annotate.files import read_records
from evaluate.alignment.run import example_scores, masks
from evaluate.errors import ReportError
from evaluate.metrics.alignment import Scores, decides
from evaluate.pipeline.records import Evaluation, read_examples, read_result
from evaluate.pipeline.store import Score, attribution_key
from evaluate.pipeline.summary import UNSCORED
from evaluate.results import summaries
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class WordScores:
    """What every method says of every word.

    Attributes:
        folder: The results folder.
        result: The result that the methods and examples are of.
        examples: The examples.
        scores: Method to one array a word for each example; ``None`` where the method refused the example or
            gave no numbers.
        passes: Method to the mean number of forward passes it took over an example (a backward pass counts 1).
    """

    folder: Path
    result: Evaluation
    examples: tuple[Example, ...]
    scores: Mapping[str, tuple[Scores | None, ...]]
    passes: Mapping[str, float]

    @property
    def density(self) -> float:
        """Mean share of gold words over the examples whose gold is neither empty nor full: chance of precision."""
        golds = [masks(example)[0] for example in self.examples]
        shares = [float(gold.mean()) for gold in golds if decides(gold)]
        return float(np.mean(shares)) if shares else float("nan")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Mean precision over recall; see `evaluate.results.summaries.mean_curves`."""
        return summaries.mean_curves(self.scores, [masks(example)[0] for example in self.examples])

    @cached_property
    def segment_mass(self) -> pd.DataFrame:
        """Shares of the positive mass by segment; see `evaluate.results.summaries.segment_mass`."""
        roles = [example.roles() for example in self.examples]
        if not any(role for word_roles in roles for role in word_roles):
            raise ReportError(
                f"the examples of {self.result.task} name no segments: the benchmark has none, or an earlier release "
                f"wrote them (then run again, nothing is computed twice: {self.result.command})"
            )
        texts = [example.text_key for example in self.examples]
        return summaries.segment_mass(self.scores, roles, texts, self.result.settings.seed)

    @cached_property
    def correlations(self) -> pd.DataFrame:
        """How alike the methods order words; see `evaluate.results.summaries.rank_correlations`."""
        return summaries.rank_correlations(self.scores)

    def components(self, method: str, index: int) -> dict[str, Scores]:
        """The parts a method's scores of one example were made of, projected on words like the scores.

        Args:
            method: A method of the result.
            index: Number of the example.

        Returns:
            Name to one number a word; empty for a method without components.

        Raises:
            ReportError: The attribution is not in the folder.
        """
        import heat

        example = self.examples[index]
        config = next(row.config for row in self.result.methods if row.method == method)
        path = _path(self.folder, attribution_key(example, self.result.settings, method, config))
        if not path.is_file():
            raise ReportError(f"{self.folder} lacks the attribution of {example.id} by {method}")
        attribution = heat.Attribution.load(path)
        how = self.result.settings.aggregation
        return {
            name: np.asarray(attribution.on_words(example.words, how, component=name).mean(axis=0))
            for name in attribution.components
        }


def read_word_scores(folder: Path, kind: str = "alignment") -> WordScores:
    """Read the stored attributions of a result, and carry them over to words.

    Args:
        folder: The results folder.
        kind: Which result's methods and examples: ``"alignment"`` or ``"faithfulness"``.

    Raises:
        ReportError: An attribution is missing.
        EvaluateError: There is no such result, or the file of its examples is gone.
    """
    import heat

    result = read_result(folder, kind)
    examples = tuple(read_examples(folder, result))
    path = folder / "scores.jsonl"
    rows = read_records(path, Score) if path.exists() else []
    without = {row.attribution for row in rows if row.status in ("not_finite", *UNSCORED)}
    scores: dict[str, tuple[Scores | None, ...]] = {}
    passes: dict[str, float] = {}
    for row in result.methods:
        by_example: list[Scores | None] = []
        costs: list[float] = []
        for example in examples:
            key = attribution_key(example, result.settings, row.method, row.config)
            stored = _path(folder, key)
            if stored.is_file():
                attribution = heat.Attribution.load(stored)
                by_example.append(example_scores(attribution, example, result.settings.aggregation))
                costs.append(attribution.forward_equivalents)
            elif key in without:
                by_example.append(None)
            else:
                raise ReportError(
                    f"{folder} lacks the attribution of {example.id} by {row.method}; run again: {result.command}"
                )
        scores[row.method] = tuple(by_example)
        passes[row.method] = float(np.mean(costs)) if costs else float("nan")
    return WordScores(folder=folder, result=result, examples=examples, scores=scores, passes=passes)


def _path(folder: Path, key: str) -> Path:
    return folder / "attributions" / f"{key}.safetensors"
