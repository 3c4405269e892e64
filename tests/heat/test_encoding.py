import threading
import time
from typing import Any

import pytest
import torch
from fakes.tiny_models import tiny_lm, tiny_tokenizer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

import heat
from heat import chat
from heat.encoding import continuation
from heat.errors import (
    ChatError,
    EmptyPromptError,
    EmptyTargetError,
    OffsetsError,
    PromptTooLongError,
    TextError,
    TokenizerError,
    UnknownTokenError,
)
from heat.model import LanguageModel
from heat.offsets import spans_by_decoding, tokenize

LM = tiny_lm("llama")


def with_tokenizer(tokenizer: Any) -> LanguageModel:
    return LanguageModel(LM.model, tokenizer, name="tiny", revision="r")


def word_tokenizer(vocabulary: list[str], **parts: Any) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="?")
    )
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?")


def covered(encoded: heat.Encoded, index: int) -> str:
    assert encoded.offsets is not None
    start, end = encoded.offsets[index]
    return encoded.text[start:end]


@pytest.mark.parametrize(
    "prompt", ["The gate is iron. Answer:", "The gate is iron. Answer: ", "The gate is iron. Answer:\n"]
)
def test_a_target_is_tokenised_in_context(prompt: str) -> None:
    target = " copper" if prompt.endswith(":") else "copper"
    encoded = heat.encode(LM, prompt, target)
    together = LM.tokenizer(prompt + target)["input_ids"]
    assert list(encoded.token_ids) == together
    assert encoded.text == prompt + target
    assert (
        "".join(covered(encoded, index) for index in range(encoded.n_prompt, len(together))).strip()
        == "copper"
    )
    assert encoded.offsets[0] == (0, 0)  # <s>
    # No white space that is a token of its own is explained, nor the prompt's last character.
    assert covered(encoded, encoded.n_prompt).strip()
    assert "copper".startswith(covered(encoded, encoded.n_prompt).strip())


def test_a_text_that_holds_its_special_tokens_gets_no_others() -> None:
    with_one = heat.encode(LM, "the moss", " iron")
    without = heat.encode(LM, "the moss", " iron", special_tokens=False)
    assert with_one.token_ids[0] == LM.tokenizer.bos_token_id
    assert without.token_ids == with_one.token_ids[1:]
    assert without.n_prompt == with_one.n_prompt - 1


def test_max_targets_keeps_the_first() -> None:
    encoded = heat.encode(LM, "Answer:", " zebra and more", max_targets=1)
    assert encoded.n_targets == 1
    assert (
        covered(encoded, -1).strip()
        == covered(heat.encode(LM, "Answer:", " zebra"), encoded.n_prompt).strip()
    )


def test_a_boundary_inside_a_token_is_cut() -> None:
    tokenizer = word_tokenizer(["?", "iron", "ir", "on"], pre_tokenizer=pre_tokenizers.WhitespaceSplit())
    encoded = heat.encode(with_tokenizer(tokenizer), "ir", "on")
    assert (encoded.token_ids, encoded.n_prompt) == ((2, 3), 1)
    assert encoded.offsets == ((0, 2), (2, 4))


def test_spaces_around_a_target_are_no_targets() -> None:
    encoded = heat.encode(LM, "Answer:", " iron \n")
    assert covered(encoded, -1).strip()[-1] == "n"


def test_an_end_token_that_the_tokenizer_adds_is_dropped() -> None:
    ends = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    words = ["?", "</s>", "gate", "iron"]
    tokenizer = word_tokenizer(words, pre_tokenizer=pre_tokenizers.WhitespaceSplit(), post_processor=ends)
    lm = with_tokenizer(tokenizer)
    assert heat.encode(lm, "gate", " iron").token_ids == (2, 3)
    assert heat.encode(lm, "gate").token_ids[:1] == (2,)
    assert heat.encode(lm, "gate").n_prompt == 1


