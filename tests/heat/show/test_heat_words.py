from dataclasses import replace

import pytest
import regex
import torch
from fakes.attributions import made
from fakes.tiny_models import tiny_lm
from hypothesis import given
from hypothesis import strategies as st

import heat
from annotate.words import split_words as benchmark_words
from heat.projection import word_scores
from heat.show.words import excerpt, read, visible, visible_lines
from heat.units import split_words


def test_words_are_means_of_their_tokens() -> None:
    # "un|tie, it" -> yes: a token on two words ("e, ") is shared by visible characters, the first has no word.
    attribution = made(
        "untie, it yes",
        [(0, 0), (0, 2), (2, 4), (4, 6), (6, 9), (9, 13)],
        [[8.0, 1.0, 2.0, 4.0, -16.0, 0.0]],
    )
    reading = read(attribution)
    assert [piece.text for piece in reading.prompt] == ["untie", ",", "it"]
    assert [piece.before for piece in reading.prompt] == ["", "", " "]
    assert reading.prompt[0].tokens == ("t1", "t2", "t3")
    # (1 + 2 + 4/2) / 2.5, and the other half of the shared token by itself.
    assert reading.numbers() == [2.0, 4.0, -16.0, 0.0]
    assert reading.shares() == [2 / 16, 4 / 16, -1.0, 0.0]
    assert reading.strongest(2) == [2, 1]
    assert reading.signed()
    assert reading.outside == pytest.approx(8 / 31)
    assert (reading.target, reading.answer[0].before) == ("yes", " ")


def test_the_space_of_a_token_is_no_share_of_it() -> None:
    # " un|tie" is a word of two tokens, each wholly its own: their plain mean, however wide the space is.
    attribution = made("go   untie yes", [(0, 2), (2, 7), (7, 10), (10, 14)], [[1.0, 3.0, 9.0, 0.0]])
    reading = read(attribution)
    assert [piece.text for piece in reading.prompt] == ["go", "untie"]
    assert reading.numbers() == [1.0, 6.0, 0.0]


def test_several_targets_have_rows_and_a_sum() -> None:
    attribution = made("go on now", [(0, 2), (2, 5), (5, 9)], [[1.0, 0.0, 0.0], [3.0, 8.0, 0.0]], n_targets=2)
    reading = read(attribution)
    assert [piece.text for piece in reading.pieces] == ["go", "on", "now"]
    assert reading.numbers() == [4.0, 8.0, 0.0]
    assert reading.numbers(target=0) == [1.0, 0.0, 0.0]
    # What an earlier token of the answer has is cut off at the largest of the prompt.
    assert reading.shares(target=1) == [1.0, 1.0, 0.0]
    assert reading.probability == pytest.approx(0.25)
    assert reading.target == "on now"


def test_a_model_s_words_come_with_all_components() -> None:
    attribution = heat.attribute(tiny_lm("llama"), "The \U0001f600 gate. Answer:", " iron.", n_probes=2)
    reading = read(attribution)
    assert list(reading.views) == ["score", "transition", "curvature", "information"]
    assert [piece.text for piece in reading.prompt] == ["The", "\U0001f600", "gate", ".", "Answer", ":"]
    # The numbers that a picture shows are those that an evaluation judges.
    for name, values in {"score": attribution.scores, **attribution.components}.items():
        judged = word_scores(
            values.numpy(),
            attribution.text,
            benchmark_words("The \U0001f600 gate. Answer:"),
            attribution.offsets,
        )
        shown = reading.views[name][:, : len(reading.prompt)].numpy()
        assert shown == pytest.approx(judged, rel=1e-6)


def test_ids_stand_for_words() -> None:
    attribution = heat.attribute(tiny_lm("llama"), [50, 60, 70], [80], "random")
    reading = read(attribution)
    assert [piece.text for piece in reading.prompt] == list(attribution.tokens[:3])
    assert reading.target == attribution.tokens[-1]
    assert reading.numbers() == pytest.approx(attribution.scores[0].tolist())


def test_a_target_without_characters_shows_its_name() -> None:
    attribution = made("go ", [(0, 2), (0, 0)], [[1.0, 0.0]])
    assert read(attribution).target == "t1"


def test_all_zero_has_no_colour() -> None:
    reading = read(made("go on", [(0, 2), (2, 5)], [[0.0, 0.0]]))
    assert (reading.shares(), reading.outside, reading.largest()) == ([0.0, 0.0], 0.0, 0.0)


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=60))
def test_words_are_the_benchmark_s(text: str) -> None:
    assert split_words(text) == list(benchmark_words(text))


def test_scripts_without_spaces_are_cut_into_characters() -> None:
    text = "今天 x2天's don't"
    assert [text[start:end] for start, end in split_words(text)] == [
        "今",
        "天",
        "x2",
        "天",
        "'",
        "s",
        "don't",
    ]


@given(st.text(max_size=60))
def test_words_cover_everything_visible(text: str) -> None:
    covered = "".join(text[start:end] for start, end in split_words(text))
    assert regex.sub(r"\s", "", covered) == regex.sub(r"\s", "", text)


def test_excerpt_keeps_what_matters_and_the_ends() -> None:
    assert excerpt(10, [3], 10) == [(0, 10)]
    found = excerpt(1000, [500], 60)
    assert found == [(0, 11), (490, 511), (989, 1000)]
    assert excerpt(0, [], 5) == [(0, 0)]


@given(st.text(max_size=40))
def test_visible_text_is_printable(text: str) -> None:
    assert visible(text).isprintable()
    assert all(c.isprintable() or c in "\n\t\u200c\u200d" or c.isspace() for c in visible_lines(text))


def test_what_steers_is_spelt_out() -> None:
    assert visible("a\x1b[31mb\u202ec\u200d") == "a\\x1b[31mb\\u202ec\\u200d"
    assert visible_lines("a\n\u202e \u200d\u00a0\x85\u2028") == "a\n\\u202e \u200d\u00a0\\x85\\u2028"
    assert visible_lines("\ud800") == "\\ud800"


def test_reading_does_not_change_the_attribution() -> None:
    attribution = made("go on", [(0, 2), (2, 5)], [[1.0, 0.0]])
    before = replace(attribution, scores=attribution.scores.clone())
    read(attribution)
    assert torch.equal(before.scores, attribution.scores)
