"""What the page may send: a request to explain something, checked field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from heat.answers import THRESHOLD
from heat.errors import HeatError
from heat.files import MOST_BYTES
from heat.projection import Aggregation
from heat.units import Unit

if TYPE_CHECKING:
    from typing import Self

    from heat.chat import Messages

# Of one request.
MOST_METHODS = 6

Kind = TypeVar("Kind", bound=BaseModel)


class WireError(HeatError):
    """A message from the page cannot be read."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Message(_Record):
    """One message of a chat."""

    role: Annotated[str, Field(min_length=1, max_length=40)]
    content: Annotated[str, Field(max_length=MOST_BYTES)]


class MethodChoice(_Record):
    """A method with the options that differ from its own; values as text, as on a command line."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    options: dict[str, Annotated[str, Field(max_length=1000)]] = {}


class ExplainRequest(_Record):
    """What is to be explained, and how.

    Attributes:
        prompt: The text; None for a chat.
        messages: The chat; None for a text.
        target: What to explain; None for what the model says.
        foil: What might have been said instead.
        foil_at: Which token of the answer, from 1, it might have been said instead of; None: it stands against the
            whole answer, token for token.
        max_targets: The most tokens that the model says, or that are kept of a given answer.
        threshold: Least divergence (nats) of a token that depends on the text and is explained, see `heat.answers`;
            None: all of them are explained.
        methods: At least one.
        seed: Seed of whatever is drawn.
    """

    prompt: Annotated[str, Field(max_length=MOST_BYTES)] | None = None
    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=200)] | None = None
    target: Annotated[str, Field(max_length=MOST_BYTES)] | None = None
    foil: Annotated[str, Field(min_length=1, max_length=MOST_BYTES)] | None = None
    foil_at: Annotated[int, Field(ge=1, le=1024)] | None = None
    max_targets: Annotated[int, Field(ge=1, le=1024)] = 8
    threshold: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] | None = THRESHOLD
    methods: Annotated[tuple[MethodChoice, ...], Field(min_length=1, max_length=MOST_METHODS)]
    seed: Annotated[int, Field(ge=0, lt=1 << 53)] = 0

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give a prompt or chat messages, one of them")
        if self.foil_at is not None and self.foil is None:
            raise ValueError("a token is to be contrasted, but not with what: give a foil")
        return self

    @property
    def asked(self) -> str | Messages:
        """The prompt as `heat.attribute` takes it."""
        if self.messages is None:
            assert self.prompt is not None
            return self.prompt
        return [{"role": message.role, "content": message.content} for message in self.messages]


class Submission(_Record):
    """A request with the page's own name for it, so that one sent twice is run once."""

    key: Annotated[str, Field(min_length=8, max_length=64)]
    request: ExplainRequest


class Recombination(_Record):
    """How stored parts are put together for a download."""

    method: Annotated[str, Field(min_length=1, max_length=80)]
    options: dict[str, Any] = {}


class Item(_Record):
    """What one method of a run found.

    Attributes:
        run: The run.
        index: Position of the method in it.
        parts: How its parts are put together; None as it was computed.
    """

    run: Annotated[str, Field(min_length=1, max_length=80)]
    index: Annotated[int, Field(ge=0, lt=MOST_METHODS)]
    parts: Recombination | None = None


class DownloadRequest(_Record):
    """What goes into a file, and how it is shown there.

    Attributes:
        items: Methods of one run or of two.
        unit: What the prompts are divided into.
        aggregation: How a unit's number is made of its tokens'.
        skip_first: Leave special tokens and the first token out of pages and pictures.
    """

    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=2 * MOST_METHODS)]
    unit: Unit = "word"
    aggregation: Aggregation = "mean"
    skip_first: bool = False


def read_submission(body: bytes) -> Submission:
    """Read a request that is to be run.

    Raises:
        WireError: It is not JSON, or does not fit.
    """
    return _read(Submission, body)


def read_request(body: bytes) -> ExplainRequest:
    """Read a request that is to be planned.

    Raises:
        WireError: It is not JSON, or does not fit.
    """
    return _read(ExplainRequest, body)


def read_download(text: str) -> DownloadRequest:
    """Read what is to go into a file.

    Raises:
        WireError: It is not JSON, or does not fit.
    """
    return _read(DownloadRequest, text.encode())


def _read(kind: type[Kind], body: bytes) -> Kind:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise WireError(
            f"the message cannot be read: {f'{place}: ' if place else ''}{first['msg']}"
        ) from error