def test_no_target_means_what_the_model_says() -> None:
    encoded = heat.encode(LM, "The gate is", max_targets=3)
    ids = list(encoded.token_ids[: encoded.n_prompt])
    with torch.no_grad():
        for token in encoded.token_ids[encoded.n_prompt :]:
            assert int(LM.model(torch.tensor([ids])).logits[0, -1].argmax()) == token
            ids.append(token)
    assert encoded.n_targets == 3
    assert encoded.text.startswith("The gate is")
    assert heat.encode(LM, "The gate is").n_targets == 1


def test_ids_have_no_offsets() -> None:
    encoded = heat.encode(LM, [1, 50, 60], [70, 71])
    assert encoded.token_ids == (1, 50, 60, 70, 71)
    assert encoded.n_prompt == 3
    assert encoded.offsets is None
    assert heat.encode(LM, [1, 50, 60]).token_ids[-1:] == continuation(LM, [1, 50, 60], 1)


def test_ids_behind_a_string_are_placed() -> None:
    target = LM.tokenizer(" iron", add_special_tokens=False)["input_ids"]
    encoded = heat.encode(LM, "The gate is", target)
    assert encoded.text == "The gate is iron"
    assert encoded.offsets[-1][1] == len(encoded.text)


def test_a_special_token_behind_a_string_has_no_place() -> None:
    target = LM.tokenizer(" iron", add_special_tokens=False)["input_ids"]
    encoded = heat.encode(LM, "The gate is", [*target, LM.tokenizer.eos_token_id])
    assert encoded.text == "The gate is iron"
    assert encoded.offsets[-1] == (0, 0)
    assert encoded.offsets[-2][1] == len(encoded.text)


def test_messages_get_the_chat_template() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "<s>{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    )
    encoded = heat.encode(with_tokenizer(tokenizer), [{"role": "user", "content": "Which gate?"}], " iron")
    assert encoded.text == "<s>user: Which gate?\nassistant: iron"
    assert list(encoded.token_ids).count(1) == 1
    with pytest.raises(TokenizerError, match="no chat template"):
        heat.encode(LM, [{"role": "user", "content": "Which gate?"}], " iron")


CHATML = (
    "<s>{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def chatting(template: str) -> LanguageModel:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return with_tokenizer(tokenizer)


def test_the_assistants_last_message_is_continued() -> None:
    lm = chatting(CHATML)
    asked = {"role": "user", "content": "Which gate?"}
    encoded = heat.encode(lm, [asked, {"role": "assistant", "content": "The gate is"}], " iron")
    assert encoded.text == "<s>[user] Which gate?</s>\n[assistant] The gate is iron"
    said = heat.encode(lm, [asked, {"role": "assistant", "content": "The gate is"}])
    assert said.text.startswith("<s>[user] Which gate?</s>\n[assistant] The gate is")
    # The words of the prefill are words of the prompt, and get scores like all others.
    start = encoded.text.index("The gate is")
    scored = [index for index in range(encoded.n_prompt) if (encoded.offsets or ())[index][0] >= start]
    assert len(scored) >= 3
    nothing = heat.encode(lm, [asked, {"role": "assistant", "content": " "}], " iron")
    assert (
        nothing.text
        == heat.encode(lm, [asked], " iron").text
        == "<s>[user] Which gate?</s>\n[assistant]  iron"
    )


def test_a_template_that_changes_the_last_message_cannot_continue_it() -> None:
    lm = chatting("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}")
    with pytest.raises(ChatError, match="changes the assistant's last message"):
        heat.encode(lm, [{"role": "user", "content": "a"}, {"role": "assistant", "content": "the"}], " iron")
    with pytest.raises(ChatError, match="nothing to attribute to"):
        heat.encode(lm, [{"role": "assistant", "content": ""}], " iron")


def test_contents_may_be_parts_of_a_text() -> None:
    parts = [{"type": "text", "text": "Which "}, {"type": "text", "text": "gate?"}]
    lm = chatting(CHATML)
    plain = heat.encode(lm, [{"role": "user", "content": "Which gate?"}], " iron")
    assert heat.encode(lm, [{"role": "user", "content": parts}], " iron") == plain
    for content in ([{"type": "image_url", "image_url": "x"}], 3, None):
        with pytest.raises(ChatError, match="message 0 of the chat is not a role and a text"):
            heat.encode(lm, [{"role": "user", "content": content}], " iron")  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ messages[0].content + 3 }}", "refuses the messages: "),
        ("{{ raise_exception('be polite') }}", "refuses the messages: be polite"),
        ("{% if %}", "refuses the messages: "),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "did not end within 0.5 s",
        ),
    ],
)
def test_a_template_that_fails_or_does_not_end_is_refused(
    template: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "SECONDS", 0.5)
    before = threading.active_count()
    with pytest.raises(ChatError, match=says):
        heat.encode(chatting(template), [{"role": "user", "content": "a"}], " iron")
    for _ in range(100):  # its thread ends too
        if threading.active_count() == before:
            break
        time.sleep(0.05)
    assert threading.active_count() == before


