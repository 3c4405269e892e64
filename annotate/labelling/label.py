"""Label a benchmark: ask every annotator, derive the labels from the ledger, settle the gold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from annotate.errors import AnnotateError, IncompleteError, LabelError
from annotate.files import read_records
from annotate.gold import DEFAULT_RULE, Settlement, gold_annotators, gold_manifest, settle
from annotate.label_files import check_texts, labels_file, manifest_file, write_labels
from annotate.labelling.collect import collect
from annotate.ledger.batches import BatchLog
from annotate.ledger.derive import derive
from annotate.ledger.ledger import Attempts, Ledger
from annotate.ledger.questions import EVERYTHING, Questions, Selection
from annotate.manifest import write_manifest
from annotate.online.limits import DEFAULT_LIMITS, Budget, Limits
from annotate.online.scheduler import Tally, collect_online
from annotate.protocol import Annotator, OnlineAnnotator
from annotate.schema import Gold, Label, Manifest, Paragraph, Status
from annotate.words import is_content

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark

Report = Callable[[int, str], object]
"""Progress callback: number of steps done so far, and a note."""


@dataclass(frozen=True)
class RunCost:
    """What one online annotator cost this run.

    Attributes:
        cost_usd: US dollars, or ``None`` when a price or a count of tokens is not known.
        retries: Attempts that were not the first at their request.
        lost: Attempts without an answer that may have been billed.
        unfinished: Paragraphs and repetitions that got no answer and can be asked again.
        held: Paragraphs and repetitions whose request waits in a batch.
        other_prompts: Attempts in the ledger that were made with another version of the prompt; none is used.
        models: The models that answered, as the server names them, over all labels.
    """

    cost_usd: float | None
    retries: int
    lost: int
    unfinished: int
    held: int
    other_prompts: int
    models: tuple[str, ...]


@dataclass(frozen=True)
class LabelSummary:
    """Summary of one annotator's labels.

    Attributes:
        annotator: Its name.
        statuses: Number of labels by status, most frequent first.
        marked_share: Marked words among the content words of paragraphs labelled ``ok``; ``None`` without
            any.
        asked: Attempts made by this run.
        reused: Paragraphs and repetitions this run found finished in the ledger.
        spent: What an online annotator cost this run; ``None`` of an offline one.
        reasons: Of each status but ``ok``, what is said most often of why, where anything is.
    """

    annotator: str
    statuses: dict[Status, int]
    marked_share: float | None
    asked: int
    reused: int
    spent: RunCost | None = None
    reasons: dict[Status, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelRun:
    """The result of labelling a benchmark.

    Attributes:
        summaries: One an annotator, in the order asked.
        gold: The gold settled by the default rule, or ``None`` where the gold there is was left alone.
        kept_rule: The rule of the gold that was left alone; empty otherwise.
        kept_annotators: Whose labels that gold rests on, where nobody chose it and other annotators were asked now.
        changed: Paragraphs whose gold words were others before.
    """

    summaries: tuple[LabelSummary, ...]
    gold: Settlement | None
    kept_rule: str
    kept_annotators: tuple[str, ...] = ()
    changed: int = 0

    @property
    def unfinished(self) -> int:
        """Paragraphs and repetitions that got no answer and can be asked again."""
        return sum(summary.spent.unfinished for summary in self.summaries if summary.spent)

    @property
    def held(self) -> int:
        """Paragraphs and repetitions whose request waits in a batch."""
        return sum(summary.spent.held for summary in self.summaries if summary.spent)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values, the gold without its words."""
        return {
            "annotators": [asdict(summary) for summary in self.summaries],
            "gold": self.gold.as_json() if self.gold else {"rule": self.kept_rule, "left": True},
            "gold_changed": self.changed,
        }


