"""Which requests a run would make next, given what the ledger and unfinished batches hold. Asks nobody."""

from __future__ import annotations

from dataclasses import dataclass

from annotate.ledger.conversation import KnownAnswers, follow
from annotate.ledger.ledger import Attempts
from annotate.ledger.questions import Questions
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


def pending(questions: Questions, annotator: Annotator, attempts: Attempts) -> Pending:
    """Find the next request of every question.

    Args:
        questions: What is asked.
        annotator: Whom to ask.
        attempts: What the ledger holds.

    Returns:
        The requests, failed ones included where asking again may help.
    """
    asks: dict[str, Ask] = {}
    finished = held = 0
    known = KnownAnswers(annotator, attempts, questions.fresh)
    for question in questions:
        request = follow(annotator, question, known).open
        if request is None or request.sha256 in asks:
            finished += 1
        elif request.sha256 in questions.waiting:
            held += 1
        else:
            asks[request.sha256] = Ask(question.paragraph, request)
    return Pending(annotator, tuple(asks.values()), finished, held)