def test_a_text_that_begins_with_the_beginning_gets_no_second_one() -> None:
    once = heat.encode(LM, "The gate is", " iron")
    pasted = heat.encode(LM, "<s>The gate is", " iron")
    assert once.token_ids[0] == LM.tokenizer.bos_token_id
    assert pasted.token_ids == once.token_ids
    assert pasted.text == "<s>The gate is iron"
    assert heat.encode(LM, "<s>The gate is").token_ids[:-1] == once.token_ids[:-1]
    # Two that were written are two.
    assert heat.encode(LM, "<s><s>The gate is", " iron").token_ids == (once.token_ids[0], *once.token_ids)
    bare = heat.encode(LM, "<s>The gate is", " iron", special_tokens=False)
    assert bare.token_ids == once.token_ids


@pytest.mark.parametrize(
    "text",
    [
        "plain words",
        "family \U0001f468\u200d\U0001f469\u200d\U0001f467 here",
        "שלום עולם, العربية",
        "e\u0301 combining a\u030a\u0323",
        "nul \x00 bell \x07 end",
        "日本語のテキスト",
        "tabs\tand\n\nlines\r\n",
    ],
)
def test_offsets_cover_every_visible_character(text: str) -> None:
    encoded = heat.encode(LM, text, " iron")
    assert_covered(encoded)


