"""Token scores become word scores and none of the mass is lost on the way."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.words import split_words
from heat.errors import ProjectionError
from heat.projection import projection, word_scores

# Emoji with modifiers, right-to-left, combining marks, separators that str.isspace and \s judge differently.
TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=("Cs",)),
        st.sampled_from([*" \n\t.,'-", "\x1c", "\u200d", "\u0301", "👍", "🏽", "ש", "a", "b"]),
    ),
    max_size=40,
)


def cut(text: str, data: st.DataObject) -> list[tuple[int, int]]:
    """A tokenizer: consecutive spans that cover the text, some of them empty special tokens."""
    places = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=12))})
    return [(0, 0), *pairwise(places)]


def byte_level(text: str) -> list[tuple[int, int]]:
    """A token for each byte; the bytes of one character share its span."""
    return [(i, i + 1) for i, character in enumerate(text) for _ in character.encode("utf-8")]


def test_sum_by_hand() -> None:
    # "ab cd": tokens "a", "b", " cd"; words "ab" = 1 + 2, "cd" = 4.
    scores = word_scores([1, 2, 4], "ab cd", [(0, 2), (3, 5)], [(0, 1), (1, 2), (2, 5)], "sum")
    assert scores.tolist() == [3, 4]


def test_mean_by_hand() -> None:
    # "abc d e": tokens "ab" = 1, "c d" = 6 over two words by halves, " e" = 5. "abc" has 1 whole and 1/2 of 6.
    words, offsets = [(0, 3), (4, 5), (6, 7)], [(0, 2), (2, 5), (5, 7)]
    found = word_scores([1, 6, 5], "abc d e", words, offsets)
    assert found.tolist() == pytest.approx([(1 + 3) / 1.5, 6, 5])
    assert word_scores([7, 7, 7], "abc d e", words, offsets).tolist() == pytest.approx([7, 7, 7])


def test_max_by_hand() -> None:
    scores = word_scores([1, 2, -4], "ab cd", [(0, 2), (3, 5)], [(0, 1), (1, 2), (2, 5)], aggregation="max")
    assert scores.tolist() == [2, -4]


def test_a_token_over_two_words_is_split_by_visible_characters() -> None:
    # One token "abc d" of score 8 has 3 visible characters in "abc" and 1 in "d": 8 * 3/4 = 6 and 8 * 1/4 =
    # 2.
    assert word_scores([8], "abc d", [(0, 3), (4, 5)], [(0, 5)], "sum").tolist() == [6, 2]
    # The largest score is not divided.
    assert word_scores([8], "abc d", [(0, 3), (4, 5)], [(0, 5)], aggregation="max").tolist() == [8, 8]


def test_several_targets_keep_their_rows() -> None:
    scores = word_scores([[1, 2], [10, 20]], "a b", [(0, 1), (2, 3)], [(0, 1), (1, 3)])
    assert scores.tolist() == [[1, 2], [10, 20]]


def test_special_and_space_tokens_touch_no_word() -> None:
    # BOS (0, 0) and the space token carry 100 each; only "a" and "b" reach words.
    matrix = projection("a b", [(0, 1), (2, 3)], [(0, 0), (0, 1), (1, 2), (2, 3)])
    assert matrix.sum(axis=1).tolist() == [0, 1, 0, 1]


def test_bytes_of_an_emoji_all_belong_to_its_word() -> None:
    text = "a 👍🏽!"
    words = split_words(text)
    assert words == ((0, 1), (2, 4), (4, 5))
    offsets = byte_level(text)
    assert len(offsets) == 1 + 1 + 4 + 4 + 1
    assert word_scores(np.ones(11), text, words, offsets, "sum").tolist() == [1, 8, 1]


def test_target_tokens_behind_the_text_touch_nothing() -> None:
    scores = word_scores([1, 5], "a\nAnswer: b", [(0, 1)], [(0, 1), (9, 11)])
    assert scores.tolist() == [1]


def test_a_word_without_token_is_refused() -> None:
    with pytest.raises(ProjectionError, match=r"no token covers word 1 \('d' at 4\)"):
        word_scores([1.0], "abc d", [(0, 3), (4, 5)], [(0, 3)])


def test_no_words_beyond_the_text_and_wrong_lengths_are_refused() -> None:
    with pytest.raises(ProjectionError, match="no words"):
        word_scores([1.0], "a", [], [(0, 1)])
    with pytest.raises(ProjectionError, match="beyond the text"):
        word_scores([1.0], "a", [(0, 1)], [(0, 2)])
    with pytest.raises(ProjectionError, match="2 scores do not fit 1 tokens"):
        word_scores([1.0, 2.0], "a", [(0, 1)], [(0, 1)])


def test_not_finite_stays_in_its_word() -> None:
    scores = word_scores([np.nan, 1, np.inf], "a b c", [(0, 1), (2, 3), (4, 5)], [(0, 1), (1, 3), (3, 5)])
    assert np.isnan(scores[0])
    assert scores[1] == 1
    assert np.isinf(scores[2])


@settings(deadline=None)
@given(TEXTS, st.data())
def test_mass_is_conserved_for_any_text_and_tokenizer(text: str, data: st.DataObject) -> None:
    words = split_words(text)
    if not words:
        return
    for offsets in (cut(text, data), byte_level(text)):
        scores = np.array(
            data.draw(st.lists(st.floats(-1e3, 1e3), min_size=len(offsets), max_size=len(offsets)))
        )
        touches = np.asarray(projection(text, words, offsets).sum(axis=1)) > 0
        total = word_scores(scores, text, words, offsets, "sum").sum()
        assert total == pytest.approx(scores[touches].sum(), abs=1e-9 * max(1.0, np.abs(scores).sum()))
        # The words cover all that is visible, so a token touches none only if it shows nothing.
        visible = [any(a < end and start < b for a, b in words) for start, end in offsets]
        assert touches.tolist() == visible


@settings(deadline=None)
@given(TEXTS, st.data())
def test_shares_are_those_of_counting_characters(text: str, data: st.DataObject) -> None:
    words = split_words(text)
    if not words:
        return
    offsets = cut(text, data)
    matrix = projection(text, words, offsets).toarray()
    covered = {
        i for a, b in words for i in range(a, b) if not text[i].isspace() or text[i] in "\x1c\x1d\x1e\x1f"
    }
    for row, (start, end) in zip(matrix, offsets, strict=True):
        counts = [sum(i in covered for i in range(max(a, start), min(b, end))) for a, b in words]
        expected = [count / max(1, sum(counts)) for count in counts]
        assert row.tolist() == pytest.approx(expected)


def test_space_inside_a_word_has_no_share() -> None:
    # The word "a b" holds a space; the token " b cd" shows one character of it and two of the next word.
    found = projection("a b cd", [(0, 3), (4, 6)], [(0, 1), (1, 6)]).toarray()
    assert found.tolist() == [[1, 0], [pytest.approx(1 / 3), pytest.approx(2 / 3)]]
