"""A sparse linear model of what the target's probability does when parts of the prompt are deleted."""

import warnings
from dataclasses import dataclass
from math import log, sqrt
from types import MappingProxyType
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from heat.algorithms.draws import generator_for
from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
from heat.deletion import ByDeletion, Deletions, score_by_deletion
from heat.errors import ConfigError, UnitError
from heat.method import Method, Scores
from heat.model import LanguageModel
from heat.registry import register
from heat.sources import Sources
from heat.units import Unit


@register("context-cite")
@dataclass(frozen=True)
class ContextCite(ByDeletion, Method):
    """Weights of a Lasso that predicts the target's log-odds from which sources of the prompt are left in.

    Sources are deleted at random, each kept with probability `keep`, and g(v) = log p - log(1 - p) of the target is
    fitted to the standardised masks v by least squares with an L1 penalty of `alpha`; a source's score is its
    coefficient by the mask's standard deviation. With a foil p is that over target and foil, so g = log p(target) - log
    p(foil). 1 - p is summed over all other tokens, so that g is finite also where p rounds to 1.

    The paper explains a response as a whole and cites a document in front of a question, which stays. Here each target
    token is a response of its own, and all of the prompt is source but a beginning-of-text token, which stays and gets
    0. A source is a run of tokens, deleted from the ids: what is left is not tokenised anew, and moves up. A source's
    score is shared evenly by its tokens. A draw that leaves nothing at all keeps the last source.

    Attributes:
        sources: `words` or `sentences` of the decoded ids, marks of a chat's turns among them; without a tokenizer
            every token is a source. The older option: `mask_unit`, where it is given, says what a source is.
        mask_unit: What is deleted at once, by the rule of the other methods that mask: a `token`, or a `word`,
            `sentence`, `line`, `message` or `example`; marks of a turn stay. On a plain text `word` and `sentence` are
            the same as `sources`.
        n_ablations: Random deletions.
        alpha: Weight of the L1 penalty.
        keep: Probability that a source is left in.
    """

    summary = "sparse regression on random deletions of words or sentences"
    source = "Cohen-Wang et al. 2024"
    needs = ("forward", "tokenizer")
    signed = True
    neutral = MappingProxyType({"mask_unit": None})

    sources: Sources = "words"
    n_ablations: Annotated[int, Field(ge=2)] = 64
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.01
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.5
    mask_unit: Unit | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask_unit is not None and self.sources != "words":
            raise ConfigError("context-cite deletes sources or units, not both; give mask_unit alone")

    @property
    @override
    def masks(self) -> Unit:
        return self.mask_unit or "token"

    @override
    def score(
        self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
    ) -> Scores:
        return score_by_deletion(self, lm, batch, seed=seed, batch_tokens=batch_tokens)

    @override
    def by_deletion(self, text: Deletions, *, seed: int) -> Tensor:
        source_of = self._sources(text)
        n_sources = int(source_of.max()) + 1
        if n_sources == 0:
            return torch.zeros(text.n_tokens)
        generator = generator_for(text.token_ids, text.target_id, seed)
        masks = torch.rand(self.n_ablations, n_sources, generator=generator) < self.keep
        if bool((source_of >= 0).all()):
            masks[~masks.any(-1), -1] = True
        left_in = masks[:, source_of.clamp_min(0)] | (source_of < 0)
        weights = fit(masks.numpy(), text.log_odds(left_in).numpy(), self.alpha)
        sizes = torch.bincount(source_of[source_of >= 0])
        shared = torch.from_numpy(weights).float() / sizes
        return torch.where(source_of >= 0, shared[source_of.clamp_min(0)], 0.0)

    def _sources(self, text: Deletions) -> Tensor:
        """Which source each of the n tokens before a target belongs to, from 0; -1 for none. int64 [n]."""
        if self.mask_unit is None:
            return torch.tensor(text.sources(self.sources))
        if self.mask_unit == "token":
            return torch.arange(text.n_tokens) - text.n_fixed
        if text.units is None:
            raise UnitError("a unit can be masked at once in a text alone; attribute with heat.attribute")
        units = torch.tensor(text.units)
        numbers: Tensor = torch.unique(units, return_inverse=True)[1]
        # What belongs to no unit is -1, and stays the lowest number.
        return numbers - int(units.min() < 0)

    @override
    def deletions(self, n_tokens: int) -> int:
        return self.n_ablations

    @override
    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        """Forward-equivalents; a pass over a share of the tokens counts as that share.

        An estimate: the texts of a pass are padded to the longest of them, about √(2 ln m) standard deviations above
        the mean of m binomials.
        """
        together = min(self.n_ablations, rows_within(DEFAULT_BATCH_TOKENS, n_tokens))
        deviation = sqrt(2 * log(max(2, together)) * self.keep * (1 - self.keep) / max(1, n_tokens))
        return {"ablations": min(1.0, self.keep + deviation) * self.n_ablations * n_targets}


def fit(masks: np.ndarray, outcomes: np.ndarray, alpha: float) -> np.ndarray:
    """Lasso on standardised masks, its coefficients given back in the masks' own units.

    Args:
        masks: Bool [n, sources], what was left in.
        outcomes: float64 [n].
        alpha: Weight of the L1 penalty.

    Returns:
        float64 [sources]; 0 for a source that was never deleted, or never left in.
    """
    # Here, as no other method needs it and it takes a second to import.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import Lasso
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(masks.astype(float))
    model = Lasso(alpha=alpha, tol=1e-10, max_iter=100_000)
    with warnings.catch_warnings():
        # With more sources than ablations the last digits may not settle; the gap left is a millionth of the variance.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaler.transform(masks.astype(float)), outcomes)
    coefficients: np.ndarray = model.coef_ / scaler.scale_
    return coefficients
