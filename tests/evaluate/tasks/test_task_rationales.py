"""Sets with one mark a text: OneStopQA, QED, the ERASER sets, and evidence words of minimal pairs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.rows import rows_of, words_of

from annotate.rationales.eraser import EXCERPT, document_rows
from annotate.rationales.onestopqa import question_rows
from annotate.rationales.rows import Rows, file_rows
from evaluate.tasks.blimp_evidence import blimp_evidence
from evaluate.tasks.catalog import load_task
from evaluate.tasks.eraser import eraser
from evaluate.tasks.errors import TaskError
from evaluate.tasks.onestopqa import onestopqa
from evaluate.tasks.qed import qed
from evaluate.tasks.task import Task


def check_left_out(
    make: Callable[[Rows], Task], good: dict[str, Any], bad: dict[str, Any], reason: str
) -> None:
    task = make(rows_of(good, bad))
    assert [example.id.rpartition("-")[2] for example in task.examples] == ["1"]
    assert task.left_out == {reason: ("row 2",)}


# OneStopQA

PARAGRAPH = "Ann, who baked, left. Ben ate it all - gladly."  # ten white-space tokens


def asked(a_span: Any, d_span: Any = None, **changes: Any) -> dict[str, Any]:
    return {
        "paragraph": PARAGRAPH,
        "level": "Adv",
        "question": "Who ate?",
        "answers": ["Ben did", "Ann"],
        "a_span": a_span,
        "d_span": d_span or [0, 0],
    } | changes


def test_spans_of_white_space_words_include_both_ends() -> None:
    task = onestopqa(rows_of(asked([4, 7], [0, 2])))
    (example,) = task.examples
    assert words_of(example, example.gold) == ["Ben", "ate", "it", "all"]
    assert words_of(example, example.distractor) == ["Ann", "who", "baked"]
    assert example.prompt == f"{PARAGRAPH}\nWho ate?\nAnswer:"
    assert (example.target, example.question, example.body) == (" Ben did", "Who ate?", (0, len(PARAGRAPH)))
    assert (task.whole_target, example.gold_rule, example.id) == (True, "critical-span", "onestopqa-1")
    (last,) = onestopqa(rows_of(asked([8, 9]))).examples
    assert words_of(last, last.gold) == ["gladly"]  # the dash is no word


def test_four_numbers_are_two_pieces() -> None:
    (example,) = onestopqa(rows_of(asked([0, 0, 4, 5], [3, 3, 5, 6]))).examples
    assert words_of(example, example.gold) == ["Ann", "Ben", "ate"]
    # A word in both spans is gold.
    assert words_of(example, example.distractor) == ["left", "it"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (asked([4, 10]), "a span lies outside the text"),
        (asked([-1, 2]), "a span lies outside the text"),
        (asked([4, 5], [0, 99]), "a span lies outside the text"),
        (asked([5, 4]), "a span ends before it begins"),
        (asked([4, 5, 6]), "a span is no pairs of whole numbers"),
        (asked([]), "a span is no pairs of whole numbers"),
        (asked([4, 5.0]), "a span is no pairs of whole numbers"),
        (asked([8, 8]), "no word was marked"),
        (asked([0, 9]), "every word was marked"),
        (asked([4, 5], level="Easy"), "field 'level' is none of Adv, Int, Ele"),
        (asked([4, 5], answers=[]), "field 'answers' is empty"),
        (asked(None), "field 'a_span' is missing"),
    ],
)
def test_questions_with_bad_spans_are_named(row: dict[str, Any], reason: str) -> None:
    check_left_out(onestopqa, asked([4, 5]), row, reason)


def test_one_level_is_read(tmp_path: Path) -> None:
    levels = {
        level: {"context": f"{level} Ben ate.", "a_spans": [[1, 1], [2, 2]], "d_spans": [[0, 0], [0, 0]]}
        for level in ("Adv", "Int", "Ele")
    }
    questions = [{"question": each, "answers": ["a", "b", "c", "d"]} for each in ("Who?", "What?")]
    path = tmp_path / "onestop_qa.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [levels | {"qas": questions}]}]}))
    assert [e.prompt[:3] for e in onestopqa(question_rows(path)).examples] == ["Adv", "Adv"]
    simple = onestopqa(question_rows(path), level="Ele", name="onestopqa/Ele")
    assert [(e.id, e.prompt[:3]) for e in simple.examples] == [
        ("onestopqa-Ele-1", "Ele"),
        ("onestopqa-Ele-2", "Ele"),
    ]
    assert [words_of(e, e.gold) for e in simple.examples] == [["Ben"], ["ate"]]
    del levels["Adv"]["d_spans"][1]  # type: ignore[attr-defined]
    path.write_text(json.dumps({"data": [{"paragraphs": [levels | {"qas": questions}]}]}))
    assert onestopqa(question_rows(path)).left_out == {"field 'd_span' is missing": ("question 2 Adv",)}
    # The hub has the number of a level.
    numbered = [asked([4, 5], level=number) for number in (0, 1, 2)]
    assert [e.id for e in onestopqa(rows_of(*numbered), level="Int").examples] == ["onestopqa-2"]


# QED

TEXT = "The crow sang . It stole a ring and fled ."


def reference(words: str, **changes: Any) -> dict[str, Any]:
    """A reference whose end is exclusive."""
    start = TEXT.index(words)
    return {"start": start, "end": start + len(words), "bridge": False, "string": words} | changes


def explained(*phrases: dict[str, Any], answer: Any = None, **changes: Any) -> dict[str, Any]:
    found = answer or [reference("a ring")]
    annotation = {
        "referential_equalities": [{"sentence_reference": each} for each in phrases],
        "answer": [{"sentence_reference": each, "paragraph_reference": each} for each in found],
        "explanation_type": "single_sentence",
    }
    return {
        "paragraph_text": TEXT,
        "question_text": "what did the crow steal",
        "annotation": annotation | changes,
    }


IMPLIED = {"start": -1, "end": -1, "bridge": "of", "string": ""}


def test_gold_is_the_answer_and_the_phrases_of_the_question() -> None:
    (example,) = qed(rows_of(explained(reference("It"), IMPLIED))).examples
    assert words_of(example, example.gold) == ["It", "a", "ring"]
    assert (example.target, example.question) == (" a ring", "what did the crow steal")
    assert example.prompt == f"{TEXT}\nwhat did the crow steal\nAnswer:"
    # With an inclusive end, the word behind a phrase that ends before it would be gold too.
    (glued,) = qed(rows_of(explained(reference("It "), answer=[reference("ring")]))).examples
    assert words_of(glued, glued.gold) == ["It", "ring"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (explained(reference("It"), explanation_type="multi_sentence"), "no single sentence explains the answer"),
        (explained(reference("It"), explanation_type=None), "no single sentence explains the answer"),
        (explained(), "no phrase of the sentence means the same as one of the question"),
        (explained(IMPLIED), "no phrase of the sentence means the same as one of the question"),
        (explained(reference("It"), answer=[reference("a ring"), reference("fled")]), "the answer has several pieces"),
        (explained(reference("It", end=99)), "a span lies outside the text"),
        (explained(reference("It", start=-1)), "a span lies outside the text"),
        (explained(reference("It", end=16)), "a span lies outside the text"),
        (explained(reference("It", end=17)), "a span does not match the text stored beside it"),
        (explained(reference(TEXT)), "every word was marked"),
        (explained(referential_equalities=[3]), "field 'referential_equalities' is no list of references"),
        (explained(referential_equalities=None), "field 'referential_equalities' is no list of references"),
        ({"paragraph_text": TEXT, "question_text": "x"}, "field 'annotation' is missing or no object"),
    ],
)  # fmt: skip
def test_explanations_that_cannot_be_used_are_named(row: dict[str, Any], reason: str) -> None:
    check_left_out(qed, explained(reference("It")), row, reason)


# ERASER


@pytest.fixture
def a_set(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, documents: dict[str, str], *rows: dict[str, Any]) -> Path:
        (tmp_path / name / "docs").mkdir(parents=True)
        for document, text in documents.items():
            (tmp_path / name / "docs" / document).write_bytes(text.encode("utf-8", errors="surrogateescape"))
        path = tmp_path / name / "val.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        return path

    return make


def evidence(start: int, end: int, document: str = "d", **changes: Any) -> dict[str, Any]:
    return {"docid": document, "start_token": start, "end_token": end} | changes


def marked(
    label: str, *groups: list[dict[str, Any]], query: str = "is it", name: str = "a"
) -> dict[str, Any]:
    return {"annotation_id": name, "classification": label, "evidences": list(groups), "query": query}


DOCUMENT = "One two ,\nthree four .\n\nfive"  # seven white-space tokens


@pytest.mark.parametrize(
    ("label", "query", "question", "target", "foil"),
    [
        ("NEG", "ignored", "Is the sentiment of this review positive or negative?", " negative", " positive"),
        ("POS", "ignored", "Is the sentiment of this review positive or negative?", " positive", " negative"),
        ("REFUTES", "It is so.", "True or false: It is so.", " false", " true"),
        ("SUPPORTS", "It is so.", "True or false: It is so.", " true", " false"),
        ("True", "is it so", "is it so?", " yes", " no"),
        ("False", "What is it ? || A cat ", 'What is it? Is "A cat" a right answer?', " no", " yes"),
    ],
)
def test_what_is_asked_follows_from_the_label(
    label: str, query: str, question: str, target: str, foil: str, a_set: Callable[..., Path]
) -> None:
    path = a_set("x", {"d": DOCUMENT}, marked(label, [evidence(1, 4)], [evidence(6, 7)], query=query))
    (example,) = eraser(document_rows(path), name="eraser/x").examples
    assert (example.question, example.target, example.foil) == (question, target, foil)
    assert example.instruction == (
        f"Answer with one word, {' or '.join(sorted((target.strip(), foil.strip()), reverse=True))}."
    )
    assert example.prompt == f"{DOCUMENT}\n{question}\nAnswer:"
    assert words_of(example, example.gold) == ["two", "three", "five"]  # ends are exclusive, groups together
    assert example.id == "eraser-x-1"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (marked("POS", [evidence(0, 1, "gone")]), "the document is missing"),
        (marked("POS", [evidence(0, 1, "../val.jsonl")]), "the document is missing"),
        (marked("POS", [evidence(0, 1), evidence(0, 1, "gone")]), "the evidence is in several documents"),
        (marked("POS"), "there is no evidence"),
        (marked("POS", [evidence(0, 1, "latin")]), "the document is not UTF-8"),
        (marked("POS", [evidence(0, 8)]), "an evidence is empty or lies outside the document"),
        (marked("POS", [evidence(2, 2)]), "an evidence is empty or lies outside the document"),
        (
            marked("POS", [evidence(0, 2, text="two ,")]),
            "an evidence span does not match the text stored beside it",
        ),
        (marked("POS", [evidence(0, 7)]), "every word was marked"),
        (marked("POS", [evidence(2, 3)]), "no word was marked"),
        (marked("NEUTRAL", [evidence(0, 1)]), "the label is none of the sets'"),
        (marked("True", [evidence(0, 1)], query=""), "field 'query' is empty"),
        (marked("POS", [3]), "an evidence is no object"),  # type: ignore[list-item]
    ],
)
def test_documents_that_cannot_be_used_are_named(
    row: dict[str, Any], reason: str, a_set: Callable[..., Path]
) -> None:
    good = marked("POS", [evidence(0, 2, text="One  two")])
    path = a_set("x", {"d": DOCUMENT, "latin": "caf\udce9"}, good, row)
    task = eraser(document_rows(path))
    assert [example.id for example in task.examples] == ["eraser-1"]
    assert task.left_out == {reason: ("line 2",)}


def test_long_documents_of_boolq_are_cut_around_the_evidence(a_set: Callable[..., Path]) -> None:
    tokens = [f"w{number}" for number in range(1000)]
    spans = [(500, 510), (0, 2), (998, 1000), (400, 399 + EXCERPT)]
    rows = [marked("True", [evidence(*span)], name=str(n)) for n, span in enumerate(spans)]
    rows += [marked("True", [evidence(500, 510)], name=f"again {n}") for n in range(30)]
    rows += [
        marked("True", [evidence(0, EXCERPT + 1)]),
        marked("True", [evidence(0, 1)], [evidence(999, 1000)]),
    ]
    path = a_set("boolq", {"d": " ".join(tokens)}, *rows)
    task = eraser(document_rows(path))
    assert task.left_out == {"the evidence is longer than an excerpt of 300 words": ("line 35", "line 36")}
    starts = set()
    for example, span in zip(task.examples, spans + [(500, 510)] * 30, strict=True):
        text = words_of(example, tuple(range(len(example.words))))
        assert len(text) == EXCERPT
        start = tokens.index(text[0])
        assert text == tokens[start : start + EXCERPT]
        assert words_of(example, example.gold) == tokens[slice(*span)]
        starts.add(start)
    assert len(starts) > 20  # where the evidence stands in an excerpt says nothing
    assert eraser(document_rows(path)) == task
    assert (
        len(eraser(document_rows(a_set("other", {"d": " ".join(tokens)}, rows[0]))).examples[0].words) == 1000
    )


# Minimal pairs


def pair(prefix: str, good: str, bad: str, word: str) -> dict[str, Any]:
    return {
        "one_prefix_prefix": prefix,
        "one_prefix_word_good": good,
        "one_prefix_word_bad": bad,
        "target": word,
    }


def test_a_pair_is_continued_against_its_foil() -> None:
    task = blimp_evidence(
        rows_of(pair("The Ann's hat, Ann", "herself", "himself", "Ann")), name="blimp-evidence/x"
    )
    (example,) = task.examples
    assert (example.prompt, example.target, example.foil) == ("The Ann's hat, Ann", " herself", " himself")
    assert words_of(example, example.gold) == ["Ann"]  # Ann's is another word
    assert (example.body, example.question, example.id) == (None, "", "blimp-evidence-x-1")
    assert task.contrast is True
    assert task.gold is not None
    assert (task.gold.offline, task.gold.annotators) == (True, ())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (pair("Ann met Bob and", "a", "b", "NA"), "the rule found no word that decides"),
        (pair("Ann met Bob and", "a", "b", "Eve"), "the prompt holds the word that decides not"),
        (pair("Ann met Ann and", "a", "b", "Ann"), "the prompt holds the word that decides more than once"),
        (pair("Cats", "are", "is", "Cats"), "every word was marked"),
        (pair("Ann met Bob and", "a", "a", "Ann"), "the right next word is the wrong one"),
        (pair("Ann met Bob and", "", "a", "Ann"), "field 'one_prefix_word_good' is empty"),
    ],
)
def test_pairs_that_cannot_be_used_are_named(row: dict[str, Any], reason: str) -> None:
    check_left_out(blimp_evidence, pair("Ann met Bob and", "a", "b", "Bob"), row, reason)


# The real sets


@pytest.mark.parametrize(
    ("name", "made", "out"),
    [
        ("onestopqa", 243, 0),
        ("onestopqa/Int", 243, 0),
        ("onestopqa/Ele", 243, 0),
        ("qed", 596, 84),
        ("eraser/multirc", 109, 0),
        ("eraser/movies", 75, 0),
        ("eraser/fever", 144, 6),
        ("eraser/boolq", 30, 0),
        ("eraser", 358, 6),
        ("blimp-evidence", 688, 12),
        ("blimp-evidence/ioi", 100, 0),
    ],
)
def test_the_real_sets(name: str, made: int, out: int, shared: Path) -> None:
    folder = shared / "data" / "rationales" / name.partition("/")[0]
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    task = load_task(name, source=str(folder))
    assert (len(task.examples), sum(map(len, task.left_out.values()))) == (made, out)
    assert len({example.id for example in task.examples}) == made


def test_a_set_by_its_own_folder_or_file(shared: Path) -> None:
    folder = shared / "data" / "rationales" / "eraser" / "boolq"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    by_name = load_task("eraser/boolq", source=str(folder.parent)).examples
    for source in (folder, folder / "val.jsonl"):
        assert load_task("eraser/boolq", source=str(source)).examples == by_name
        assert [e.prompt for e in load_task("eraser", source=str(source)).examples] == [
            e.prompt for e in by_name
        ]
    with pytest.raises(
        TaskError, match=r"holds none of the files that eraser is read from: fever/val.jsonl, val.jsonl$"
    ):
        load_task("eraser/fever", source=str(folder.parent.parent))


def test_files_of_other_kinds_hold_a_question_a_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([asked([4, 5])]))
    assert len(onestopqa(question_rows(path)).examples) == 1
    lines = tmp_path / "rows.jsonl"
    lines.write_text(json.dumps(asked([4, 5])))
    assert len(onestopqa(question_rows(lines)).examples) == 1
    lines.write_text(json.dumps(explained(reference("It"))))
    assert len(qed(file_rows(lines)).examples) == 1
