"""Rung by rung: where a quote is placed, and what is only reported."""

from __future__ import annotations

import time

import pytest
from fakes.annotated import make_paragraph

from annotate.formats.resolver import Quote, resolve, weakest
from annotate.formats.similarity import is_typo, near_windows, prefix_length, subsequence_rows

SUPPORT = "The moss eats the iron. The reed eats the zinc, as the moss can't. "
SUPPORT += "A calledoxidants list\u2014long\u2014ends."
PARAGRAPH = make_paragraph("p", SUPPORT, "What does the moss eat?", "iron", narrative="One day \u0130da won.")
WORDS = PARAGRAPH.word_texts()
# 0 One 1 day 2 Ida 3 won 4 . 5 The 6 moss 7 eats 8 the 9 iron 10 . 11 The 12 reed 13 eats 14 the 15 zinc 16 ,
# 17 as 18 the 19 moss 20 can't 21 . 22 A 23 calledoxidants 24 list 25 - 26 long 27 - 28 ends 29 . 30 What
# 31 does 32 the 33 moss 34 eat 35 ?


def one(text: str, occurrence: int | None = None, before: str = "") -> tuple[tuple[int, ...], str]:
    (span,) = resolve(PARAGRAPH, [Quote(text, occurrence, before)])
    assert span.quote == text.strip()
    return span.words, span.rung


def test_the_words_are_numbered_as_the_tests_say() -> None:
    assert (WORDS[6], WORDS[19], WORDS[23], WORDS[33], len(WORDS)) == (
        "moss",
        "moss",
        "calledoxidants",
        "moss",
        36,
    )


def test_places_that_overlap_are_two() -> None:
    # 0 Say 1 so 2 and 3 so 4 and 5 so 6 .
    paragraph = make_paragraph("p", "Say so and so and so.", "q?", "x", narrative="")
    (open_,) = resolve(paragraph, [Quote("so and so")])
    assert (open_.words, open_.rung) == ((1, 2, 3), "ambiguous")
    (second,) = resolve(paragraph, [Quote("so and so", 2)])
    assert (second.words, second.rung) == ((3, 4, 5), "occurrence")


@pytest.mark.parametrize(
    ("text", "occurrence", "before", "words", "rung"),
    [
        ("the iron", 1, "The moss eats", (8, 9), "exact"),
        (" the iron\n", None, "", (8, 9), "exact"),
        ("moss", 2, "zinc, as the", (19,), "occurrence"),
        ("moss", 2, "", (19,), "occurrence"),
        # The words before are believed, the count is not: models copy better than they count.
        ("moss", 1, "zinc, as the", (19,), "context"),
        ("moss", None, "ZINC as  the", (19,), "context"),
        ("moss", 9, "does the", (33,), "context"),
        # "the" before fits all three, so the count decides among them.
        ("moss", 3, "the", (33,), "occurrence"),
        ("moss", 9, "", (6,), "ambiguous"),
        ("moss", 2, "never said this", (6,), "ambiguous"),
        # A long quote that stands once is believed whatever precedes it, a short one is not.
        ("the reed eats the zinc", 1, "never said this", (11, 12, 13, 14, 15), "casefold"),
        ("zinc", 1, "never said this", (15,), "ambiguous"),
        ("moss can\u2019t", 1, "as the", (19, 20), "normalized"),
        ("moss\u00a0 can't", 1, "as the", (19, 20), "normalized"),
        ("list-long", 1, "A calledoxidants", (24, 25, 26), "normalized"),
        ("list -- long", 1, "A calledoxidants", (24, 25, 26), "normalized"),
        ("called oxidants", 1, "can't. A", (23,), "normalized"),
        ("MOSS CAN\u2019T", 1, "as the", (19, 20), "casefold"),
        ("i\u0307da", 1, "One day", (2,), "casefold"),
        ("\u201cthe zinc\u201d", 1, "reed eats", (14, 15), "normalized"),
        ("...the zinc...", 1, "reed eats", (14, 15), "normalized"),
        ("red eats the zinc", 1, "iron. The", (12, 13, 14, 15), "fuzzy"),
        ("reed eats up the zinc", 1, "iron. The", (12, 13, 14, 15), "fuzzy"),
        ("reed eats zinc", 1, "iron. The", (12, 13, 14, 15), "fuzzy"),
        # Nearly the same words, but not where the annotator says.
        ("red eats the zinc", 1, "moss eats", (12, 13, 14, 15), "ambiguous"),
        # Part of a word means the word, if the words before fit it.
        ("oxidants", 1, "can't. A", (23,), "fuzzy"),
        ("oxidants", 1, "A called", (23,), "ambiguous"),
        ("oss", 1, "", (6,), "ambiguous"),
        ("smoss", 1, "does the", (33,), "fuzzy"),
        ("granite", 1, "the", (), "unresolved"),
        ("reed drinks all water", 1, "The", (), "unresolved"),
        ("", 1, "", (), "unresolved"),
        ("?!\u2026", 1, "", (), "unresolved"),
    ],
)
def test_rungs(text: str, occurrence: int | None, before: str, words: tuple[int, ...], rung: str) -> None:
    assert one(text, occurrence, before) == (words, rung)


