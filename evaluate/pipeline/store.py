"""Results that survive: an append-only folder in which finished work is found again by its key.

A folder holds

    store.json       the schema version of what follows
    items.jsonl      a row an example and model: can it be asked, what does the model answer
    scores.jsonl     a row an example, method and kind of metric: the value of every metric
    attributions/    a file an example and method
    timings.jsonl    seconds an attribution took; no clock is read for the other files, so that they are
                     the same bytes whenever they are made

Keys are hashes of all that a result depends on. What was made with another model revision, gold, seed or
schema has other keys and stays where it is.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from annotate.exclusive import locked
from annotate.files import (
    append_records,
    canonical_hash,
    read_records,
    repair_tail,
    sweep,
    write_atomic,
)
from annotate.schema import Record
from evaluate.errors import StoreError
from evaluate.tasks.task import Answer, Example, Target
from heat.projection import Aggregation
from heat.units import Unit

if TYPE_CHECKING:
    from heat import Attribution

# Part of every key: raise it when the same input comes to give other results, and nothing old is reused.
SCHEMA_VERSION = 3
KEY_LENGTH = 32

# Reason of an example that broke the program where its prompt was read.
FAILED = "failed"

ScoreStatus = Literal["ok", "undecided", "constant", "not_finite", "refused", "failed"]


class Settings(Record):
    """What every attribution of one run has in common.

    Attributes:
        model: Name or folder the model was loaded from; for people, not part of a key.
        revision: Hub commit or checksum of the model's files.
        dtype: Precision of the model.
        seed: Seed of the methods and of the bootstrap.
        target: Which answer tokens are attributed.
        prompt: Template that the examples are put to the model in. Not part of a key, as the rendered prompt is.
        answer: What is explained: the benchmark's answer, or the model's own. Not part of a key, as the answer is.
        contrast: Whether it is explained against the foil.
        aggregation: How a word's score is made of its tokens'. Part of the keys of scores on words alone.
        unit: What alignment scores. Not part of a key, as the units are.
        attribution_schema: Version of the saved attributions.
    """

    model: str
    revision: str
    dtype: str
    seed: int
    target: Target = "first"
    prompt: str = "plain"
    answer: Answer = "gold"
    contrast: bool = False
    aggregation: Aggregation = "mean"
    unit: Unit = "word"
    attribution_schema: int = 1


class Item(Record):
    """Whether an example can be put to a model, and what the model answers.

    Attributes:
        example_id: The example it was first seen as.
        status: ``"skipped"`` if no method can be run on it.
        reason: Kind of the obstacle, for counting.
        detail: The obstacle in a sentence.
        tokens: Length of prompt and attributed target in tokens.
        target_tokens: Length of the whole target in tokens.
        expected: First target token.
        answered: The model's most probable token there.
        answer: The model's own answer, greedy, to its end.
        correct: Whether it is the target, both normalised.
        f1: F1 of the words that the two share.
        probability: Probability of the whole target.
    """

    schema_version: Literal[2] = 2
    key: str
    example_id: str
    status: Literal["ok", "skipped"]
    reason: str = ""
    detail: str = ""
    tokens: int = 0
    target_tokens: int = 0
    expected: str = ""
    answered: str = ""
    answer: str = ""
    correct: bool | None = None
    f1: float | None = None
    probability: float | None = None


class Score(Record):
    """The value of every metric of one kind for one method on one example.

    Attributes:
        key: Key of this row.
        attribution: Key of the attribution it was computed from.
        kind: Which family of metrics: ``"alignment"`` or ``"faithfulness"``.
        values: Metric name to value; ``None`` where it is not defined.
        status: ``"undecided"`` where gold is empty or full, ``"constant"`` where all scores are equal,
            ``"not_finite"`` where one is not a number, ``"refused"`` where the method did not take the example,
            ``"failed"`` where it broke, however often it was tried.
        detail: Why it refused or broke.
        unscored: Share of the absolute scores that lies on tokens of no scored word: the question, the cue, what a
            template adds; ``None`` without an attribution.
        collapsed: Whether the attribution's transition lies on the first two tokens, see
            `heat.components.transition.collapsed`.
    """

    schema_version: Literal[3] = 3
    key: str
    attribution: str
    kind: str
    example_id: str
    method: str
    config: dict[str, Any]
    values: dict[str, float | None]
    status: ScoreStatus
    detail: str = ""
    unscored: float | None = None
    collapsed: bool = False


class Timing(Record):
    """Wall-clock seconds one attribution took, as its share of the batch it was computed in."""

    schema_version: Literal[1] = 1
    attribution: str
    method: str
    seconds: float


Row = TypeVar("Row", Item, Score, Timing)


def _key(kind: str, **parts: object) -> str:
    return canonical_hash({"kind": kind, "schema": SCHEMA_VERSION, **parts})[:KEY_LENGTH]


# What the rendered example holds itself, or what touches word scores alone.
_NO_KEY = {"model", "prompt", "answer", "contrast", "aggregation", "unit"}


def item_key(example: Example, settings: Settings) -> str:
    """Key of what a model makes of an example's prompt and target."""
    return _key(
        "item",
        words=example.words,
        asks=example.body is not None,
        **_asked(example, settings),
        common=settings.model_dump(exclude={*_NO_KEY, "seed"}),
    )


