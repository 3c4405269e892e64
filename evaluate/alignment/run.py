"""How well attributions agree with gold words: every method, every metric, each mean with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluate.alignment.units import in_units, token_spans, unit_spans
from evaluate.engine import only
from evaluate.metrics.alignment import METRICS, Mask, Scores, chance, decides, is_constant, score_words
from evaluate.pipeline.case import Case
from evaluate.pipeline.measure import Cases, Context, Measure, Scorer
from evaluate.pipeline.records import Evaluation
from evaluate.pipeline.run import RunConfig, evaluate
from evaluate.pipeline.runner import Progress, no_progress
from evaluate.pipeline.store import ScoreStatus
from evaluate.tasks.task import Example, Task
from heat.projection import Aggregation
from heat.units import Unit

if TYPE_CHECKING:
    from evaluate.engine import Engine
    from heat import Attribution, LanguageModel
    from heat.errors import HeatError

KIND = "alignment"


def alignment_measure(aggregation: Aggregation = "mean", unit: Unit = "word") -> Measure:
    """Scores of words, or of other units, against gold.

    Args:
        aggregation: How a unit's score is made of its tokens'.
        unit: What is scored; a unit is gold if it holds a gold word.
    """
    return Measure(
        kind=KIND,
        metrics=METRICS,
        score=partial(_start, aggregation=aggregation),
        cache_key=partial(_cache_key, aggregation=aggregation),
        cases=partial(_cases, unit=unit),
        chance=_chance,
        person=people_scores,
    )


def _cases(context: Context, examples: Sequence[Example], unit: Unit) -> Cases:
    """The examples by unit; one without gold says nothing on alignment."""
    if unit == "token":
        work = partial(token_spans, settings=context.settings)
        spans = only(context.engine, work, examples)
    else:
        spans = [unit_spans(example, unit) for example in examples]
    by_unit = [in_units(example, unit, found) for example, found in zip(examples, spans, strict=True)]
    return Cases(tuple(Case(example, skipped=_why_skipped(example, unit)) for example in by_unit))


def _why_skipped(example: Example, unit: Unit) -> tuple[str, str] | None:
    if example.gold is None:
        return (
            "no gold",
            f"for instance {example.id}: nobody said which words matter, and faithfulness alone needs no gold",
        )
    if unit != "word" and len(example.gold) == len(example.words):
        every = f"each of its {len(example.words)} {unit}s" if len(example.words) > 1 else f"its only {unit}"
        return (
            f"gold in every {unit}",
            f"for instance {example.id}: {every} holds a gold word; use a smaller unit",
        )
    return None


def _cache_key(case: Case, aggregation: Aggregation) -> dict[str, Any]:
    """Words, gold and distractor, and which metrics there are."""
    example = case.example
    return {
        "id": example.id,
        "words": example.words,
        "gold": example.gold,
        "rule": example.gold_rule,
        "distractor": example.distractor,
        "metrics": [metric.name for metric in METRICS],
        "aggregation": aggregation,
    }


def _start(lm: LanguageModel, aggregation: Aggregation) -> Scorer:
    def score(
        case: Case, attribution: Attribution | None, variants: Mapping[str, Attribution | HeatError]
    ) -> tuple[dict[str, float], ScoreStatus]:
        """Every metric; scores that are not numbers get the worst value."""
        scores = np.full(len(case.example.words), np.nan)
        if attribution is not None:
            scores = example_scores(attribution, case.example, aggregation)
        gold, distractor = masks(case.example)
        return score_words(scores, gold, distractor), _status(scores, gold)

    return score


def _chance(example: Example) -> dict[str, float]:
    """What equal scores for all words get."""
    return chance(*masks(example))


def alignment(
    task: Task,
    lm: LanguageModel | Engine,
    methods: Sequence[str],
    run: RunConfig,
    *,
    on_progress: Progress = no_progress,
) -> Evaluation:
    """Score attribution methods against the gold words of a task; the arguments are those of `evaluate`.

    With several target tokens a word's score is the mean over them.
    """
    return evaluate(
        alignment_measure(task.aggregation, task.unit), task, lm, methods, run, on_progress=on_progress
    )


def example_scores(attribution: Attribution, example: Example, aggregation: Aggregation = "mean") -> Scores:
    """Scores of an example's words: token scores by word, then averaged over the target tokens.

    Args:
        attribution: Of a text that begins with the example's prompt.
        example: Whose words are scored.
        aggregation: How a word's score is made of its tokens'.

    Returns:
        float64 array with one score a word.

    Raises:
        ProjectionError: A word has no token, or the attribution has no offsets.
    """
    return np.asarray(attribution.on_words(example.words, aggregation).mean(axis=0))


def people_scores(example: Example) -> dict[str, float]:
    """How well one person finds what the others marked: the ceiling that a method is read against.

    Each person's marks are taken as scores, 1 or 0, against the words that more than half of the others marked; persons
    whose others agree on no word, or on all, decide nothing.

    Args:
        example: With what each person marked.

    Returns:
        Metric name to the mean over persons; empty where fewer than two marked the text, or nobody's others agree.
    """
    marks = np.zeros((len(example.people), len(example.words)))
    for person, words in enumerate(example.people):
        marks[person, list(words)] = 1.0
    by_person: list[dict[str, float]] = []
    _, distractor = masks(example)
    for person, marked in enumerate(marks):
        others = np.delete(marks, person, axis=0)
        if len(others) and decides(gold := others.mean(axis=0) > 0.5):
            by_person.append(score_words(marked, gold, distractor))
    names = by_person[0] if by_person else ()
    return {name: float(np.nanmean([scores[name] for scores in by_person])) for name in names}


def masks(example: Example) -> tuple[Mask, Mask]:
    """Which words are gold, and which are distractor."""
    gold = np.zeros(len(example.words), dtype=np.bool_)
    distractor = np.zeros(len(example.words), dtype=np.bool_)
    gold[list(example.gold or ())] = True
    distractor[list(example.distractor)] = True
    return gold, distractor


def _status(scores: Scores, gold: Mask) -> ScoreStatus:
    if not np.isfinite(scores).all():
        return "not_finite"
    if is_constant(scores):
        return "constant"
    return "ok" if decides(gold) else "undecided"
