"""The poster's tables as data: every printed cell, what it claims, and what here speaks to it."""

from __future__ import annotations

import tomllib
from typing import Annotated, Any, Literal

from pydantic import Field

from annotate.files import shipped
from annotate.schema import Record

BEST_BASELINE = "best baseline"
SLOWEST_BASELINE = "slowest baseline"

# In the poster's order.
FILES = ("benchmark", "main", "ablation", "robustness", "qualitative", "efficiency")


class Above(Record):
    """One method is claimed to be better than others in a metric.

    Attributes:
        evaluations: Where it is measured: a benchmark and a kind of metrics, such as ``curated-alignment``.
        metric: Name of the metric; where lower is better, better is lower.
        shows: The method that the cell is about, or `BEST_BASELINE`.
        figure: What is shown: the mean, or that of the better over that of the last of the others (as a factor or in
            percent; with ``shows`` in its place where that is another method).
        better: The method claimed to be better.
        than: The methods claimed to be worse, or `BEST_BASELINE`.
    """

    kind: Literal["above"]
    evaluations: tuple[str, ...]
    metric: str
    shows: str
    figure: Literal["mean", "ratio", "percent"]
    better: str
    than: tuple[str, ...]


class Faster(Record):
    """One method is claimed to be faster than another.

    Attributes:
        length: The short text or that of 2,048 tokens.
        shows: The method that the cell is about, or ``baselines``.
        figure: Seconds per 1,000 examples, or how many times as fast.
        faster: The method claimed to be faster, or `SLOWEST_BASELINE`.
        than: The one claimed to be slower.
    """

    kind: Literal["faster"]
    length: Literal["default", "long"]
    shows: str
    figure: Literal["seconds", "speed-up"]
    faster: str
    than: str


class Negative(Record):
    """Methods are claimed to get less than random scores do, most of them."""

    kind: Literal["negative"]
    evaluation: str
    metric: str
    methods: tuple[str, ...]


class AnnotatorAgreement(Record):
    """A figure of the agreement of the first two annotators."""

    kind: Literal["agreement"]
    figure: Literal["f1", "kappa"]


class Paragraphs(Record):
    """The number of paragraphs."""

    kind: Literal["paragraphs"]


class Words(Record):
    """Words are claimed to be the highest of a prompt."""

    kind: Literal["words"]
    prompt: str
    target: str
    words: tuple[str, ...]


class ModelRow(Record):
    """A model was tested; see the plans."""

    kind: Literal["model"]
    name: str


class Nothing(Record):
    """Nothing here can speak to it."""

    kind: Literal["nothing"]
    reason: str


Check = Annotated[
    Above | Faster | Negative | AnnotatorAgreement | Paragraphs | Words | ModelRow | Nothing,
    Field(discriminator="kind"),
]


class Cell(Record):
    """One printed figure.

    Attributes:
        row: As on the poster.
        column: As on the poster, or what it has to mean.
        printed: Exactly what is printed.
        claim: What the verdict is about; empty where there is none.
        scale: Why the printed scale is not ours; empty where it is.
        check: What here speaks to it.
    """

    row: str
    column: str
    printed: str
    claim: str = ""
    scale: str = ""
    check: Check


class PosterTable(Record):
    """One section of the poster.

    Attributes:
        note: What must be known to read it.
    """

    section: int
    title: str
    note: str = ""
    cell: tuple[Cell, ...]


class PosterModel(Record):
    """A model of the poster.

    Attributes:
        name: As on the poster.
        hub: Its name on the Hugging Face hub.
        config: Its configuration in data/models/configs.
        parameters: Number of weights, as published.
    """

    name: str
    hub: str
    config: str
    parameters: int


class Assumptions(Record):
    """What the plans for the poster's models assume.

    Attributes:
        device: In words.
        prompt_tokens: Length of a prompt.
    """

    device: str
    prompt_tokens: int


def load_poster() -> list[PosterTable]:
    """All tables, in the poster's order.

    Raises:
        AnnotateError: The installation lacks them.
    """
    return [PosterTable.model_validate(_toml(name)) for name in FILES]


def load_models() -> tuple[Assumptions, list[PosterModel]]:
    """The poster's models and what their plans assume."""
    data = _toml("models")
    models = [PosterModel.model_validate(entry) for entry in data["model"]]
    return Assumptions.model_validate(data["assumptions"]), models


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((shipped("poster") / f"{name}.toml").read_text("utf-8"))
