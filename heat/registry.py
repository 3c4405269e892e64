"""The methods there are, by name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from difflib import get_close_matches
from importlib import import_module
from typing import Any, TypeVar

from heat.errors import ConfigError, UnknownMethodError
from heat.method import Method

M = TypeVar("M", bound=type[Method])

_REGISTERED: dict[str, type[Method]] = {}


def register(name: str) -> Callable[[M], M]:
    """Class decorator that makes a method known under a name.

    Args:
        name: Name on the command line and in results; unique.

    Returns:
        The decorator; it returns the class itself.

    Raises:
        ConfigError: The name is taken.
    """

    def add(method: M) -> M:
        if name in _REGISTERED:
            raise ConfigError(
                f"a method named '{name}' is registered already: {_REGISTERED[name].__qualname__}"
            )
        method.name = name
        _REGISTERED[name] = method
        return method

    return add


def methods() -> dict[str, type[Method]]:
    """All registered methods, sorted by name.

    Returns:
        Name to class; a new dict, so changing it registers nothing.
    """
    import_module("heat.algorithms")
    return dict(sorted(_REGISTERED.items()))


def configured(names: Sequence[str], settings: Sequence[tuple[str, Any]]) -> list[Method]:
    """Methods with the options that a command line gives them.

    Args:
        names: Registered names.
        settings: Option and value: `option` for every method that has it, `method.option` for one of them.

    Returns:
        The methods, in order.

    Raises:
        ConfigError: A method is named twice, or an option belongs to none of them or has a value it cannot have.
        UnknownMethodError: No such name.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"--method {twice} is given {names.count(twice)} times; give it once")
    kinds = {name: build(name, {}) for name in names}
    options: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in settings:
        method, separator, option = key.rpartition(".")
        if separator and method not in kinds:
            raise ConfigError(
                f"--set {key} is about '{method}', which is none of the methods: {', '.join(names)}"
            )
        having = [method] if separator else [n for n in names if option in {f.name for f in fields(kinds[n])}]
        # Where none has it, the first says so and names what it has.
        for name in having or names[:1]:
            options[name][option] = value
    return [build(name, options[name]) for name in names]


def build(method: str | Method, config: dict[str, Any]) -> Method:
    """A method by name with options, or the one given.

    Args:
        method: Registered name, or a ready method (then without options).
        config: Options; those left out have their defaults.

    Returns:
        The method.

    Raises:
        UnknownMethodError: No such name.
        ConfigError: An option is unknown or has a value it cannot have.
    """
    if isinstance(method, Method):
        if config:
            raise ConfigError(
                f"options {sorted(config)} were given beside a ready method; put them into the method"
            )
        return method
    known = methods()
    if method not in known:
        raise UnknownMethodError(
            f"there is no method '{method}'; {_meant(method, known)}there are: {', '.join(known)}"
        )
    options = [option.name for option in fields(known[method])]
    strange = sorted(set(config) - set(options))
    if strange:
        listed = ", ".join(options) or "none"
        meant = _meant(strange[0], options)
        raise ConfigError(f"method '{method}' has no option '{strange[0]}'; {meant}its options: {listed}")
    return known[method](**config)


def _meant(name: str, known: Iterable[str]) -> str:
    """What a mistyped name was meant to be, as the beginning of a sentence; empty where nothing is close."""
    close = get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'? " if close else ""
