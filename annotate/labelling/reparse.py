"""Make all labels again from the ledger: what a better way to read answers brings costs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from annotate.annotators import make_annotator
from annotate.annotators.replay import ReplayAnnotator
from annotate.errors import AnnotateError, LabelError
from annotate.files import read_whole
from annotate.gold import DEFAULT_RULE, gold_annotators, settle
from annotate.label_files import check_texts, labels_file
from annotate.labelling.label import chosen_rule, summarize, write_summary
from annotate.ledger.conversation import recorded
from annotate.ledger.derive import derive
from annotate.ledger.ledger import Attempts, Ledger, read_existing_ledger
from annotate.ledger.questions import Questions
from annotate.protocol import Annotator
from annotate.schema import Label, Paragraph, Status

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark


@dataclass(frozen=True)
class LabelChanges:
    """How one annotator's labels changed when its answers were read again.

    Attributes:
        annotator: Its name.
        statuses: Number of labels by status, most frequent first.
        new: Labels that were not in the file before.
        gone: Labels that were in the file before and are no more.
        changed: Labels that were there before and say something else now: status or words.
        moves: Among those, number of labels by change of status, for instance ``{"unresolved > ok": 3}``.
        words_added: Words marked now that were not before, over all labels that were there before.
        words_removed: Words marked before that are not now.
        unread: Recorded requests that this annotator would not make now: they are of another version of its
            prompt, or asked again about what can be placed by now. They stay in the ledger and in no label.
    """

    annotator: str
    statuses: dict[Status, int]
    new: int
    gone: int
    changed: int
    moves: dict[str, int]
    words_added: int
    words_removed: int
    unread: int


@dataclass(frozen=True)
class ReparseResult:
    """The result of making all labels again.

    Attributes:
        annotators: One an annotator of the ledger, sorted by name.
        gold: ``settled`` anew by the default rule, ``kept`` where someone chose it, or ``none`` where nobody has
            labelled anything.
    """

    annotators: tuple[LabelChanges, ...]
    gold: str

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


def reparse(
    benchmark: Benchmark, gold_from: Sequence[str] = (), *, seed: int = 0, command: str = ""
) -> ReparseResult:
    """Make ``labels/`` again from the ledger, for every annotator in it. Asks nobody, costs nothing.

    Gold that `annotate label` settled is settled anew; gold that someone chose stays.

    Args:
        benchmark: The benchmark; its labels and gold are written.
        gold_from: Annotators from whose labels gold is settled where there is none; gold that is there stays with those
            it was settled from.
        seed: Noted in the manifests.
        command: The command line, noted in the manifests.

    Returns:
        What changed.

    Raises:
        LabelError: There is no ledger, it is of another benchmark, another process is labelling, or none of an
            annotator's recorded answers fits what it asks now; labels are then as they were.
        UnknownNameError: The ledger names an annotator that this release does not know.
    """
    read_existing_ledger(benchmark.ledger)
    paragraphs = benchmark.paragraphs()
    with Ledger(benchmark.ledger) as ledger:
        attempts = ledger.attempts
        check_texts(
            benchmark.ledger, paragraphs, [(row.paragraph_id, row.text_sha256) for row in attempts.rows]
        )
        names = sorted({row.annotator for row in attempts.rows})
        annotators = [stored_annotator(name) for name in names]
        made = [(annotator, derive(paragraphs, annotator, attempts)) for annotator in annotators]
        unread = [_unread(annotator, paragraphs, attempts) for annotator in annotators]
        for (annotator, labels), lost in zip(made, unread, strict=True):
            _refuse_loss(annotator.name, labels, lost)
        changes = []
        for (annotator, labels), lost in zip(made, unread, strict=True):
            before = _labels_before(benchmark, annotator.name)
            summary = summarize(paragraphs, labels, annotator.name, 0, 0)
            write_summary(benchmark, labels, summary, seed, command)
            changes.append(_compare(annotator.name, summary.statuses, before, labels, lost))
        answered = {reread.annotator for reread in changes if reread.statuses.get("ok")}
        names = [name for name in gold_annotators(benchmark) or gold_from or names if name in answered]
        return ReparseResult(tuple(changes), _settle_again(benchmark, names, seed, command))


def stored_annotator(name: str) -> Annotator:
    """The annotator that a ledger or label calls ``name``; it reads, and can ask only where it has a key.

    Raises:
        UnknownNameError: This release knows no such annotator.
        LabelError: Its options do not fit.
    """
    if name.startswith("replay:"):
        return ReplayAnnotator(stored_annotator(name.removeprefix("replay:")), Attempts([]))
    return make_annotator(name)


def _unread(annotator: Annotator, paragraphs: Sequence[Paragraph], attempts: Attempts) -> int:
    rows = [row for row in attempts.rows if row.annotator == annotator.name]
    repeats = 1 + max((row.repeat for row in rows), default=0)
    read = {
        request.sha256
        for question in Questions(paragraphs, repeats)
        for request in recorded(annotator, question, attempts).requests
    }
    return len({row.request_sha256 for row in rows} - read)


def _refuse_loss(annotator: str, labels: Sequence[Label], unread: int) -> None:
    if unread and all(label.status == "missing" for label in labels):
        raise LabelError(
            f"none of the {unread:,} requests of {annotator} in the ledger is one it would make now: they are of"
            " another version of its prompt; read them with the release that made them, labels are left as they are"
        )


def _labels_before(benchmark: Benchmark, annotator: str) -> dict[tuple[str, int], Label]:
    path = labels_file(benchmark.labels_dir, annotator)
    try:
        labels = read_whole(path, Label, "")
    except AnnotateError:  # missing or torn: it is about to be made again
        labels = []
    return {(label.paragraph_id, label.repeat): label for label in labels if label.annotator == annotator}


def _compare(
    annotator: str,
    statuses: dict[Status, int],
    before: dict[tuple[str, int], Label],
    labels: Sequence[Label],
    unread: int,
) -> LabelChanges:
    after = {(label.paragraph_id, label.repeat): label for label in labels}
    pairs = [(before[key], after[key]) for key in after if key in before]
    moves = Counter(f"{old.status} > {new.status}" for old, new in pairs if old.status != new.status)
    return LabelChanges(
        annotator=annotator,
        statuses=statuses,
        new=len(after.keys() - before.keys()),
        gone=len(before.keys() - after.keys()),
        changed=sum((old.status, old.words) != (new.status, new.words) for old, new in pairs),
        moves=dict(moves.most_common()),
        words_added=sum(len(set(new.words) - set(old.words)) for old, new in pairs),
        words_removed=sum(len(set(old.words) - set(new.words)) for old, new in pairs),
        unread=unread,
    )


def _settle_again(benchmark: Benchmark, names: Sequence[str], seed: int, command: str) -> str:
    if chosen_rule(benchmark):
        return "kept"
    if not names:
        return "none"
    settle(benchmark, DEFAULT_RULE, names, chosen=False, seed=seed, command=command)
    return "settled"
