"""Reading an answer that should be JSON, whatever a model puts around it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

import regex
from pydantic import BaseModel, BeforeValidator, ValidationError

from annotate.formats.format import FormatError
from annotate.formats.thinking import BEGINS, ENDS
from annotate.outside import mend_json

T = TypeVar("T", bound=BaseModel)

_EVENT = regex.compile(
    rf"(?P<object>\{{(?=\s*[\"}}]))|(?P<begins>{BEGINS})|(?P<ends>{ENDS})", regex.IGNORECASE
)
_TRIES = 100
"""Braces that begin no object after which the search ends: each costs a pass over the whole answer."""
# Strings are left as they are: the first group is empty outside of them.
_DIGITS = regex.compile(r'"(?:[^"\\]|\\.)*"|([^\D0-9]+)', regex.DOTALL)
# Only where an object ends is asked of this decoder, not what its numbers are.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


def _ascii_number(value: Any) -> Any:
    """A number in quotation marks as a number, whatever the script of its digits."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


Whole = Annotated[int, BeforeValidator(_ascii_number)]
"""A whole number of an answer; one in quotation marks may have the digits of any script."""


def parse_answer(model: type[T], content: str) -> T:
    """Find the first JSON object of the form of ``model`` that is not part of a model's thoughts.

    Around it anything may stand: thoughts, prose, a fence, further objects. What is in it is read strictly; an
    object within another one is part of that. Half a surrogate pair is read as U+FFFD, and a number in the digits of
    another script (``{"i": ٣}``) as the same number.

    Raises:
        FormatError: There is none; says where the first object, or the answer, is otherwise.
    """
    content = _DIGITS.sub(_ascii_digits, mend_json(content))
    failure: ValidationError | None = None
    for part, telling in ((content, True), *_objects(content)):
        try:
            return model.model_validate_json(part)
        except ValidationError as error:
            better = telling and not _is_no_json(error) and failure is not None and _is_no_json(failure)
            failure = error if failure is None or better else failure
    assert failure is not None  # the whole answer is tried at least
    first = failure.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the answer"
    raise FormatError(" ".join(f"{place}: {first['msg']}".split())) from failure


def _ascii_digits(match: regex.Match[str]) -> str:
    return "".join(str(int(digit)) for digit in match[1]) if match[1] else match[0]


def _is_no_json(error: ValidationError) -> bool:
    return error.errors()[0]["type"] == "json_invalid"


def _objects(content: str) -> Iterator[tuple[str, bool]]:
    """The JSON objects of an answer that are not part of thoughts, from left to right.

    Yields:
        The object, and whether it is surely not part of another one that is broken.
    """
    objects: list[tuple[str, bool]] = []
    thinking = False
    at = failed = 0
    while failed < _TRIES and (event := _EVENT.search(content, at)) is not None:
        at = event.end()
        if event["begins"]:
            thinking = True
        elif event["ends"]:
            # What was thought before an end without a beginning: the beginning was part of the prompt.
            objects = objects if thinking else []
            thinking = False
        elif not thinking:
            end = _end(content, event.start())
            failed += end is None
            objects += [(content[event.start() : end], failed == 0)] if end else []
            at = end or at
    yield from objects


def _end(content: str, start: int) -> int | None:
    """Where the JSON object that begins at ``start`` ends; ``None`` where none does."""
    try:
        return _DECODER.raw_decode(content, start)[1]
    except (ValueError, RecursionError):
        return None
