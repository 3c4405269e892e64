"""QED: questions about a paragraph, with the phrases of the answering sentence that people found in the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotate.errors import UnusableRowError
from annotate.rationales.marked import MarkedText, Marking
from annotate.rationales.rows import Row, checked_text, text_of
from annotate.schema import Span

NAME = "qed"
SCHEMA = (
    "question_text, paragraph_text, annotation with explanation_type, selected_sentence, answer and"
    " referential_equalities (offsets in code points of paragraph_text, end exclusive)"
)

_SINGLE = "single_sentence"


def marked_explanation(row: Row) -> MarkedText:
    """The paragraph of a question with the answer and the phrases that mean the same as one of the question.

    The answer is what is copied, and the phrases tie it to the question. The rest of the sentence, its predicate apart,
    is what the set's makers did not mark, so the sentence as a whole is not marked.

    Raises:
        UnusableRowError: A field is missing or of another kind; the explanation is not of a single sentence, its answer
            has several pieces, or no phrase is said (it may be implied), for then the answer alone would be marked; or
            a span lies outside the paragraph or does not match the text stored beside it.
    """
    text, question = text_of(row, "paragraph_text"), text_of(row, "question_text").strip()
    annotation = row.values.get("annotation")
    if not isinstance(annotation, Mapping):
        raise UnusableRowError("field 'annotation' is missing or no object")
    if annotation.get("explanation_type") != _SINGLE:
        raise UnusableRowError("no single sentence explains the answer")
    answers = _references(annotation, "answer", "sentence_reference")
    if len(answers) != 1:
        raise UnusableRowError("the answer has several pieces" if answers else "the answer is missing")
    spans = [_span(span, text) for span in answers]
    answer = checked_text(_references(annotation, "answer", "paragraph_reference")[0].get("string"), "answer")
    phrases = _references(annotation, "referential_equalities", "sentence_reference")
    # A phrase that the sentence implies, and does not say, has no place in it.
    said = [_span(span, text) for span in phrases if (span.get("start"), span.get("end")) != (-1, -1)]
    if not said:
        raise UnusableRowError("no phrase of the sentence means the same as one of the question")
    people = {1: Marking("1", (*spans, *said))}
    return MarkedText(str(row.number), row.number, text, question, answer.strip(), people)


def _references(annotation: Mapping[str, Any], field: str, which: str) -> list[Mapping[str, Any]]:
    """The references of one kind in a list of pairs of them."""
    pairs = annotation.get(field)
    sides = (
        [pair.get(which) if isinstance(pair, Mapping) else None for pair in pairs]
        if isinstance(pairs, list)
        else [None]
    )
    references = [side for side in sides if isinstance(side, Mapping)]
    if len(references) != len(sides):
        raise UnusableRowError(f"field {field!r} is no list of references")
    return references


def _span(reference: Mapping[str, Any], text: str) -> Span:
    """The code points of a reference, whose end is exclusive, if the text it tells stands there."""
    start, end = reference.get("start"), reference.get("end")
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
        raise UnusableRowError("a span lies outside the text")
    if reference.get("string") != text[start:end]:
        raise UnusableRowError("a span does not match the text stored beside it")
    return start, end
