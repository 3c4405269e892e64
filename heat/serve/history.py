"""The history on disk: a log of what was asked and what came of it, and the attributions beside it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from heat.answers import Answer, AnswerToken
from heat.attribution import Attribution
from heat.encoding import Encoded
from heat.errors import AttributionFileError, HeatError
from heat.serve.wire import ExplainRequest

LOG = "history.jsonl"
FOLDER = "attributions"

Ending = Literal["done", "cancelled", "failed"]


class HistoryError(HeatError):
    """The history cannot be used: another server writes to it, or it is damaged."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    run: str
    time: float


class Asked(_Event):
    """A request was taken.

    Attributes:
        key: The page's name for it.
        request: What was asked.
        model: Of which model.
        revision: And of which revision.
    """

    event: Literal["asked"] = "asked"
    key: str
    request: ExplainRequest
    model: str
    revision: str


class KeptAnswer(BaseModel):
    """An answer as `heat.answer` found it, but for what the attribution beside it holds.

    Attributes:
        tokens: Its tokens, with their divergences.
        text: It as text.
        threshold: Least divergence of a token that depends on the text, in nats.
        without: What was taken away to see what depends on it.
        ended: Whether the model ended it by itself; None for one that was given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[AnswerToken, ...]
    text: str
    threshold: float
    without: tuple[tuple[int, int], ...]
    ended: bool | None

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """What is kept of an answer."""
        return cls(
            tokens=answer.tokens,
            text=answer.text,
            threshold=answer.threshold,
            without=answer.without,
            ended=answer.ended,
        )

    def restored(self, attribution: Attribution) -> Answer:
        """The answer again.

        Args:
            attribution: One of its attributions.
        """
        encoded = Encoded(
            token_ids=attribution.token_ids,
            n_prompt=attribution.target_span[0],
            text=attribution.text,
            offsets=attribution.offsets,
            foil_ids=attribution.foil_ids,
            segments=attribution.segments,
            explained=attribution.explained,
        )
        return Answer(encoded, self.tokens, self.text, self.threshold, self.without, self.ended)


class Attributed(_Event):
    """One method of a request is done; its file was written before this line.

    Attributes:
        index: Position of the method in the request.
        file: Name in the folder of attributions.
        notes: What to say beside it.
        answer: Which tokens of the answer depend on the text; None where that was not asked.
        foils: What each token of the answer is contrasted with, empty for nothing; none where there is no foil.
    """

    event: Literal["attributed"] = "attributed"
    index: int
    file: str
    notes: tuple[str, ...] = ()
    answer: KeptAnswer | None = None
    foils: tuple[str, ...] = ()


class Ended(_Event):
    """A request is over.

    Attributes:
        status: How.
        error: The sentence that says why it failed.
    """

    event: Literal["ended"] = "ended"
    status: Ending
    error: str = ""


Event = Annotated[Asked | Attributed | Ended, Field(discriminator="event")]
_EVENT: TypeAdapter[Asked | Attributed | Ended] = TypeAdapter(Event)


class History:
    """A folder that one server at a time writes to; a context manager.

    A line is on the disk when its method returns, and names only files that are there whole, so a server that is
    killed loses nothing that was shown.

    Args:
        folder: The folder, made if missing, readable by its owner alone: prompts may be private.

    Raises:
        HistoryError: Another server writes to it, or a line is no event.
        OSError: It cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        (folder / FOLDER).mkdir(exist_ok=True)
        self._path = folder / LOG
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HistoryError(
                    f"another heat serve writes to '{folder}'; use its page, stop it, or name another --history"
                ) from None
            self._cut_torn_line()
            self.events: tuple[Asked | Attributed | Ended, ...] = tuple(self._read())
        except BaseException:
            os.close(self._handle)
            raise

    def add(self, event: Asked | Attributed | Ended) -> None:
        """Write one line, and wait until it is on the disk.

        Raises:
            OSError: It could not be written whole; the log is then as it was.
        """
        data = f"{event.model_dump_json()}\n".encode()
        size = os.fstat(self._handle).st_size
        try:
            while data:
                data = data[os.write(self._handle, data) :]
            os.fsync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, size)
            error.filename = str(self._path)
            raise

    def keep(self, run: str, index: int, attribution: Attribution, **beside: Any) -> Attributed:
        """Save an attribution and say so in the log.

        Args:
            run: The request.
            index: Position of the method in it.
            attribution: What the method found.
            **beside: Further fields of the line.

        Returns:
            The line.

        Raises:
            OSError: The disk is full, for example; then nothing is in the log.
        """
        name = f"{run}-{index}.safetensors"
        attribution.save(self.folder / FOLDER / name)
        event = Attributed(run=run, time=time.time(), index=index, file=name, **beside)
        self.add(event)
        return event

    def attribution(self, event: Attributed) -> Attribution:
        """Read an attribution back.

        Raises:
            HistoryError: Its file is gone or damaged.
        """
        path = self.folder / FOLDER / Path(event.file).name
        try:
            return Attribution.load(path)
        except (OSError, AttributionFileError) as error:
            raise HistoryError(f"this part of the history cannot be read: {error}") from error

    def close(self) -> None:
        """Give up the lock."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _cut_torn_line(self) -> None:
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._handle, whole)
            os.fsync(self._handle)

    def _read(self) -> Iterator[Asked | Attributed | Ended]:
        for number, line in enumerate(self._path.read_bytes().split(b"\n")[:-1], start=1):
            try:
                yield _EVENT.validate_json(line)
            except ValidationError as error:
                what = error.errors(include_url=False, include_input=False)[0]["msg"]
                raise HistoryError(
                    f"line {number} of '{self._path}' cannot be read ({what}); name another --history, or mend it"
                ) from error
