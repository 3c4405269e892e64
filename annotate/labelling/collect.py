"""Ask annotators what the ledger does not answer yet."""

from __future__ import annotations

from collections.abc import Callable

from annotate.ledger.conversation import KnownAnswers, follow
from annotate.ledger.ledger import Ledger, make_attempt, request_record
from annotate.ledger.questions import Questions
from annotate.protocol import Annotator, Request, Response
from annotate.schema import Paragraph


def collect(
    questions: Questions, annotator: Annotator, ledger: Ledger, advance: Callable[[], object] = lambda: None
) -> tuple[int, int]:
    """Ask ``annotator`` every question, as far as the ledger does not hold the answer.

    Args:
        questions: What is asked.
        annotator: Whom to ask.
        ledger: Where every attempt is written, before it is read.
        advance: Called after each question.

    Returns:
        Number of attempts made, and of questions that needed none.

    Raises:
        OSError: The ledger cannot be written; everything written before is kept.
    """
    known = KnownAnswers(annotator, ledger.attempts, questions.fresh)
    attempts = reused = 0
    for question in questions:
        before = attempts

        def answer(request: Request, paragraph: Paragraph = question.paragraph) -> Response | None:
            nonlocal attempts
            response = known(request)
            if response is None:
                response = _make(annotator, paragraph, request, ledger)
                if response is not None:
                    attempts += 1
                    known.note(request, response)
            return response

        conversation = follow(annotator, question, answer)
        reused += attempts == before and bool(conversation.responses)
        advance()
    return attempts, reused


def _make(annotator: Annotator, paragraph: Paragraph, request: Request, ledger: Ledger) -> Response | None:
    """Make one attempt and record it; ``None`` where the annotator has nobody to ask."""
    response = annotator.annotate(paragraph, request)
    if response.status == "missing":
        return None
    record = request_record(paragraph, request)
    ledger.append(make_attempt(annotator.name, record, response, ledger.attempts))
    if not annotator.deterministic:
        ledger.sync()  # what costs money must be on the disk before more is spent
    return response
