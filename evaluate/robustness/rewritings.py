"""Word scores beside those of the same words in a rewritten text."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluate.pipeline.store import Settings
from evaluate.projection import word_scores
from evaluate.robustness.copies import Copy, CopyMeasure, Values, mean_defined
from evaluate.robustness.metrics import kendall, overlap_at_k, rewriting_metrics, spearman, standardised
from evaluate.robustness.rewriting import Rewriting
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from heat import Attribution, LanguageModel


class RewritingMeasure(CopyMeasure):
    """Scores of aligned words, on rewritings that the model's prediction survives.

    Args:
        names: Kinds of rewriting there may be.
        leading: A kind shown at the terminal by itself.
    """

    only_surviving = True

    def __init__(self, names: tuple[str, ...], leading: str = "") -> None:
        super().__init__()
        self._names = names
        self.metrics = rewriting_metrics(names, leading)

    @abstractmethod
    def rewritings(self, examples: Sequence[Example]) -> list[list[Rewriting]]:
        """The rewritings of each example, in order."""

    def make(self, lm: LanguageModel, examples: Sequence[Example], settings: Settings) -> list[Copy]:
        """The rewritings, kind by kind."""
        changed: dict[str, dict[str, Rewriting]] = defaultdict(dict)
        for example, found in zip(examples, self.rewritings(examples), strict=True):
            for each in found:
                changed[each.name][example.id] = each
        return [
            Copy(
                name,
                None,
                settings,
                {key: each.example for key, each in changed[name].items()},
                {key: each.pairs for key, each in changed[name].items()},
            )
            for name in self._names
            if name in changed
        ]

    def compare(
        self,
        lm: LanguageModel,
        example: Example,
        attribution: Attribution,
        copies: Mapping[str, Attribution],
    ) -> dict[str, float]:
        """Every metric, mean over the rewritings."""
        own = word_means(attribution, example)
        by_name = {copy.name: copy for copy in self._copies}
        found: dict[str, list[float]] = {metric.name: [] for metric in self.metrics}
        for name, each in copies.items():
            copy = by_name[name]
            before, after = (list(side) for side in zip(*copy.pairs[example.id], strict=True))
            one, other = own[before], word_means(each, copy.examples[example.id])[after]
            for metric, value in _agreement(one, other).items():
                found[metric].append(value)
            found[f"spearman_{name}"].append(found["spearman"][-1])
        return {name: mean_defined(values) for name, values in found.items()}


def word_means(attribution: Attribution, example: Example) -> Values:
    """Mean score of each word's tokens, mean over targets.

    Args:
        attribution: Of a text that begins with the example's prompt.
        example: Whose words are scored.

    Returns:
        float64, one a word.
    """
    values = attribution.scores.double().numpy()
    by_target = word_scores(values, attribution.text, example.words, attribution.offsets or ())
    return np.asarray(by_target.mean(axis=0))


def _agreement(one: Values, other: Values) -> dict[str, float]:
    z = standardised(np.stack([one, other]))
    return {
        "spearman": spearman(one, other),
        "kendall": kendall(one, other),
        "overlap": overlap_at_k(one, other),
        "distance": float(np.abs(z[0] - z[1]).mean()) if np.ptp(one) > 0 else float("nan"),
        "distance_raw": float(np.abs(one - other).mean()),
    }