def label_benchmark(
    benchmark: Benchmark,
    annotators: Sequence[Annotator],
    selection: Selection = EVERYTHING,
    *,
    seed: int = 0,
    command: str = "",
    limits: Limits = DEFAULT_LIMITS,
    track: Callable[[str, int], Report] = lambda name, total: lambda done, note: None,
) -> LabelRun:
    """Collect the labels of every annotator and settle the gold from them.

    Gold that someone chose by `annotate adjudicate` is left as it is, and so is gold that rests on other annotators:
    who is asked later joins it by `annotate adjudicate` alone.

    Args:
        benchmark: The benchmark; its ledger, ``labels/`` and ``gold.jsonl`` are written.
        annotators: Whom to ask, in order.
        selection: What to ask them about; other paragraphs are ``missing`` until asked.
        seed: Noted in the manifests.
        command: The command line, noted in the manifests.
        limits: Limits for online annotators; the budget is one for all of them.
        track: Called with an annotator's name and the number of steps; returns what to call with the number of
            steps done and a note on how it goes.

    Returns:
        The summaries and the gold.

    Raises:
        LabelError: An annotator is named twice, another process is labelling, the ledger is of another
            benchmark, or an annotator labelled no paragraph at all.
        BudgetError: The next request could cost more than may be spent.
        EndpointError: The endpoint will not serve this run.
        IncompleteError: The run was interrupted, or the endpoint is down.
        OSError: A file cannot be written; what was written before is kept, and the same call resumes.
    """
    names = distinct_names(annotators)
    paragraphs = benchmark.paragraphs()
    summaries = []
    budget = Budget(limits.max_cost)
    with Ledger(benchmark.ledger) as ledger:
        rows = [(row.paragraph_id, row.text_sha256) for row in ledger.attempts.rows]
        check_texts(benchmark.ledger, paragraphs, rows)
        log = BatchLog(benchmark.batches)
        for annotator in annotators:
            questions = selection.questions(paragraphs, log.waiting(annotator.name))
            report = track(annotator.name, len(questions))
            tally, stop = ask(questions, annotator, ledger, limits, budget, report)
            labels = derive(paragraphs, annotator, ledger.attempts)
            summary = summarize(paragraphs, labels, annotator.name, tally.attempts, tally.reused)
            if isinstance(annotator, OnlineAnnotator):
                summary = replace(summary, spent=_spent(annotator, tally, labels, ledger.attempts))
            write_summary(benchmark, labels, summary, seed, command)
            if stop is not None:
                raise _stopped(stop, summary)
            if tally.held and not summary.statuses.get("ok"):
                raise IncompleteError(f"{annotator.name}: {describe_held(tally.held)}")
            if not summary.statuses.get("ok"):
                failure = IncompleteError if tally.unfinished else LabelError
                raise failure(_failed(labels, summary))
            summaries.append(summary)
        kept_rule = chosen_rule(benchmark)
        rests_on = gold_annotators(benchmark) if benchmark.gold_path.exists() else None
        if kept_rule:
            return LabelRun(tuple(summaries), None, kept_rule)
        if rests_on is not None and not _covers(benchmark, rests_on, names):
            return LabelRun(tuple(summaries), None, DEFAULT_RULE, tuple(rests_on))
        before = _gold_words(benchmark)
        gold = settle(benchmark, DEFAULT_RULE, rests_on or names, chosen=False, seed=seed, command=command)
        changed = sum(before.get(row.paragraph_id, row.indices()) != row.indices() for row in gold.gold)
        changed += len(before.keys() - {row.paragraph_id for row in gold.gold})
    return LabelRun(tuple(summaries), gold, "", changed=changed)


def _covers(benchmark: Benchmark, rests_on: Sequence[str], names: Sequence[str]) -> bool:
    """Whether gold that rests on some annotators can be settled anew from them after ``names`` labelled."""
    return set(names) <= set(rests_on) and all(
        labels_file(benchmark.labels_dir, name).exists() for name in rests_on
    )


def _gold_words(benchmark: Benchmark) -> dict[str, list[int]]:
    rows = read_records(benchmark.gold_path, Gold) if benchmark.gold_path.exists() else []
    return {row.paragraph_id: row.indices() for row in rows}


def distinct_names(annotators: Sequence[Annotator]) -> list[str]:
    """The annotators' names, in order.

    Raises:
        LabelError: One occurs twice.
    """
    names = [annotator.name for annotator in annotators]
    if len(set(names)) < len(names):
        raise LabelError(f"an annotator is named twice: {', '.join(names)}")
    return names


def ask(
    questions: Questions,
    annotator: Annotator,
    ledger: Ledger,
    limits: Limits,
    budget: Budget,
    report: Report,
) -> tuple[Tally, AnnotateError | None]:
    """Ask one annotator, online or not, as far as the ledger does not hold its answers.

    Args:
        questions: What is asked.
        annotator: Whom to ask.
        ledger: Where every attempt is written, before it is read.
        limits: How fast and how long, for an online annotator; so the budget.
        budget: What may be spent.
        report: Called with the number of steps done and a note on how it goes.

    Returns:
        The tally, and why the run ended early, if it did.

    Raises:
        OSError: The ledger cannot be written; everything written before is kept.
        LabelError: There is no key, or a limit on cost for a model whose price is not known.
    """
    if isinstance(annotator, OnlineAnnotator):
        show = partial(_show, report)
        return collect_online(questions, annotator, ledger, limits, budget, show)
    tally = Tally()
    advance = partial(_advance, report, count(1))
    tally.attempts, tally.reused = collect(questions, annotator, ledger, advance)
    return tally, None


