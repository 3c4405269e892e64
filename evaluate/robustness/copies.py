"""What every probe shares: changed copies of the examples, attributed by the same runner and set beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annotate.files import canonical_hash
from evaluate.engine import LocalEngine
from evaluate.metrics.metric import Metric
from evaluate.pipeline.case import Case, Variant
from evaluate.pipeline.measure import Cases, Context, Scorer
from evaluate.pipeline.records import Copies
from evaluate.pipeline.runner import no_progress, prepare
from evaluate.pipeline.store import Item, ScoreStatus, Settings, item_key
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from heat import Attribution, LanguageModel
    from heat.errors import HeatError

Values = NDArray[np.float64]

Compare = Callable[[Case, "Attribution", Mapping[str, "Attribution"]], dict[str, float]]
"""Every metric of an attribution whose scores are not all equal, beside those of the case's variants, by name;
``nan`` where one is not defined."""

# Raise it when the same input comes to give other figures.
VERSION = 1


@dataclass(frozen=True)
class Change:
    """One way of changing examples, and the changed ones.

    Attributes:
        name: What was changed.
        view: Makes of the caller's model the one that the copies are put to; ``None`` for itself.
        settings: What their attributions have in common; another revision or seed than the clean ones'.
        examples: Id of an example to its copy; an example without one is not in it.
        pairs: Id to pairs of words, the example's and the copy's; empty where the words are the same.
    """

    name: str
    view: Callable[[LanguageModel], LanguageModel] | None
    settings: Settings
    examples: Mapping[str, Example]
    pairs: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)


def same_answer(clean: Item, changed: Item) -> bool:
    """Whether the model still says the same first token."""
    return clean.answered == changed.answered


def same_target(clean: Item, changed: Item) -> bool:
    """Whether the copy's target begins with the same token."""
    return clean.expected == changed.expected


def cases_of(
    context: Context,
    examples: Sequence[Example],
    changes: Sequence[Change],
    *,
    only_surviving: bool = False,
    survives: Callable[[Item, Item], bool] = same_answer,
) -> Cases:
    """Ask the model what it says to each copy, and make of those that it can take the cases' variants.

    Args:
        context: Store and model.
        examples: That the run keeps.
        changes: Every copy of every example, whether or not the model can take it.
        only_surviving: Whether only copies count that survive.
        survives: Whether a copy does, from what the model makes of the example and of the copy.

    Returns:
        A case an example; without any copy it is skipped.
    """
    lm, store = context.engine.lm, context.store
    variants: dict[str, list[Variant]] = {example.id: [] for example in examples}
    counts = []
    context.on_progress("copies", 0, len(changes))
    for done, change in enumerate(changes, 1):
        asked = [example for example in examples if example.id in change.examples]
        changed = [change.examples[example.id] for example in asked]
        view = lm if change.view is None else change.view(lm)
        items = prepare(store, LocalEngine(view), changed, change.settings, no_progress)
        taken = {
            example.id: survives(store.items[item_key(example, context.settings)], item)
            for example, item in zip(asked, items, strict=True)
            if item.status == "ok"
        }
        shares = []
        for example in asked:
            pairs = change.pairs.get(example.id)
            if example.id in taken:
                shares.append(1.0 if pairs is None else len(pairs) / len(example.words))
            if taken.get(example.id, False) or (example.id in taken and not only_surviving):
                copy = Variant(change.name, change.examples[example.id], change.settings, change.view, pairs)
                variants[example.id].append(copy)
        counts.append(
            Copies(
                name=change.name,
                made=len(taken),
                survived=sum(taken.values()),
                coverage=float(np.mean(shares)) if shares else 0.0,
            )
        )
        context.on_progress("copies", done, len(changes))
    what = "changed copy that the prediction survives" if only_surviving else "changed copy"
    return Cases(
        tuple(
            Case(
                example,
                tuple(variants[example.id]),
                None
                if variants[example.id]
                else (f"no {what}", f"for instance {example.id}: it has no {what}"),
            )
            for example in examples
        ),
        tuple(counts),
    )


def cache_key(case: Case, metrics: tuple[Metric, ...]) -> dict[str, Any]:
    """The copies; their own model and seed among them."""
    example = case.example
    return {
        "copies": canonical_hash(
            [
                (
                    variant.name,
                    variant.settings.model_dump(exclude={"model", "unit"}),
                    variant.example.model_dump(exclude={"id"}),
                    variant.pairs,
                )
                for variant in case.variants
            ]
        ),
        "words": example.words,
        "gold": example.gold,
        "distractor": example.distractor,
        "metrics": [metric.name for metric in metrics],
        "version": VERSION,
    }


def scorer(
    start: Callable[[LanguageModel], Compare], metrics: tuple[Metric, ...]
) -> Callable[[LanguageModel], Scorer]:
    """A measure's `score` from what compares an attribution with those of the copies.

    Args:
        start: Called once a worker; returns what compares.
        metrics: Of the probe.
    """
    return partial(_start, start=start, metrics=metrics)


def _start(
    lm: LanguageModel, *, start: Callable[[LanguageModel], Compare], metrics: tuple[Metric, ...]
) -> Scorer:
    from heat.errors import NonFiniteError

    compare = start(lm)

    def score(
        case: Case, attribution: Attribution | None, variants: Mapping[str, Attribution | HeatError]
    ) -> tuple[dict[str, float], ScoreStatus]:
        """Every metric; scores that are equal throughout are never stable, they say nothing."""
        if attribution is None or any(isinstance(result, NonFiniteError) for result in variants.values()):
            return {metric.name: metric.worst for metric in metrics}, "not_finite"
        if all(np.ptp(row) == 0 for row in token_scores(attribution)):
            return {metric.name: float("nan") for metric in metrics}, "constant"
        copies = {name: result for name, result in variants.items() if not isinstance(result, Exception)}
        return compare(case, attribution, copies), "ok"

    return score


def token_scores(attribution: Attribution) -> list[Values]:
    """Scores of the context's tokens, one array a target.

    Tokens that stand for no character (beginning of text) are left out: they take a large share of the mass in many
    methods, and their steadiness would stand for that of all others.
    """
    start = attribution.target_span[0]
    offsets = attribution.offsets
    rows = []
    for row in range(len(attribution.scores)):
        scores = attribution.scores[row, : start + row].double().numpy()
        if offsets is not None:
            visible = np.array([end > begin for begin, end in offsets[: start + row]])
            scores = scores[visible]
        rows.append(scores)
    return rows


def mean_defined(values: Sequence[float]) -> float:
    """Mean of the values that are not ``nan``; ``nan`` where none is."""
    array = np.asarray(values, dtype=np.float64)
    return float(np.nanmean(array)) if len(array) and not np.isnan(array).all() else float("nan")
