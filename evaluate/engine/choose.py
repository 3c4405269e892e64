"""The engine that the options of a command ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from evaluate.engine.engine import Engine, LocalEngine
from evaluate.errors import EngineError
from evaluate.options import EngineOptions, ModelOptions


@contextmanager
def open_engine(model: ModelOptions, options: EngineOptions) -> Iterator[Engine]:
    """An engine that holds a model, as long as the context lasts.

    Args:
        model: How the model is loaded.
        options: Where the work is done.

    Raises:
        EngineError: The workers cannot be had.
        HeatError: The model cannot be loaded.
    """
    import heat

    load = partial(
        heat.load,
        model.model,
        dtype=model.dtype,
        device=model.device_map,
        quantization=model.quantization,
        revision=model.revision,
        offline=model.offline,
        trust_remote_code=model.trust_remote_code,
    )
    if options.engine == "local":
        yield LocalEngine(load())
        return
    from evaluate.engine.ray import Cluster, RayEngine

    cluster = Cluster(
        address=options.address,
        num_workers=options.num_workers,
        cpus_per_worker=options.cpus_per_worker,
        gpus_per_worker=options.gpus_per_worker,
        resources=dict(_resource(text) for text in options.resources or []),
    )
    with RayEngine(load, cluster) as engine:
        yield engine


def _resource(text: str) -> tuple[str, float]:
    name, equals, amount = text.partition("=")
    try:
        if not (name and equals):
            raise ValueError
        return name, float(amount)
    except ValueError:
        raise EngineError(
            f"--resources takes NAME=AMOUNT, for instance gpu_a100=1, and not {text!r}"
        ) from None
