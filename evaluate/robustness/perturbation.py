"""The perturbation probe: noise on the embeddings, and edits that keep the meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, get_args

import numpy as np

from evaluate.pipeline.case import Case
from evaluate.pipeline.measure import Cases, Context, Measure
from evaluate.robustness.copies import (
    Change,
    Compare,
    Values,
    cache_key,
    cases_of,
    mean_defined,
    scorer,
    token_scores,
)
from evaluate.robustness.edits import EDITS
from evaluate.robustness.metrics import NOISE, max_sensitivity, spearman, spread, standardised
from evaluate.robustness.options import Options
from evaluate.robustness.rewritings import rewriting_measure, rewritten
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from heat import Attribution, LanguageModel


def noise_measure(options: Options) -> Measure:
    """Token scores under noise on the embeddings.

    Every copy has noise of its own and a seed of its own for the method, as a user would who asks again: what a
    method draws is part of how unsteady it is, and `random` shows what scores look like that follow nothing.
    With a radius of 0 the methods' own draws are all that is left.

    Args:
        options: Radius and number of draws.
    """
    return Measure(
        kind="robustness-noise",
        metrics=NOISE,
        score=scorer(_start, NOISE),
        cache_key=partial(cache_key, metrics=NOISE),
        cases=partial(_noisy, options=options),
        options=options.model_dump(mode="json"),
    )


def _noisy(context: Context, examples: Sequence[Example], options: Options) -> Cases:
    """Views of the model with noise, for all examples alike."""
    from evaluate.robustness.view import Noise, NoiseKind, noisy

    changes, settings = [], context.settings
    for kind in get_args(NoiseKind):
        for draw in range(1, options.draws + 1):
            view = partial(noisy, noise=Noise(kind, options.radius, settings.seed + draw))
            changed = {"revision": view(context.engine.lm).revision, "seed": settings.seed + draw}
            noisy_settings = settings.model_copy(update=changed)
            by_id = {example.id: example for example in examples}
            changes.append(Change(f"{kind}-{draw}", view, noisy_settings, by_id))
    return cases_of(context, examples, changes)


def _start(lm: LanguageModel) -> Compare:
    return _compare


def _compare(case: Case, attribution: Attribution, copies: Mapping[str, Attribution]) -> dict[str, float]:
    """Every metric of `NOISE`; with several targets the mean over them."""
    rows = [
        _moved(clean, {name: token_scores(copy)[row] for name, copy in copies.items()})
        for row, clean in enumerate(token_scores(attribution))
    ]
    return {name: mean_defined([row[name] for row in rows]) for name in rows[0]}


def _moved(clean: Values, copies: Mapping[str, Values]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for kind in ("gaussian", "uniform"):
        of_kind = [scores for name, scores in copies.items() if name.startswith(kind)]
        noisy = np.stack(of_kind) if of_kind else np.zeros((0, len(clean)))
        defined = np.ptp(clean) > 0 and len(noisy) > 0
        z = standardised(np.concatenate([clean[None], noisy]))
        figures[f"{kind}_rank_stability"] = mean_defined([spearman(clean, scores) for scores in noisy])
        figures[f"{kind}_spread"] = spread(z[1:]) if defined else float("nan")
        figures[f"{kind}_spread_raw"] = spread(noisy)
        figures[f"{kind}_max_sensitivity"] = max_sensitivity(z[0], z[1:]) if defined else float("nan")
        figures[f"{kind}_max_sensitivity_raw"] = max_sensitivity(clean, noisy) if defined else float("nan")
    both = [figures["gaussian_rank_stability"], figures["uniform_rank_stability"]]
    return figures | {"rank_stability": mean_defined(both)}


def edits_measure(options: Options) -> Measure:
    """Word scores after edits that keep the meaning.

    Args:
        options: Kept with the result; edits have none.
    """
    return rewriting_measure("robustness-edits", tuple(EDITS), _edited, options)


def _edited(context: Context, examples: Sequence[Example]) -> Cases:
    """Every edit of every example that changes it."""
    edits = [[edit(example) for edit in EDITS.values()] for example in examples]
    changed = [[edit for edit in row if edit is not None] for row in edits]
    return rewritten(context, examples, changed, tuple(EDITS))
