"""Results that survive: an append-only folder in which finished work is found again by its key.

A folder holds

    store.json       the schema version of what follows
    items.jsonl      a row a paragraph and model: can it be asked, what does the model answer
    scores.jsonl     a row a paragraph and method: the value of every metric
    attributions/    a file a paragraph and method
    timings.jsonl    seconds an attribution took; no clock is read for the other files, so that they are
                     the same bytes whenever they are made

Keys are hashes of all that a result depends on. What was made with another model revision, gold, seed or
schema has other keys and stays where it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from annotate.files import canonical_hash, read_records, repair_tail, sweep, write_atomic
from annotate.schema import Gold, Paragraph, Record
from evaluate.errors import StoreError
from evaluate.prompt import CUE, Target

# Part of every key: raise it when the same input comes to give other results, and nothing old is reused.
SCHEMA_VERSION = 1
KEY_LENGTH = 32

ScoreStatus = Literal["ok", "undecided", "constant", "not_finite"]


class Settings(Record):
    """What every attribution of one run has in common.

    Attributes:
        model: Name or folder the model was loaded from; for people, not part of a key.
        revision: Hub commit or checksum of the model's files.
        dtype: Precision of the model.
        seed: Seed of the methods and of the bootstrap.
        target: Which answer tokens are attributed.
        cue: Text between paragraph and answer.
        attribution_schema: Version of the saved attributions.
    """

    model: str
    revision: str
    dtype: str
    seed: int
    target: Target = "first"
    cue: str = CUE
    attribution_schema: int = 1


class Item(Record):
    """Whether a paragraph can be put to a model, and what the model answers first.

    Attributes:
        status: ``"skipped"`` if no method can be run on it.
        reason: Kind of the obstacle, for counting.
        detail: The obstacle in a sentence.
        tokens: Length of prompt and target in tokens.
        expected: First target token.
        answered: The model's most probable token there.
        correct: Whether the two are one token.
    """

    schema_version: Literal[1] = 1
    key: str
    paragraph_id: str
    status: Literal["ok", "skipped"]
    reason: str = ""
    detail: str = ""
    tokens: int = 0
    expected: str = ""
    answered: str = ""
    correct: bool | None = None


class Score(Record):
    """The value of every metric for one method on one paragraph.

    Attributes:
        key: Key of this row.
        attribution: Key of the attribution it was computed from.
        gold: Rule the gold came about by.
        values: Metric name to value; ``None`` where gold is empty or full.
        status: ``"undecided"`` where gold is empty or full, ``"constant"`` where all word scores are equal,
            ``"not_finite"`` where one is not a number.
    """

    schema_version: Literal[1] = 1
    key: str
    attribution: str
    paragraph_id: str
    method: str
    config: dict[str, Any]
    gold: str
    n_words: int
    n_gold: int
    values: dict[str, float | None]
    status: ScoreStatus


class Timing(Record):
    """Wall-clock seconds one attribution took, as its share of the batch it was computed in."""

    schema_version: Literal[1] = 1
    attribution: str
    method: str
    seconds: float


Row = TypeVar("Row", Item, Score, Timing)


def _key(kind: str, **parts: object) -> str:
    return canonical_hash({"kind": kind, "schema": SCHEMA_VERSION, **parts})[:KEY_LENGTH]


def item_key(paragraph: Paragraph, settings: Settings) -> str:
    """Key of what a model makes of a paragraph and its answer."""
    return _key(
        "item",
        text=paragraph.text_sha256,
        answer=paragraph.answer,
        common=settings.model_dump(exclude={"model", "seed"}),
    )


def attribution_key(paragraph: Paragraph, settings: Settings, method: str, config: dict[str, Any]) -> str:
    """Key of one method's attribution of a paragraph's answer."""
    return _key(
        "attribution",
        text=paragraph.text_sha256,
        answer=paragraph.answer,
        common=settings.model_dump(exclude={"model"}),
        method=method,
        config=config,
    )


def score_key(attribution: str, paragraph: Paragraph, gold: Gold) -> str:
    """Key of the metrics of an attribution against a gold, on the paragraph's words and segments."""
    return _key(
        "score",
        attribution=attribution,
        id=paragraph.id,
        words=paragraph.words,
        narrative=paragraph.words_in("narrative"),
        gold=gold.indices(),
        rule=gold.rule,
    )


class Store:
    """A results folder opened for one run.

    Use as a context manager: one run at a time may write.

    Args:
        folder: Made where it is missing.

    Raises:
        StoreError: Another run writes to the folder, or it is a file or of another schema version.
        BenchmarkError: A file in it is not what it should be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: dict[str, Item] = {}
        self.scores: dict[str, Score] = {}
        self.timings: dict[str, Timing] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self.folder.exists() and not self.folder.is_dir():
            raise StoreError(f"{self.folder} is a file; name a folder with --out")
        (self.folder / "attributions").mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_lock(self.folder))
            _check_version(self.folder / "store.json")
            sweep(self.folder)
            sweep(self.folder / "attributions", ".*")
            for name in ("items", "scores", "timings"):
                repair_tail(self._rows(name))
            self.items = {row.key: row for row in self._read("items", Item)}
            self.scores = {row.key: row for row in self._read("scores", Score)}
            self.timings = {row.attribution: row for row in self._read("timings", Timing)}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def attribution_path(self, key: str) -> Path:
        """Where the attribution of that key is or will be."""
        return self.folder / "attributions" / f"{key}.safetensors"

    def add_items(self, rows: Sequence[Item]) -> None:
        """Append rows, on disk before this returns."""
        self._append("items", rows)
        self.items.update({row.key: row for row in rows})

    def add_scores(self, rows: Sequence[Score]) -> None:
        """Append rows, on disk before this returns."""
        self._append("scores", rows)
        self.scores.update({row.key: row for row in rows})

    def add_timings(self, rows: Sequence[Timing]) -> None:
        """Append rows, on disk before this returns."""
        self._append("timings", rows)
        self.timings.update({row.attribution: row for row in rows})

    def _rows(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def _read(self, name: str, row: type[Row]) -> list[Row]:
        path = self._rows(name)
        return read_records(path, row) if path.exists() else []

    def _append(self, name: str, rows: Sequence[Record]) -> None:
        # One write and one fsync for a whole batch: a row at a time costs more than the metrics.
        path = self._rows(name)
        try:
            with path.open("ab") as stream:
                stream.write("".join(row.model_dump_json() + "\n" for row in rows).encode("utf-8"))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            error.filename = str(path)
            raise


def _check_version(path: Path) -> None:
    if not path.exists():
        write_atomic(path, json.dumps({"schema_version": SCHEMA_VERSION}) + "\n")
        return
    try:
        version = json.loads(path.read_bytes())["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is not readable; give another --out folder") from error
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path.parent} was written with schema version {version}, this program writes {SCHEMA_VERSION}; "
            "give another --out folder"
        )


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"another run is writing to {folder}; wait for it or give another --out"
            ) from error
        yield