def test_the_strictest_place_wins_but_not_against_the_words_before() -> None:
    assert one("The", 1, "iron.") == ((11,), "context")
    assert one("the", 1, "One day \u0130da won.") == ((5,), "casefold")
    assert one("eat", 1, "won. The moss") == ((7,), "fuzzy")


def test_without_words_before_a_quote_may_begin_the_text() -> None:
    paragraph = make_paragraph("p", "one two.", "Who?", "two", narrative="One day.")
    (span,) = resolve(paragraph, [Quote("one", 1, "")])
    assert span.rung == "ambiguous"
    (span,) = resolve(paragraph, [Quote("One", 1, "")])
    assert (span.words, span.rung) == ((0,), "exact")


def test_punctuation_before_tells_places_apart() -> None:
    paragraph = make_paragraph("p", 'a b c d " " e', "What?", "e", narrative="x")
    first = [paragraph.text[a:b] for a, b in paragraph.words].index('"')
    (span,) = resolve(paragraph, [Quote('"', 2, "a b c d")])
    assert (span.words, span.rung) == ((first,), "context")
    (span,) = resolve(paragraph, [Quote("e", 1, "b, c, d")])
    assert (span.words, span.rung) == ((first + 2,), "exact")


def test_equal_quotes_are_the_next_places_and_certain_when_they_are_all() -> None:
    spans = resolve(PARAGRAPH, [Quote("moss")] * 3)
    assert [(span.words, span.rung) for span in spans] == [
        ((6,), "context"),
        ((19,), "context"),
        ((33,), "context"),
    ]
    spans = resolve(PARAGRAPH, [Quote("moss", 1)] * 2)
    assert [(span.words, span.rung) for span in spans] == [((6,), "ambiguous"), ((19,), "ambiguous")]


def test_the_order_of_the_list_settles_what_its_neighbours_leave_one_place() -> None:
    spans = resolve(PARAGRAPH, [Quote("reed"), Quote("moss"), Quote("calledoxidants")])
    assert [(span.words, span.rung) for span in spans] == [
        ((12,), "exact"),
        ((19,), "context"),
        ((23,), "exact"),
    ]
    spans = resolve(PARAGRAPH, [Quote("calledoxidants"), Quote("moss"), Quote("reed")])
    assert [span.rung for span in spans] == ["exact", "ambiguous", "exact"]


