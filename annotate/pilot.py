"""Compare label formats on a few paragraphs before many are paid for."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from annotate.agreement import Estimate as Figure
from annotate.agreement import agreement
from annotate.annotators import is_offline
from annotate.errors import LabelError
from annotate.files import write_atomic
from annotate.label_files import check_texts
from annotate.labelling.label import Report, ask, distinct_names, summarize
from annotate.ledger.conversation import recorded
from annotate.ledger.derive import derive
from annotate.ledger.ledger import Attempts, Ledger
from annotate.ledger.questions import Questions
from annotate.money.cost import cost
from annotate.online.limits import DEFAULT_LIMITS, Budget, Limits
from annotate.protocol import Annotator
from annotate.schema import Label, Paragraph, Record, Status

if TYPE_CHECKING:
    from pathlib import Path

    from annotate.benchmark import Benchmark

REPEATS = 2
"""How often each paragraph is asked about: once to label it, once to see whether the answer comes again."""


class Trial(Record):
    """How one annotator did with one format.

    Attributes:
        annotator: Its name, which names the format where it is not the default.
        format: The format.
        statuses: Number of labels by status, both repetitions.
        unplaced_first: Share of the quotes in first answers that could not be placed; ``None`` without any.
        unresolved: Share of labels that ended with a quote that could not be placed.
        retest: Word F1 between the two repetitions, pooled over paragraphs with two labels, with its 95 %
            interval by bootstrap over paragraphs.
        retested: Paragraphs with two labels.
        marked_share: Marked words among the content words of paragraphs labelled ``ok``.
        rungs: Number of spans in all labels by how they were placed, most frequent first.
        attempts: Attempts made so far, those of earlier runs of the pilot included.
        usd: US dollars paid for them, over those with a known price; ``None`` where none has.
        usd_per_1000: Price of labelling 1,000 paragraphs once, at that rate.
        unpriced: Attempts whose price is not known.
        free: Whether the annotator costs nothing.
    """

    annotator: str
    format: str
    statuses: dict[Status, int]
    unplaced_first: float | None
    unresolved: float
    retest: Figure
    retested: int
    marked_share: float | None
    rungs: dict[str, int]
    attempts: int
    usd: float | None
    usd_per_1000: float | None
    unpriced: int
    free: bool


class Pilot(Record):
    """A comparison of formats.

    Attributes:
        paragraphs: Number of paragraphs asked about.
        repeats: How often each was asked about.
        seed: Seed that drew them.
        trials: One an annotator and format, in the order asked.
    """

    paragraphs: int
    repeats: int
    seed: int
    trials: tuple[Trial, ...]


def with_format(spec: str, name: str) -> str:
    """The annotator ``spec`` with the option ``format=name``."""
    return f"{spec}{',' if ':' in spec else ':'}format={name}"


def draw(paragraphs: Sequence[Paragraph], count: int, seed: int) -> list[Paragraph]:
    """Draw paragraphs with different texts, in the order of the benchmark.

    A larger ``count`` with the same seed adds to those of a smaller one, so that a longer pilot pays for the new
    paragraphs only.
    """
    unique = list({paragraph.text_sha256: paragraph for paragraph in reversed(paragraphs)}.values())
    unique.reverse()
    order = list(range(len(unique)))
    random.Random(seed).shuffle(order)
    return [unique[index] for index in sorted(order[:count])]


def run_pilot(
    benchmark: Benchmark,
    annotators: Sequence[tuple[str, Annotator]],
    *,
    count: int = 50,
    seed: int = 0,
    limits: Limits = DEFAULT_LIMITS,
    track: Callable[[str, int], Report] = lambda name, total: lambda done, note: None,
) -> Pilot:
    """Ask every annotator twice about the same few paragraphs, and compare what comes of it.

    Every attempt goes to ``pilot/ledger.jsonl`` in the benchmark's folder, so the same call resumes where it
    stopped and pays for nothing twice; the labels of the benchmark are left alone.

    Args:
        benchmark: The benchmark; its folder ``pilot/`` is written.
        annotators: Name of the format and annotator that uses it, in order.
        count: Number of paragraphs, or fewer where the benchmark does not have as many different ones.
        seed: Seed that draws them, and of the bootstrap.
        limits: Limits for online annotators.
        track: As for :func:`annotate.labelling.label.label_benchmark`.

    Returns:
        The comparison; also in ``pilot/pilot.json``.

    Raises:
        LabelError: An annotator is named twice, or another process is at it.
        AnnotateError: An annotator had to stop; what was answered is kept.
    """
    distinct_names([annotator for _, annotator in annotators])
    everything = benchmark.paragraphs()
    paragraphs = draw(everything, count, seed)
    questions = Questions(paragraphs, REPEATS)
    budget = Budget(limits.max_cost)
    with Ledger(pilot_ledger(benchmark)) as ledger:
        rows = [(row.paragraph_id, row.text_sha256) for row in ledger.attempts.rows]
        check_texts(ledger.path, everything, rows)
        for _, annotator in annotators:
            report = track(annotator.name, len(questions))
            _, stop = ask(questions, annotator, ledger, limits, budget, report)
            if stop is not None:
                raise stop
        trials = [
            _trial(name, annotator, paragraphs, ledger.attempts, seed) for name, annotator in annotators
        ]
    pilot = Pilot(paragraphs=len(paragraphs), repeats=REPEATS, seed=seed, trials=tuple(trials))
    write_atomic(pilot_ledger(benchmark).with_name("pilot.json"), pilot.model_dump_json(indent=2) + "\n")
    return pilot


def pilot_ledger(benchmark: Benchmark) -> Path:
    """The ledger of pilots of ``benchmark``; their result lies beside it."""
    return benchmark.path / "pilot" / "ledger.jsonl"


def _trial(
    name: str, annotator: Annotator, paragraphs: Sequence[Paragraph], attempts: Attempts, seed: int
) -> Trial:
    labels = derive(paragraphs, annotator, attempts)
    summary = summarize(paragraphs, labels, annotator.name, 0, 0)
    retest, retested = _retest(paragraphs, labels, seed)
    drawn = {paragraph.id for paragraph in paragraphs}
    rows = [row for row in attempts.rows if row.annotator == annotator.name and row.paragraph_id in drawn]
    spent = cost(rows).total
    priced = {(row.paragraph_id, row.repeat) for row in rows if row.cost_usd is not None}
    return Trial(
        annotator=annotator.name,
        format=name,
        statuses=summary.statuses,
        unplaced_first=_unplaced_first(annotator, paragraphs, attempts),
        unresolved=summary.statuses.get("unresolved", 0) / len(labels),
        retest=retest,
        retested=retested,
        marked_share=summary.marked_share,
        rungs=dict(Counter(span.rung for label in labels for span in label.spans).most_common()),
        attempts=len(rows),
        usd=spent.usd if priced else None,
        usd_per_1000=1000 * spent.usd / len(priced) if priced else None,
        unpriced=spent.unpriced,
        free=is_offline(annotator.name),
    )


def _unplaced_first(
    annotator: Annotator, paragraphs: Sequence[Paragraph], attempts: Attempts
) -> float | None:
    rungs = [
        span.rung
        for question in Questions(paragraphs, REPEATS)
        if (answers := recorded(annotator, question, attempts).responses)
        for span in annotator.read(question.paragraph, answers[:1]).spans
    ]
    return rungs.count("unresolved") / len(rungs) if rungs else None


def _retest(paragraphs: Sequence[Paragraph], labels: Sequence[Label], seed: int) -> tuple[Figure, int]:
    first = [label for label in labels if label.repeat == 0]
    again = [label.model_copy(update={"repeat": 0}) for label in labels if label.repeat == 1]
    try:
        pair = agreement(paragraphs, {"first": first, "again": again}, seed=seed).pairs[0]
    except LabelError as error:
        return Figure(value=None, reason=str(error)), 0
    return pair.f1, pair.valid
