"""How fast and how much may be asked: requests and tokens a minute, and money."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of an online run.

    Attributes:
        concurrency: Most attempts in flight.
        rpm: Most requests a minute; no limit when ``None``.
        tpm: Most tokens a minute; no limit when ``None``.
        max_attempts: Attempts at one request before it is given up.
        max_time_s: Seconds from the first attempt at a request after which it is given up.
        max_cost: US dollars this run may spend; no limit when ``None``.
        timeout_s: Seconds after which an attempt is given up.
    """

    concurrency: int = 8
    rpm: float | None = None
    tpm: float | None = None
    max_attempts: int = 8
    max_time_s: float = 3600.0
    max_cost: float | None = None
    timeout_s: float = 120.0


DEFAULT_LIMITS = Limits()


class Pace:
    """Spreads units evenly over time, so that no window of a minute holds more than allowed, nor the first.

    The next units may be taken when those taken before would have passed at the steady rate (generic cell rate
    algorithm without burst).

    Args:
        per_minute: Units a minute, or ``None`` for no limit.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 60 / per_minute if per_minute else 0.0
        self.free_at = float("-inf")

    def take(self, units: float, now: float) -> None:
        """Take ``units`` at ``now``; the next may be taken at ``free_at``."""
        self.free_at = max(self.free_at, now) + units * self._seconds

    def give_back(self, units: float) -> None:
        """Give back units that were taken and not used."""
        self.free_at -= units * self._seconds


class Budget:
    """Money that may be spent, counting what is in flight at its worst.

    Args:
        limit: US dollars, or ``None`` for no limit.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.spent = 0.0
        self.held = 0.0

    def allows(self, worst: float | None) -> bool:
        """Whether a request that costs at most ``worst`` may be made now."""
        return self.limit is None or (worst is not None and self.spent + self.held + worst <= self.limit)

    def hold(self, worst: float | None) -> None:
        """Count a request in flight."""
        self.held += worst or 0.0

    def settle(self, worst: float | None, cost: float | None) -> None:
        """Count what a request in flight did cost; at its worst where ``cost`` is not known."""
        self.held -= worst or 0.0
        self.spent += (worst or 0.0) if cost is None else cost
