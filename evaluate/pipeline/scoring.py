"""Score methods on cases, piece by piece, on whatever engine; only this process writes to the store."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluate.engine import Engine, Failure
from evaluate.pipeline.case import Case, Variant
from evaluate.pipeline.measure import Measure, Scorer
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

if TYPE_CHECKING:
    from heat import Attribution, LanguageModel
    from heat.errors import HeatError


@dataclass(frozen=True)
class Piece:
    """Cases that are attributed by one method, and saved, together.

    Attributes:
        method: Registered name.
        cases: In order.
        keys: Key of each one's score.
        missing: Positions of those that lack a score.
    """

    method: str
    cases: tuple[Case, ...]
    keys: tuple[str, ...]
    missing: tuple[int, ...]


@dataclass(frozen=True)
class PieceResult:
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
    cases: Sequence[Case],
    methods: Sequence[str],
    settings: Settings,
    on_progress: Progress,
) -> tuple[int, dict[str, list[Score]]]:
    """Add the score rows that the store lacks.

    A piece that fails however often it is tried is done again case by case, and those that fail alone get a row that
    says so.

    Args:
        measure: Family of metrics.
        store: Where attributions and rows go.
        engine: Where the work is done.
        cases: Of examples that the model can take.
        methods: Registered names.
        settings: Of this run.
        on_progress: Progress callback, called with each method.

    Returns:
        How many attributions had to be computed, and all rows of each method, in the order of the cases.
    """
    depends = [measure.cache_key(case) for case in cases]
    wanted = {
        name: [
            score_key(
                attribution_key(case.example, settings, name, default_config(name)), measure.kind, dependency
            )
            for case, dependency in zip(cases, depends, strict=True)
        ]
        for name in methods
    }
    metrics = {metric.name for metric in measure.metrics}
    done = dict.fromkeys(methods, 0)
    computed = 0

    def pieces() -> Iterator[Piece]:
        for name in methods:
            on_progress(name, 0, len(cases))
            for chunk in chunks(range(len(cases))):
                keys = tuple(wanted[name][index] for index in chunk)
                missing = tuple(at for at, key in enumerate(keys) if not _holds(store, key, metrics))
                if missing:
                    yield Piece(name, tuple(cases[index] for index in chunk), keys, missing)
                else:
                    count(name, len(chunk))

    def count(name: str, n: int) -> None:
        done[name] += n
        on_progress(name, done[name], len(cases))

    start = partial(
        start_scoring,
        kind=measure.kind,
        score=measure.score,
        settings=settings,
        folder=store.folder.resolve(),
    )
    broken: list[Piece] = []
    for piece, result in engine.map(start, pieces()):
        if isinstance(result, Failure):
            broken.append(piece)
            continue
        computed += _keep(store, result)
        count(piece.method, len(piece.cases))
    alone = [
        Piece(piece.method, (piece.cases[at],), (piece.keys[at],), (0,))
        for piece in broken
        for at in piece.missing
    ]
    for piece, result in engine.map(start, alone):
        if isinstance(result, Failure):
            detail = f"tried {result.tries} times: {result.error}"
            store.add_scores([_row(measure.kind, settings, piece, 0, {}, "failed", detail)])
        else:
            computed += _keep(store, result)
    for piece in broken:
        count(piece.method, len(piece.cases))
    return computed, {name: [store.scores[key] for key in keys] for name, keys in wanted.items()}


def _holds(store: Store, key: str, metrics: set[str]) -> bool:
    """Whether a score is there with every metric: one that was added later is computed, never read as undefined."""
    row = store.scores.get(key)
    return row is not None and (row.status in ("refused", "failed") or metrics <= set(row.values))


def start_scoring(
    lm: LanguageModel,
    *,
    kind: str,
    score: Callable[[LanguageModel], Scorer],
    settings: Settings,
    folder: Path,
) -> Callable[[Piece], PieceResult]:
    """Start scoring on a worker: the scorer and the views of the model are made once."""
    scorer = score(lm)
    views: dict[str, LanguageModel] = {}

    def view(variant: Variant) -> LanguageModel:
        if variant.view is None:
            return lm
        if variant.name not in views:
            views[variant.name] = variant.view(lm)
        return views[variant.name]

    def score_piece(piece: Piece) -> PieceResult:
        """Attribute a piece and score it; nothing is written."""
        scratch = Scratch(folder)
        attributed, new = attributions(
            scratch, lm, [case.example for case in piece.cases], piece.method, settings
        )
        beside: dict[tuple[str, str], Attribution | HeatError] = {}
        # Kind by kind, each in the batches of the runner.
        for name in dict.fromkeys(variant.name for case in piece.cases for variant in case.variants):
            changed = [
                (case.example.id, variant)
                for case in piece.cases
                for variant in case.variants
                if variant.name == name
            ]
            first = changed[0][1]
            copies, more = attributions(
                scratch,
                view(first),
                [variant.example for _, variant in changed],
                piece.method,
                first.settings,
            )
            new += more
            beside.update(zip(((example, name) for example, _ in changed), copies, strict=True))
        rows = []
        for at in piece.missing:
            case = piece.cases[at]
            variants = {variant.name: beside[case.example.id, variant.name] for variant in case.variants}
            values, status, detail, seen = _values(scorer, case, attributed[at], variants)
            row = _row(kind, settings, piece, at, values, status, detail)
            rows.append(row.model_copy(update=seen))
        return PieceResult(tuple(rows), scratch.attributions, tuple(scratch.timings), new)

    return score_piece


def _values(
    scorer: Scorer,
    case: Case,
    attribution: Attribution | HeatError,
    variants: Mapping[str, Attribution | HeatError],
) -> tuple[dict[str, float], ScoreStatus, str, dict[str, Any]]:
    """Values, status, why it was refused, and what is said of the attribution beside them."""
    from heat.components.transition import collapsed
    from heat.errors import HeatError, NonFiniteError
    from heat.projection import outside_share

    if isinstance(attribution, NonFiniteError):
        return *scorer(case, None, variants), "", {}
    if isinstance(attribution, HeatError):
        return {}, "refused", str(attribution), {}
    transition = attribution.components.get("transition")
    seen = {
        "unscored": outside_share(
            attribution.scores, attribution.text, case.example.words, attribution.offsets or ()
        ),
        "collapsed": transition is not None and collapsed(transition),
    }
    return *scorer(case, attribution, variants), "", seen


def _keep(store: Store, scored: PieceResult) -> int:
    for key, attribution in scored.attributions.items():
        store.save(key, attribution)
    store.add_timings(scored.timings)
    store.add_scores(scored.rows)
    return scored.computed


def _row(
    kind: str,
    settings: Settings,
    piece: Piece,
    at: int,
    values: Mapping[str, float],
    status: ScoreStatus,
    detail: str,
) -> Score:
    example, config = piece.cases[at].example, default_config(piece.method)
    return Score(
        key=piece.keys[at],
        attribution=attribution_key(example, settings, piece.method, config),
        kind=kind,
        example_id=example.id,
        method=piece.method,
        config=config,
        values={name: None if math.isnan(v) else v for name, v in values.items()},
        status=status,
        detail=detail,
    )
