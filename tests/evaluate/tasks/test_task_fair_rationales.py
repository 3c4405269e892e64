"""Texts that several people marked: whose marks count, and what becomes of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.rows import rows_of, words_of

from annotate.errors import RowsError
from annotate.rationales.marks import overlapping, token_spans
from evaluate.tasks.catalog import load_task
from evaluate.tasks.fair_rationales import fair_rationales

TEXT = "A dull, over-long film - sadly."  # six white-space tokens, of which one is no word


def person(who: int, marks: str, **changes: Any) -> dict[str, Any]:
    """What a person said of `TEXT`; `marks` has a digit for each token."""
    return {
        "text_id": "7",
        "sentence": TEXT,
        "original_label": "negative",
        "label": "negative",
        "label_index": "2",
        "rationale_binary": json.dumps([int(each) for each in marks]),
        "annotator_ID": str(who),
    } | changes


def test_white_space_tokens_and_what_overlaps_them() -> None:
    assert token_spans("\u00a0one  two\nthree ") == [(1, 4), (6, 9), (10, 15)]
    assert token_spans("a a aa a") == [(0, 1), (2, 3), (4, 6), (7, 8)]
    assert overlapping([(0, 2), (2, 4), (5, 7)], [(4, 5)]) == ()
    assert overlapping([(0, 2), (2, 4), (5, 7)], [(6, 9), (1, 3)]) == (0, 1, 2)


def test_gold_is_what_more_than_half_of_those_marked_who_chose_the_label() -> None:
    people = [
        person(1, "010000"),
        person(2, "011000"),
        person(3, "001001"),
        person(4, "010001"),
        person(5, "000100", label="positive"),
        person(6, "000100", label="no sentiment"),
    ]
    task = fair_rationales(rows_of(*people))
    (example,) = task.examples
    assert words_of(example, tuple(range(len(example.words)))) == ["A", "dull", "over-long", "film", "sadly"]
    # dull: 3 of 4; over-long and sadly: 2 of 4, which is not more than half; film: others alone.
    assert words_of(example, example.gold) == ["dull"]
    assert [words_of(example, each) for each in example.people] == [
        ["dull"],
        ["dull", "over-long"],
        ["over-long", "sadly"],
        ["dull", "sadly"],
    ]
    assert task.left_out == {"the person chose another label than the text's": ("row 5", "row 6")}


def test_what_is_asked_of_a_sentiment() -> None:
    (example,) = fair_rationales(rows_of(person(1, "010000"))).examples
    assert example.prompt == f"{TEXT}\nIs the sentiment of this text positive or negative?\nAnswer:"
    assert (example.target, example.foil) == (" negative", " positive")
    assert example.body is not None
    assert example.prompt[slice(*example.body)] == TEXT
    assert example.prompt == f"{TEXT}\n{example.question}\nAnswer:"
    assert example.instruction == "Answer with one word, positive or negative."
    assert (example.id, example.gold_rule) == ("fair-rationales-7", "majority")
    positive = person(1, "010000", original_label="positive", label="positive")
    (other,) = fair_rationales(rows_of(positive), name="fair-rationales/sst").examples
    assert (other.id, other.target, other.foil) == ("fair-rationales-sst-7", " positive", " negative")


def test_who_marks_everything_or_nothing_says_nothing() -> None:
    task = fair_rationales(
        rows_of(person(1, "010000"), person(2, "111111"), person(3, "111101"), person(4, "000000"))
    )
    (example,) = task.examples
    assert example.people == ()  # one person agrees with nobody
    assert words_of(example, example.gold) == ["dull"]
    assert task.left_out == {
        "the person marked every word": ("row 2", "row 3"),  # the dash alone is no word
        "the person marked no word": ("row 4",),
    }
    dash = fair_rationales(rows_of(person(1, "010000"), person(2, "000010")))
    assert dash.left_out == {"the person marked no word": ("row 2",)}


def test_texts_without_gold_are_left_out() -> None:
    other = {"text_id": "8", "sentence": "one two"}
    full = {"text_id": "9", "sentence": "one two three"}
    task = fair_rationales(
        rows_of(
            person(1, "010000"),
            person(1, "10", **other),
            person(2, "01", **other),
            person(1, "110", **full),
            person(2, "101", **full),
            person(3, "011", **full),
            person(1, "10", text_id=3, sentence="one two", label="positive"),
        )
    )
    assert [example.id for example in task.examples] == ["fair-rationales-7"]
    assert task.left_out == {
        "every word was marked by more than half": ("text 9",),
        "no word was marked by more than half": ("text 8",),
        "nobody's marks count": ("text 3",),
        "the person chose another label than the text's": ("row 7",),
    }
    with pytest.raises(RowsError, match=r"no text of made can be used: no word .* \(1, such as text 8\)"):
        fair_rationales(rows_of(person(1, "10", **other), person(2, "01", **other)))


NO_LABEL = "the text's label is neither a sentiment nor one of five choices"
NO_CHOICE = "field 'label_index' is not the number of one of five choices"
DIFFERS = "the text or its label differs from that of an earlier row with its text_id"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (person(2, "01000"), "field 'rationale_binary' has not one number for each white-space token"),
        (person(2, "020000"), "field 'rationale_binary' holds something else than 0 and 1"),
        (person(2, "0", rationale_binary=[True] * 6), "field 'rationale_binary' holds something else than 0 and 1"),
        (person(2, "0", rationale_binary="dull"), "field 'rationale_binary' holds text, not a list"),
        (person(2, "010000", sentence=None), "field 'sentence' is missing"),
        (person(2, "010000", annotator_ID=None), "field 'annotator_ID' is missing"),
        (person(2, "010000", original_label="mixed"), NO_LABEL),
        (person(2, "01", sentence="one two"), DIFFERS),
        (person(2, "010000", original_label="positive"), DIFFERS),
        (person(1, "010000"), "the person marked the text in an earlier row"),
        (person(2, "010000", original_label="B", label_index="6"), NO_CHOICE),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_used_are_named(row: dict[str, Any], reason: str) -> None:
    task = fair_rationales(rows_of(person(1, "010000"), row))
    assert len(task.examples) == 1
    assert task.left_out == {reason: ("row 2",)}


def choice(who: int, marks: str, letter: int, words: str) -> dict[str, Any]:
    return person(who, marks, sentence="Where is milk?", original_label="B", label=words, label_index=letter)


def test_a_question_with_choices_is_the_text_itself() -> None:
    rows = rows_of(
        choice(1, "001", 4, "desk"),
        choice(2, "001", 2, "fridge"),
        choice(3, "100", 3, "sink"),
        choice(4, "001", 3, "sink"),
    )
    (example,) = fair_rationales(rows).examples
    assert (example.prompt, example.target, example.foil) == ("Where is milk?\nAnswer:", " fridge", " sink")
    assert (example.question, example.instruction, example.body) == ("", "", (0, len("Where is milk?")))
    assert words_of(example, example.gold) == ["milk"]
    assert example.people == ()
    (alone,) = fair_rationales(rows_of(choice(2, "001", 2, "fridge"))).examples
    assert alone.foil == ""


def test_a_limit_counts_texts() -> None:
    rows = [person(1, "010000", text_id=str(n)) for n in range(5)]
    assert [e.id[-1] for e in fair_rationales(rows_of(*rows), limit=2).examples] == ["0", "1"]


def test_subsets_by_folder_file_and_name(shared: Path) -> None:
    folder = shared / "data" / "rationales" / "fair-rationales"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    made = {
        name: load_task(f"fair-rationales/{name}", source=str(folder)) for name in ("sst", "dynasent", "cose")
    }
    assert {name: len(task.examples) for name, task in made.items()} == {
        "sst": 132,
        "dynasent": 234,
        "cose": 228,
    }
    by_file = load_task("fair-rationales", source=str(folder / "sst.csv"))
    assert [e.words for e in by_file.examples] == [e.words for e in made["sst"].examples]
    together = load_task("fair-rationales", source=str(folder))
    assert len(together.examples) == 594
    first = [task.examples[0] for task in made.values()]
    assert list(together.examples[:3]) == first
    assert len({example.id for example in together.examples}) == 594
    assert sum(map(len, together.left_out.values())) == sum(
        len(each) for task in made.values() for each in task.left_out.values()
    )


@pytest.mark.parametrize(
    ("name", "all_people", "same"), [("sst", 0.52, 0.57), ("dynasent", 0.54, 0.61), ("cose", 0.44, 0.46)]
)
def test_people_agree_as_the_sets_readme_says(
    name: str, all_people: float, same: float, shared: Path
) -> None:
    """Pairwise word F1 of those who chose the label is at least that of all, near the figure told for same labels."""
    folder = shared / "data" / "rationales" / "fair-rationales"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    values = []
    for example in load_task(f"fair-rationales/{name}", source=str(folder)).examples:
        for i, one in enumerate(example.people):
            for other in example.people[:i]:
                values.append(2 * len({*one} & {*other}) / (len(one) + len(other)))
    assert all_people - 0.01 < sum(values) / len(values) < same + 0.03
