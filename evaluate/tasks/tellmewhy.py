"""Short narratives and questions why, as TellMeWhy asks them."""

from __future__ import annotations

from annotate.errors import UnusableRowError
from annotate.rationales.rows import Row, Rows, checked_text, convert, list_of, text_of
from annotate.words import split_words
from evaluate.tasks.prompt import CUE
from evaluate.tasks.task import Example, Task

NAME = "tellmewhy"
SCHEMA = "narrative, question, and answers (list) or answer; optionally is_ques_answerable"


def tellmewhy(rows: Rows, limit: int | None = None) -> Task:
    """Examples of narratives with a question: one a question, the target its first answer.

    The prompt is ours: narrative, line break, question, and the cue of the other benchmarks; the words of
    narrative and question are scored. The answer follows as the target, in its own words.

    There is no gold: nobody has marked which words matter. (The hub's `helpful_sentences` counts sentences in a
    way that its card does not state, so it is not read.) Where the file tells by `is_ques_answerable`, a question
    whose answer the narrative does not state is left out and named, and so are further answers to a question
    already asked (the hub has a row an answer).

    Args:
        rows: Rows with `narrative`, `question`, and `answers` or `answer`.
        limit: Make the first N examples only.

    Raises:
        RowsError: No row can be used.
    """
    asked: set[str] = set()

    def make(row: Row) -> Example:
        example = _example(row)
        if example.prompt in asked:
            raise UnusableRowError("another answer to a question already asked")
        asked.add(example.prompt)
        return example

    examples, left_out = convert(NAME, rows, make, SCHEMA, limit)
    return Task(name=NAME, source=rows.source, examples=examples, left_out=left_out)


def _example(row: Row) -> Example:
    narrative, question = text_of(row, "narrative").strip(), text_of(row, "question").strip()
    told = row.values.get("is_ques_answerable")
    if told is not None and text_of(row, "is_ques_answerable").strip() != "Answerable":
        raise UnusableRowError("the narrative does not state the answer")
    text = f"{narrative}\n{question}"
    return Example(
        id=f"{NAME}-{row.number}",
        prompt=text + CUE,
        target=f" {_answer(row)}",
        words=split_words(text),
        body=(0, len(text)),
    )


def _answer(row: Row) -> str:
    if row.values.get("answers") is None:
        return text_of(row, "answer").strip()
    answers = list_of(row, "answers")
    if not answers:
        raise UnusableRowError("field 'answers' is empty")
    return checked_text(answers[0], "answers").strip()
