"""How well attributions agree with gold words: every method, every metric, each mean with its interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from annotate.files import canonical_hash, read_records, write_atomic
from annotate.schema import Gold, Paragraph, Record
from evaluate.errors import EvaluateError, NothingScoredError
from evaluate.gold import load_gold
from evaluate.intervals import Interval, mean_interval
from evaluate.metrics import METRICS, Mask, Scores, chance, decides, is_constant, score_words
from evaluate.projection import word_scores
from evaluate.prompt import Target
from evaluate.runner import Progress, attributions, chunks, default_config, no_progress, prepare, settings_of
from evaluate.store import Item, Score, ScoreStatus, Settings, Store, Timing, attribution_key, score_key
from evaluate.tasks.task import GoldSource
from evaluate.versions import versions

if TYPE_CHECKING:
    import pandas as pd

    from annotate.benchmark import Benchmark
    from heat import Attribution, LanguageModel


class MethodAlignment(Record):
    """One row of the table.

    Attributes:
        metrics: Metric name to mean and interval.
        constant: Paragraphs whose words all got the same score; the metrics hold chance there.
        not_finite: Paragraphs with a score that is not a number; the metrics hold their worst value there.
        seconds_per_1000: Wall-clock seconds for 1,000 paragraphs, as measured when they were computed. Not
            part of the file, which is to be the same when made again; `with_seconds` finds it again.
    """

    method: str
    config: dict[str, Any]
    metrics: dict[str, Interval]
    constant: int
    not_finite: int
    seconds_per_1000: float | None = Field(default=None, exclude=True)


class AlignmentResult(Record):
    """What `alignment` found, and all that is needed to find it again.

    Attributes:
        command: The command line, or the call.
        benchmark: Folder of the benchmark.
        benchmark_sha256: Checksum over the texts and gold that were used.
        limit: How many paragraphs were asked for; ``None`` for all.
        gold_choice: Which gold was asked for.
        gold: Where the gold words come from.
        paragraphs: Number of paragraphs looked at.
        texts: Number of unique texts among those scored; the intervals draw these.
        scored: Number of paragraphs scored.
        undecided: Number of scored paragraphs whose gold is empty or full, for which no metric is defined.
        skipped: Reason to number of paragraphs that could not be scored.
        skipped_example: One sentence on one of them.
        accuracy: Share of the scored paragraphs whose first answer token is the model's most probable one.
        chance: What equal scores for all words get: the baseline of every metric.
        methods: Rows, best AUPRC first.
        computed: Attributions computed by this call; not part of the file, which is to be the same when made
            again.
        reused: Attributions found in the store.
    """

    schema_version: Literal[1] = 1
    command: str
    benchmark: str
    benchmark_sha256: str
    limit: int | None
    settings: Settings
    gold_choice: str
    gold: GoldSource
    paragraphs: int
    texts: int
    scored: int
    undecided: int
    skipped: dict[str, int]
    skipped_example: str
    accuracy: Interval
    chance: dict[str, Interval]
    methods: tuple[MethodAlignment, ...]
    versions: dict[str, str]
    computed: int = Field(default=0, exclude=True)
    reused: int = Field(default=0, exclude=True)

    @property
    def frame(self) -> pd.DataFrame:
        """The table as a DataFrame: a row a method, columns ``metric``, ``metric_low``, ``metric_high``."""
        import pandas as pd

        rows = [
            {
                "method": row.method,
                **_flat(row.metrics),
                **row.model_dump(exclude={"method", "config", "metrics"}),
                "seconds_per_1000": row.seconds_per_1000,
            }
            for row in self.methods
        ]
        return pd.DataFrame([*rows, {"method": "chance", **_flat(self.chance)}])

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values, with what the clock and the store said of this call."""
        values = self.model_dump(mode="json")
        for row, method in zip(values["methods"], self.methods, strict=True):
            row["seconds_per_1000"] = method.seconds_per_1000
        return values | {"computed": self.computed, "reused": self.reused}


def _flat(metrics: dict[str, Interval]) -> dict[str, float | None]:
    flat: dict[str, float | None] = {}
    for name, interval in metrics.items():
        flat |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return flat


