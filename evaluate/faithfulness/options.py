"""What is done to a context, how often, and from which seed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, field_validator

from annotate.schema import Record

Erasure = Literal["delete", "pad", "mean", "zero", "attention"]


class MetricGroup(StrEnum):
    """Metrics that are asked for together; most of what faithfulness costs."""

    CURVES = "curves"
    MAS = "mas"
    SOFT = "soft"
    REAGENT = "reagent"
    INFIDELITY = "infidelity"


class Options(Record):
    """Everything that a faithfulness figure depends on beside the attribution and the model.

    Attributes:
        erase: What stands for a token that is taken away: `delete` closes the gap; `pad`, `mean` and `zero` put that
            embedding in its place; `attention` hides it. RISE and MAS always pad, as published.
        bins: Shares of the tokens that AOPC takes away or keeps (ERASER).
        steps: Steps of insertion, deletion, RISE and MAS.
        retentions: π of the soft metrics.
        draws: Bernoulli draws a retention, the same for all methods; nine retentions already average over nine masks.
        random_draws: Random scores that the soft metrics are set beside.
        subsets: Random subsets of infidelity, each token in with probability a half.
        top_k: Tokens whose joint removal makes the log-probability drop.
        without: Groups of metrics that are not computed: `curves` (insertion and deletion), `mas` (with RISE), `soft`,
            `reagent`, `infidelity`. Comprehensiveness, sufficiency and the drop are always there, and cost least.
    """

    erase: Erasure = "delete"
    bins: tuple[float, ...] = (0.01, 0.05, 0.1, 0.2, 0.5)
    steps: Annotated[int, Field(ge=2)] = 20
    retentions: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    draws: Annotated[int, Field(ge=1)] = 1
    random_draws: Annotated[int, Field(ge=1)] = 10
    subsets: Annotated[int, Field(ge=2)] = 32
    top_k: Annotated[int, Field(ge=1)] = 5
    without: tuple[MetricGroup, ...] = ()

    @field_validator("without")
    @classmethod
    def _in_order(cls, groups: tuple[MetricGroup, ...]) -> tuple[MetricGroup, ...]:
        """One order, so that the same choice is found again in a results folder."""
        return tuple(group for group in MetricGroup if group in groups)

    def computes(self, group: MetricGroup) -> bool:
        """Whether a group of metrics is computed."""
        return group not in self.without
