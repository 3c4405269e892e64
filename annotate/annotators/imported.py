"""Annotators that are never asked: what they said was imported into the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annotate.errors import LabelError
from annotate.imports import regions, spans, word_list
from annotate.outside import read_json
from annotate.protocol import Reading, Request, Response
from annotate.schema import LabelSpan, Paragraph

SCHEMES = ("human", "import")
"""What the name of an imported annotator begins with: a person's marks, or a file's."""


@dataclass(frozen=True)
class ImportedAnnotator:
    """Reads what was imported under its name; nobody is asked.

    Attributes:
        name: ``human:NAME`` or ``import:NAME``.
    """

    name: str
    deterministic: bool = False

    def request(self, paragraph: Paragraph, repeat: int, earlier: Sequence[Response]) -> Request | None:
        """One request per paragraph, the same for every format: a later import replaces an earlier one."""
        if earlier:
            return None
        body = {
            "annotator": self.name,
            "text_sha256": paragraph.text_sha256,
            "paragraph_id": paragraph.id,
            "word_rule": paragraph.word_rule,
        }
        return Request(body, repeat)

    def annotate(self, paragraph: Paragraph, request: Request) -> Response:
        """Nothing: such labels come by `annotate import`."""
        return Response(
            status="missing", detail=f"{self.name} is not asked; its labels come by annotate import"
        )

    def read(self, paragraph: Paragraph, answers: Sequence[Response]) -> Reading:
        """Read the words of the last import."""
        answer = answers[-1]
        if answer.status != "ok":
            return Reading(answer.status, detail=answer.detail)
        try:
            marked = _spans(paragraph, read_json(answer.raw, mend=True))
        except (LabelError, ValueError, KeyError, TypeError) as error:
            return Reading("invalid_output", detail=f"what was imported cannot be read: {error}")
        rungs = Counter(span.rung for span in marked)
        doubts = ", ".join(f"{rungs[rung]} {rung}" for rung in ("ambiguous", "unresolved") if rungs[rung])
        if marked and not any(span.words for span in marked):
            return Reading("unresolved", marked, doubts)
        return Reading("ok", marked, doubts)


def _spans(paragraph: Paragraph, content: dict[str, Any]) -> tuple[LabelSpan, ...]:
    if content["format"] == word_list.FORMAT:
        return word_list.place_words(paragraph, content["words"])
    if content["format"] == spans.FORMAT:
        return spans.place_spans(paragraph, content["spans"])
    return regions.read_regions(paragraph, content["result"])


def build_imported(scheme: str, options: str) -> ImportedAnnotator:
    """Make the annotator of ``human:NAME`` or ``import:NAME``.

    Args:
        scheme: One of ``SCHEMES``.
        options: What stands after the colon.

    Raises:
        LabelError: No name is given.
    """
    if not options:
        raise LabelError(f"annotator {scheme}: say whose labels, for instance {scheme}:ada")
    return ImportedAnnotator(f"{scheme}:{options}")
