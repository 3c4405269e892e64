"""What each model takes, costs and when it is shut down: data from ``data/models/openai.toml``."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from annotate.errors import LabelError
from annotate.files import shipped
from annotate.protocol import Usage
from annotate.schema import Record

PROFILES = "models/openai.toml"
_SNAPSHOT = re.compile(r"(-\d{4}-\d{2}-\d{2}|-latest)?")


class ModelProfile(Record):
    """One model of the API.

    Attributes:
        name: Name in the file, without the date of a snapshot; empty for a model that is not in it.
        as_of: Day on which the file was true; ``None`` for a model that is not in it.
        temperature: Whether temperature may be sent: ``always``, only with effort ``none``, or ``never``.
        cap_param: Parameter that caps the answer's tokens.
        efforts: Values of ``reasoning_effort``; empty where it may not be sent.
        default_effort: The effort sent when none is asked for; empty where none is.
        structured: How the answer's form can be asked for.
        batch: Whether the Batch API takes the model.
        window: Tokens of question and answer together, or ``None`` when not known.
        input: US dollars for a million tokens of input, or ``None`` when not known; so ``cached`` and
            ``output``.
        cached: The same for input the server had cached.
        output: The same for output, reasoning included.
        batch_factor: Price in a batch relative to an online request.
        shutdown: Day from which the model no longer answers, or ``None`` when none is announced.
    """

    name: str = ""
    as_of: date | None = None
    temperature: Literal["always", "effort_none", "never"] = "always"
    cap_param: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    efforts: tuple[str, ...] = ()
    default_effort: str = ""
    structured: Literal["strict", "json_object", "none"] = "strict"
    batch: bool = False
    window: int | None = None
    input: float | None = None
    cached: float | None = None
    output: float | None = None
    batch_factor: float = 0.5
    shutdown: date | None = None

    @property
    def known(self) -> bool:
        """Whether the model is in the file; the body for one that is not holds what cannot be left out."""
        return bool(self.name)


def profile(model: str) -> ModelProfile:
    """The profile of the longest name that ``model`` starts with; an empty one where there is none.

    What follows the name must be the date of a snapshot: "gpt-5-pro" is no "gpt-5", and costs ten times as much.

    Raises:
        LabelError: The file is damaged.
    """
    table = _profiles(shipped(PROFILES))
    names = [name for name in table if model.startswith(name) and _SNAPSHOT.fullmatch(model[len(name) :])]
    return table[max(names, key=len)] if names else ModelProfile()


@cache
def _profiles(path: Path) -> dict[str, ModelProfile]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return {
            name: ModelProfile(name=name, as_of=content["as_of"], **fields)
            for name, fields in content["models"].items()
        }
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValidationError) as error:
        raise LabelError(f"{path} is no file of model profiles: {error}") from error


def profile_place(model: str, field: str) -> str:
    """Where to edit ``field`` of a model's profile: file and line, or what to add where it is not in it.

    Args:
        model: Name of a model.
        field: A field of its profile, for instance ``"temperature"``.
    """
    path = shipped(PROFILES)
    name = profile(model).name
    if not name:
        return f'{path} (add [models."{model}"] with {field} = ...)'
    lines = path.read_text(encoding="utf-8").splitlines()
    header = lines.index(f'[models."{name}"]')
    for number, line in enumerate(lines[header + 1 :], start=header + 2):
        if line.startswith("["):
            break
        if line.partition("=")[0].strip() == field:
            return f"{path} line {number}"
    return f"{path} line {header + 1} (add {field} = ... below it)"


def cost_usd(usage: Usage | None, model: ModelProfile, batch: bool = False) -> float | None:
    """Price of one attempt.

    ``((input - cached) x input price + cached x cached price + output x output price) / 10^6``, reasoning
    tokens being part of the output.

    Args:
        usage: Tokens billed, or ``None`` when unknown.
        model: The model's profile.
        batch: Whether it was part of a batch.

    Returns:
        US dollars, or ``None`` when tokens or prices are not known; never 0 for unknown.
    """
    if usage is None or model.input is None or model.output is None:
        return None
    cached = model.input if model.cached is None else model.cached
    fresh = usage.input_tokens - usage.cached_tokens
    total = fresh * model.input + usage.cached_tokens * cached + usage.output_tokens * model.output
    return total / 1e6 * (model.batch_factor if batch else 1)


def retirement(model: str, today: date) -> str:
    """A warning that ``model`` is being or has been shut down; empty where nothing is announced.

    Args:
        model: Name of a model.
        today: The day of the run.
    """
    known = profile(model)
    if known.shutdown is None:
        return ""
    days = (known.shutdown - today).days
    when = f"in {days} days" if days > 0 else "already"
    return (
        f"{model} is shut down on {known.shutdown} ({when}; known on {known.as_of}):"
        " keep the ledger, its answers cannot be had again"
    )
