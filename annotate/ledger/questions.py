"""What is asked: which paragraphs, how often, and which requests are left alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from annotate.schema import Paragraph


class Question(NamedTuple):
    """A paragraph that is asked about, and which repetition that is, from 0."""

    paragraph: Paragraph
    repeat: int = 0


@dataclass(frozen=True)
class Questions:
    """What one annotator is asked. Iterate for the questions, paragraph by paragraph.

    Attributes:
        paragraphs: What to label, in order.
        repeats: How often each paragraph is asked about.
        fresh: Ask again whatever the ledger holds; what it holds stays.
        waiting: Checksums of requests that wait in a batch; they are paid for there and not made again.
    """

    paragraphs: Sequence[Paragraph]
    repeats: int = 1
    fresh: bool = False
    waiting: Collection[str] = frozenset()

    def __iter__(self) -> Iterator[Question]:
        return (
            Question(paragraph, repeat) for paragraph in self.paragraphs for repeat in range(self.repeats)
        )

    def __len__(self) -> int:
        return len(self.paragraphs) * self.repeats


@dataclass(frozen=True)
class Selection:
    """Which questions about a benchmark a command asks.

    Attributes:
        limit: Ask about the first ``limit`` paragraphs only.
        repeats: How often each paragraph is asked about.
        fresh: Ask again whatever the ledger holds.
    """

    limit: int | None = None
    repeats: int = 1
    fresh: bool = False

    def questions(self, paragraphs: Sequence[Paragraph], waiting: Collection[str] = frozenset()) -> Questions:
        """The questions about a benchmark's ``paragraphs``, less the requests ``waiting`` in a batch."""
        return Questions(paragraphs[: self.limit], self.repeats, self.fresh, waiting)


EVERYTHING = Selection()
"""Every paragraph, once, as far as the ledger does not hold the answer."""
