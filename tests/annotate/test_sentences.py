from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.sentences import split_sentences


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rains. It pours! Why? So.", ["It rains.", "It pours!", "Why?", "So."]),
        ("Dr. J. Watson met Mr. Holmes. They left.", ["Dr. J. Watson met Mr. Holmes.", "They left."]),
        ('He said "Go." She went.', ['He said "Go."', "She went."]),
        ("about 3.5 m tall, e.g. a tree. Next.", ["about 3.5 m tall, e.g. a tree.", "Next."]),
        ("one line\nanother line", ["one line", "another line"]),
        ("They met at 5 p.m. and left. Next.", ["They met at 5 p.m. and left.", "Next."]),
        ('"Stop!" he said. "Why?" she asked.', ['"Stop!" he said.', '"Why?" she asked.']),
        ("So did I. We left.", ["So did I.", "We left."]),
        ("今日は。明日は。", ["今日は。", "明日は。"]),
        ("  \n ", []),
    ],
)
def test_sentences_by_hand(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet="ab A.!?\"'\n e\u0301🙂ש", max_size=60))
def test_sentences_cover_what_is_visible(text: str) -> None:
    spans = split_sentences(text)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    covered = {i for a, b in spans for i in range(a, b)}
    assert all(i in covered for i, character in enumerate(text) if not character.isspace())
