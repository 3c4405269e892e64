"""Where work is done: in this process, or on the workers of a Ray cluster."""

from __future__ import annotations

from evaluate.engine.engine import Engine, Failed, LocalEngine, engine_of, only

__all__ = ["Engine", "Failed", "LocalEngine", "engine_of", "only"]
