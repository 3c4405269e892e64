"""Folding keeps the way back to the original."""

from __future__ import annotations

import unicodedata

import pytest
from fakes.marked import texts
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.formats.folding import FoldedText, casefold, letters, normalize


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("cafe\u0301", "caf\u00e9"),
        ("don\u2019t \u201csay\u201d", 'don\'t"say"'),
        ("3\u20135 \u2014 3--5 \u2212 2", "3-5-3-5-2"),
        ("a\u00a0b\n\t c", "abc"),
        ("photo\u00adsyn\u200bthesis", "photosynthesis"),
        ("wait\u2026", "wait..."),
        ("\u1112\u1161\u11ab", "\ud55c"),
        ("\u2764\ufe0f", "\u2764"),
        ("The", "The"),
    ],
)
def test_normalized(text: str, folded: str) -> None:
    assert normalize(text).text == folded


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("\u0130x", ((0, 1), (0, 1), (1, 2))),
        ("\u00dfx", ((0, 1), (0, 1), (1, 2))),
        ("e\u0301x", ((0, 2), (2, 3))),
        ("a--b", ((0, 1), (1, 3), (3, 4))),
        ("\U0001f600 B", ((0, 1), (2, 3))),
    ],
)
def test_every_folded_character_keeps_its_source(text: str, spans: tuple[tuple[int, int], ...]) -> None:
    assert casefold(text).spans == spans


def test_parts_of_one_grapheme_are_no_whole() -> None:
    folded = casefold("Stra\u00dfe")
    assert folded.text == "strasse"
    assert folded.source(4, 5) == (4, 5)
    assert not folded.whole(0, 5)
    assert folded.whole(0, 6)
    assert not folded.whole(5, 7)


def test_covering_takes_graphemes_that_are_touched() -> None:
    folded = normalize("ae\u0301 b")
    assert folded.text == "a\u00e9b"
    assert folded.covering(0, 1) == (0, 1)
    assert folded.covering(2, 3) == (1, 2)
    assert folded.covering(3, 4) == (2, 2)
    assert folded.covering(0, 5) == (0, 3)


def test_letters_keep_their_source() -> None:
    assert letters(casefold('"A-1"')) == FoldedText("a1", ((1, 2), (3, 4)))


@settings(max_examples=150, deadline=None)
@given(text=st.one_of(texts(), st.text(max_size=40)))
def test_sources_are_in_order_and_fold_back(text: str) -> None:
    for fold in (normalize, casefold):
        folded = fold(text)
        assert len(folded.spans) == len(folded.text)
        assert list(folded.spans) == sorted(folded.spans)
        for k, (start, end) in enumerate(folded.spans):
            assert 0 <= start < end <= len(text)
            assert folded.text[k] in fold(text[start:end]).text


@settings(max_examples=150, deadline=None)
@given(text=texts())
def test_folding_is_blind_to_composition(text: str) -> None:
    assert normalize(unicodedata.normalize("NFD", text)).text == normalize(text).text
    assert casefold(unicodedata.normalize("NFD", text)).text == casefold(text).text
