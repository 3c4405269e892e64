"""Tasks that are made of text as it stands: LAMBADA rationales, TellMeWhy, biographies."""

from pathlib import Path
from typing import Any

import pytest
from fakes.rows import rows_of
from hypothesis import given
from hypothesis import strategies as st

from annotate.errors import RowsError
from annotate.rationales.rows import file_rows
from evaluate.tasks.lambada import lambada
from evaluate.tasks.task import Example, Task
from evaluate.tasks.tellmewhy import tellmewhy
from evaluate.tasks.wikibio import wikibio


def words_of(example: Example) -> list[str]:
    return [example.prompt[start:end] for start, end in example.words]


def gold_of(example: Example) -> list[str]:
    return [words_of(example)[index] for index in example.gold or ()]


def test_a_word_has_the_role_of_the_segment_that_it_begins_in() -> None:
    example = Example(
        id="e",
        prompt="a bc de f",
        target=" g",
        words=((0, 1), (2, 4), (5, 7), (8, 9)),
        segments=(("narrative", 0, 2), ("support", 2, 6)),
    )
    assert example.roles() == ("narrative", "support", "support", "")


def test_examples_that_ask_of_the_same_text_share_it() -> None:
    one, other = (
        Example(id=asked, prompt=f"a bc. {asked}", target=" g", words=((0, 1), (2, 4)), body=(0, 5))
        for asked in ("What?", "Why?")
    )
    assert one.text_key == other.text_key
    # Without a text that is asked about, all of it counts.
    bare = [each.model_copy(update={"body": None}) for each in (one, other)]
    assert bare[0].text_key != bare[1].text_key


def passage(text: str, *marked: str) -> dict[str, Any]:
    """A passage whose rationale is the first occurrence of each string."""
    return {"text": text, "rationale": [[text.index(m), text.index(m) + len(m)] for m in marked]}


@pytest.mark.parametrize(
    ("text", "prompt", "target"),
    [
        ("He met the cat", "He met the", " cat"),
        ("He met the cat.", "He met the", " cat"),
        ('"He met the cat!"\n', '"He met the', " cat"),
        ("He met a cat — ...", "He met a", " cat"),
        ('He said "Yes."', 'He said "', "Yes"),
        ("A dark room—silence", "A dark room—", "silence"),
        ("He  met\n\nAnna", "He  met\n", "\nAnna"),
        ("We knew they couldn't", "We knew they", " couldn't"),
        ("She is a co-pilot", "She is a", " co-pilot"),
        ("Er traf 👍🏽 Zoë", "Er traf 👍🏽", " Zoë"),
    ],
)
def test_the_target_is_the_last_word_without_what_is_glued_to_it(text: str, prompt: str, target: str) -> None:
    (example,) = lambada(rows_of({"text": text, "rationale": [[0, 2]]})).examples
    assert (example.prompt, example.target) == (prompt, target)


