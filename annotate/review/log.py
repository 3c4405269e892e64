"""The log of reviews: every action of a person, one line each, never changed. All state is derived from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from typing_extensions import override

from annotate.errors import LabelError, StaleError
from annotate.exclusive import ExclusiveLog
from annotate.files import read_records
from annotate.label_files import check_texts
from annotate.schema import Paragraph, Record

Mode = Literal["review", "blind", "audit"]
Action = Literal[
    "toggle",
    "range",
    "accept-a",
    "accept-b",
    "union",
    "intersection",
    "clear",
    "undo",
    "redo",
    "save",
    "flag",
    "note",
]
DEFAULT_REVIEWER = "reviewer"


class Review(Record):
    """What a person decided on one paragraph; a later ``seq`` replaces an earlier one of the same person.

    Attributes:
        seq: Position in the log of reviews, growing.
        paragraph_id: The paragraph.
        text_sha256: Checksum of its text.
        words: The word indices that matter, after the action.
        done: Whether the decision is final.
        action: What was done.
        flag: Whether the person wants the paragraph looked at again.
        reviewer: Name of the person.
        note: A remark on the paragraph.
        mode: What the person saw: ``review`` all marks, ``blind`` marks without names, ``audit`` no marks.
        annotators: Whose marks were shown, A before B.
        key: The page's name for the action, so that one sent twice is written once.
    """

    schema_version: Literal[1] = 1
    seq: int
    paragraph_id: str
    text_sha256: str
    words: tuple[int, ...]
    done: bool
    action: Action = "save"
    flag: bool = False
    reviewer: str = DEFAULT_REVIEWER
    note: str = ""
    mode: Mode = "review"
    annotators: tuple[str, ...] = ()
    key: str = ""

    @property
    def annotator(self) -> str:
        """The person as an annotator.

        ``human:NAME`` who marked without suggestions (audit), ``human-reviewed:NAME`` who saw the marks of
        others, with or without names: agreement with those marks then is partly agreement with a suggestion.
        """
        return f"human:{self.reviewer}" if self.mode == "audit" else f"human-reviewed:{self.reviewer}"


@dataclass(frozen=True)
class Decision:
    """What stands decided on a paragraph at one moment."""

    words: tuple[int, ...]
    flag: bool = False
    done: bool = False
    note: str = ""


@dataclass(frozen=True)
class History:
    """The decisions on a paragraph that undo and redo walk through.

    Attributes:
        decisions: The decisions in order; the first is what a person starts from.
        position: Which of them stands.
    """

    decisions: tuple[Decision, ...]
    position: int = 0

    @property
    def current(self) -> Decision:
        """The decision that stands."""
        return self.decisions[self.position]

    def step(self, action: Action, decision: Decision) -> History:
        """The history after one more action that led to ``decision``.

        An undo or redo that does not lead to the decision beside the current one is taken as a change of its
        own: the labels, and with them what a person starts from, may have changed since.
        """
        beside = self.position + {"undo": -1, "redo": 1}.get(action, 0)
        known = beside != self.position and 0 <= beside < len(self.decisions)
        if known and self.decisions[beside] == decision:
            return History(self.decisions, beside)
        return History((*self.decisions[: self.position + 1], decision), self.position + 1)


def replay(start: Sequence[int], reviews: Iterable[Review]) -> History:
    """Rebuild the history of one paragraph.

    Args:
        start: The words a person starts from.
        reviews: The person's reviews of the paragraph, in order.
    """
    history = History((Decision(tuple(start)),))
    for review in reviews:
        history = history.step(review.action, Decision(review.words, review.flag, review.done, review.note))
    return history


def read_log(path: Path, paragraphs: Sequence[Paragraph]) -> list[Review]:
    """Read the log of reviews.

    Args:
        path: ``reviews.jsonl``; a missing file holds no review.
        paragraphs: The paragraphs of the benchmark.

    Returns:
        All reviews in order of ``seq``; a torn last line is left out.

    Raises:
        LabelError: A review is of another benchmark, or names a word that does not exist.
        BenchmarkError: A line is not a review.
    """
    reviews = read_records(path, Review) if path.exists() else []
    check_texts(path, paragraphs, [(review.paragraph_id, review.text_sha256) for review in reviews])
    size = {paragraph.id: len(paragraph.words) for paragraph in paragraphs}
    for review in reviews:
        if not all(0 <= word < size[review.paragraph_id] for word in review.words):
            raise LabelError(f"{path}: review {review.seq} names a word that its paragraph does not have")
    return sorted(reviews, key=lambda review: review.seq)


def last_reviews(reviews: Iterable[Review]) -> list[Review]:
    """The last review of each paragraph by each person, audits apart, in order of ``seq``."""
    last = {
        (review.paragraph_id, review.reviewer, review.mode == "audit"): review
        for review in sorted(reviews, key=lambda review: review.seq)
    }
    return sorted(last.values(), key=lambda review: review.seq)


def read_reviews(path: Path, paragraphs: Sequence[Paragraph]) -> dict[str, Review]:
    """Read what people decided, for gold.

    Args:
        path: ``reviews.jsonl``; a missing file holds no review.
        paragraphs: The paragraphs of the benchmark.

    Returns:
        The final review of each paragraph that has one: of several people's the last. An audit, which is one
        more opinion and settles no dispute, counts where nobody reviewed the annotators' marks.

    Raises:
        LabelError: A review is of another benchmark, or names a word that does not exist.
        BenchmarkError: A line is not a review.
    """
    final = [review for review in last_reviews(read_log(path, paragraphs)) if review.done]
    return {
        review.paragraph_id: review for review in sorted(final, key=lambda review: review.mode != "audit")
    }


class ReviewLog(ExclusiveLog):
    """The log of reviews opened for writing by this process alone; a context manager.

    Args:
        path: ``reviews.jsonl``, made if missing; a torn last line is cut off.
        paragraphs: The paragraphs of the benchmark.

    Raises:
        LabelError: Another process is writing to it, or it belongs to another benchmark.
        BenchmarkError: A line is not a review.
        OSError: The file cannot be opened for writing.
    """

    def __init__(self, path: Path, paragraphs: Sequence[Paragraph]) -> None:
        self._paragraphs = paragraphs
        self._keys: dict[str, Review] = {}
        self._reviews: dict[tuple[str, str, bool], list[Review]] = defaultdict(list)
        self.seq = 0
        busy = f"another `annotate review` is writing to {path}; use its page, or stop it first"
        super().__init__(path, LabelError(busy))

    @override
    def _load(self) -> None:
        for review in read_log(self.path, self._paragraphs):
            self._add(review)

    def _add(self, review: Review) -> None:
        self.seq = review.seq
        self._reviews[review.paragraph_id, review.reviewer, review.mode == "audit"].append(review)
        if review.key:
            self._keys[review.key] = review

    def of(self, paragraph_id: str, reviewer: str, audit: bool) -> Sequence[Review]:
        """One person's reviews of a paragraph, audits or the others, in order."""
        return self._reviews.get((paragraph_id, reviewer, audit), ())

    def append(self, review: Review, base: int) -> Review:
        """Write one action and wait until it is on the disk.

        Args:
            review: The action; its ``seq`` is given here.
            base: ``seq`` of the person's review of this paragraph that the action follows, 0 for none.

        Returns:
            The review as it stands in the log. An action that is there already, by its ``key``, is not
            written again.

        Raises:
            StaleError: The action follows another review than the last one.
            OSError: It could not be written whole; the log is then as it was.
        """
        if review.key in self._keys:
            return self._keys[review.key]
        earlier = self.of(review.paragraph_id, review.reviewer, review.mode == "audit")
        last = earlier[-1].seq if earlier else 0
        if base != last:
            raise StaleError(review.paragraph_id, base, last)
        written = review.model_copy(update={"seq": self.seq + 1})
        self._write(written.model_dump_json(), sync=True)
        self._add(written)
        return written
