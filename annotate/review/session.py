"""One run of `annotate review`: a benchmark, a person, what is shown, and the log that takes the actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annotate.files import canonical_hash
from annotate.review.log import History, Mode, Review, ReviewLog, replay
from annotate.review.queue import Filter, Item, build_queue
from annotate.review.wire import Change, SessionError, WireError, check_words, row, sheet
from annotate.schema import Label, Paragraph

Pair = tuple[int, ...]


class Session:
    """What the server answers from.

    Args:
        paragraphs: The paragraphs of the benchmark.
        labels: Labels of the annotators one can choose from; not looked at in an audit.
        log: The open log.
        mode: What the person sees.
        reviewer: Name of the person.
        shown: Which paragraphs the page lists at first.
        seed: Seed of the swap of sides (``blind``) and of the order (``audit``).
        restart: The command that serves open pages again, shown when the server is gone.

    Raises:
        LabelError: There is nothing to review.
    """

    def __init__(
        self,
        paragraphs: Sequence[Paragraph],
        labels: Mapping[str, Sequence[Label]],
        log: ReviewLog,
        *,
        mode: Mode,
        reviewer: str,
        shown: Filter = "pending",
        seed: int = 0,
        restart: str = "",
    ) -> None:
        self._paragraphs = paragraphs
        self._labels = {} if mode == "audit" else dict(labels)
        self._log = log
        self._mode: Mode = mode
        self._reviewer = reviewer
        self._shown: Filter = shown
        self._seed = seed
        self._restart = restart
        self._names = list(self._labels)
        self._queues: dict[Pair, list[Item]] = {}
        self._items: dict[Pair, dict[int, Item]] = {}
        self._default: Pair = tuple(range(min(2, len(self._names))))
        self._queue(self._default)
        texts = [paragraph.text_sha256 for paragraph in paragraphs]
        self.id = canonical_hash([texts, self._names, mode, reviewer, seed])[:16]

    def describe(self) -> dict[str, Any]:
        """What the page must know before it shows a paragraph."""
        return {
            "session": self.id,
            "mode": self._mode,
            "reviewer": self._reviewer,
            "annotators": [] if self._mode == "blind" else self._names,
            "pair": self._default,
            "filter": self._shown,
            "restart": self._restart,
            "seq": self._log.seq,
        }

    def alive(self) -> dict[str, Any]:
        """Which run this is, and the sequence number of the last review in the log."""
        return {"session": self.id, "seq": self._log.seq}

    def queue(self, pair: Pair | None) -> list[dict[str, Any]]:
        """The rows of the queue.

        Args:
            pair: Positions of the annotators to show; ``None`` for the first two.

        Raises:
            WireError: There is no such pair, or the mode fixes it.
        """
        return [row(item, self._history(item)) for item in self._queue(self._checked(pair))]

    def sheet(self, paragraph: int, pair: Pair | None) -> dict[str, Any]:
        """What the page shows of one paragraph.

        Raises:
            WireError: There is no such paragraph or pair.
        """
        item = self._item(paragraph, self._checked(pair))
        reviews = self._reviews(item)
        return sheet(item, self._history(item), reviews[-1].seq if reviews else 0, self._mode)

    def change(self, change: Change) -> dict[str, Any]:
        """Take one action: it is on the disk when this returns.

        Returns:
            Its sequence number, and the filters that now show the paragraph.

        Raises:
            SessionError: The page was opened on a run with other settings.
            WireError: It does not fit the paragraph.
            StaleError: It follows another state than the last one.
            OSError: It could not be written.
        """
        if change.session != self.id:
            raise SessionError(
                "this page was opened on another benchmark, reviewer or choice of annotators: reload the page"
            )
        item = self._item(change.paragraph, self._checked(change.pair))
        check_words(change.words, item.paragraph)
        review = Review(
            seq=0,
            paragraph_id=item.paragraph.id,
            text_sha256=item.paragraph.text_sha256,
            words=change.words,
            done=change.done,
            action=change.action,
            flag=change.flag,
            reviewer=self._reviewer,
            note=change.note,
            mode=self._mode,
            annotators=tuple(side.annotator for side in item.sides),
            key=change.key,
        )
        written = self._log.append(review, change.base)
        return {"seq": written.seq, "filters": item.filters(self._history(item).current)}

    def _checked(self, pair: Pair | None) -> Pair:
        if pair is None or pair == self._default:
            return self._default
        fixed = self._mode != "review"
        size = len(self._names)
        if fixed or len(set(pair)) != 2 or len(pair) != 2 or not all(0 <= name < size for name in pair):
            raise WireError("there is no such pair of annotators to show")
        return pair

    def _queue(self, pair: Pair) -> list[Item]:
        if pair not in self._queues:
            labels = {self._names[i]: self._labels[self._names[i]] for i in pair}
            self._queues[pair] = build_queue(self._paragraphs, labels, self._mode, self._seed)
            self._items[pair] = {item.index: item for item in self._queues[pair]}
        return self._queues[pair]

    def _item(self, paragraph: int, pair: Pair) -> Item:
        self._queue(pair)
        item = self._items[pair].get(paragraph)
        if item is None:
            raise WireError(f"there is no paragraph {paragraph}; there are {len(self._paragraphs):,}")
        return item

    def _reviews(self, item: Item) -> Sequence[Review]:
        return self._log.of(item.paragraph.id, self._reviewer, self._mode == "audit")

    def _history(self, item: Item) -> History:
        return replay(item.start, self._reviews(item))
