"""Compare label formats on a few paragraphs before many are paid for: by themselves, or by what people marked."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from annotate.agreement import Estimate as Figure
from annotate.agreement import agreement
from annotate.agreement.counts import CELLS, Eligible, Marks, cells, clusters, eligible_words, marks
from annotate.agreement.figures import NO_MARK
from annotate.agreement.intervals import Sums, estimate, resample
from annotate.agreement.people import mean_f1, people_rows
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
"""How often each paragraph is asked about: once to label it, once to see whether the answer comes again. Where people
say which answer is better, once."""
BOOTSTRAP = 10_000


class Trial(Record):
    """How one annotator did with one format.

    Attributes:
        annotator: Its name, which names the format where it is not the default.
        format: The format, or the prompt that decides it.
        statuses: Number of labels by status, both repetitions.
        unplaced_first: Share of the quotes in first answers that could not be placed; ``None`` without any.
        unresolved: Share of labels that ended with a quote that could not be placed.
        retest: Word F1 between the two repetitions, where there are two, pooled over paragraphs with two labels, with
            its 95 % interval by bootstrap over paragraphs.
        retested: Paragraphs with two labels.
        marked_share: Marked words among the content words of paragraphs labelled ``ok``.
        rungs: Number of spans in all labels by how they were placed, most frequent first.
        attempts: Attempts made so far, those of earlier runs of the pilot included.
        usd: US dollars paid for them, over those with a known price; ``None`` where none has.
        usd_per_1000: Price of labelling 1,000 paragraphs once, at that rate.
        unpriced: Attempts whose price is not known.
        free: Whether the annotator costs nothing.
        people: Mean over people of the word F1 with each, pooled over the paragraphs, of which those that the annotator
            did not label count as if it had found nothing; ``None`` where people were not asked for.
        behind: How much less that is than the best trial's, with the interval of the difference; ``None`` for the best.
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
    people: Figure | None = None
    behind: Figure | None = None


class Pilot(Record):
    """A comparison of formats.

    Attributes:
        paragraphs: Number of paragraphs asked about.
        repeats: How often each was asked about.
        seed: Seed that drew them.
        trials: One an annotator and format, in the order asked.
        people: Whose marks they were compared with.
        among_people: Word F1 of the people with each other, the mean of every two; ``None`` for fewer than two.
        best: The annotator that agrees best with people, the first of equals; empty where people were not asked for.
    """

    paragraphs: int
    repeats: int
    seed: int
    trials: tuple[Trial, ...]
    people: tuple[str, ...] = ()
    among_people: Figure | None = None
    best: str = ""


def with_format(spec: str, name: str) -> str:
    """The annotator ``spec`` with the option ``format=name``."""
    return _with(spec, "format", name)


def with_prompt(spec: str, prompt: str) -> str:
    """The annotator ``spec`` with the option ``prompt=prompt``, which decides its format."""
    return _with(spec, "prompt", prompt)


def _with(spec: str, option: str, value: str) -> str:
    return f"{spec}{',' if ':' in spec else ':'}{option}={value}"


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
    people: Mapping[str, Sequence[Label]] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    track: Callable[[str, int], Report] = lambda name, total: lambda done, note: None,
) -> Pilot:
    """Ask every annotator about the same few paragraphs, and compare what comes of it.

    Without people each is asked twice, and what can be told is whether it answers alike. With people each is asked once
    about paragraphs that they labelled, and the best is who agrees best with them.

    Every attempt goes to ``pilot/ledger.jsonl`` in the benchmark's folder, so the same call resumes where it
    stopped and pays for nothing twice; the labels of the benchmark are left alone.

    Args:
        benchmark: The benchmark; its folder ``pilot/`` is written.
        annotators: Name of the format and annotator that uses it, in order.
        count: Number of paragraphs, or fewer where the benchmark does not have as many different ones.
        seed: Seed that draws them, and of the bootstrap.
        people: Labels of people, by name; ``None`` to do without.
        limits: Limits for online annotators.
        track: As for :func:`annotate.labelling.label.label_benchmark`.

    Returns:
        The comparison; also in ``pilot/pilot.json``.

    Raises:
        LabelError: An annotator is named twice, no paragraph has a person's label, or another process is at it.
        AnnotateError: An annotator had to stop; what was answered is kept.
    """
    distinct_names([annotator for _, annotator in annotators])
    everything = benchmark.paragraphs()
    marked = {name: marks(labels) for name, labels in (people or {}).items()}
    by_people = {name for each in marked.values() for name in each}
    if people is not None and not by_people:
        raise LabelError(
            f"{benchmark.path} holds no labels of people who marked by themselves; they come by annotate import, or by"
            " annotate review --audit"
        )
    eligible = everything if people is None else [each for each in everything if each.id in by_people]
    paragraphs = draw(eligible, count, seed)
    repeats = REPEATS if people is None else 1
    questions = Questions(paragraphs, repeats)
    budget = Budget(limits.max_cost)
    with Ledger(pilot_ledger(benchmark)) as ledger:
        rows = [(row.paragraph_id, row.text_sha256) for row in ledger.attempts.rows]
        check_texts(ledger.path, everything, rows)
        for _, annotator in annotators:
            report = track(annotator.name, len(questions))
            _, stop = ask(questions, annotator, ledger, limits, budget, report)
            if stop is not None:
                raise stop
        labels = [
            [label for label in derive(paragraphs, annotator, ledger.attempts) if label.repeat < repeats]
            for _, annotator in annotators
        ]
        trials = [
            _trial(name, annotator, paragraphs, given, ledger.attempts, repeats, seed)
            for (name, annotator), given in zip(annotators, labels, strict=True)
        ]
    pilot = Pilot(paragraphs=len(paragraphs), repeats=repeats, seed=seed, trials=tuple(trials))
    if people is not None:
        pilot = _by_people(pilot, paragraphs, labels, marked)
    write_atomic(pilot_ledger(benchmark).with_name("pilot.json"), pilot.model_dump_json(indent=2) + "\n")
    return pilot


