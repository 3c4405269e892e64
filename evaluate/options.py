"""Options that several commands share, as one argument each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, Literal, get_type_hints

import typer


@dataclass(frozen=True)
class ModelOptions:
    """How the model is loaded; see `heat.load`."""

    model: Annotated[
        str | None, typer.Option(help="Folder or hub name of a causal model. Default: the embedded reader.")
    ] = None
    dtype: Annotated[
        str | None,
        typer.Option(help="Number format of the weights: float32, bfloat16. Default: the model's own."),
    ] = None
    device_map: Annotated[
        str | None,
        typer.Option(help="Where the model is put: cpu, cuda, or auto for all there are. Default: cpu."),
    ] = None
    quantization: Annotated[
        Literal["4bit", "8bit"] | None, typer.Option(help="Squeeze the weights (extra quantization).")
    ] = None
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub model.")] = None
    offline: Annotated[
        bool, typer.Option("--offline", help="Take a hub model from what was fetched before.")
    ] = False
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run model code that comes with the checkpoint.")
    ] = False


@dataclass(frozen=True)
class EngineOptions:
    """Where the work is done, and which part of it."""

    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Work here, or on the workers of a Ray cluster (extra ray)."),
    ] = "local"
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join. Default: start one on this machine.")
    ] = None
    num_workers: Annotated[int, typer.Option(min=1, help="Ray workers; each holds the model once.")] = 2
    cpus_per_worker: Annotated[int, typer.Option(min=1, help="Cores of a Ray worker.")] = 1
    gpus_per_worker: Annotated[float, typer.Option(min=0, help="GPUs of a Ray worker.")] = 0.0
    resources: Annotated[
        list[str] | None,
        typer.Option(help="Custom resource of a Ray worker, as NAME=AMOUNT; may be repeated."),
    ] = None
    shard: Annotated[
        str | None,
        typer.Option(help="I/N: do the I-th of N parts, in a folder of its own; see evaluate merge."),
    ] = None
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what broke in an earlier run.")
    ] = False


def bundled(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options: on the command line each of their fields is an option of its own."""
    hints = get_type_hints(command, include_extras=True)
    own = inspect.signature(command).parameters
    bundles = {name: hints[name] for name in own if is_dataclass(hints[name])}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for parameter in own.values()
        for name, default, hint in _spread(parameter, hints[parameter.name])
    ]

    @wraps(command)
    def spread(**given: Any) -> None:
        for name, bundle in bundles.items():
            given[name] = bundle(**{field.name: given.pop(field.name) for field in fields(bundle)})
        command(**given)

    spread.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread.__annotations__ = {each.name: each.annotation for each in parameters}
    return spread


def _spread(parameter: inspect.Parameter, hint: Any) -> list[tuple[str, Any, Any]]:
    if not is_dataclass(hint):
        return [(parameter.name, parameter.default, hint)]
    hints = get_type_hints(hint, include_extras=True)
    return [(field.name, field.default, hints[field.name]) for field in fields(hint)]
