"""Commands whose options come in bundles: a frozen dataclass of options is one argument of the function."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints

from typer.core import TyperCommand, TyperOption
from typing_extensions import override


class OnceCommand(TyperCommand):
    """A command that refuses an option given twice, where Typer would take the last one silently."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; options that may be repeated are lists and stay so."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        counted = Counter(
            option.opts[0]
            for option in order
            if isinstance(option, TyperOption) and not (option.multiple or option.is_flag)
        )
        for name, times in counted.items():
            if times > 1:
                ctx.fail(f"{name} is given {times} times; give it once")
        return super().parse_args(ctx, args)


def bundled(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options: on the command line each of their fields is an option of its own.

    Args:
        command: A function whose parameters are options, or dataclasses of options with a ready one as default.

    Returns:
        The function that Typer should register: all options are parameters of it.
    """
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command).parameters
    bundles = {name: hints[name] for name in signature if is_dataclass(hints[name])}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for parameter in signature.values()
        for name, default, hint in _spread(parameter, hints[parameter.name])
    ]

    @wraps(command)
    def spread(**given: Any) -> None:
        for name, bundle in bundles.items():
            given[name] = bundle(**{field.name: given.pop(field.name) for field in fields(bundle)})
        command(**given)

    spread.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return spread


def _spread(parameter: inspect.Parameter, hint: Any) -> list[tuple[str, Any, Any]]:
    if not is_dataclass(hint):
        return [(parameter.name, parameter.default, hint)]
    hints = get_type_hints(hint, include_extras=True)
    return [(field.name, getattr(parameter.default, field.name), hints[field.name]) for field in fields(hint)]
