"""Models made of pieces: a ReLU's slope, an expert's choice, held where they are while a point is moved.

Such a model bends within its pieces alone, and that is what a second derivative says. A difference between two points
would see the jumps between pieces too: each is a gradient's jump over the whole step, however small the step is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from heat.errors import UnsupportedModelError
from heat.internals.forward import token_vectors
from heat.internals.probe import everywhere, once, two_texts
from heat.internals.state import frozen

Tape = list[tuple[str, Any]]

_COMPARED = {
    "gt",
    "ge",
    "lt",
    "le",
    "eq",
    "ne",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "not_equal",
}
_CHOSEN = {"argmax", "argmin", "argsort", "round", "floor", "ceil", "trunc", "sign"}
# These give values and where they stood, along a dimension.
_FOUND = {"topk", "sort", "max", "min", "kthvalue", "median", "mode", "cummax", "cummin"}
_LARGER = {"max", "maximum", "min", "minimum"}
_STRAIGHT = {
    "relu",
    "relu6",
    "leaky_relu",
    "hardtanh",
    "clamp",
    "clip",
    "clamp_min",
    "clamp_max",
    "abs",
    "absolute",
}
_STRAIGHT |= {"threshold", "hardsigmoid", "prelu", "amax", "amin"}
_KNOWN = _COMPARED | _CHOSEN | _FOUND | _LARGER | _STRAIGHT


@once
def has_pieces(model: PreTrainedModel) -> bool:
    """Whether the model chooses or breaks off anywhere between its embeddings and its answer."""
    seen = _Seen()
    batch = two_texts(model)
    with frozen(model), torch.enable_grad(), seen:
        everywhere(model, batch, token_vectors(model, batch).requires_grad_())
    return seen.any_choice


@contextmanager
def recorded(tape: Tape) -> Iterator[None]:
    """Write down every choice that is made in the context.

    Args:
        tape: Empty; choices are appended.
    """
    with _Recorder(tape):
        yield


@contextmanager
def held(tape: Tape) -> Iterator[None]:
    """Make the choices of a tape again, whatever the numbers say now.

    Args:
        tape: From `recorded`, of the same computation at another point with inputs of the same shapes.

    Raises:
        UnsupportedModelError: The computation went another way.
    """
    with _Holder(tape):
        yield


class _Mode(TorchFunctionMode, ABC):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, or what stands for it."""
        options = dict(kwargs or {})
        name = getattr(func, "__name__", "").strip("_")
        given = [value for value in (*args, *options.values()) if isinstance(value, Tensor)]
        if name not in _KNOWN or not any(value.is_floating_point() for value in given):
            return func(*args, **options)
        return self.met(name, func, args, options, given)

    @abstractmethod
    def met(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
        given: list[Tensor],
    ) -> Any:
        """What an operation of a piece gives."""


class _Seen(_Mode):
    any_choice = False

    def met(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
        given: list[Tensor],
    ) -> Any:
        self.any_choice = self.any_choice or any(value.requires_grad for value in given)
        return func(*args, **options)


class _Recorder(_Mode):
    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape

    def met(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
        given: list[Tensor],
    ) -> Any:
        if name == "relu":
            self.tape.append((name, given[0] > 0))
        elif name in _STRAIGHT:
            self.tape.append((name, _line(func, args, options, given[0])))
        elif name in _LARGER and len(given) == 2:
            self.tape.append((name, given[0] >= given[1] if name.startswith("max") else given[0] <= given[1]))
        result = func(*args, **options)
        if name in _COMPARED | _CHOSEN:
            self.tape.append((name, result))
        elif name in _FOUND and isinstance(result, tuple):
            self.tape.append((name, result[1]))
        elif name in _FOUND and isinstance(result, Tensor) and len(given) == 1:
            self.tape.append((name, int((given[0] == result).flatten().nonzero()[0])))
        return result


class _Holder(_Mode):
    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.rest = iter(tape)

    def met(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
        given: list[Tensor],
    ) -> Any:
        before: str
        choice: Any
        before, choice = next(self.rest, ("nothing", None))
        if before != name:
            raise UnsupportedModelError(
                f"a step away from the text this model takes another way ('{name}' where there was '{before}'), so "
                "its curvature cannot be had from differences; use products='double-backward'"
            )
        if name == "relu":
            return given[0] * choice
        if name in _STRAIGHT:
            point, value, slope = choice
            return value + slope * (given[0] - point)
        if name in _LARGER and len(given) == 2:
            return torch.where(choice, *given)
        if name in _COMPARED | _CHOSEN:
            return choice
        return _at(name, func, args, options, given[0], choice)


def _line(
    func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], at: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A piecewise straight function's point, value and slope there."""
    with torch.enable_grad():
        point = at.detach().clone().requires_grad_()
        moved = tuple(point if argument is at else argument for argument in args)
        value = func(
            *moved, **{name: point if argument is at else argument for name, argument in options.items()}
        )
        (slope,) = torch.autograd.grad(value.sum(), point)
    return point.detach(), value.detach(), slope


def _at(
    name: str,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    options: dict[str, Any],
    given: Tensor,
    index: Tensor | int,
) -> Any:
    """What a search along a dimension gives, taken from where it was found before."""
    if isinstance(index, int):  # of all its numbers
        return given.flatten()[index]
    place = 2 if name in ("topk", "kthvalue") else 1
    dim = options.get("dim", args[place] if len(args) > place else -1)
    if index.dim() == given.dim():
        values = given.gather(dim, index)
    else:
        values = given.gather(dim, index.unsqueeze(dim)).squeeze(dim)
    kind: Any = getattr(torch.return_types, name)
    return kind((values, index))
