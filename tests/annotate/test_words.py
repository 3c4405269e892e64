from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from annotate.words import is_content, split_words


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in split_words(text)]


def test_words_by_hand() -> None:
    assert words("Don't drop x-ray no. 3.30, ok?") == [
        "Don't",
        "drop",
        "x-ray",
        "no",
        ".",
        "3.30",
        ",",
        "ok",
        "?",
    ]


def test_emoji_with_modifiers_is_one_word() -> None:
    assert words("a 👩🏽‍🚀 b") == ["a", "👩🏽‍🚀", "b"]


def test_combining_and_right_to_left_text() -> None:
    assert words("cafe\u0301 שלום עולם") == ["cafe\u0301", "שלום", "עולם"]


@given(st.text(max_size=60))
def test_words_are_ordered_and_cover_what_is_visible(text: str) -> None:
    spans = split_words(text)
    assert all(a < b for a, b in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    covered = {i for a, b in spans for i in range(a, b)}
    assert {i for i, character in enumerate(text) if not character.isspace()} - covered <= {
        i for i, character in enumerate(text) if character in "\x1c\x1d\x1e\x1f"
    }


def test_content_needs_a_letter_or_digit() -> None:
    assert is_content("a.")
    assert not is_content("...")
