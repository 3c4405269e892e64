"""Commands that take dataclasses of options, for Typer, which knows single options alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def bundled(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options: on the command line each of their fields is an option of its own."""
    hints = get_type_hints(command, include_extras=True)
    declared = inspect.signature(command).parameters
    bundles = {name: hints[name] for name in declared if is_dataclass(hints[name])}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for parameter in declared.values()
        for name, default, hint in _spread(parameter, hints[parameter.name])
    ]

    @wraps(command)
    def spread(**options: Any) -> None:
        for name, bundle in bundles.items():
            options[name] = bundle(**{field.name: options.pop(field.name) for field in fields(bundle)})
        command(**options)

    spread.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return spread


def _spread(parameter: inspect.Parameter, hint: Any) -> list[tuple[str, Any, Any]]:
    if not is_dataclass(hint):
        return [(parameter.name, parameter.default, hint)]
    hints = get_type_hints(hint, include_extras=True)
    return [(field.name, getattr(parameter.default, field.name), hints[field.name]) for field in fields(hint)]
