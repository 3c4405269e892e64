"""ERASER: documents with a question or claim and the evidence people marked, in the layout of its sets."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from annotate.errors import UnusableRowError
from annotate.rationales.marked import MarkedText, Marking
from annotate.rationales.marks import token_spans
from annotate.rationales.rows import NOT_UTF8, Row, Rows, file_rows, list_of, text_of
from annotate.schema import Span

NAME = "eraser"
SCHEMA = (
    "annotation_id, classification, query, evidences (groups of docid, start_token, end_token), and a folder docs/"
    " beside the file"
)

BOOLQ = "boolq"
SUBSETS = ("multirc", "movies", "fever", BOOLQ)
EXCERPT = 300
"""White-space tokens of a BoolQ document that are read."""

_SENTIMENT = {"POS": "positive", "NEG": "negative"}
_VERDICT = {"SUPPORTS": "true", "REFUTES": "false"}
_YES_NO = {"True": "yes", "False": "no"}
_KINDS = (_SENTIMENT, _VERDICT, _YES_NO)

# What MultiRC puts between a question and an answer to it.
_ANSWER = "||"


def document_rows(path: Path) -> Rows:
    """The rows of a file, each with the text of the document its evidence is in (`document`).

    Args:
        path: The file; documents lie in the folder ``docs`` beside it, under their ids.

    Raises:
        RowsError: A file cannot be read, or has no row of this shape.
    """
    rows = file_rows(path)
    return Rows(rows.source, partial(_with_documents, rows, path.parent))


def marked_document(row: Row, subset: str = "") -> MarkedText:
    """A document with all evidence, one of two labels as its answer and the other as its foil.

    What is asked follows from the label: `POS` and `NEG` ask for the sentiment of a review (*positive*, *negative*),
    `SUPPORTS` and `REFUTES` whether a claim is true (*true*, *false*), `True` and `False` whether an answer is right,
    where the query has one behind ``||``, or else the query itself (*yes*, *no*). Groups of evidence, each of which
    would do, are put together.

    Documents are read whole. Those of BoolQ are too long for that: an excerpt of `EXCERPT` white-space tokens holds the
    evidence, at a place drawn by the row's id, so that where it stands says nothing.

    Args:
        row: With its document, as `document_rows` reads it.
        subset: Which of the sets; only for `boolq` are documents cut. Empty to tell by the file's folder.

    Raises:
        UnusableRowError: A field is missing or of another kind; the document is missing, or there is evidence in
            several; evidence is outside the document, empty, different from the text stored beside it, or longer than
            the excerpt; or the label is none of the sets'.
    """
    document = text_of(row, "document")
    label = text_of(row, "classification")
    labels = next((kind for kind in _KINDS if label in kind), None)
    if labels is None:
        raise UnusableRowError("the label is none of the sets'")
    tokens = token_spans(document)
    marked = [_tokens(span, document, tokens) for span in _evidence(row)]
    cut = (subset or row.values.get("folder")) == BOOLQ
    first, last = (
        _excerpt(marked, len(tokens), str(row.values.get("annotation_id"))) if cut else (0, len(tokens))
    )
    start, end = tokens[first][0], tokens[last - 1][1]
    spans = tuple((tokens[a][0] - start, tokens[b - 1][1] - start) for a, b in marked)
    return MarkedText(
        id=str(row.number),
        row=row.number,
        text=document[start:end],
        question=_question(row, labels),
        answer=labels[label],
        people={1: Marking("1", spans)},
        choices=tuple(labels.values()),
        foil=next(answer for other, answer in labels.items() if other != label),
    )


def _question(row: Row, labels: Mapping[str, str]) -> str:
    if labels is _SENTIMENT:
        return "Is the sentiment of this review positive or negative?"
    if labels is _VERDICT:
        return f"True or false: {text_of(row, 'query').strip()}"
    query, separator, answer = (part.strip() for part in text_of(row, "query").partition(_ANSWER))
    query = f"{query.rstrip(' ?.')}?"
    return f'{query} Is "{answer}" a right answer?' if separator else query


def _with_documents(rows: Rows, folder: Path) -> Iterator[Row]:
    for row in rows.read():
        if row.problem:
            yield row
            continue
        try:
            values = {
                **row.values,
                "document": _document(row, folder / "docs"),
                "folder": folder.resolve().name,
            }
            yield Row(row.number, row.place, values)
        except UnusableRowError as error:
            yield Row(row.number, row.place, {}, str(error))


def _document(row: Row, folder: Path) -> str:
    ids = {span.get("docid") for span in _evidence(row)}
    if len(ids) != 1:
        raise UnusableRowError("the evidence is in several documents" if ids else "there is no evidence")
    (name,) = ids
    # A name is a file's in the folder, never a way out of it.
    if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_file():
        raise UnusableRowError("the document is missing")
    try:
        return (folder / name).read_text("utf-8")
    except UnicodeDecodeError:
        raise UnusableRowError(f"the document is {NOT_UTF8}") from None


def _evidence(row: Row) -> list[Mapping[str, Any]]:
    """All evidence of a row, of whatever group."""
    groups = list_of(row, "evidences")
    if not all(isinstance(group, list) for group in groups):
        raise UnusableRowError("field 'evidences' is no list of groups")
    spans = [span for group in groups for span in group]
    if not all(isinstance(span, Mapping) for span in spans):
        raise UnusableRowError("an evidence is no object")
    return spans


def _tokens(evidence: Mapping[str, Any], document: str, tokens: list[Span]) -> tuple[int, int]:
    """First token of an evidence and the one behind its last."""
    first, end, told = (evidence.get(field) for field in ("start_token", "end_token", "text"))
    if type(first) is not int or type(end) is not int or not 0 <= first < end <= len(tokens):
        raise UnusableRowError("an evidence is empty or lies outside the document")
    if isinstance(told, str) and told.split() != document[tokens[first][0] : tokens[end - 1][1]].split():
        raise UnusableRowError("an evidence span does not match the text stored beside it")
    return first, end


def _excerpt(marked: list[tuple[int, int]], n_tokens: int, seed: str) -> tuple[int, int]:
    """First token of an excerpt and the one behind its last: `EXCERPT` tokens around all evidence."""
    first, end = min(a for a, _ in marked), max(b for _, b in marked)
    if end - first > EXCERPT:
        raise UnusableRowError(f"the evidence is longer than an excerpt of {EXCERPT} words")
    if n_tokens <= EXCERPT:
        return 0, n_tokens
    lowest, highest = max(0, end - EXCERPT), min(first, n_tokens - EXCERPT)
    at = random.Random(seed).randint(lowest, highest)
    return at, at + EXCERPT
