"""Labels from the ledger: recorded answers, read again by their annotator. Asks nobody."""

from __future__ import annotations

from collections.abc import Sequence

from annotate.ledger.ledger import Attempts
from annotate.protocol import Annotator, Request, Response
from annotate.schema import Label, Paragraph, Status


def derive(paragraphs: Sequence[Paragraph], annotator: Annotator, attempts: Attempts) -> list[Label]:
    """Make the labels of ``annotator`` from recorded attempts alone. Pure.

    Args:
        paragraphs: All paragraphs of the benchmark.
        annotator: The annotator, who reads its answers.
        attempts: What was recorded.

    Returns:
        One label a paragraph and repetition (as many repetitions as were ever recorded, at least one), in
        paragraph order; ``missing`` where nothing is recorded.
    """
    repeats = 1 + max((row.repeat for row in attempts.rows if row.annotator == annotator.name), default=0)
    return [
        _label(annotator, paragraph, repeat, recorded_answers(annotator, paragraph, repeat, attempts))
        for paragraph in paragraphs
        for repeat in range(repeats)
    ]


def _label(annotator: Annotator, paragraph: Paragraph, repeat: int, answers: list[Response]) -> Label:
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


def recorded_answers(
    annotator: Annotator, paragraph: Paragraph, repeat: int, attempts: Attempts
) -> list[Response]:
    """The conversation about a paragraph as far as the ledger holds it."""
    return [answer for _, answer in recorded_conversation(annotator, paragraph, repeat, attempts)]


def recorded_conversation(
    annotator: Annotator, paragraph: Paragraph, repeat: int, attempts: Attempts
) -> list[tuple[Request, Response]]:
    """The requests made about a paragraph and their answers, in order, as far as the ledger holds them."""
    found: list[tuple[Request, Response]] = []
    while (request := annotator.request(paragraph, repeat, [answer for _, answer in found])) is not None:
        answer = attempts.answer(annotator.name, request.sha256)
        if answer is None:
            break
        found.append((request, answer))
    return found