def _advance(report: Report, steps: Iterator[int]) -> None:
    report(next(steps), "")


def _show(report: Report, tally: Tally) -> None:
    cost = "" if tally.unpriced else f", ${tally.cost_usd:.2f}"
    waiting = f", waiting {tally.waiting_s:,.0f} s for the server" if tally.waiting_s >= 1 else ""
    report(tally.done, f"{tally.failed:,} failed{cost}{waiting}")


def _spent(annotator: OnlineAnnotator, tally: Tally, labels: Sequence[Label], attempts: Attempts) -> RunCost:
    prompts = Counter(row.prompt_sha256 for row in attempts.rows if row.annotator == annotator.name)
    return RunCost(
        cost_usd=None if tally.unpriced else tally.cost_usd,
        retries=tally.retries,
        lost=tally.lost,
        unfinished=tally.unfinished,
        held=tally.held,
        other_prompts=prompts.total() - prompts[annotator.prompt_sha256],
        models=tuple(sorted({label.model for label in labels if label.model})),
    )


def _stopped(stop: AnnotateError, summary: LabelSummary) -> AnnotateError:
    """The error that ends the run, with how far it came."""
    ok = summary.statuses.get("ok", 0)
    return type(stop)(
        f"{summary.annotator}: {stop}; {ok:,} of {sum(summary.statuses.values()):,} are labelled so far;"
        " answers are kept, re-run the command to resume"
    )


def write_summary(
    benchmark: Benchmark, labels: Sequence[Label], summary: LabelSummary, seed: int, command: str
) -> None:
    """Write the labels of one annotator and the manifest that sums them up."""
    path = write_labels(benchmark.labels_dir, summary.annotator, labels)
    write_manifest(
        manifest_file(path),
        command=command,
        seed=seed,
        config={"annotator": summary.annotator},
        inputs=[benchmark.paragraphs_path],
        files=[path],
        report={"statuses": summary.statuses, "marked_share": summary.marked_share},
    )


def describe_held(held: int) -> str:
    """Why requests were not made: they wait in a batch."""
    return f"{held:,} wait in a batch and were not asked again: annotate label --batch collect"


def _failed(labels: Sequence[Label], summary: LabelSummary) -> str:
    statuses = ", ".join(f"{count:,} {status}" for status, count in summary.statuses.items())
    why = labels[0].detail if labels else "the benchmark is empty"
    return f"{summary.annotator} labelled no paragraph ({statuses}): {why}"


def chosen_rule(benchmark: Benchmark) -> str:
    """The rule of gold that someone chose; empty where there is none or labelling itself settled it."""
    rows = read_records(benchmark.gold_path, Gold) if benchmark.gold_path.exists() else []
    rule = rows[0].rule if rows else ""
    try:
        chosen = Manifest.model_validate_json(gold_manifest(benchmark).read_bytes()).config.get("chosen")
    except (OSError, ValidationError):
        chosen = rule != DEFAULT_RULE
    return rule if chosen else ""


def summarize(
    paragraphs: Sequence[Paragraph], labels: Sequence[Label], annotator: str, asked: int, reused: int
) -> LabelSummary:
    """Count the labels of one annotator by status, with the usual reason, and the share of content words marked."""
    eligible = {p.id: {i for i, text in enumerate(p.word_texts()) if is_content(text)} for p in paragraphs}
    answered = [label for label in labels if label.status == "ok"]
    words = sum(len(eligible[label.paragraph_id]) for label in answered)
    marked = sum(len(eligible[label.paragraph_id].intersection(label.words)) for label in answered)
    statuses = Counter(label.status for label in labels)
    details: dict[Status, Counter[str]] = {}
    for label in labels:
        if label.status != "ok" and label.detail:
            details.setdefault(label.status, Counter())[label.detail] += 1
    return LabelSummary(
        annotator,
        dict(statuses.most_common()),
        marked / words if words else None,
        asked,
        reused,
        reasons={status: counts.most_common(1)[0][0] for status, counts in details.items()},
    )
