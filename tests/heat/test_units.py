"""Units of a prompt: where they are, that they leave nothing out, and what they sum to."""

from itertools import pairwise

import numpy as np
import pytest
import regex
import torch
from fakes.attributions import made
from fakes.tiny_models import tiny_lm, tiny_model, tiny_tokenizer
from hypothesis import given
from hypothesis import strategies as st

import heat
from heat.attribution import Attribution
from heat.errors import UnitError
from heat.model import LanguageModel
from heat.segments import Segment
from heat.show.words import read
from heat.units import UNITS, owners, split

CHATML = (
    "{% if messages[0].role != 'system' %}<|im|>system\nYou are a kind helper of everybody.<|end|>\n{% endif %}"
    "{% for m in messages %}<|im|>{{ m.role }}\n{{ m.content | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im|>assistant\n{% endif %}"
)
SHOTS = [
    {"role": "user", "content": "What is iron? "},
    {"role": "assistant", "content": "A metal."},
    {"role": "user", "content": "What is copper?\nSay it."},
]


def chat_lm(template: str = CHATML) -> LanguageModel:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im|>", "<|end|>"]})
    tokenizer.chat_template = template
    model = tiny_model("llama", vocab_size=330, max_position_embeddings=512)
    tokenizer.model_max_length = 512
    return LanguageModel(model, tokenizer, name="tiny chat", revision="random")


def texts(text: str, unit: str, segments: tuple[Segment, ...] = ()) -> list[str]:
    return [text[part.start : part.end] for part in split(text, unit, segments)]  # type: ignore[arg-type]


def test_units_by_hand() -> None:
    text = 'He said "Go." She went.\n- one\n\nQ: who? A:'
    assert texts(text, "sentence") == ['He said "Go."', "She went.", "- one", "Q: who?", "A:"]
    assert texts(text, "line") == ['He said "Go." She went.', "- one", "Q: who? A:"]
    assert texts(text, "example") == ['He said "Go." She went.\n- one', "Q: who? A:"]
    assert [part.label for part in split(text, "example")] == ["example 1", "question"]
    assert texts("今天好。明天呢？", "sentence") == ["今天好。", "明天呢？"]
    assert [part.label for part in split("only\none", "example")] == [""]


def test_means_and_sums_by_hand() -> None:
    # "Hi there. Go" -> "Hi| there|.| G|o", then the answer; the sentences have three tokens and two.
    attribution = made(
        "Hi there. Go on",
        [(0, 2), (2, 8), (8, 9), (9, 11), (11, 12), (12, 15)],
        [[1.0, 2.0, 6.0, -3.0, 1.0, 0.0]],
    )
    assert attribution.by("sentence").scores.tolist() == [[3.0, -1.0]]
    assert attribution.by("sentence", "sum").scores.tolist() == [[9.0, -2.0]]
    assert attribution.by("sentence", "max").scores.tolist() == [[6.0, 1.0]]
    assert attribution.by("word", "sum").texts == ("Hi", "there", ".", "Go")
    assert attribution.by("word", "sum").scores.tolist() == [[1.0, 2.0, 6.0, -2.0]]
    assert attribution.by("token").texts == ("Hi", " there", ".", " G", "o")
    assert attribution.by("token").scores.tolist() == [[1.0, 2.0, 6.0, -3.0, 1.0]]
    frame = attribution.by("line", "sum").to_frame()
    assert (list(frame.columns), frame["score"].tolist()) == (["line", "score"], [7.0])


TEXT = st.text(alphabet=st.sampled_from("ab .!?\n\r\x1c,é字。\u200d\U0001f600"), min_size=1, max_size=40)


@given(TEXT, st.sampled_from(["word", "sentence", "line", "example"]))
def test_units_are_a_partition_of_what_is_visible(text: str, unit: str) -> None:
    parts = split(text, unit)  # type: ignore[arg-type]
    assert all(one.end <= other.start for one, other in pairwise(parts))
    covered = "".join(text[part.start : part.end] for part in parts)
    assert regex.sub(r"\s", "", covered) == regex.sub(r"\s", "", text)
    assert all(regex.match(r"\S", text[part.start]) for part in parts)


