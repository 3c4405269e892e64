"""Markers of chat templates are one unit each."""

import pytest
from fakes.attributions import made

from heat.markers import markers, with_whole_markers
from heat.show.words import read
from heat.units import split_words


@pytest.mark.parametrize(
    ("text", "units"),
    [
        (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
            "<|im_start|>system Be brief . <|im_end|> <|im_start|>user Why ? <|im_end|> <|im_start|>assistant",
        ),
        ("<bos><start_of_turn>user\nHi<end_of_turn>\n", "<bos> <start_of_turn>user Hi <end_of_turn>"),
        (
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
            "<|begin_of_text|> <|start_header_id|>user<|end_header_id|> Hi <|eot_id|>",
        ),
        ("<s>[INST] Hi [/INST] Yes</s>", "<s> [INST] Hi [/INST] Yes </s>"),
        ("<｜User｜>Hi<｜Assistant｜>", "<｜User｜> Hi <｜Assistant｜>"),
        ("a < b | c > d, [1], <p>", "a < b | c > d , [ 1 ] , < p >"),
        ("<|im_start|>user said", "<|im_start|> user said"),
    ],
)
def test_a_marker_is_one_unit(text: str, units: str) -> None:
    spans = with_whole_markers(text, split_words(text))
    assert [text[start:end] for start, end in spans] == units.split()


def test_every_visible_character_stays_in_one_unit() -> None:
    text = "x<|im_end|>y <|im_start|>tool_call\n[INST]z-1[/INST]"
    spans = with_whole_markers(text, split_words(text))
    covered = [index for start, end in spans for index in range(start, end)]
    assert covered == [index for index, sign in enumerate(text) if not sign.isspace()]
    assert len(markers(text)) == 4


def test_words_of_a_chat_and_what_is_left_out_with_the_first_token() -> None:
    # <|im_start|>|user|\n|Why|?|<|im_end|> -> yes
    text = "<|im_start|>user\nWhy?<|im_end|>yes"
    spans = [(0, 12), (12, 16), (16, 17), (17, 20), (20, 21), (21, 31), (31, 34)]
    attribution = made(text, spans, [[6.0, 2.0, 0.0, 3.0, 1.0, 5.0, 0.0]])
    reading = read(attribution)
    assert [piece.text for piece in reading.prompt] == ["<|im_start|>user", "Why", "?", "<|im_end|>"]
    # The mean of the two tokens by their characters is that of the tokens, each wholly of the marker.
    assert reading.numbers() == [4.0, 3.0, 1.0, 5.0, 0.0]
    assert attribution.without_first().scores.tolist() == [[0.0, 0.0, 0.0, 3.0, 1.0, 0.0, 0.0]]
