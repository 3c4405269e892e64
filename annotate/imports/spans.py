"""What a person marked, as spans of the text's code points: how marks of public sets stand in the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from annotate.errors import LabelError
from annotate.rationales.marks import overlapping
from annotate.schema import LabelSpan, Paragraph, Span
from annotate.words import is_content

FORMAT = "spans"


def place_spans(paragraph: Paragraph, spans: Sequence[Span]) -> tuple[LabelSpan, ...]:
    """The words of spans that a person marked.

    Spans that people drew take in punctuation that nobody judged; only words with a letter or digit are marked.

    Args:
        paragraph: The paragraph.
        spans: ``(start, end)`` code points of its text.

    Raises:
        LabelError: A span is empty or lies outside the text.
    """
    text = paragraph.text
    content = {i for i, (start, end) in enumerate(paragraph.words) if is_content(text[start:end])}
    placed = []
    for start, end in spans:
        if not 0 <= start < end <= len(text):
            raise LabelError(f"a span ({start} to {end}) is empty or lies outside the text")
        words = tuple(i for i in overlapping(paragraph.words, [(start, end)]) if i in content)
        placed.append(LabelSpan(words=words, quote=text[start:end], rung="exact"))
    return tuple(placed)