@example("a \udcff b")
@given(st.text(min_size=1, max_size=30).filter(lambda text: text.strip()))
@settings(max_examples=150, deadline=None)
def test_any_text_is_covered_or_refused(text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        with pytest.raises(TextError, match="not UTF-8"):
            heat.encode(LM, text, " iron")
        return
    assert_covered(heat.encode(LM, text, " iron"))


def assert_covered(encoded: heat.Encoded) -> None:
    assert encoded.offsets is not None
    marked = {index for start, end in encoded.offsets for index in range(start, end)}
    assert {index for index, character in enumerate(encoded.text) if not character.isspace()} <= marked
    assert all(end > start for start, end in encoded.offsets[1:])


def test_one_emoji_s_bytes_share_its_span() -> None:
    encoded = heat.encode(LM, "a \U0001f600 b", " iron")
    assert [covered(encoded, i) for i in range(len(encoded.token_ids))].count("\U0001f600") >= 3


def test_offsets_found_by_decoding_equal_the_tokenizer_s() -> None:
    tokenizer = tiny_tokenizer()
    for text in ("The gate is iron, né?", "a \U0001f600 b\n\nc", "  two spaces"):
        own = tokenize(tokenizer, text, add_special_tokens=False)
        spans = spans_by_decoding(tokenizer.decode, own.token_ids, text)
        assert tuple(spans) == own.offsets


def test_every_byte_of_a_character_has_its_span_where_half_a_character_decodes_to_nothing() -> None:
    tokens = tokenize(ByT5Tokenizer(), "né 你\U0001f600x", add_special_tokens=False)
    spans = [(0, 1), *[(1, 2)] * 2, (2, 3), *[(3, 4)] * 3, *[(4, 5)] * 4, (5, 6)]
    assert tokens.offsets == tuple(spans)


@pytest.mark.parametrize("first", [True, False])
def test_a_tokenizer_that_gives_a_character_to_one_of_its_bytes(first: bool) -> None:
    """As fast tokenizers with byte offsets do; a token without text stays without a span."""
    spans = [(0, 1), (0, 0)] if first else [(0, 0), (0, 1)]
    tokens = tokenize(ByteTokenizer(spans), "é", add_special_tokens=False)
    assert tokens.offsets == ((0, 1), (0, 1))
    quiet = tokenize(ByteTokenizer([(0, 0), (0, 1)]), "a", add_special_tokens=False)
    assert quiet.offsets == ((0, 0), (0, 1))


class ByteTokenizer:
    """Bytes as tokens, an empty one before a single byte; decodes whole characters alone."""

    is_fast = True

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        self.spans = spans

    def __call__(self, text: str, **options: Any) -> dict[str, list[Any]]:
        ids = [*text.encode()]
        ids = ids if len(ids) > 1 else [256, *ids]
        return {"input_ids": ids, "offset_mapping": self.spans, "special_tokens_mask": [0] * len(ids)}

    def decode(self, ids: list[int], **options: Any) -> str:
        return bytes(token for token in ids if token < 256).decode(errors="ignore")


class LyingTokenizer:
    """Says (0, 0), (6, 6) as some real ones did; decodes rightly."""

    is_fast = True
    chat_template = None

    def __init__(self, decodes: bool = True) -> None:
        self._own, self._decodes = tiny_tokenizer(), decodes

    def __call__(self, text: str, **options: Any) -> dict[str, Any]:
        encoding = dict(self._own(text, **options))
        encoding["offset_mapping"] = [(start, start) for start, _ in encoding["offset_mapping"]]
        return encoding

    def decode(self, token_ids: list[int], **options: Any) -> str:
        return self._own.decode(token_ids, **options) if self._decodes else "x" * len(token_ids)


def test_a_lying_tokenizer_is_corrected_by_decoding() -> None:
    found = heat.encode(with_tokenizer(LyingTokenizer()), "The gate \U0001f600 is", " iron")
    assert found == heat.encode(LM, "The gate \U0001f600 is", " iron")


def test_a_tokenizer_that_cannot_be_aligned_is_refused() -> None:
    with pytest.raises(OffsetsError, match="token ids instead"):
        heat.encode(with_tokenizer(LyingTokenizer(decodes=False)), "The gate is", " iron")


def test_a_tokenizer_that_drops_characters_is_refused() -> None:
    tokenizer = word_tokenizer(
        ["?", "gate", "iron"],
        normalizer=normalizers.Replace("#", ""),
        pre_tokenizer=pre_tokenizers.WhitespaceSplit(),
    )
    with pytest.raises(OffsetsError):
        heat.encode(with_tokenizer(tokenizer), "gate # gate", " iron")


@pytest.mark.parametrize("prompt", ["", " \n ", []])
def test_empty_prompts(prompt: Any) -> None:
    with pytest.raises(EmptyPromptError):
        heat.encode(LM, prompt, " iron")


@pytest.mark.parametrize("target", ["", "  ", []])
def test_empty_targets(target: Any) -> None:
    with pytest.raises(EmptyTargetError):
        heat.encode(LM, "The gate", target)
    with pytest.raises(EmptyTargetError):
        heat.encode(LM, "The gate", " iron", max_targets=0)


def test_unknown_ids_and_missing_tokenizer() -> None:
    with pytest.raises(UnknownTokenError, match="token id 320 is outside"):
        heat.encode(LM, [1, 320], [5])
    with pytest.raises(UnknownTokenError, match="-1"):
        heat.encode(LM, [1, 3], [-1])
    with pytest.raises(TokenizerError, match="token ids"):
        heat.encode(with_tokenizer(None), "The gate", " iron")


def test_stories_tokenizer_of_byte_fallback(shared: Any) -> None:
    lm = heat.load(shared / "models" / "stories260K")
    for prompt in ("Once upon a time", " lead", "emoji \U0001f600 and é", "\U0001f600"):
        encoded = heat.encode(lm, prompt, " the")
        marked = {index for start, end in encoded.offsets or () for index in range(start, end)}
        assert {i for i, c in enumerate(encoded.text) if not c.isspace()} <= marked


def test_a_prompt_that_fills_the_context_cannot_be_continued() -> None:
    with pytest.raises(PromptTooLongError, match="65 tokens and 'tiny llama' takes 64"):
        heat.encode(LM, [9] * 64)
