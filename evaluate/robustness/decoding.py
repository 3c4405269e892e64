"""The decoding probe: draw the answer otherwise, attribute what was drawn, and see what of the figures moves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annotate.files import append_records, canonical_hash, read_records, repair_tail
from annotate.schema import Record
from evaluate.alignment.run import example_scores, masks
from evaluate.faithfulness.options import Options as FaithfulnessOptions
from evaluate.metrics.alignment import auprc
from evaluate.pipeline.answers import generate, generation_config
from evaluate.pipeline.case import Case
from evaluate.pipeline.measure import Cases, Context, Measure
from evaluate.pipeline.runner import Progress, no_progress
from evaluate.pipeline.store import Score
from evaluate.robustness.copies import (
    Change,
    Compare,
    Values,
    cache_key,
    cases_of,
    mean_defined,
    same_target,
    scorer,
    token_scores,
)
from evaluate.robustness.metrics import DECODING, relative_variation, spearman
from evaluate.robustness.options import GREEDY, Options
from evaluate.statistics.intervals import RESAMPLES, Interval, widened
from evaluate.tasks.task import Example, Task

if TYPE_CHECKING:
    from evaluate.faithfulness.measure import Faithfulness
    from heat import Attribution, LanguageModel

ANSWERS = "answers.jsonl"

# One kind of figure is enough to see faithfulness move, and it is asked once a setting: no curves, one draw.
_FAITHFULNESS = FaithfulnessOptions(steps=2, draws=1, random_draws=1, subsets=2, retentions=(0.5,))
_FIGURES = ("auprc", "comprehensiveness", "soft_nc")


class Answer(Record):
    """What a model said to a prompt.

    Attributes:
        key: Hash of prompt, model, setting and seed.
        text: What follows the prompt; empty where the model stops at once.
    """

    key: str
    text: str


def answered(
    task: Task,
    lm: LanguageModel,
    options: Options,
    seed: int,
    out: Path,
    on_progress: Progress = no_progress,
) -> tuple[Task, dict[str, dict[str, str]]]:
    """Generate the answer to every example under every setting; what the folder holds is not generated again.

    Args:
        task: The examples.
        lm: The model.
        options: Settings and length.
        seed: Added to that of each setting.
        out: Results folder; answers are kept in its `ANSWERS`.
        on_progress: Progress callback.

    Returns:
        The task with the greedy answers as targets, without the examples to which there is none; and setting to
        example id to answer.
    """
    from heat.errors import HeatError

    out.mkdir(parents=True, exist_ok=True)
    path = out / ANSWERS
    repair_tail(path)
    known = {row.key: row.text for row in read_records(path, Answer)} if path.exists() else {}
    settings = (GREEDY, *options.settings)
    answers: dict[str, dict[str, str]] = {}
    unable: set[str] = set()
    for setting in settings:
        texts: dict[str, str] = {}
        fresh: list[Answer] = []
        for done, example in enumerate(task.examples, 1):
            key = canonical_hash(
                [
                    example.prompt,
                    lm.revision,
                    str(lm.dtype),
                    setting.model_dump(),
                    options.answer_tokens,
                    seed,
                ]
            )
            if example.id in unable:
                continue
            if key not in known:
                try:
                    known[key] = generate(
                        lm,
                        example.prompt,
                        setting,
                        options.answer_tokens,
                        seed,
                        special_tokens=example.special_tokens,
                    )
                except HeatError:
                    unable.add(example.id)
                    continue
                fresh.append(Answer(key=key, text=known[key]))
            texts[example.id] = known[key]
            on_progress(f"answers, {setting.name}", done, len(task.examples))
        if fresh:
            append_records(path, fresh)
        answers[setting.name] = texts
    silent = tuple(name for name, text in answers[GREEDY.name].items() if not text.strip())
    examples = tuple(
        example.model_copy(update={"target": answers[GREEDY.name][example.id]})
        for example in task.examples
        if example.id not in unable and example.id not in silent
    )
    left_out = {
        **task.left_out,
        "the model says nothing": silent,
        "the model cannot go on": tuple(sorted(unable)),
    }
    return (
        replace(task, examples=examples, left_out={why: rows for why, rows in left_out.items() if rows}),
        answers,
    )


def decoding_measure(options: Options, answers: Mapping[str, Mapping[str, str]], seed: int) -> Measure:
    """Scores and figures of answers drawn otherwise, beside those of the greedy answer.

    Where the explained tokens are the same the scores are computed anew all the same, on a view of the model whose
    generation config is the setting's, with the setting's seed: a method that reads either is found out.

    Args:
        options: Settings.
        answers: Setting to example id to answer.
        seed: Of the run.
    """
    return Measure(
        kind="robustness-decoding",
        metrics=DECODING,
        score=scorer(partial(_start, seed=seed), DECODING),
        cache_key=partial(cache_key, metrics=DECODING),
        cases=partial(_drawn, options=options, answers=answers),
        aggregates=partial(_variations, options=options),
        options=options.model_dump(mode="json"),
    )


def _drawn(
    context: Context,
    examples: Sequence[Example],
    options: Options,
    answers: Mapping[str, Mapping[str, str]],
) -> Cases:
    """The same prompts with the answers of each setting."""
    from evaluate.robustness.view import decoding

    lm, settings = context.engine.lm, context.settings
    changes = []
    for setting in options.settings:
        view = partial(decoding, config=generation_config(lm, setting, options.answer_tokens))
        changed = {"revision": view(lm).revision, "seed": settings.seed + setting.seed}
        said = answers[setting.name]
        copies = {
            example.id: example.model_copy(update={"target": said[example.id]})
            for example in examples
            if said.get(example.id, "").strip()
        }
        changes.append(Change(setting.name, view, settings.model_copy(update=changed), copies))
    return cases_of(context, examples, changes, survives=same_target)


def _start(lm: LanguageModel, seed: int) -> Compare:
    from evaluate.faithfulness.measure import Faithfulness

    return partial(_compare, faithfulness=Faithfulness(lm, _FAITHFULNESS, seed))


def _compare(
    case: Case,
    attribution: Attribution,
    copies: Mapping[str, Attribution],
    faithfulness: Faithfulness,
) -> dict[str, float]:
    """Every metric, and under ``auprc@SETTING`` and so on the figures of each setting."""
    greedy_figures = _figures(faithfulness, case.example, attribution)
    differences: dict[str, list[float]] = {metric.name: [] for metric in DECODING}
    values = {f"{name}@{GREEDY.name}": value for name, value in greedy_figures.items()}
    for name, other in copies.items():
        same = other.token_ids == attribution.token_ids
        kind = "stayed" if same else "changed"
        # Scores that did not move have the figures that they had; most settings leave most texts alone.
        unmoved = same and bool((other.scores == attribution.scores).all())
        figures = greedy_figures if unmoved else _figures(faithfulness, case.example, other)
        values |= {f"{figure}@{name}": value for figure, value in figures.items()}
        values[f"stayed@{name}"] = float(same)
        differences[kind].append(_ranks(attribution, other))
        for metric, figure in (("alignment", "auprc"), ("faithfulness", "comprehensiveness")):
            differences[f"{metric}_{kind}"].append(abs(figures[figure] - greedy_figures[figure]))
        if same:
            differences["stayed_moved_raw"].append(float((other.scores - attribution.scores).abs().max()))
    most = differences.pop("stayed_moved_raw")
    return {
        **{name: mean_defined(values) for name, values in differences.items()},
        "stayed_moved_raw": max(most, default=float("nan")),
        **values,
    }


def _variations(
    rows: Sequence[Score], clusters: Sequence[str], seed: int, options: Options
) -> dict[str, Interval]:
    """Largest relative variation of a mean over the settings, of all answers and of those that stayed."""
    names = [setting.name for setting in options.settings]
    variations = {}
    for figure in _FIGURES:
        values = figures_by_setting(rows, figure, options)
        stayed = np.array([[_value(row, f"stayed@{name}") for name in names] for row in rows]) == 1
        # Where the text changed, the greedy figure stands in: what is left are the scores' own movements.
        only = np.concatenate([values[:, :1], np.where(stayed, values[:, 1:], values[:, :1])], axis=1)
        variations[f"{figure}_variation"] = variation(values, clusters, seed)
        variations[f"{figure}_variation_stayed"] = variation(only, clusters, seed)
    return variations


def _figures(faithfulness: Faithfulness, example: Example, attribution: Attribution) -> dict[str, float]:
    faithful = faithfulness.measure(attribution)
    gold, distractor = masks(example)
    aligned = (
        float("nan")
        if example.gold is None
        else auprc(example_scores(attribution, example), gold, distractor)
    )
    return {
        "auprc": aligned,
        "comprehensiveness": faithful["comprehensiveness"],
        "soft_nc": faithful["soft_nc"],
    }


def _ranks(one: Attribution, other: Attribution) -> float:
    """Spearman over the tokens both contexts have, mean over targets that both have."""
    pairs = zip(token_scores(one), token_scores(other), strict=False)
    return mean_defined([spearman(a[: len(b)], b[: len(a)]) for a, b in pairs])


def figures_by_setting(rows: Sequence[Score], figure: str, options: Options) -> Values:
    """A figure of every answer.

    Args:
        rows: One an example.
        figure: ``auprc``, ``comprehensiveness`` or ``soft_nc``.
        options: The settings.

    Returns:
        [examples, 1 + settings], the greedy answer's first; ``nan`` where it is not defined.
    """
    names = (GREEDY.name, *(setting.name for setting in options.settings))
    return np.array([[_value(row, f"{figure}@{name}") for name in names] for row in rows])


def variation(values: Values, clusters: Sequence[str], seed: int) -> Interval:
    """`relative_variation` with a 95 % percentile bootstrap, texts drawn whole.

    Args:
        values: Figures [N, settings] of `figures_by_setting`; examples with a ``nan`` are left out.
        clusters: Text of each example.
        seed: Seed of the draws.
    """
    complete, texts = _defined(values, clusters)
    drawn = _shares(_resampled(complete, texts, seed))
    return _percentiles(relative_variation(complete), drawn, texts, len(values))


def variation_difference(
    one: Values, other: Values, clusters: Sequence[str], seed: int, *, confidence: float = 0.95
) -> Interval:
    """`relative_variation` of one method minus that of another, both of the same texts in every draw.

    Args:
        one: Figures [N, settings] of `figures_by_setting`; examples where either has a ``nan`` are left out.
        other: Of the same examples and settings.
        clusters: Text of each example.
        seed: Seed of the draws.
        confidence: Coverage of the interval.
    """
    width = one.shape[1]
    complete, texts = _defined(np.concatenate([one, other], axis=1), clusters)
    totals = _resampled(complete, texts, seed)
    difference = relative_variation(complete[:, :width]) - relative_variation(complete[:, width:])
    drawn = _shares(totals[:, :width]) - _shares(totals[:, width:])
    return _percentiles(difference, drawn, texts, len(one), confidence)


def _value(row: Score, name: str) -> float:
    value = row.values.get(name)
    return float("nan") if value is None else value


def _defined(values: Values, clusters: Sequence[str]) -> tuple[Values, list[str]]:
    """The examples without a ``nan``, and their texts."""
    complete = [index for index, row in enumerate(values) if not np.isnan(row).any()]
    return values[complete], [clusters[index] for index in complete]


def _resampled(values: Values, clusters: Sequence[str], seed: int) -> Values:
    """Sums over the texts of each draw: [draws, columns]; no draws where there is only one text."""
    texts: dict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(clusters):
        texts[text].append(row)
    if len(texts) < 2:
        return np.empty((0, values.shape[1]))
    sums = np.stack([values[rows].sum(axis=0) for rows in texts.values()])
    drawn = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    return np.asarray(sums[drawn].sum(axis=1))


def _shares(totals: Values) -> Values:
    """Relative variation of each draw; ``nan`` where the greedy sum is 0."""
    reference = np.where(totals[:, 0] == 0, np.nan, totals[:, 0])
    return np.asarray(np.abs(totals[:, 1:] - totals[:, :1]).max(axis=1, initial=0.0) / np.abs(reference))


def _percentiles(
    value: float, drawn: Values, texts: Sequence[str], of: int, confidence: float = 0.95
) -> Interval:
    mean = None if np.isnan(value) else value
    defined = drawn[~np.isnan(drawn)]
    low: float | None = None
    high: float | None = None
    if mean is not None and len(defined):
        outside = (1 - widened(confidence, len(set(texts)))) / 2
        low, high = np.quantile(defined, (outside, 1 - outside)).tolist()
    return Interval(mean=mean, low=low, high=high, n=len(texts), undefined=of - len(texts))
