"""Labels from the ledger: recorded answers, read again by their annotator. Asks nobody."""

from __future__ import annotations

from collections.abc import Sequence

from annotate.ledger.conversation import recorded
from annotate.ledger.ledger import Attempts
from annotate.ledger.questions import Question, Questions
from annotate.protocol import Annotator, Response
from annotate.schema import Label, Paragraph, Status


def derive(paragraphs: Sequence[Paragraph], annotator: Annotator, attempts: Attempts) -> list[Label]:
    """Make the labels of ``annotator`` from recorded attempts alone. Pure.

    Args:
        paragraphs: All paragraphs of the benchmark.
        annotator: The annotator, who reads its answers.
        attempts: What was recorded.

    Returns:
        One label per paragraph and repetition (as many repetitions as were ever recorded, at least one), in
        paragraph order; ``missing`` where nothing is recorded.
    """
    repeats = 1 + max((row.repeat for row in attempts.rows if row.annotator == annotator.name), default=0)
    return [
        _label(annotator, question, recorded(annotator, question, attempts).responses)
        for question in Questions(paragraphs, repeats)
    ]


def _label(annotator: Annotator, question: Question, answers: Sequence[Response]) -> Label:
    paragraph, repeat = question
    status: Status = "missing"
    detail = "no answer to this request is in the ledger"
    words: tuple[int, ...] = ()
    reading = annotator.read(paragraph, answers) if answers else None
    if reading is not None:
        status, detail = reading.status, reading.detail
        words = tuple(sorted({word for span in reading.spans for word in span.words}))
    return Label(
        paragraph_id=paragraph.id,
        text_sha256=paragraph.text_sha256,
        annotator=annotator.name,
        repeat=repeat,
        status=status,
        words=words if status == "ok" else (),
        spans=reading.spans if reading else (),
        model=answers[-1].model if answers else "",
        detail=detail,
    )
