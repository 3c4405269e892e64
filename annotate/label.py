"""Label a benchmark: ask every annotator, derive the labels from the ledger, settle the gold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from annotate.adjudicate import DEFAULT_RULE, Settled, gold_manifest, settle
from annotate.collect import collect
from annotate.derive import derive
from annotate.errors import LabelError
from annotate.files import read_records
from annotate.label_files import check_texts, slug, write_labels
from annotate.ledger import Ledger
from annotate.manifest import write_manifest
from annotate.protocol import Annotator
from annotate.schema import Gold, Label, Manifest, Paragraph, Status
from annotate.words import is_content

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark


@dataclass(frozen=True)
class LabelSummary:
    """What one annotator's labels amount to.

    Attributes:
        annotator: Its name.
        statuses: Number of labels by status, most frequent first.
        marked_share: Marked words among the content words of paragraphs labelled ``ok``; ``None`` without
            any.
        asked: Attempts made by this run.
        reused: Paragraphs and repetitions this run found finished in the ledger.
    """

    annotator: str
    statuses: dict[Status, int]
    marked_share: float | None
    asked: int
    reused: int


@dataclass(frozen=True)
class LabelRun:
    """What labelling a benchmark came to.

    Attributes:
        summaries: One an annotator, in the order asked.
        gold: The gold settled by the default rule, or ``None`` where gold that someone chose was left alone.
        kept_rule: The rule of the gold that was left alone; empty otherwise.
    """

    summaries: tuple[LabelSummary, ...]
    gold: Settled | None
    kept_rule: str

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values, the gold without its words."""
        return {
            "annotators": [asdict(summary) for summary in self.summaries],
            "gold": self.gold.as_json() if self.gold else {"rule": self.kept_rule, "left": True},
        }


def label_benchmark(
    benchmark: Benchmark,
    annotators: Sequence[Annotator],
    *,
    limit: int | None = None,
    repeats: int = 1,
    fresh: bool = False,
    seed: int = 0,
    command: str = "",
    track: Callable[[str, int], Callable[[], object]] = lambda name, total: lambda: None,
) -> LabelRun:
    """Collect the labels of every annotator and settle the gold from them.

    Gold that someone chose by `annotate adjudicate` is left as it is.

    Args:
        benchmark: The benchmark; its ledger, ``labels/`` and ``gold.jsonl`` are written.
        annotators: Whom to ask, in order.
        limit: Ask about the first ``limit`` paragraphs only; the others are ``missing`` until asked.
        repeats: How often each paragraph is asked about.
        fresh: Ask again whatever the ledger holds.
        seed: Noted in the manifests.
        command: The command line, noted in the manifests.
        track: Called with an annotator's name and the number of steps; returns what to call after each.

    Returns:
        The summaries and the gold.

    Raises:
        LabelError: An annotator is named twice, another process is labelling, the ledger is of another
            benchmark, or an annotator labelled no paragraph at all.
        OSError: Something cannot be written; what was written before is kept, and the same call goes on.
    """
    names = [annotator.name for annotator in annotators]
    if len(set(names)) < len(names):
        raise LabelError(f"an annotator is named twice: {', '.join(names)}")
    paragraphs = benchmark.paragraphs()
    chosen = paragraphs[:limit]
    summaries = []
    with Ledger(benchmark.ledger) as ledger:
        rows = [(row.paragraph_id, row.text_sha256) for row in ledger.attempts.rows]
        check_texts(benchmark.ledger, paragraphs, rows)
        for annotator in annotators:
            advance = track(annotator.name, len(chosen) * repeats)
            asked, reused = collect(chosen, annotator, ledger, repeats, fresh, advance)
            labels = derive(paragraphs, annotator, ledger.attempts)
            summary = summarize(paragraphs, labels, annotator.name, asked, reused)
            write_summary(benchmark, labels, summary, seed, command)
            if not summary.statuses.get("ok"):
                raise LabelError(_failed(labels, summary))
            summaries.append(summary)
        kept = chosen_rule(benchmark)
        gold = None
        if not kept:
            gold = settle(benchmark, DEFAULT_RULE, names, chosen=False, seed=seed, command=command)
    return LabelRun(tuple(summaries), gold, kept)


def write_summary(
    benchmark: Benchmark, labels: Sequence[Label], summary: LabelSummary, seed: int, command: str
) -> None:
    """Write the labels of one annotator and the manifest that sums them up."""
    path = write_labels(benchmark.labels_dir, summary.annotator, labels)
    write_manifest(
        benchmark.labels_dir / f"{slug(summary.annotator)}.manifest.json",
        command=command,
        seed=seed,
        config={"annotator": summary.annotator},
        inputs=[benchmark.paragraphs_path],
        files=[path],
        report={"statuses": summary.statuses, "marked_share": summary.marked_share},
    )


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
    """Count the labels of one annotator by status, and the share of content words marked."""
    eligible = {p.id: {i for i, text in enumerate(p.word_texts()) if is_content(text)} for p in paragraphs}
    answered = [label for label in labels if label.status == "ok"]
    words = sum(len(eligible[label.paragraph_id]) for label in answered)
    marked = sum(len(eligible[label.paragraph_id].intersection(label.words)) for label in answered)
    statuses = Counter(label.status for label in labels)
    return LabelSummary(
        annotator, dict(statuses.most_common()), marked / words if words else None, asked, reused
    )
