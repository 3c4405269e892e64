"""Score methods on examples, piece by piece, on whatever engine; only this process writes to the store."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluate.engine import Engine, Failed
from evaluate.pipeline.runner import Progress, attributions, chunks, default_config
from evaluate.pipeline.store import (
    Score,
    ScoreStatus,
    Scratch,
    Settings,
    Store,
    Timing,
    attribution_key,
    score_key,
)
from evaluate.projection import unscored_share
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from evaluate.pipeline.measure import Measure
    from heat import Attribution, LanguageModel


@dataclass(frozen=True)
class Piece:
    """Examples that are attributed by one method, and saved, together.

    Attributes:
        method: Registered name.
        examples: In order.
        missing: Positions among them of those that lack a score.
    """

    method: str
    examples: tuple[Example, ...]
    missing: tuple[int, ...]


@dataclass(frozen=True)
class Scored:
    """What a piece adds to the store.

    Attributes:
        rows: One a missing score.
        attributions: Those that had to be computed, by key.
        timings: What they took.
        computed: How many were computed.
    """

    rows: tuple[Score, ...]
    attributions: Mapping[str, Attribution]
    timings: tuple[Timing, ...]
    computed: int


def score_methods(
    measure: Measure,
    store: Store,
    engine: Engine,
    examples: Sequence[Example],
    methods: Sequence[str],
    settings: Settings,
    on_progress: Progress,
) -> tuple[int, dict[str, list[Score]]]:
    """Add the score rows that the store lacks.

    A piece that fails however often it is tried is done again example by example, and those that fail alone get a row
    that says so.

    Args:
        measure: Family of metrics.
        store: Where attributions and rows go.
        engine: Where the work is done.
        examples: That the model can take.
        methods: Registered names.
        settings: Of this run.
        on_progress: Told how far each method has come.

    Returns:
        How many attributions had to be computed, and all rows of each method, in the order of the examples.
    """
    wanted = {name: [_keys(measure, each, settings, name)[1] for each in examples] for name in methods}
    done = dict.fromkeys(methods, 0)
    computed = 0

    def pieces() -> Iterator[Piece]:
        for name in methods:
            on_progress(name, 0, len(examples))
            for chunk in chunks(range(len(examples))):
                missing = [at for at, index in enumerate(chunk) if wanted[name][index] not in store.scores]
                if missing:
                    yield Piece(name, tuple(examples[index] for index in chunk), tuple(missing))
                else:
                    count(name, len(chunk))

    def count(name: str, n: int) -> None:
        done[name] += n
        on_progress(name, done[name], len(examples))

    work = partial(score_piece, measure=measure, settings=settings, folder=store.folder.resolve())
    broken: list[Piece] = []
    for piece, found in engine.map(work, pieces()):
        if isinstance(found, Failed):
            broken.append(piece)
            continue
        computed += _keep(store, found)
        count(piece.method, len(piece.examples))
    alone = [Piece(piece.method, (piece.examples[at],), (0,)) for piece in broken for at in piece.missing]
    for piece, found in engine.map(work, alone):
        if isinstance(found, Failed):
            store.add_scores([_failed(measure, piece, settings, found)])
        else:
            computed += _keep(store, found)
    for piece in broken:
        count(piece.method, len(piece.examples))
    return computed, {name: [store.scores[key] for key in keys] for name, keys in wanted.items()}


def score_piece(
    lm: LanguageModel, piece: Piece, *, measure: Measure, settings: Settings, folder: Path
) -> Scored:
    """Attribute a piece and score it; nothing is written."""
    from heat.components.transition import collapsed
    from heat.errors import HeatError, NonFiniteError

    scratch = Scratch(folder)
    found, new = attributions(scratch, lm, piece.examples, piece.method, settings)
    new += measure.attribute_copies(scratch, lm, piece.examples, piece.method)
    rows = []
    for at in piece.missing:
        attribution, example, detail = found[at], piece.examples[at], ""
        values: dict[str, float]
        status: ScoreStatus
        seen: dict[str, Any] = {}
        if not isinstance(attribution, HeatError):
            values, status = measure.score(lm, example, attribution)
            seen = {
                "unscored": unscored_share(attribution, example),
                "collapsed": "transition" in attribution.components
                and collapsed(attribution.components["transition"]),
            }
        elif isinstance(attribution, NonFiniteError):
            values, status = measure.score(lm, example, None)
        else:
            values, status, detail = {}, "refused", str(attribution)
        row = _row(measure, example, settings, piece.method, values, status, detail)
        rows.append(row.model_copy(update=seen))
    return Scored(tuple(rows), scratch.attributions, tuple(scratch.timings), new)


def _keep(store: Store, scored: Scored) -> int:
    for key, attribution in scored.attributions.items():
        store.save(key, attribution)
    store.add_timings(scored.timings)
    store.add_scores(scored.rows)
    return scored.computed


def _keys(measure: Measure, example: Example, settings: Settings, method: str) -> tuple[str, str]:
    attribution = attribution_key(example, settings, method, default_config(method))
    return attribution, score_key(attribution, measure.kind, measure.depends(example))


def _failed(measure: Measure, piece: Piece, settings: Settings, failed: Failed) -> Score:
    detail = f"tried {failed.tries} times: {failed.error}"
    return _row(measure, piece.examples[0], settings, piece.method, {}, "failed", detail)


def _row(
    measure: Measure,
    example: Example,
    settings: Settings,
    method: str,
    values: Mapping[str, float],
    status: ScoreStatus,
    detail: str,
) -> Score:
    attribution, key = _keys(measure, example, settings, method)
    return Score(
        key=key,
        attribution=attribution,
        kind=measure.kind,
        example_id=example.id,
        method=method,
        config=default_config(method),
        values={name: None if math.isnan(v) else v for name, v in values.items()},
        status=status,
        detail=detail,
    )