def attribution_key(example: Example, settings: Settings, method: str, config: dict[str, Any]) -> str:
    """Key of one method's attribution of an example's target."""
    return _key(
        "attribution",
        **_asked(example, settings),
        common=settings.model_dump(exclude=_NO_KEY),
        method=method,
        config=config,
    )


def _asked(example: Example, settings: Settings) -> dict[str, object]:
    """What the model meets."""
    return {
        "prompt": example.prompt,
        "answer": example.target,
        "foil": example.foil if settings.contrast else None,
        "special_tokens": example.special_tokens,
    }


def score_key(attribution: str, kind: str, depends: dict[str, Any]) -> str:
    """Key of the metrics of an attribution, with whatever else they depend on."""
    return _key("score", attribution=attribution, of=kind, depends=depends)


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
            busy = f"another run is writing to {self.folder}; wait for it or give another --out"
            stack.enter_context(locked(self.folder / ".lock", StoreError(busy)))
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

    def has(self, key: str) -> bool:
        """Whether the attribution of that key is in the folder."""
        return attribution_path(self.folder, key).exists()

    def load(self, key: str) -> Attribution:
        """The attribution of that key."""
        import heat

        return heat.Attribution.load(attribution_path(self.folder, key))

    def save(self, key: str, attribution: Attribution) -> None:
        """Write an attribution, whole or not at all; its seconds go to the timings, so that bytes repeat."""
        replace(attribution, seconds=None).save(attribution_path(self.folder, key))

    def add_items(self, rows: Sequence[Item]) -> None:
        """Append rows, on disk before this returns."""
        self._append("items", rows)
        self.items.update({row.key: row for row in rows})

    def forget_failed(self) -> int:
        """Take what failed for not done yet; how much that is. The rows stay, and later ones replace them."""
        failed = [key for key, row in self.scores.items() if row.status == "failed"]
        broken = [key for key, row in self.items.items() if row.reason == FAILED]
        for key in failed:
            del self.scores[key]
        for key in broken:
            del self.items[key]
        return len(failed) + len(broken)

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
        append_records(self._rows(name), rows)


def attribution_path(folder: Path, key: str) -> Path:
    """Where a results folder keeps the attribution of that key."""
    return folder / "attributions" / f"{key}.safetensors"


class Scratch:
    """What a piece of work adds to a results folder, in memory until the one process that may write takes it.

    What the folder holds already is read from there, as far as it can be seen from where the work is done.

    Args:
        folder: The results folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.attributions: dict[str, Attribution] = {}
        self.timings: list[Timing] = []

    def has(self, key: str) -> bool:
        """Whether the attribution of that key is here or in the folder."""
        return key in self.attributions or attribution_path(self.folder, key).exists()

    def load(self, key: str) -> Attribution:
        """The attribution of that key."""
        import heat

        cached = self.attributions.get(key)
        return cached or heat.Attribution.load(attribution_path(self.folder, key))

    def save(self, key: str, attribution: Attribution) -> None:
        """Keep an attribution."""
        self.attributions[key] = attribution

    def add_timings(self, rows: Sequence[Timing]) -> None:
        """Keep timings."""
        self.timings += rows


def _check_version(path: Path) -> None:
    if not path.exists():
        write_atomic(path, json.dumps({"schema_version": SCHEMA_VERSION}) + "\n")
        return
    try:
        version = json.loads(path.read_bytes())["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{path} is not readable; give another --out folder") from error
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path.parent} was written with schema version {version}, this program writes {SCHEMA_VERSION}; "
            "give another --out folder"
        )
