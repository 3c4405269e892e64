from itertools import pairwise

import pytest
import regex
from fakes.annotated import make_paragraph
from hypothesis import given
from hypothesis import strategies as st

from annotate.words import WORD_RULE, WORD_RULES, is_content, rule_for, split_words
from heat.units import split_words as heat_words


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


class TestScriptsWithoutSpaces:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("爱因斯坦在1905年。", "爱 因 斯 坦 在 1905 年 。"),
            ("ひらがなとカタカナ", "ひ ら が な と カ タ カ ナ"),
            ("ไอน์สไตน์", "ไ อ น์ ส ไ ต น์"),
            ("ພາສາ ကမ္ဘာ ភាសា", None),
            ("GPT-4是x-ray模型", "GPT-4 是 x-ray 模 型"),
            ("サーバーAPIとﾃﾞｰﾀ2", "サ ー バ ー API と ﾃﾞ ｰ ﾀ 2"),
            ("ปี๒๕๔๘ 3.5倍", "ปี ๒๕๔๘ 3.5 倍"),
            ("a\u3099b e\u0e31 が", "a\u3099b e\u0e31 が"),  # marks stay with their letter
            ("한국어 문장 don't", "한국어 문장 don't"),
        ],
    )
    def test_each_of_their_graphemes_is_a_word(self, text: str, expected: str | None) -> None:
        found = words(text)
        assert expected is None or found == expected.split()
        assert found == [text[start:end] for start, end in heat_words(text)]
        assert max(map(len, words("ພາສາ ကမ္ဘာ ភាសា"))) <= 4

    def test_the_older_rule_still_makes_its_words(self) -> None:
        text = "爱因斯坦在1905年。Don't"
        assert [text[a:b] for a, b in split_words(text, "regex-1")] == ["爱因斯坦在1905年", "。", "Don't"]

    @given(st.text(max_size=60) | st.text("ab1-.คั๒ー゙が漢。\u0ec8 ", max_size=12))
    def test_the_rule_named_for_a_text_is_the_oldest_that_makes_its_words(self, text: str) -> None:
        assert split_words(text, rule_for(text)) == split_words(text)
        if rule_for(text) != WORD_RULES[0]:
            assert regex.search(
                r"[\p{scx=Han}\p{scx=Kana}\p{scx=Hira}\p{Thai}\p{Lao}\p{Khmer}\p{scx=Mymr}]", text
            )

    def test_texts_with_spaces_keep_the_name_of_the_older_rule(self) -> None:
        assert rule_for("Rain falls, мир, 한국어, שלום, 😀.") == "regex-1"
        assert rule_for("Rain。 「๒」") == "regex-1"  # no letter of such a script
        assert rule_for("Rain 雨") == WORD_RULE == WORD_RULES[-1] == "regex-2"
        assert make_paragraph("p", "Rain.", "q?", "x").word_rule == "regex-1"