def test_gold_are_the_words_a_rationale_touches() -> None:
    text = "The well-known baker, Mr. Bun, sold us fresh bread."
    task = lambada(rows_of(passage(text, "known baker,", "Bu", "bread.")))
    (example,) = task.examples
    assert words_of(example) == ["The", "well-known", "baker", "Mr", "Bun", "sold", "us", "fresh"]
    assert gold_of(example) == ["well-known", "baker", "Bun"]
    assert (example.id, example.gold_rule, example.distractor) == ("lambada-rationales-1", "rationale", ())
    assert task.gold is not None
    assert (task.gold.rule, task.gold.annotators, task.gold.offline) == ("rationale", ("people",), False)
    assert (task.only_correct, task.single_token, task.left_out) == (False, False, {})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"rationale": [[0, 1]]}, "field 'text' is missing"),
        ({"text": 7, "rationale": [[0, 1]]}, "field 'text' holds int, not text"),
        ({"text": " ", "rationale": [[0, 1]]}, "field 'text' is empty"),
        ({"text": "one two"}, "field 'rationale' is missing"),
        ({"text": "one two", "rationale": "0-1"}, "field 'rationale' holds text, not a list"),
        ({"text": "one two", "rationale": [3]}, "a rationale span is no pair of whole numbers"),
        ({"text": "one two", "rationale": [[0, 1, 2]]}, "a rationale span is no pair of whole numbers"),
        ({"text": "one two", "rationale": [[0, 1.0]]}, "a rationale span is no pair of whole numbers"),
        ({"text": "one two", "rationale": [[False, True]]}, "a rationale span is no pair of whole numbers"),
        ({"text": "one two", "rationale": [[0, 8]]}, "a rationale span lies outside the text"),
        ({"text": "one two", "rationale": [[-3, 2]]}, "a rationale span lies outside the text"),
        ({"text": "one two", "rationale": [[2, 2]]}, "a rationale span is empty"),
        ({"text": "one two", "rationale": [[2, 1]]}, "a rationale span is empty"),
        ({"text": "one!", "rationale": [[0, 1]]}, "no word stands before the last"),
        ({"text": "?!", "rationale": [[0, 1]]}, "no word stands before the last"),
        ({"text": "one two three", "rationale": []}, "the rationale marks no word of the prompt"),
        ({"text": "one, two three", "rationale": [[3, 5], [9, 14]]}, "the rationale marks no word of the prompt"),
        ({"text": "one two three", "rationale": [[0, 5]]}, "the rationale marks every word of the prompt"),
    ],
)  # fmt: skip
def test_passages_that_cannot_be_used_are_named(row: dict[str, Any], reason: str) -> None:
    task = lambada(rows_of(passage("We met the cat", "met"), row))
    assert len(task.examples) == 1
    assert task.left_out == {reason: ("row 2",)}
    with pytest.raises(RowsError, match=r"no row of made can be used: .*such as row 1"):
        lambada(rows_of(row))


@given(st.text(alphabet="aB9é א’'-.,\n\"👍\u0301", max_size=40), st.data())
def test_prompt_and_target_are_the_passage_up_to_its_last_word(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, max(0, len(text) - 1)))
    end = data.draw(st.integers(start, len(text)))
    try:
        (example,) = lambada(rows_of({"text": text, "rationale": [[start, end]]})).examples
    except RowsError:
        return
    rest = text[len(example.prompt + example.target) :]
    assert example.prompt + example.target + rest == text
    assert not any(letter.isalnum() for letter in rest)
    assert example.target.strip()
    assert len(example.target.split()) == 1
    assert 0 < len(gold_of(example)) < len(example.words)
    for number, (a, b) in enumerate(example.words):
        assert example.prompt[a:b] == example.prompt[a:b].strip() != ""
        assert (number in (example.gold or ())) == (start < b and a < end)


STORY = "Ann was hungry. She baked a pie."


def test_a_question_why_becomes_narrative_question_cue() -> None:
    row = {
        "narrative": f" {STORY}\n",
        "question": "Why did Ann bake?",
        "answers": [" She was hungry. ", "no"],
        "is_ques_answerable": "Answerable",
    }
    task = tellmewhy(rows_of(row))
    (example,) = task.examples
    assert example.prompt == f"{STORY}\nWhy did Ann bake?\nAnswer:"
    assert example.target == " She was hungry."
    assert words_of(example)[:4] == ["Ann", "was", "hungry", "."]
    assert words_of(example)[-5:] == ["Why", "did", "Ann", "bake", "?"]
    assert (example.gold, example.gold_rule, task.gold) == (None, "", None)


def test_the_hubs_rows_hold_one_answer_each() -> None:
    row = {"narrative": STORY, "question": "Why?", "answer": "hunger", "is_ques_answerable": None}
    task = tellmewhy(rows_of(row, row | {"answer": "thirst"}, row | {"question": "Why so?"}))
    assert [(e.id, e.target) for e in task.examples] == [
        ("tellmewhy-1", " hunger"),
        ("tellmewhy-3", " hunger"),
    ]
    assert task.left_out == {"another answer to a question already asked": ("row 2",)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_ques_answerable": "Not Answerable"}, "the narrative does not state the answer"),
        ({"is_ques_answerable": True}, "field 'is_ques_answerable' holds bool, not text"),
        ({"narrative": ""}, "field 'narrative' is empty"),
        ({"question": None}, "field 'question' is missing"),
        ({"answers": []}, "field 'answers' is empty"),
        ({"answers": [None]}, "field 'answers' holds NoneType, not text"),
        ({"answers": ["  "]}, "field 'answers' is empty"),
        ({"answers": "because"}, "field 'answers' holds text, not a list"),
        ({"answers": None}, "field 'answer' is missing"),
    ],
)
def test_questions_that_cannot_be_used_are_named(change: dict[str, Any], reason: str) -> None:
    row: dict[str, Any] = {"narrative": STORY, "question": "Why?", "answers": ["hunger"]}
    task = tellmewhy(rows_of(row, row | {"question": "Why so?"} | change))
    assert len(task.examples) == 1
    assert task.left_out == {reason: ("row 2",)}


