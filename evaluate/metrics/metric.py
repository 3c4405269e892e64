"""What a reader must know of a metric."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric's name, direction and source.

    Attributes:
        name: Key in every output.
        label: Column head.
        bounds: Smallest and largest possible value; infinite where there is none.
        higher_is_better: Direction.
        source: Where the definition comes from, and what of it is ours.
        shown: Whether the table at the terminal has a column for it; files hold all.
        small: Whether values may be far below 0.01 and still mean something.
    """

    name: str
    label: str
    bounds: tuple[float, float]
    higher_is_better: bool
    source: str
    shown: bool = True
    small: bool = False

    @property
    def worst(self) -> float:
        """What a method gets where its scores are not numbers; ``nan`` where nothing is the worst."""
        bound = self.bounds[0] if self.higher_is_better else self.bounds[1]
        return bound if math.isfinite(bound) else math.nan

    def better(self, value: float) -> float:
        """The value with its sign turned so that higher is better."""
        return value if self.higher_is_better else -value
