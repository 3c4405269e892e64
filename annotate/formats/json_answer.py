"""Reading an answer that should be JSON."""

from __future__ import annotations

from typing import TypeVar

import regex
from pydantic import BaseModel, ValidationError

from annotate.formats.format import FormatError

T = TypeVar("T", bound=BaseModel)

# Endpoints without structured output often wrap the object in a fence.
_FENCE = regex.compile(r"^\s*```(?:json)?\s*\n(.*)\n\s*```\s*$", regex.DOTALL)


def parse_answer(model: type[T], content: str) -> T:
    """Read ``content`` as JSON of the form of ``model``.

    Raises:
        FormatError: It is not; says where.
    """
    fenced = _FENCE.match(content)
    try:
        return model.model_validate_json(fenced.group(1) if fenced else content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the answer"
        raise FormatError(" ".join(f"{place}: {first['msg']}".split())) from error
