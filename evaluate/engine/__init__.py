"""Where work is done: in this process, or on the workers of a Ray cluster."""

from __future__ import annotations

from evaluate.engine.engine import Engine, Failure, LocalEngine, Start, engine_of, only, stateless

__all__ = ["Engine", "Failure", "LocalEngine", "Start", "engine_of", "only", "stateless"]
