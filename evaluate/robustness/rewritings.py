"""Word scores beside those of the same words in a rewritten text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from evaluate.metrics.metric import Metric
from evaluate.pipeline.case import Case
from evaluate.pipeline.measure import Cases, Context, Measure
from evaluate.robustness.copies import Change, Compare, Values, cache_key, cases_of, mean_defined, scorer
from evaluate.robustness.metrics import kendall, overlap_at_k, rewriting_metrics, spearman, standardised
from evaluate.robustness.options import Options
from evaluate.robustness.rewriting import Rewriting
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from heat import Attribution, LanguageModel


def rewriting_measure(
    kind: str,
    names: tuple[str, ...],
    cases: Callable[[Context, Sequence[Example]], Cases],
    options: Options,
    leading: str = "",
) -> Measure:
    """Scores of aligned words, on rewritings that the model's prediction survives.

    Args:
        kind: Name of the family.
        names: Kinds of rewriting there may be.
        cases: Makes them; see `rewritten`.
        options: Kept with the result.
        leading: A kind shown at the terminal by itself.
    """
    metrics = rewriting_metrics(names, leading)
    return Measure(
        kind=kind,
        metrics=metrics,
        score=scorer(partial(_start, metrics=metrics), metrics),
        cache_key=partial(cache_key, metrics=metrics),
        cases=cases,
        options=options.model_dump(mode="json"),
    )


def rewritten(
    context: Context,
    examples: Sequence[Example],
    rewritings: Sequence[Sequence[Rewriting]],
    names: Sequence[str],
) -> Cases:
    """Cases of examples and their rewritings, kind by kind.

    Args:
        context: Store and model.
        examples: That the run keeps.
        rewritings: Of each example.
        names: Kinds of rewriting, in the order of the table.
    """
    changed: dict[str, dict[str, Rewriting]] = defaultdict(dict)
    for example, of_example in zip(examples, rewritings, strict=True):
        for rewriting in of_example:
            changed[rewriting.name][example.id] = rewriting
    changes = [
        Change(
            name,
            None,
            context.settings,
            {key: rewriting.example for key, rewriting in changed[name].items()},
            {key: rewriting.pairs for key, rewriting in changed[name].items()},
        )
        for name in names
        if name in changed
    ]
    return cases_of(context, examples, changes, only_surviving=True)


def _start(lm: LanguageModel, metrics: tuple[Metric, ...]) -> Compare:
    return partial(_compare, metrics=metrics)


def _compare(
    case: Case,
    attribution: Attribution,
    copies: Mapping[str, Attribution],
    metrics: tuple[Metric, ...],
) -> dict[str, float]:
    """Every metric, mean over the rewritings."""
    word_scores = word_means(attribution, case.example)
    by_name = {variant.name: variant for variant in case.variants}
    figures: dict[str, list[float]] = {metric.name: [] for metric in metrics}
    for name, copy in copies.items():
        variant = by_name[name]
        before, after = (list(side) for side in zip(*variant.pairs or (), strict=True))
        one, other = word_scores[before], word_means(copy, variant.example)[after]
        for metric, value in _agreement(one, other).items():
            figures[metric].append(value)
        figures[f"spearman_{name}"].append(figures["spearman"][-1])
    return {name: mean_defined(values) for name, values in figures.items()}


def word_means(attribution: Attribution, example: Example) -> Values:
    """Mean score of each word's tokens, mean over targets.

    Args:
        attribution: Of a text that begins with the example's prompt.
        example: Whose words are scored.

    Returns:
        float64, one a word.
    """
    return np.asarray(attribution.on_words(example.words).mean(axis=0))


def _agreement(one: Values, other: Values) -> dict[str, float]:
    z = standardised(np.stack([one, other]))
    return {
        "spearman": spearman(one, other),
        "kendall": kendall(one, other),
        "overlap": overlap_at_k(one, other),
        "distance": float(np.abs(z[0] - z[1]).mean()) if np.ptp(one) > 0 else float("nan"),
        "distance_raw": float(np.abs(one - other).mean()),
    }
