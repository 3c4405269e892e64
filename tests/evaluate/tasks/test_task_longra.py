from pathlib import Path

import pytest
from fakes.rows import rows_of, words_of
from hypothesis import given
from hypothesis import strategies as st

from annotate.errors import RowsError
from annotate.files import shipped
from annotate.rationales.rows import Row, Rows
from evaluate.tasks.errors import TaskError
from evaluate.tasks.longra import TEMPLATES, longra, quadruples


def quadruple_rows(*lines: str) -> Rows:
    """Quadruples of `section a b c d` each."""
    names = ("section", "a", "b", "c", "d")
    values = [dict(zip(names, line.split(), strict=True)) for line in lines]
    return rows_of(*values)


def test_a_pair_and_a_query_that_the_target_ends() -> None:
    task = longra(quadruple_rows("young cow calf sheep lamb"), distances=[0])
    (example,) = task.examples
    pair, query = next(t for t in TEMPLATES if t[0].format(a="cow", b="calf") in example.prompt)
    assert example.prompt == f"{pair.format(a='cow', b='calf')} {query.format(c='sheep')}"
    assert (example.id, example.target, example.gold_rule) == ("longra-1-0", " lamb", "pair")
    assert words_of(example, example.gold or ()) == ["cow", "calf", "sheep"]
    assert example.distractor == ()
    assert (task.only_correct, task.single_token) == (True, True)
    assert task.gold is not None
    assert (task.gold.offline, task.gold.annotators) == (True, ())


def test_passages_between_pair_and_query_are_distractor() -> None:
    passages = (shipped("tasks") / "longra-distractors.txt").read_text("utf-8").splitlines()
    (example,) = longra(quadruple_rows("young cow calf sheep lamb"), distances=[2]).examples
    between = [passage for passage in passages if passage in example.prompt]
    assert len(between) == 2
    starts = [example.prompt.index(passage) for passage in between]
    inside = [
        i
        for i, (a, b) in enumerate(example.words)
        if any(s <= a and b <= s + len(p) for s, p in zip(starts, between, strict=True))
    ]
    assert list(example.distractor) == inside
    assert words_of(example, example.gold or ()) == ["cow", "calf", "sheep"]
    assert example.words[example.gold[1]] < example.words[inside[0]] < example.words[example.gold[2]]  # type: ignore[index]


def test_a_passage_with_one_of_the_words_is_not_used() -> None:
    for seed in range(20):
        (example,) = longra(quadruple_rows("s Museum ferry PIANO wind"), distances=[1], seed=seed).examples
        text = " ".join(words_of(example, example.distractor)).lower()
        assert not {"museum", "ferry", "piano", "wind"} & set(text.split())


def test_items_of_several_words_are_gold_whole() -> None:
    (example,) = longra(quadruple_rows("s R&D {c} AT&T x"), distances=[0]).examples
    assert words_of(example, example.gold or ()) == ["R", "&", "D", "{", "c", "}", "AT", "&", "T"]


def test_sections_and_distances_take_turns() -> None:
    lines = [f"{section} a{n} b{n} c{n} d{n}" for section in "xyz" for n in range(4)]
    task = longra(quadruple_rows(*lines), size=9)
    numbers = [int(example.id.split("-")[1]) for example in task.examples]
    assert [(number - 1) // 4 for number in numbers] == [0, 1, 2] * 3
    assert len(set(numbers)) == 9
    distances = [int(example.id.split("-")[2]) for example in task.examples]
    assert distances == [0, 1, 0, 1, 0, 1, 0, 1, 0]
    assert len(longra(quadruple_rows(*lines), size=None).examples) == 12
    assert longra(quadruple_rows(*lines), limit=2).examples == task.examples[:2]
    assert longra(quadruple_rows(*lines), size=9) == task
    assert longra(quadruple_rows(*lines), size=9, seed=1).examples != task.examples


def test_a_word_pair_file_and_its_bad_lines(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_bytes(
        b"\xef\xbb\xbf: young animals\r\ncow calf\tsheep lamb\r\n\n: more\ncat kitten dog\n"
        b"a b c d e\nch\xe9 b c d\n-- b c d\na b c b\na b c A\na b a d\nhen chick goose gosling"
    )
    task = longra(quadruples(path))
    assert [example.id for example in task.examples] == ["longra-2-0", "longra-12-1"]
    assert task.left_out == {
        "a word without letter or digit": ("line 8",),
        "not UTF-8": ("line 7",),
        "not four words": ("line 5", "line 6"),
        "the word asked about is one of the pair": ("line 11",),
        "the word to tell is already given": ("line 9", "line 10"),
    }
    assert task.source.startswith(f"{path} sha256:")


def test_a_table_of_words(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("section,a,b,c,d\nyoung,cow,calf,sheep,lamb\n,a b,x,c,d\n,a,x,c,\n", "utf-8")
    task = longra(quadruples(path))
    assert [example.target for example in task.examples] == [" lamb"]
    assert task.left_out == {"field 'd' is empty": ("row 3",), "not four words": ("row 2",)}


def test_what_cannot_be_made_says_why(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text(": young\ncow calf\n")
    with pytest.raises(RowsError, match=r"no row of .* can be used: not four words \(1, such as line 2\)"):
        longra(quadruples(path))
    path.write_text(": young\n")
    with pytest.raises(RowsError, match=r"pairs.txt sha256:\w+ holds no rows; for longra a row holds"):
        longra(quadruples(path))
    rows = quadruple_rows("young cow calf sheep lamb")
    with pytest.raises(TaskError, match="a distance of 11 needs as many"):
        longra(rows, distances=[11])
    for distances in ([], [-1]):
        with pytest.raises(TaskError, match="name some from 0 on"):
            longra(rows, distances=distances)


WORD = st.text(alphabet="aBé9'-&👍{}", min_size=1, max_size=5)


@given(st.tuples(WORD, WORD, WORD, WORD), st.integers(0, 3), st.integers(0, 9))
def test_gold_covers_the_three_words_and_nothing_else(
    words: tuple[str, str, str, str], distance: int, seed: int
) -> None:
    row = Row(1, "row 1", dict(zip("abcd", words, strict=True)))
    try:
        (example,) = longra(Rows("made", lambda: [row]), distances=[distance], seed=seed).examples
    except RowsError:
        return
    assert all(example.prompt[a:b].strip() == example.prompt[a:b] != "" for a, b in example.words)
    assert not set(example.gold or ()) & set(example.distractor)
    assert (distance == 0) == (not example.distractor)
    text = "".join(words_of(example, example.gold or ()))
    assert "".join(words[:3]) in text
    assert example.target == f" {words[3]}"


def test_real_pairs(shared: Path) -> None:
    rows = quadruples(shared / "data" / "longra" / "questions-words.txt")
    task = longra(rows, size=None)
    assert (len(task.examples), task.left_out) == (19_544, {})
    assert len(longra(rows).examples) == 200
