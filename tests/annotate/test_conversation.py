"""One traversal of a conversation, and one rule of what is asked again, whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from fakes.annotated import make_paragraphs
from fakes.online import Clock, InlinePool, ScriptedOnline, failed

from annotate.labelling.collect import collect
from annotate.ledger.conversation import KnownAnswers, follow, recorded
from annotate.ledger.ledger import Ledger, make_attempt, request_record
from annotate.ledger.pending import pending
from annotate.ledger.questions import Question, Questions, Selection
from annotate.online.limits import Budget, Limits
from annotate.online.scheduler import Scheduler
from annotate.protocol import Request, Response
from annotate.schema import Paragraph, Status

PARAGRAPHS = make_paragraphs(6)
STATUSES: tuple[Status, ...] = ("ok", "error", "refused", "truncated", "invalid_output")


@dataclass
class Chain(ScriptedOnline):
    """Asks three things in turn, the last of which is never answered."""

    def request(self, paragraph: Paragraph, repeat: int, earlier: Sequence[Response]) -> Request | None:
        return Request({"text": f"{paragraph.id} {len(earlier)}"}, repeat) if len(earlier) < 3 else None


@dataclass
class Counting(ScriptedOnline):
    paragraphs: list[str] = field(default_factory=list)

    def annotate(self, paragraph: Paragraph, request: Request) -> Response:
        self.paragraphs.append(paragraph.id)
        return self.attempt(request).response


def test_a_conversation_ends_or_waits_for_an_answer() -> None:
    question = Question(PARAGRAPHS[0])
    answers = {"p00000 0": "a", "p00000 1": "b"}

    def answer(request: Request) -> Response | None:
        raw = answers.get(request.body["text"])
        return Response(status="ok", raw=raw) if raw else None

    conversation = follow(Chain(), question, answer)
    assert [response.raw for response in conversation.responses] == ["a", "b"]
    assert [request.body["text"] for request in conversation.requests] == list(answers)
    assert conversation.open is not None
    assert conversation.open.body == {"text": "p00000 2"}
    answers["p00000 2"] = "c"
    assert follow(Chain(), question, answer).open is None


def record_statuses(ledger: Ledger) -> None:
    annotator = ScriptedOnline()
    for paragraph, status in zip(PARAGRAPHS, STATUSES, strict=False):
        request = annotator.request(paragraph, 0, [])
        assert request is not None
        response = Response(status=status, raw="{}")
        record = request_record(paragraph, request)
        ledger.append(make_attempt(annotator.name, record, response, ledger.attempts))


@pytest.mark.parametrize(
    ("fresh", "asked"), [(False, ["p00001", "p00005"]), (True, [p.id for p in PARAGRAPHS])]
)
def test_offline_online_and_batches_ask_the_same_again(tmp_path, fresh, asked) -> None:
    questions = Questions(PARAGRAPHS, fresh=fresh)
    with Ledger(tmp_path / "batch") as ledger:
        record_statuses(ledger)
        todo = pending(questions, ScriptedOnline(), ledger.attempts)
        assert [ask.paragraph.id for ask in todo.asks] == asked
    with Ledger(tmp_path / "offline") as ledger:
        record_statuses(ledger)
        annotator = Counting()
        assert collect(questions, annotator, ledger) == (len(asked), 6 - len(asked))
        assert annotator.paragraphs == asked
    with Ledger(tmp_path / "online") as ledger:
        record_statuses(ledger)
        online, clock = ScriptedOnline(), Clock()
        pool = InlinePool(lambda job: online.attempt(job.request), clock)
        scheduler = Scheduler(online, ledger, Limits(), Budget(None), pool, clock=clock)
        assert scheduler.run(questions).reused == 6 - len(asked)
        assert [identifier for _, identifier in pool.started] == asked


def test_a_request_given_up_is_not_made_again_in_the_same_run(tmp_path) -> None:
    twins = [PARAGRAPHS[0], PARAGRAPHS[0].model_copy(update={"id": "twin"})]
    for fresh in (False, True):
        with Ledger(tmp_path / str(fresh)) as ledger:
            annotator = Counting({twins[0].text: [failed()]})
            collect(Questions(twins, fresh=fresh), annotator, ledger)
            assert annotator.paragraphs == ["p00000"]


def test_what_labels_are_made_of_holds_failures_too(tmp_path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        record_statuses(ledger)
        annotator = ScriptedOnline()
        error = Question(PARAGRAPHS[1])
        assert [row.status for row in recorded(annotator, error, ledger.attempts).responses] == ["error"]
        assert follow(annotator, error, KnownAnswers(annotator, ledger.attempts)).responses == ()
        annotator.deterministic = True
        assert follow(annotator, error, KnownAnswers(annotator, ledger.attempts)).open is None


def test_a_selection_of_a_benchmark() -> None:
    assert list(Selection(limit=2, repeats=2).questions(PARAGRAPHS)) == [
        (PARAGRAPHS[0], 0),
        (PARAGRAPHS[0], 1),
        (PARAGRAPHS[1], 0),
        (PARAGRAPHS[1], 1),
    ]
    assert len(Selection(repeats=3).questions(PARAGRAPHS)) == 18
