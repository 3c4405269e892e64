"""Several methods on one text: what they share is computed once, and where they differ is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heat.api import attribute
from heat.attribution import Attribution
from heat.batch import DEFAULT_BATCH_TOKENS
from heat.encoding import Encoded, Foil, Prompt, Target, encode
from heat.errors import ConfigError
from heat.method import Method
from heat.model import LanguageModel
from heat.parts import recombine, suffices
from heat.projection import Aggregation
from heat.registry import build
from heat.units import Unit, UnitScores

if TYPE_CHECKING:
    from pandas import DataFrame


def attribute_each(
    lm: LanguageModel,
    prompt: Prompt | Encoded,
    target: Target | None = None,
    methods: Sequence[str | Method] = ("heat",),
    *,
    foil: Foil | None = None,
    seed: int = 0,
    max_targets: int | None = None,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> list[Attribution]:
    """Attribute one text with several methods.

    A method that is made of parts which another one of them computes anyway (`kl-only` beside `heat`) takes none of its
    own; see `heat.recombine`.

    Args:
        lm: The model.
        prompt: As for `heat.attribute`.
        target: As for `heat.attribute`.
        methods: Registered names, or method objects.
        foil: As for `heat.attribute`.
        seed: Seed of whatever the methods draw.
        max_targets: Explain the first N target tokens only.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        One attribution for each method, in their order.

    Raises:
        HeatError: As for `heat.attribute`.
    """
    chosen = [build(method, {}) for method in methods]
    encoded = (
        prompt
        if isinstance(prompt, Encoded)
        else encode(lm, prompt, target, foil=foil, max_targets=max_targets)
    )
    sources = _sources(chosen, len(encoded.token_ids) - 1)
    found = {
        source: attribute(lm, encoded, None, chosen[source], seed=seed, batch_tokens=batch_tokens)
        for source in dict.fromkeys(sources)
    }
    return [
        found[source] if source == index else recombine(found[source], chosen[index])
        for index, source in enumerate(sources)
    ]


def _sources(methods: Sequence[Method], n_tokens: int) -> list[int]:
    """For each method the one that computes its parts: itself, or another whose parts hold all of its own."""

    def covers(other: int, index: int) -> bool:
        """Of two methods with the same parts the first covers the second."""
        if other == index or not suffices(methods[index], methods[other], n_tokens):
            return False
        return other < index or not suffices(methods[other], methods[index], n_tokens)

    everyone = range(len(methods))
    computed = [index for index in everyone if not any(covers(other, index) for other in everyone)]
    return [
        index if index in computed else next(other for other in computed if covers(other, index))
        for index in everyone
    ]


@dataclass(frozen=True)
class Disagreement:
    """A unit of the prompt that methods rank differently.

    Attributes:
        index: Which unit.
        text: Its text.
        ranks: Its rank under each method; 1 speaks most for the target, equal scores share their mean rank.
    """

    index: int
    text: str
    ranks: tuple[float, ...]

    @property
    def gap(self) -> float:
        """Between the highest rank and the lowest."""
        return max(self.ranks) - min(self.ranks)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several methods on one text, unit by unit.

    Attributes:
        attributions: One for each of k methods.
        unit: What the prompt was divided into.
        aggregation: How a unit's score is made of its tokens'.
        units: The prompt's units with their scores, one for each method.
        scores: float64 [k, U], of the target or summed over all of them.
        correlation: Spearman's rank correlation of every two methods, float64 [k, k]; nan for a method that says the
            same of all units.
        disagreements: Units that are ranked differently, those with the largest gap first.
    """

    attributions: tuple[Attribution, ...]
    unit: Unit
    aggregation: Aggregation
    units: tuple[UnitScores, ...]
    scores: NDArray[np.float64]
    correlation: NDArray[np.float64]
    disagreements: tuple[Disagreement, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The methods; where a name occurs twice, numbered."""
        names = [attribution.method for attribution in self.attributions]
        return tuple(
            name if names.count(name) == 1 else f"{name} {names[: index + 1].count(name)}"
            for index, name in enumerate(names)
        )

    def to_frame(self) -> DataFrame:
        """A row a unit: its text, and a column of scores for each method."""
        import pandas as pd

        columns = dict(zip(self.names, self.scores, strict=True))
        return pd.DataFrame({self.unit: self.units[0].texts, **columns})


def compare(
    attributions: Sequence[Attribution],
    unit: Unit = "word",
    aggregation: Aggregation = "mean",
    target: int | None = None,
) -> Comparison:
    """Compare what several methods say about one text.

    Args:
        attributions: At least one, all of the same tokens and targets.
        unit: What to divide the prompt into; see `Attribution.by`.
        aggregation: How a unit's score is made of its tokens'.
        target: Index of the target token; None sums over all of them.

    Returns:
        Scores, rank correlations and disagreements.

    Raises:
        ConfigError: They are about different texts, or there is none.
        UnitError: The prompt has no such units.
    """
    from scipy.stats import rankdata

    if not attributions:
        raise ConfigError("there is nothing to compare; give at least one attribution")
    first = attributions[0]
    if any((one.token_ids, one.target_span) != (first.token_ids, first.target_span) for one in attributions):
        raise ConfigError(
            "the attributions are about different tokens or targets; compare methods on one text and model"
        )
    units = tuple(attribution.by(unit, aggregation) for attribution in attributions)
    scores = np.stack([one.scores.sum(0) if target is None else one.scores[target] for one in units])
    ranks = np.stack([rankdata(-row) for row in scores]) if scores.shape[1] else scores
    disagreements = [
        Disagreement(index, units[0].texts[index], tuple(float(rank) for rank in ranks[:, index]))
        for index in range(scores.shape[1])
    ]
    ordered = sorted((one for one in disagreements if one.gap > 0), key=lambda one: (-one.gap, one.index))
    return Comparison(
        tuple(attributions), unit, aggregation, units, scores, _correlation(ranks), tuple(ordered)
    )


def _correlation(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's correlation of ranks [k, U], which is Spearman's; nan for equal ranks."""
    centred = ranks - ranks.mean(axis=1, keepdims=True) if ranks.shape[1] else ranks
    lengths = np.sqrt((centred**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = centred @ centred.T / np.outer(lengths, lengths)
    return np.asarray(np.clip(values, -1.0, 1.0))
