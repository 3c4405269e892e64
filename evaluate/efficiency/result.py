"""What was measured of a method's cost, and what follows from it."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Literal

from annotate.schema import Record

if TYPE_CHECKING:
    import pandas as pd


class Cost(Record):
    """One method on one text.

    Attributes:
        key: Of the block of rows that were measured together.
        method: Registered name.
        config: Its options.
        tokens: Length of the text, its target token included.
        seconds: Wall-clock seconds of each timed run; empty where it was skipped.
        forward_seconds: Of one forward pass over the same text, timed just before each of these.
        counted: Floating-point operations over those of that forward pass; ``None`` where it was skipped.
        predicted: Forward-equivalents that the method says of itself, the pass for the log-probability included.
        peak_bytes: Memory that it holds at its peak beside the model; ``None`` where the system does not tell.
        skipped: Why it was not measured.
    """

    schema_version: Literal[1] = 1
    key: str
    method: str
    config: dict[str, Any]
    tokens: int
    seconds: tuple[float, ...] = ()
    forward_seconds: tuple[float, ...] = ()
    counted: float | None = None
    predicted: float
    peak_bytes: int | None = None
    skipped: str = ""

    @property
    def seconds_per_1000(self) -> float | None:
        """A thousand times the median run; ``None`` where it was skipped."""
        return 1000 * statistics.median(self.seconds) if self.seconds else None

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each run over the forward pass timed beside it."""
        return tuple(a / b for a, b in zip(self.seconds, self.forward_seconds, strict=True))

    @property
    def ratio(self) -> float | None:
        """Median of the ratios; ``None`` where it was skipped."""
        return statistics.median(self.ratios) if self.ratios else None


class Efficiency(Record):
    """What methods cost on texts of several lengths, and where that was measured.

    Attributes:
        command: The command line, or the call.
        task: Benchmark whose text was cut to length.
        source: Where its rows came from.
        model: Name of the model.
        revision: Hub commit or checksum of its files; ``random`` with a seed for random weights.
        dtype: Precision.
        device: Where it ran.
        threads: Threads that the processor's library may use.
        weight_bytes: Memory of the weights.
        seed: Seed of the texts and the methods.
        repeats: Timed runs of each method, by turns with the others.
        budget: Predicted seconds a run beyond which a method is not run.
        rows: Costs, by length and then by seconds.
        versions: Of the libraries.
    """

    schema_version: Literal[1] = 1
    command: str
    task: str
    source: str
    model: str
    revision: str
    dtype: str
    device: str
    threads: int
    weight_bytes: int
    seed: int
    repeats: int
    budget: float
    rows: tuple[Cost, ...]
    versions: dict[str, str]

    @property
    def lengths(self) -> list[int]:
        """Lengths measured, shortest first."""
        return sorted({row.tokens for row in self.rows})

    @property
    def frame(self) -> pd.DataFrame:
        """A row a length and method."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "tokens": row.tokens,
                    "method": row.method,
                    "seconds_per_1000": row.seconds_per_1000,
                    "forward_passes_of_time": row.ratio,
                    "forward_passes_counted": row.counted,
                    "forward_passes_predicted": row.predicted,
                    "peak_bytes": row.peak_bytes,
                    "forward_seconds": statistics.median(row.forward_seconds)
                    if row.forward_seconds
                    else None,
                    "skipped": row.skipped,
                }
                for row in self.rows
            ]
        )