def pilot_ledger(benchmark: Benchmark) -> Path:
    """The ledger of pilots of ``benchmark``; their result lies beside it."""
    return benchmark.path / "pilot" / "ledger.jsonl"


def _by_people(
    pilot: Pilot,
    paragraphs: Sequence[Paragraph],
    labels: Sequence[Sequence[Label]],
    people: Mapping[str, Marks],
) -> Pilot:
    """The pilot with each trial's agreement with people, and the best of them."""
    words = {paragraph.id: eligible_words(paragraph) for paragraph in paragraphs}
    present = {name: marked for name, marked in people.items() if any(each in marked for each in words)}
    tables = {
        trial.annotator: clusters(words, people_rows(words, marks(given), list(present.values())))
        for trial, given in zip(pilot.trials, labels, strict=True)
    }
    # One draw of texts for all, so that trials are compared on the same ones.
    sums = resample(tables, BOOTSTRAP, pilot.seed)
    figures = {name: estimate(mean_f1, each, NO_MARK) for name, each in sums.items()}
    best = max(figures, key=lambda name: -1.0 if (value := figures[name].value) is None else value)
    trials = tuple(
        trial.model_copy(
            update={
                "people": figures[trial.annotator],
                "behind": None if trial.annotator == best else _behind(sums[best], sums[trial.annotator]),
            }
        )
        for trial in pilot.trials
    )
    return pilot.model_copy(
        update={
            "trials": trials,
            "people": tuple(present),
            "among_people": _among(words, present, pilot.seed) if len(present) > 1 else None,
            "best": best if figures[best].value is not None else "",
        }
    )


def _behind(best: Sums, other: Sums) -> Figure:
    """How much less the mean F1 with people is, of two tables with the same draws."""
    both = Sums(
        np.hstack([best.total, other.total]),
        np.hstack([best.replicates, other.replicates]),
        best.clusters,
    )
    width = best.total.shape[1]
    return estimate(lambda counts: mean_f1(counts[:, :width]) - mean_f1(counts[:, width:]), both, NO_MARK)


def _among(words: Mapping[str, Eligible], people: Mapping[str, Marks], seed: int) -> Figure:
    """Mean F1 of every two people, on what both labelled."""
    rows = [
        (
            name,
            [
                count
                for first, second in combinations(people.values(), 2)
                for count in (
                    cells(eligible.words, first[name], second[name])
                    if name in first and name in second
                    else [0.0] * CELLS
                )
            ],
        )
        for name, eligible in words.items()
    ]
    sums = resample({"people": clusters(words, rows)}, BOOTSTRAP, seed)["people"]
    return estimate(mean_f1, sums, "no paragraph was labelled by two people")


def _trial(
    name: str,
    annotator: Annotator,
    paragraphs: Sequence[Paragraph],
    labels: Sequence[Label],
    attempts: Attempts,
    repeats: int,
    seed: int,
) -> Trial:
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
        unplaced_first=_unplaced_first(annotator, Questions(paragraphs, repeats), attempts),
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


def _unplaced_first(annotator: Annotator, questions: Questions, attempts: Attempts) -> float | None:
    rungs = [
        span.rung
        for question in questions
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