def alignment(
    benchmark: Benchmark,
    lm: LanguageModel,
    methods: Sequence[str],
    *,
    out: Path,
    target: Target = "first",
    gold: str = "auto",
    limit: int | None = None,
    seed: int = 0,
    command: str = "",
    on_progress: Progress = no_progress,
) -> AlignmentResult:
    """Score attribution methods against the gold words of a benchmark.

    Every word of a paragraph is scored, those of the question included. With several target tokens a word's
    score is the mean over them. What the store in ``out`` holds already is not computed again.

    Args:
        benchmark: Paragraphs and gold.
        lm: The model whose answers are attributed.
        methods: Registered names.
        out: Results folder; made where it is missing. ``alignment.json`` and ``alignment.csv`` are written to
            it.
        target: ``"first"`` attributes the first answer token, ``"all"`` every one.
        gold: Which gold, see `load_gold`.
        limit: Use the first so many paragraphs only.
        seed: Seed of the methods and of the bootstrap.
        command: How this was called, kept with the result.
        on_progress: Told how far the work has come.

    Returns:
        The table and its provenance.

    Raises:
        UnknownMethodError: A method is not registered.
        NoGoldError: There is no gold of that kind.
        NothingScoredError: Every paragraph was skipped.
        StoreError: The results folder cannot be used.
    """
    names = list(dict.fromkeys(methods))
    configs = {name: default_config(name) for name in names}
    paragraphs = benchmark.paragraphs()[:limit]
    golds, source = load_gold(benchmark, gold)
    settings = settings_of(lm, seed=seed, target=target)
    with Store(out) as store:
        items = prepare(store, lm, paragraphs, settings, on_progress)
        pairs = list(zip(paragraphs, items, strict=True))
        usable = [p for p, item in pairs if item.status == "ok" and p.id in golds]
        skipped, example = _skipped(items, golds)
        if not usable:
            raise NothingScoredError(
                f"none of the {len(paragraphs)} paragraphs could be scored: {_in_words(skipped)}; {example}"
            )
        computed = 0
        for name in names:
            computed += _score_method(store, lm, usable, golds, name, settings, on_progress)
        rows = [_summarise(store, usable, golds, name, configs[name], settings) for name in names]
    texts = [paragraph.text_sha256 for paragraph in usable]
    masks = [_masks(paragraph, golds[paragraph.id]) for paragraph in usable]
    accuracy = [float(item.correct or 0) for p, item in pairs if item.status == "ok" and p.id in golds]
    result = AlignmentResult(
        command=command,
        benchmark=str(benchmark.path.resolve()),
        benchmark_sha256=canonical_hash([[p.text_sha256, p.answer, golds[p.id].indices()] for p in usable]),
        limit=limit,
        settings=settings,
        gold_choice=gold,
        gold=source,
        paragraphs=len(paragraphs),
        texts=len(set(texts)),
        scored=len(usable),
        undecided=sum(not decides(mask) for mask, _ in masks),
        skipped=skipped,
        skipped_example=example,
        accuracy=mean_interval(accuracy, texts, seed=seed),
        chance=_intervals([chance(*mask) for mask in masks], texts, seed),
        methods=tuple(sorted(rows, key=_by_auprc)),
        versions=versions(),
        computed=computed,
        reused=len(names) * len(usable) - computed,
    )
    write_atomic(out / "alignment.json", result.model_dump_json(indent=2) + "\n")
    write_atomic(out / "alignment.csv", result.frame.drop(columns="seconds_per_1000").to_csv(index=False))
    return result


def _score_method(
    store: Store,
    lm: LanguageModel,
    paragraphs: Sequence[Paragraph],
    golds: dict[str, Gold],
    method: str,
    settings: Settings,
    on_progress: Progress,
) -> int:
    """Add the score rows a method lacks; return how many attributions had to be computed for them."""
    config = default_config(method)
    computed = done = 0
    on_progress(method, done, len(paragraphs))
    for chunk in chunks(paragraphs):
        keys = [attribution_key(paragraph, settings, method, config) for paragraph in chunk]
        missing = [
            (position, key)
            for position, (paragraph, key) in enumerate(zip(chunk, keys, strict=True))
            if score_key(key, paragraph, golds[paragraph.id]) not in store.scores
        ]
        if missing:
            found, new = attributions(store, lm, chunk, method, settings)
            computed += new
            store.add_scores(
                [
                    _score(found[position], key, chunk[position], golds[chunk[position].id], method, config)
                    for position, key in missing
                ]
            )
        done += len(chunk)
        on_progress(method, done, len(paragraphs))
    return computed


def paragraph_scores(attribution: Attribution, paragraph: Paragraph) -> Scores:
    """Scores of a paragraph's words: token scores summed by word, then averaged over the target tokens.

    Args:
        attribution: Of a text that begins with the paragraph's.
        paragraph: Whose words are scored.

    Returns:
        float64 array with one score a word.

    Raises:
        ProjectionError: A word has no token, or the attribution has no offsets.
    """
    by_target = word_scores(
        attribution.scores.numpy(), attribution.text, paragraph.words, attribution.offsets or ()
    )
    return np.asarray(by_target.mean(axis=0))