@given(TEXT, st.sampled_from(["token", "word", "sentence", "line", "example"]), st.data())
def test_sums_are_preserved_and_every_token_has_one_owner(text: str, unit: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)) | {0, len(text)})
    spans = [(0, 0), *pairwise(cuts)]
    numbers = data.draw(
        st.lists(st.floats(-8, 8, width=32), min_size=len(spans) + 1, max_size=len(spans) + 1)
    )
    attribution = made(text + "X", [*spans, (len(text), len(text) + 1)], [numbers])
    by = attribution.by(unit, "sum")  # type: ignore[arg-type]
    total = float(np.sum(np.asarray(numbers[:-1], dtype=np.float64)))
    assert by.scores.sum() + by.outside.sum() == pytest.approx(total, abs=1e-6)
    if unit != "token":
        parts = split(text, unit)  # type: ignore[arg-type]
        found = owners(text, parts, spans)
        held = [owner for owner in found if owner >= 0]
        assert held == sorted(held)
        for owner, (start, end) in zip(found, spans, strict=True):
            visible = bool(regex.search(r"\S", text[start:end]))
            assert (owner >= 0) or not visible
            assert not visible or (parts[owner].start < end and start < parts[owner].end)


def test_messages_of_a_chat_are_found_and_marks_are_no_words() -> None:
    lm = chat_lm()
    encoded = heat.encode(lm, SHOTS, " iron")
    found = [(one.role, encoded.text[one.start : one.end], one.given) for one in encoded.segments]
    assert found == [
        ("system", "You are a kind helper of everybody.", False),
        ("user", "What is iron?", True),
        ("assistant", "A metal.", True),
        ("user", "What is copper?\nSay it.", True),
    ]
    attribution = heat.attribute(lm, encoded, None, "random", seed=3)
    assert attribution.by("message").labels == ("system", "user", "assistant", "user")
    assert attribution.by("example").labels == ("system", "example 1", "question")
    words = attribution.by("word")
    assert not {"im", "<", "end"} & set(words.texts)
    assert words.outside.sum() != 0
    assert attribution.by("line").texts[-2:] == ("What is copper?", "Say it.")
    whole = float(attribution.scores[:, : encoded.n_prompt].double().sum())
    for unit in UNITS:
        by = attribution.by(unit, "sum")
        assert by.scores.sum() + by.outside.sum() == pytest.approx(whole, rel=1e-5)
    headings = [piece.heading for piece in read(attribution).prompt if piece.heading]
    assert headings == ["system (the template's own)", "user", "assistant", "user"]
    assert read(attribution).answer[0].heading == "assistant"
    again = Attribution.from_json(attribution.to_json())
    assert again.segments == attribution.segments


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
        "{% for m in messages %}{{ m.content }}{% if '?' in m.content %}!{% endif %}{% endfor %}",
        "{{ messages | length }}",
    ],
)  # fmt: skip
def test_a_template_that_changes_messages_leaves_them_unplaced(template: str) -> None:
    encoded = heat.encode(chat_lm(template), SHOTS, " iron")
    assert encoded.segments == ()
    with pytest.raises(UnitError, match="no chat whose messages can be found"):
        heat.attribute(chat_lm(template), encoded, None, "random").by("message")


def test_a_message_that_says_its_own_role_is_still_found() -> None:
    encoded = heat.encode(chat_lm(), [{"role": "user", "content": "user"}], " iron")
    last = encoded.segments[-1]
    assert encoded.text[last.start - 5 : last.end] == "user\nuser"


def test_what_has_no_units_is_refused_in_a_sentence() -> None:
    lm = tiny_lm("llama")
    with pytest.raises(UnitError, match="no chat"):
        heat.attribute(lm, "The gate", " is", "random").by("message")
    by_ids = heat.attribute(lm, [50, 60, 70], [80], "random")
    with pytest.raises(UnitError, match="given as ids"):
        by_ids.by("sentence")
    assert by_ids.by("token").scores.shape == (1, 3)
    assert torch.equal(torch.from_numpy(by_ids.by("word").scores).float(), by_ids.scores[:, :3])
