"""The perturbation probe: noise on the embeddings, and edits that keep the meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, get_args

import numpy as np

from evaluate.pipeline.store import Settings
from evaluate.robustness.copies import Copy, CopyMeasure, Values, mean_defined, token_scores
from evaluate.robustness.edits import EDITS
from evaluate.robustness.metrics import NOISE, max_sensitivity, spearman, spread, standardised
from evaluate.robustness.options import Options
from evaluate.robustness.rewriting import Rewriting
from evaluate.robustness.rewritings import RewritingMeasure
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from heat import Attribution, LanguageModel


class NoiseMeasure(CopyMeasure):
    """Token scores under noise on the embeddings.

    Every copy has noise of its own and a seed of its own for the method, as a user would who asks again: what a
    method draws is part of how unsteady it is, and `random` shows what scores look like that follow nothing.
    With a radius of 0 the methods' own draws are all that is left.

    Args:
        options: Radius and number of draws.
    """

    kind = "robustness-noise"
    metrics = NOISE

    def __init__(self, options: Options) -> None:
        super().__init__()
        self._options = options

    def make(self, lm: LanguageModel, examples: Sequence[Example], settings: Settings) -> list[Copy]:
        """Views of the model with noise, for all examples alike."""
        from evaluate.robustness.view import Noise, NoiseKind, noisy

        found = []
        for kind in get_args(NoiseKind):
            for draw in range(1, self._options.draws + 1):
                view = partial(noisy, noise=Noise(kind, self._options.radius, settings.seed + draw))
                changed = {"revision": view(lm).revision, "seed": settings.seed + draw}
                own = settings.model_copy(update=changed)
                found.append(Copy(f"{kind}-{draw}", view, own, {each.id: each for each in examples}))
        return found

    def compare(
        self,
        lm: LanguageModel,
        example: Example,
        attribution: Attribution,
        copies: Mapping[str, Attribution],
    ) -> dict[str, float]:
        """Every metric of `NOISE`; with several targets the mean over them."""
        rows = [
            _moved(clean, {name: token_scores(each)[row] for name, each in copies.items()})
            for row, clean in enumerate(token_scores(attribution))
        ]
        return {name: mean_defined([row[name] for row in rows]) for name in rows[0]}


def _moved(clean: Values, copies: Mapping[str, Values]) -> dict[str, float]:
    found: dict[str, float] = {}
    for kind in ("gaussian", "uniform"):
        own = [scores for name, scores in copies.items() if name.startswith(kind)]
        noisy = np.stack(own) if own else np.zeros((0, len(clean)))
        defined = np.ptp(clean) > 0 and len(noisy) > 0
        z = standardised(np.concatenate([clean[None], noisy]))
        found[f"{kind}_rank_stability"] = mean_defined([spearman(clean, each) for each in noisy])
        found[f"{kind}_spread"] = spread(z[1:]) if defined else float("nan")
        found[f"{kind}_spread_raw"] = spread(noisy)
        found[f"{kind}_max_sensitivity"] = max_sensitivity(z[0], z[1:]) if defined else float("nan")
        found[f"{kind}_max_sensitivity_raw"] = max_sensitivity(clean, noisy) if defined else float("nan")
    both = [found["gaussian_rank_stability"], found["uniform_rank_stability"]]
    return found | {"rank_stability": mean_defined(both)}


class EditsMeasure(RewritingMeasure):
    """Word scores after edits that keep the meaning."""

    kind = "robustness-edits"

    def __init__(self) -> None:
        super().__init__(tuple(EDITS))

    def rewritings(self, examples: Sequence[Example]) -> list[list[Rewriting]]:
        """Every edit of every example that changes it."""
        found = [[edit(example) for edit in EDITS.values()] for example in examples]
        return [[each for each in row if each is not None] for row in found]