def _score(
    attribution: Attribution | None,
    key: str,
    paragraph: Paragraph,
    gold: Gold,
    method: str,
    config: dict[str, Any],
) -> Score:
    scores = np.full(len(paragraph.words), math.nan)
    if attribution is not None:
        scores = paragraph_scores(attribution, paragraph)
    gold_mask, distractor = _masks(paragraph, gold)
    values = score_words(scores, gold_mask, distractor)
    return Score(
        key=score_key(key, paragraph, gold),
        attribution=key,
        paragraph_id=paragraph.id,
        method=method,
        config=config,
        gold=gold.rule,
        n_words=len(paragraph.words),
        n_gold=int(gold_mask.sum()),
        values={name: None if math.isnan(value) else value for name, value in values.items()},
        status=_status(scores, gold_mask),
    )


def _status(scores: Scores, gold: Mask) -> ScoreStatus:
    if not np.isfinite(scores).all():
        return "not_finite"
    if is_constant(scores):
        return "constant"
    return "ok" if decides(gold) else "undecided"


def _masks(paragraph: Paragraph, gold: Gold) -> tuple[Mask, Mask]:
    """Which words are gold, and which are narrative."""
    gold_mask = np.zeros(len(paragraph.words), dtype=np.bool_)
    distractor = np.zeros(len(paragraph.words), dtype=np.bool_)
    gold_mask[gold.indices()] = True
    distractor[paragraph.words_in("narrative")] = True
    return gold_mask, distractor


def _summarise(
    store: Store,
    paragraphs: Sequence[Paragraph],
    golds: dict[str, Gold],
    method: str,
    config: dict[str, Any],
    settings: Settings,
) -> MethodAlignment:
    keys = [attribution_key(paragraph, settings, method, config) for paragraph in paragraphs]
    rows = [
        store.scores[score_key(key, paragraph, golds[paragraph.id])]
        for key, paragraph in zip(keys, paragraphs, strict=True)
    ]
    statuses = Counter(row.status for row in rows)
    values = [{name: math.nan if v is None else v for name, v in row.values.items()} for row in rows]
    return MethodAlignment(
        method=method,
        config=config,
        metrics=_intervals(values, [paragraph.text_sha256 for paragraph in paragraphs], settings.seed),
        constant=statuses["constant"],
        not_finite=statuses["not_finite"],
        seconds_per_1000=_seconds_per_1000(keys, store.timings),
    )


def _seconds_per_1000(keys: Sequence[str], timings: Mapping[str, Timing]) -> float | None:
    seconds = [timings[key].seconds for key in keys if key in timings]
    return 1000 * sum(seconds) / len(seconds) if seconds else None


def _intervals(values: Sequence[dict[str, float]], texts: Sequence[str], seed: int) -> dict[str, Interval]:
    return {
        metric.name: mean_interval([row[metric.name] for row in values], texts, seed=seed)
        for metric in METRICS
    }


def _skipped(items: Sequence[Item], golds: dict[str, Gold]) -> tuple[dict[str, int], str]:
    """Why paragraphs cannot be scored, how often, and one example in a sentence."""
    reasons: Counter[str] = Counter()
    examples: list[str] = []
    for item in items:
        if item.status == "skipped":
            reasons[item.reason] += 1
            examples.append(f"for instance {item.paragraph_id}: {item.detail}")
        elif item.paragraph_id not in golds:
            reasons["no gold"] += 1
            examples.append(
                f"for instance {item.paragraph_id} has no gold words: its labels failed or are missing"
            )
    return dict(sorted(reasons.items())), examples[0] if examples else ""


def _in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "there are none"


def _by_auprc(row: MethodAlignment) -> tuple[float, str]:
    mean = row.metrics["auprc"].mean
    return (math.inf if mean is None else -mean, row.method)


def read_result(folder: Path) -> AlignmentResult:
    """The result a run left in its results folder.

    Args:
        folder: The folder given as ``--out``.

    Raises:
        EvaluateError: There is none, or it is of another schema version.
    """
    path = folder / "alignment.json"
    if not path.is_file():
        raise EvaluateError(
            f"{folder} holds no alignment.json; run `evaluate alignment --out {folder}` first"
        )
    try:
        return AlignmentResult.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise EvaluateError(
            f"{path} is not a result of this version; run `evaluate alignment` again"
        ) from error


def with_seconds(result: AlignmentResult, folder: Path, paragraphs: Sequence[Paragraph]) -> AlignmentResult:
    """A result read back, with the seconds that were measured when its attributions were computed.

    Args:
        result: What `read_result` read.
        folder: The folder it was read from.
        paragraphs: The paragraphs that were scored.
    """
    path = folder / "timings.jsonl"
    timings = {row.attribution: row for row in read_records(path, Timing)} if path.exists() else {}
    methods = []
    for row in result.methods:
        keys = [attribution_key(each, result.settings, row.method, row.config) for each in paragraphs]
        methods.append(row.model_copy(update={"seconds_per_1000": _seconds_per_1000(keys, timings)}))
    return result.model_copy(update={"methods": tuple(methods)})
