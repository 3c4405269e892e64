"""What annotators without a model share: a request made of the paragraph, an answer made of word indices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from annotate.outside import read_json
from annotate.protocol import Reading, Request, Response
from annotate.schema import LabelSpan, Paragraph
from annotate.words import word_runs


def paragraph_request(paragraph: Paragraph, repeat: int, annotator: str, version: int) -> Request:
    """A request whose identity covers all that a rule can see of ``paragraph``, and the rule's version."""
    body = {
        "annotator": annotator,
        "version": version,
        "text_sha256": paragraph.text_sha256,
        "segments": [[segment.role, segment.start, segment.end] for segment in paragraph.segments],
        "question": paragraph.question,
        "answer": paragraph.answer,
        "word_rule": paragraph.word_rule,
    }
    return Request(body, repeat)


def answer_words(words: Iterable[int]) -> Response:
    """A response that marks ``words`` (indices)."""
    return Response(status="ok", raw=json.dumps({"words": sorted(words)}, separators=(",", ":")))


def read_words(paragraph: Paragraph, answers: Sequence[Response]) -> Reading:
    """Read the last answer as made by :func:`answer_words`; neighbouring words make one span."""
    answer = answers[-1]
    if answer.status != "ok":
        return Reading(answer.status, detail=answer.detail)
    try:
        words = read_json(answer.raw, mend=True)["words"]
        fits = all(type(word) is int and 0 <= word < len(paragraph.words) for word in words)
    except (ValueError, KeyError, TypeError) as error:
        return Reading("invalid_output", detail=f"the answer is no list of words: {error}")
    if not fits:
        return Reading("invalid_output", detail="the answer names a word that does not exist")
    return Reading("ok", tuple(_span(paragraph, run) for run in word_runs(words)))


def _span(paragraph: Paragraph, run: list[int]) -> LabelSpan:
    quote = paragraph.text[paragraph.words[run[0]][0] : paragraph.words[run[-1]][1]]
    return LabelSpan(words=tuple(run), quote=quote, rung="constructed")


@dataclass(frozen=True)
class RuleAnnotator:
    """An annotator that marks words by a rule.

    Attributes:
        name: Its registered name.
        version: Raised whenever the rule's answers change.
        mark: The rule: indices of the words that matter.
    """

    name: str
    version: int
    mark: Callable[[Paragraph], set[int]]
    deterministic: bool = True

    def request(self, paragraph: Paragraph, repeat: int, earlier: Sequence[Response]) -> Request | None:
        """One request per paragraph."""
        return None if earlier else paragraph_request(paragraph, repeat, self.name, self.version)

    def annotate(self, paragraph: Paragraph, request: Request) -> Response:
        """Apply the rule."""
        return answer_words(self.mark(paragraph))

    def read(self, paragraph: Paragraph, answers: Sequence[Response]) -> Reading:
        """Read the words marked."""
        return read_words(paragraph, answers)