def test_a_number_counts_over_equal_writings_only() -> None:
    paragraph = make_paragraph("p", "The Moss, moss and moss.", "What?", "x", narrative="One.")
    texts = paragraph.word_texts()
    (span,) = resolve(paragraph, [Quote("MOSS", 2)])
    assert (span.words, span.rung) == ((texts.index("Moss"),), "ambiguous")
    (span,) = resolve(paragraph, [Quote("moss", 2)])
    assert (span.words, span.rung) == ((texts.index("moss") + 2,), "occurrence")
    equal = make_paragraph("p", "The Moss and Moss.", "What?", "x", narrative="One.")
    (span,) = resolve(equal, [Quote("MOSS", 2)])
    assert (span.words, span.rung) == ((5,), "casefold")


def test_a_list_in_another_order_than_the_text_settles_nothing() -> None:
    spans = resolve(PARAGRAPH, [Quote("calledoxidants"), Quote("moss"), Quote("reed")])
    assert [(span.words, span.rung) for span in spans] == [
        ((23,), "exact"),
        ((6,), "ambiguous"),
        ((12,), "exact"),
    ]


def test_a_quote_without_its_middle_is_two() -> None:
    spans = resolve(
        PARAGRAPH, [Quote("reed ... the zinc", 1, "iron. The"), Quote("A calledoxidants \u2026 granite")]
    )
    assert [(span.quote, span.words, span.rung) for span in spans] == [
        ("reed", (12,), "normalized"),
        ("the zinc", (14, 15), "normalized"),
        ("A calledoxidants", (22, 23), "normalized"),
        ("granite", (), "unresolved"),
    ]


def test_an_ellipsis_of_the_text_is_text() -> None:
    paragraph = make_paragraph("p", "He waits ... and leaves.", "Who?", "He")
    (span,) = resolve(paragraph, [Quote("waits ... and")])
    assert (span.rung, [paragraph.word_texts()[i] for i in span.words]) == (
        "exact",
        ["waits", ".", ".", ".", "and"],
    )


def test_the_weakest_rung_names_the_span() -> None:
    assert weakest(["normalized", "occurrence"]) == "normalized"
    assert weakest(["exact", "ambiguous", "fuzzy"]) == "ambiguous"


@pytest.mark.parametrize(
    ("first", "second", "near"),
    [
        ("absorb", "absrob", True),
        ("absorb", "absrb", True),
        ("absorb", "absorbs", True),
        ("absorb", "adsorb", True),
        ("absorb", "absorb", False),
        ("absorb", "absent", False),
        ("1995", "1996", False),
        ("a", "b", False),
        ("ab", "ba", True),
        ("abcd", "badc", False),
    ],
)
def test_typing_errors(first: str, second: str, near: bool) -> None:
    assert is_typo(first, second) is near
    assert is_typo(second, first) is near


def test_subsequences_against_the_textbook_recursion() -> None:
    first, second = "abcbdabxyzzy", "bdcabaxzyyzab"
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    masks = [sum(1 << j for j, b in enumerate(second) if b == a) for a in first]
    rows = subsequence_rows(masks, len(second))
    assert [[prefix_length(row, j) for j in range(len(second) + 1)] for row in rows] == table


def test_windows_keep_ties_and_drop_what_a_better_one_overlaps() -> None:
    assert near_windows(list("abcd"), list("abcabcdxabd")) == [(3, 6), (8, 10)]
    assert near_windows(["aa", "ab"], ["aa", "aa", "aa"]) == [(0, 1), (1, 2)]
    assert near_windows(list("abcd"), list("axxxxxxxxxbcd")) == []
    assert near_windows([], ["a"]) == []


def test_long_and_hopeless_quotes_are_cheap() -> None:
    words = [f"word{i % 23}" for i in range(140)]
    paragraph = make_paragraph("p", " ".join(words), "What?", "word1")
    quotes = [
        Quote(" ".join(f"word{(i * 7 + k) % 31}x" for i in range(120)), 1, "no such") for k in range(20)
    ]
    quotes.append(Quote("word1 " * 20_000, 1, "word " * 20_000))
    began = time.process_time()
    spans = resolve(paragraph, quotes)
    assert time.process_time() - began < 2
    assert all(span.rung in ("unresolved", "ambiguous") for span in spans)
