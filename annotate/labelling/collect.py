"""Ask annotators what the ledger does not answer yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from annotate.ledger.derive import recorded_answers
from annotate.ledger.ledger import Attempts, Ledger, make_attempt
from annotate.protocol import Annotator, Response
from annotate.schema import Paragraph


def collect(
    paragraphs: Sequence[Paragraph],
    annotator: Annotator,
    ledger: Ledger,
    repeats: int = 1,
    fresh: bool = False,
    advance: Callable[[], object] = lambda: None,
) -> tuple[int, int]:
    """Ask ``annotator`` about every paragraph, as far as the ledger does not hold the answer.

    A request that was answered is never made again. A conversation that ended in a failure is taken up at its
    last request, unless the annotator would only fail again in the same way.

    Args:
        paragraphs: What to label, in order.
        annotator: Whom to ask.
        ledger: Where every attempt is written, before it is read.
        repeats: How often each paragraph is asked about.
        fresh: Ask again whatever the ledger holds; what it holds stays.
        advance: Called after each paragraph and repetition.

    Returns:
        Number of attempts made, and of paragraphs and repetitions that needed none.

    Raises:
        OSError: The ledger cannot be written; everything written before is kept.
    """
    asked = reused = 0
    for paragraph in paragraphs:
        for repeat in range(repeats):
            earlier = [] if fresh else _resume(annotator, paragraph, repeat, ledger.attempts)
            attempts = _ask(annotator, paragraph, repeat, ledger, earlier)
            asked += attempts
            reused += attempts == 0 and bool(earlier)
            advance()
    return asked, reused


def _ask(
    annotator: Annotator, paragraph: Paragraph, repeat: int, ledger: Ledger, earlier: list[Response]
) -> int:
    attempts = 0
    while (request := annotator.request(paragraph, repeat, earlier)) is not None:
        response = annotator.annotate(paragraph, request)
        if response.status == "missing":
            break
        ledger.append(make_attempt(annotator.name, paragraph, request, response, ledger.attempts))
        if not annotator.deterministic:
            ledger.sync()  # what costs money must be on the disk before more is spent
        earlier = [*earlier, response]
        attempts += 1
    return attempts


def _resume(annotator: Annotator, paragraph: Paragraph, repeat: int, attempts: Attempts) -> list[Response]:
    """The recorded conversation without its last failure, where asking again may help."""
    earlier = recorded_answers(annotator, paragraph, repeat, attempts)
    failed = bool(earlier) and earlier[-1].status != "ok"
    if failed and not annotator.deterministic and annotator.request(paragraph, repeat, earlier) is None:
        return earlier[:-1]
    return earlier
