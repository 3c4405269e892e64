"""Options of an annotator as they are typed: ``NAME:key=value,key=value``."""

from __future__ import annotations

from annotate.errors import LabelError


def parse_options(annotator: str, text: str, known: tuple[str, ...]) -> dict[str, str]:
    """Split ``key=value,key=value``.

    Args:
        annotator: Name to be given in an error.
        text: What stands after the colon; may be empty.
        known: The keys that exist.

    Raises:
        LabelError: An option is malformed, unknown or given twice.
    """
    options: dict[str, str] = {}
    for part in text.split(",") if text else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in known:
            listed = ", ".join(f"{name}=..." for name in known) or "none"
            raise LabelError(f"annotator {annotator}: {part!r} is no option of it; there are: {listed}")
        if key in options:
            raise LabelError(f"annotator {annotator}: the option {key} is given twice")
        options[key] = value
    return options


def rate(annotator: str, key: str, value: str) -> float:
    """A share between 0 and 1.

    Raises:
        LabelError: ``value`` is something else.
    """
    share = number(annotator, key, value)
    if not 0 <= share <= 1:
        raise LabelError(f"annotator {annotator}: {key}={value} must lie between 0 and 1")
    return share


def seconds(annotator: str, key: str, value: str) -> float:
    """A duration of 0 or more.

    Raises:
        LabelError: ``value`` is something else.
    """
    duration = number(annotator, key, value)
    if not 0 <= duration < float("inf"):
        raise LabelError(f"annotator {annotator}: {key}={value} must be 0 or more seconds")
    return duration


def whole(annotator: str, key: str, value: str) -> int:
    """A whole number.

    Raises:
        LabelError: ``value`` is something else.
    """
    try:
        return int(value)
    except ValueError:
        raise LabelError(f"annotator {annotator}: {key}={value} must be a whole number") from None


def number(annotator: str, key: str, value: str) -> float:
    """A number.

    Raises:
        LabelError: ``value`` is something else.
    """
    try:
        return float(value)
    except ValueError:
        raise LabelError(f"annotator {annotator}: {key}={value} must be a number") from None
