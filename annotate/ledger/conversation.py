"""The conversation about one question: followed as far as answers are known, by whoever reads or asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from annotate.ledger.ledger import Attempts
from annotate.ledger.questions import Question
from annotate.protocol import Annotator, Request, Response


@dataclass(frozen=True)
class Conversation:
    """What was said about one question so far.

    Attributes:
        requests: The requests that were answered, in order.
        responses: Their answers, failures included.
        open: The request that comes next, or ``None`` at the end of the conversation.
    """

    requests: tuple[Request, ...]
    responses: tuple[Response, ...]
    open: Request | None


def follow(
    annotator: Annotator, question: Question, answer: Callable[[Request], Response | None]
) -> Conversation:
    """Follow a conversation from its beginning to its end, or to the first request without an answer.

    Args:
        annotator: Who makes the requests.
        question: What the conversation is about.
        answer: The answer to a request, or ``None`` where there is none.
    """
    requests: tuple[Request, ...] = ()
    responses: tuple[Response, ...] = ()
    while (request := annotator.request(question.paragraph, question.repeat, responses)) is not None:
        response = answer(request)
        if response is None:
            break
        requests, responses = (*requests, request), (*responses, response)
    return Conversation(requests, responses, request)


def recorded(annotator: Annotator, question: Question, attempts: Attempts) -> Conversation:
    """The conversation as the ledger holds it, failures included: what labels are made of."""
    return follow(annotator, question, lambda request: attempts.answer(annotator.name, request.sha256))


class KnownAnswers:
    """Which requests need not be made: the rule by which a run resumes, offline, online and in batches.

    What was answered, well or not, is not asked again. An attempt that brought no answer (``error``) is made again in
    a later run, unless the annotator is deterministic and would only fail again. A request is made once in a run.

    Args:
        annotator: Whom to ask.
        attempts: What the ledger holds.
        fresh: Take nothing from the ledger but what this run asks.
    """

    def __init__(self, annotator: Annotator, attempts: Attempts, fresh: bool = False) -> None:
        self._annotator, self._attempts, self._fresh = annotator, attempts, fresh
        self._of_this_run: dict[str, Response] = {}

    def __call__(self, request: Request) -> Response | None:
        """The answer to ``request``, or ``None`` where it is to be made."""
        response = self._of_this_run.get(request.sha256)
        if response is not None or self._fresh:
            return response
        row = self._attempts.answer(self._annotator.name, request.sha256)
        return row if row is not None and (row.answered or self._annotator.deterministic) else None

    def note(self, request: Request, response: Response) -> None:
        """Take in the answer, or the last failure, of a request that this run made."""
        self._of_this_run[request.sha256] = response