@pytest.mark.parametrize(
    ("text", "prompt", "target"),
    [
        ("Eva was born in Rome. She died in Bari in 1950.", "Eva was born in Rome. She died in", " Bari"),
        (
            "Eva sang. Eva left\nHome at last. In 1950, aged 40.",
            "Eva sang. Eva left\nHome at last. In",
            " 1950",
        ),
        ('Eva sang. She won the (Swan) "Rose" of 3 prizes.', 'Eva sang. She won the (Swan) "Rose" of', " 3"),
        ("Eva sang.\nHer dog was e.g. called deNiro", "Eva sang.\nHer dog was e.g. called", " deNiro"),
    ],
)
def test_a_biography_breaks_off_before_a_name_or_number(text: str, prompt: str, target: str) -> None:
    task = wikibio(rows_of({"wiki_bio_text": text, "gpt3_text": "Eva flew. She met Bob."}))
    (example,) = task.examples
    assert (example.prompt, example.target, task.gold) == (prompt, target, None)
    assert "".join(words_of(example)) == "".join(prompt.split())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"wiki_bio_text": "Eva was born in Rome in 1910."}, "the biography has one sentence"),
        ({"wiki_bio_text": "Eva sang. She died."}, "the last sentence has no name or number"),
        ({"wiki_bio_text": "Eva sang. Eva"}, "the last sentence has no name or number"),
        ({"gpt3_text": "Eva flew. She met Bob."}, "field 'wiki_bio_text' is missing"),
        ({"wiki_bio_text": ["Eva"]}, "field 'wiki_bio_text' holds list, not text"),
    ],
)
def test_biographies_that_cannot_be_used_are_named(row: dict[str, Any], reason: str) -> None:
    task = wikibio(rows_of({"wiki_bio_text": "Eva sang. She met Bob."}, row))
    assert len(task.examples) == 1
    assert task.left_out == {reason: ("row 2",)}


@given(st.lists(st.text(alphabet='aB9é א’.,\n"👍', min_size=1, max_size=30), min_size=2, max_size=2))
def test_words_are_visible_and_within_the_prompt(texts: list[str]) -> None:
    tasks: list[Task] = []
    for make, row in (
        (tellmewhy, {"narrative": texts[0], "question": texts[1], "answer": "a"}),
        (wikibio, {"wiki_bio_text": ". B".join(texts)}),
    ):
        try:
            tasks.append(make(rows_of(row)))
        except RowsError:
            continue
    for example in (each for task in tasks for each in task.examples):
        assert all(word.strip() == word != "" for word in words_of(example))
        assert example.target.startswith(" ")


def test_real_files(shared: Path) -> None:
    data = shared / "data"
    passages = lambada(file_rows(data / "longra" / "annotated_lambada.jsonl"))
    assert (len(passages.examples), passages.left_out) == (70, {})
    assert all(example.target.startswith(" ") for example in passages.examples)
    questions = tellmewhy(file_rows(data / "tellmewhy" / "test.jsonl"))
    assert len(questions.examples) == 224
    assert {reason: len(rows) for reason, rows in questions.left_out.items()} == {
        "the narrative does not state the answer": 117
    }
    lives = wikibio(file_rows(data / "wikibio" / "evaluation.jsonl"))
    assert len(lives.examples) == 77
    assert {reason: len(rows) for reason, rows in lives.left_out.items()} == {
        "the last sentence has no name or number": 3
    }
