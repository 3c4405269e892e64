"""Documents with a question or claim and the evidence people marked, in the layout of the ERASER sets."""

from __future__ import annotations

from annotate.rationales.eraser import NAME, SCHEMA, marked_document
from annotate.rationales.rows import Rows, convert
from evaluate.tasks.marked import example_of
from evaluate.tasks.task import GoldSource, Task

RULE = "evidence"
PEOPLE = GoldSource(
    rule=RULE,
    annotators=("people",),
    offline=False,
    note="words of all the evidence that people marked in the document; of BoolQ's documents, which are thousands of"
    " words long, an excerpt is put to the model that holds it.",
)
AUTHORS = GoldSource(
    rule=RULE,
    annotators=("the authors of the sample",),
    offline=False,
    note="words of the evidence that whoever wrote the sample marked; nobody else was asked.",
)


def eraser(
    rows: Rows, gold: GoldSource = PEOPLE, limit: int | None = None, subset: str = "", name: str = NAME
) -> Task:
    """Examples of documents with evidence: one a row, the target one of two labels and the foil the other.

    Gold are the words of all evidence. Documents are put to the model whole, but for those of BoolQ, of which it gets
    an excerpt (`marked_document`). Left out and named are the rows that `marked_document` refuses, and those whose gold
    is no word or every one.

    Args:
        rows: Rows with their documents, as `document_rows` reads them.
        gold: Who marked.
        limit: Make the first N examples only.
        subset: Which of the sets; only for `boolq` are documents cut. Empty to tell by the file's folder.
        name: What the task is called.

    Raises:
        RowsError: No row can be used.
    """
    examples, left_out = convert(
        name, rows, lambda row: example_of(marked_document(row, subset), name, RULE), SCHEMA, limit
    )
    return Task(name=name, source=rows.source, examples=examples, gold=gold, left_out=left_out)
