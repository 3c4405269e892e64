"""Questions about passages with evidence that occurs once."""

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.rows import rows_of, words_of

from annotate.errors import RowsError
from annotate.rationales.expmrc import squad_rows
from evaluate.tasks.catalog import load_task
from evaluate.tasks.expmrc import expmrc

CONTEXT = "Ann baked a pie. Ben ate it all. Ben was ill."


def question(*evidences: Any, **changes: Any) -> dict[str, Any]:
    return {
        "context": CONTEXT,
        "question": " Who ate it? ",
        "answers": [{"text": "Ben ", "answer_start": 17}, {"text": "he"}],
        "evidences": list(evidences),
    } | changes


def test_gold_is_the_evidence_of_both() -> None:
    (example,) = expmrc(rows_of(question("Ben ate it all.", "a pie. Ben ate"))).examples
    assert example.prompt == f"{CONTEXT}\nWho ate it?\nAnswer:"
    assert (example.target, example.question, example.body) == (" Ben", "Who ate it?", (0, len(CONTEXT)))
    assert words_of(example, example.gold) == ["Ben", "ate"]
    assert [words_of(example, each) for each in example.people] == [
        ["Ben", "ate", "it", "all"],
        ["a", "pie", "Ben", "ate"],
    ]
    assert len(example.words) == 11  # full stops are not scored
    assert (example.id, example.gold_rule) == ("expmrc-1", "evidence")
    (three,) = expmrc(rows_of(question("Ben ate", "ate it", "it all"))).examples
    assert words_of(three, three.gold) == ["ate", "it"]
    (one,) = expmrc(rows_of(question("ate", answers=["Ben"]))).examples
    assert (words_of(one, one.gold), one.target) == (["ate"], " Ben")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (question("Ben", "Ben ate"), "the passage holds an evidence more than once"),
        (question("aa", context="aaa b"), "the passage holds an evidence more than once"),
        (question("Cyd", "Ben ate"), "the passage does not hold an evidence"),
        (question("Ann baked", "Ben ate"), "no word was marked by more than half"),
        (question(CONTEXT, CONTEXT), "every word was marked by more than half"),
        (question("Ben ate", 7), "field 'evidences' holds int, not text"),
        (question("Ben ate", " "), "field 'evidences' is empty"),
        (question(), "field 'evidences' is empty"),
        (question("Ben ate", answers=[]), "field 'answers' is empty"),
        (question("Ben ate", answers=[{}]), "field 'answers' holds NoneType, not text"),
        (question("Ben ate", context=None), "field 'context' is missing"),
    ],
)
def test_questions_that_cannot_be_used_are_named(row: dict[str, Any], reason: str) -> None:
    task = expmrc(rows_of(question("Ben ate"), row))
    assert len(task.examples) == 1
    assert task.left_out == {reason: ("row 2",)}


def test_squads_form_and_plain_rows(tmp_path: Path) -> None:
    asked = question("Ben ate")
    context = asked.pop("context")
    path = tmp_path / "squad.json"
    path.write_text(
        json.dumps(
            {"data": [{"paragraphs": [{"context": context, "qas": [asked, asked]}, {"qas": [asked]}, 3]}, 4]}
        )
    )
    task = expmrc(squad_rows(path))
    assert [example.id for example in task.examples] == ["expmrc-1", "expmrc-2"]
    assert task.left_out == {"field 'context' is missing": ("question 3",)}
    path.write_text(json.dumps([question("Ben ate")]))
    assert len(expmrc(squad_rows(path)).examples) == 1
    lines = tmp_path / "rows.jsonl"
    lines.write_text(json.dumps(question("Ben ate")))
    assert len(expmrc(squad_rows(lines)).examples) == 1
    path.write_text('{"data": 3}')
    with pytest.raises(RowsError, match="holds no rows"):
        expmrc(squad_rows(path))
    path.write_text("{")
    with pytest.raises(RowsError, match="is not JSON"):
        expmrc(squad_rows(path))


def test_the_real_set(shared: Path) -> None:
    folder = shared / "data" / "rationales" / "expmrc"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    task = load_task("expmrc", source=str(folder))
    assert len(task.examples) + sum(map(len, task.left_out.values())) == 256
    assert all(len(example.people) == 2 for example in task.examples)
    assert load_task("expmrc", source=str(folder / "expmrc-squad-dev.json")) == task
