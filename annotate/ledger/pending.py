"""Which requests a run would make next, given what the ledger and unfinished batches hold. Asks nobody."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from annotate.ledger.ledger import Attempts
from annotate.online.scheduler import resume
from annotate.protocol import Annotator, Request
from annotate.schema import Paragraph


@dataclass(frozen=True)
class Ask:
    """A request that is not answered, and the paragraph it is about."""

    paragraph: Paragraph
    request: Request


@dataclass(frozen=True)
class Pending:
    """What is still to be asked of one annotator.

    Attributes:
        annotator: The annotator.
        asks: The requests, each once, in paragraph order.
        finished: Paragraphs and repetitions that need no request; a text that occurs twice is asked about once.
        held: Paragraphs and repetitions whose request waits in a batch.
    """

    annotator: Annotator
    asks: tuple[Ask, ...]
    finished: int
    held: int


def pending(
    paragraphs: Sequence[Paragraph],
    annotator: Annotator,
    attempts: Attempts,
    repeats: int = 1,
    fresh: bool = False,
    waiting: Collection[str] = frozenset(),
) -> Pending:
    """Find the next request of every paragraph and repetition.

    Args:
        paragraphs: What to label.
        annotator: Whom to ask.
        attempts: What the ledger holds.
        repeats: How often each paragraph is asked about.
        fresh: Ask again whatever the ledger holds.
        waiting: Checksums of requests that wait in a batch; they are not asked again.

    Returns:
        The requests, failed ones included where asking again may help.
    """
    asks: dict[str, Ask] = {}
    finished = held = 0
    for paragraph in paragraphs:
        for repeat in range(repeats):
            earlier = [] if fresh else resume(annotator, paragraph, repeat, attempts)
            request = annotator.request(paragraph, repeat, earlier)
            if request is None or request.sha256 in asks:
                finished += 1
            elif request.sha256 in waiting:
                held += 1
            else:
                asks[request.sha256] = Ask(paragraph, request)
    return Pending(annotator, tuple(asks.values()), finished, held)
