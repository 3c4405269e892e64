"""Methods through a server beside the same methods on the model itself, and servers that answer something else."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes.memory_server import MemoryServer
from fakes.tiny_models import tiny_lm

import heat
from heat.endpoint.attribute import attribute, endpoint_methods, through_endpoint
from heat.endpoint.reading import Asked, Reading, place
from heat.endpoint.text import encode
from heat.errors import (
    ConfigError,
    EmptyPromptError,
    EmptyTargetError,
    FoilError,
    ModelChangedError,
    OtherTokensError,
    TruncatedPromptError,
)
from heat.registry import build

PROMPT = "The gate is made of iron. Question: What is it made of? Answer:"
FEWER: dict[str, dict[str, Any]] = {
    "kernel-shap": {"n_samples": 32},
    "lime": {"n_samples": 32},
    "context-cite": {"n_ablations": 32},
    "owen": {"budget": 40},
    "shapley-sampling": {"n_samples": 2},
}


@pytest.fixture(scope="module")
def lm() -> heat.LanguageModel:
    return tiny_lm("llama")


def test_what_an_endpoint_can_do() -> None:
    expected = ["context-cite", "context-length-probing", "kernel-shap", "kl-top-k", "lime", "occlusion"]
    assert endpoint_methods() == [*expected, "owen", "shapley-sampling", "tdd-backward"]


@pytest.mark.parametrize("reads_all", [True, False])
@pytest.mark.parametrize("foil", [None, " copper"])
@pytest.mark.parametrize("method", endpoint_methods())
def test_by_ids_scores_are_those_of_the_model_itself(
    lm: heat.LanguageModel, method: str, foil: str | None, reads_all: bool
) -> None:
    server = MemoryServer(lm, takes_ids=True, reads_all=reads_all)
    fewer = {"max_targets": 2, "foil": foil}
    chosen = through_endpoint(build(method, FEWER.get(method, {})))
    found = attribute(server, encode(server, PROMPT, " iron.", **fewer), chosen, seed=3)
    expected = heat.attribute(lm, PROMPT, " iron.", chosen, seed=3, **fewer)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.log_probs, expected.log_probs, atol=1e-5, rtol=0)
    for name in ("token_ids", "offsets", "text", "target_span", "foil_ids", "config", "method", "seed"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.revision == "tiny@memory"
    assert found.forward_equivalents == len(server.asked) == len(set(server.asked))


@pytest.mark.parametrize("method", ["tdd-backward", "context-length-probing"])
def test_by_text_suffixes_have_the_scores_of_the_model_itself(lm: heat.LanguageModel, method: str) -> None:
    server = MemoryServer(lm)
    chosen = through_endpoint(build(method, {}))
    found = attribute(server, encode(server, PROMPT, " iron"), chosen)
    expected = heat.attribute(lm, PROMPT, " iron", chosen)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-5, rtol=0)


def test_by_text_what_is_left_is_tokenised_anew(lm: heat.LanguageModel) -> None:
    server = MemoryServer(lm)
    text = encode(server, PROMPT, " iron", max_targets=1)
    found = attribute(server, text, build("occlusion", {}))
    whole = heat.encode(lm, PROMPT, " iron")
    changed = 0
    for at, (start, end) in enumerate(whole.offsets[: whole.n_prompt]):
        if end == start:
            assert found.scores[0, at] == 0
            continue
        other = heat.encode(lm, PROMPT[:start] + PROMPT[end:], " iron")
        target = other.token_ids[other.n_prompt]
        assert target == whole.token_ids[whole.n_prompt]
        changed += other.n_prompt != whole.n_prompt - 1
        values = [log_probs(lm, one.token_ids[: one.n_prompt])[target] for one in (whole, other)]
        assert float(found.scores[0, at]) == pytest.approx(float(values[0] - values[1]), abs=1e-4)
    assert changed, "no deletion changes the tokens, and the test shows nothing"


def log_probs(lm: heat.LanguageModel, ids: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        return lm.model(input_ids=torch.tensor([list(ids)])).logits[0, -1].double().log_softmax(-1)


def test_a_target_that_melts_is_compared_as_a_whole(lm: heat.LanguageModel) -> None:
    """Without the face the server makes one token of ` ir` and `on`: log p( iron) - log p( ir) stands for it."""
    server = MemoryServer(lm)
    prompt = "It is made of ir🙂"
    text = encode(server, prompt, "on")
    assert text.names[text.encoded.n_prompt :] == ("on",)
    found = attribute(server, text, build("occlusion", {}))

    def total(of: str) -> float:
        ids = heat.encode(lm, of, [5]).token_ids[:-1]
        return sum(float(log_probs(lm, ids[:at])[ids[at]]) for at in range(1, len(ids)))

    whole = total(f"{prompt}on") - total(prompt)
    melted = total("It is made of iron") - total("It is made of ir")
    assert (
        len(heat.encode(lm, "It is made of iron", [5]).token_ids)
        < len(heat.encode(lm, "It is made of ir", [5]).token_ids) + 1
    )
    smile = text.names.index("🙂")
    assert float(found.scores[0, smile]) == pytest.approx(whole - melted, abs=1e-4)
    with pytest.raises(OtherTokensError, match="across the end of 'It is made of ir' where 'on' follows"):
        attribute(server, text, build("kl-top-k", {}))


def test_parts_of_a_character_are_one_token_by_text_and_apart_by_ids(lm: heat.LanguageModel) -> None:
    prompt = "The 🙂 gate é is made of"
    by_text, by_ids = (
        encode(MemoryServer(lm, takes_ids=takes), prompt, " iron", max_targets=1) for takes in (False, True)
    )
    assert len(by_text.encoded.token_ids) < len(by_ids.encoded.token_ids)
    assert len(set(by_text.encoded.offsets)) == len(by_text.encoded.offsets)
    assert "🙂" in by_text.names
    for server, text in ((MemoryServer(lm), by_text), (MemoryServer(lm, takes_ids=True), by_ids)):
        found = attribute(server, text, build("occlusion", {}))
        assert bool(found.scores.isfinite().all())
        smile = found.on_words([(4, 5)], "sum")
        assert smile.shape == (1, 1)


def test_one_request_serves_all_targets(lm: heat.LanguageModel) -> None:
    few = MemoryServer(lm, takes_ids=True)
    many = MemoryServer(lm, takes_ids=True, reads_all=False)
    for server in (few, many):
        attribute(server, encode(server, PROMPT, " iron. copper"), build("tdd-backward", {}))
    assert 2 * len(few.asked) < len(many.asked)


def test_a_method_that_looks_inside_says_which_do_not() -> None:
    with pytest.raises(
        ConfigError, match=r"'heat' needs more of the model \(.*gradients.*through one.*context-cite"
    ):
        through_endpoint(build("heat", {}))
    assert through_endpoint(build("occlusion", {})).config()["baseline"] == "delete"
    assert through_endpoint(build("context-length-probing", {})).config()["top_k"] == 20


def test_the_model_s_own_words_are_explained(lm: heat.LanguageModel) -> None:
    server = MemoryServer(lm, takes_ids=True)
    said = encode(server, PROMPT, max_targets=2)
    assert said.encoded.text.removeprefix(PROMPT) == server.say(PROMPT, 2)


def test_prompts_targets_and_foils_that_cannot_be(lm: heat.LanguageModel) -> None:
    server = MemoryServer(lm)
    for error, arguments in {
        EmptyPromptError: (" ", " iron"),
        EmptyTargetError: (PROMPT, " "),
    }.items():
        with pytest.raises(error):
            encode(server, *arguments)
    with pytest.raises(EmptyTargetError, match="max_targets is 0"):
        encode(server, PROMPT, " iron", max_targets=0)
    with pytest.raises(FoilError, match="in common"):
        encode(server, PROMPT, " iron", foil=" iron")
    with pytest.raises(FoilError, match="has 1 tokens"):
        encode(server, PROMPT, " iron. iron.", foil=" i")


class Changed(MemoryServer):
    """Answers something else to every question but the first."""

    def __init__(self, lm: heat.LanguageModel, takes_ids: bool, change: Any) -> None:
        super().__init__(lm, takes_ids)
        self.change = change

    def read_one(self, asked: Asked, top_k: int) -> Reading:
        reading = super().read_one(asked, top_k)
        return self.change(reading) if len(self.asked) > 1 else reading


@pytest.mark.parametrize(
    ("takes_ids", "change", "error", "says"),
    [
        (True, lambda r: replace(r, token_ids=(*r.token_ids[:-1], 3)), OtherTokensError, "is 3 and not"),
        (False, lambda r: replace(r, tokens=(*r.tokens[:-1], " ore")), OtherTokensError, "of other tokens"),
        (True, lambda r: replace(r, log_probs=r.log_probs[2:]), TruncatedPromptError, "and was sent"),
        (True, lambda r: replace(r, n_tokens=r.n_tokens - 2), TruncatedPromptError, "the server counts"),
        (False, lambda r: replace(r, n_tokens=5), TruncatedPromptError, "the server counts 5 tokens"),
        (
            False,
            lambda r: replace(r, tokens=r.tokens[5:], log_probs=r.log_probs[5:], n_tokens=None),
            TruncatedPromptError,
            "characters that were sent",
        ),
        (True, lambda r: replace(r, model="other"), ModelChangedError, "'other' answered, and before it 'tiny'"),
        (True, lambda r: replace(r, log_probs=(None,) * len(r.log_probs)), OtherTokensError, "no log-prob"),
    ],
)  # fmt: skip
def test_a_server_that_answers_something_else(
    lm: heat.LanguageModel, takes_ids: bool, change: Any, error: type[Exception], says: str
) -> None:
    server = Changed(lm, takes_ids, change)
    text = encode(server, PROMPT, " iron", max_targets=1)
    with pytest.raises(error, match=says) as raised:
        attribute(server, text, build("occlusion", {}))
    assert "\n" not in str(raised.value)


def test_tokens_are_placed_in_the_text() -> None:
    assert place("a b", ["a", " b"]) == [(0, 1), (1, 3)]
    assert place("a b", ["<s>", "a", " b"]) == [(0, 0), (0, 1), (1, 3)]
    assert place("a b", ["", "a", " b"]) == [(0, 0), (0, 1), (1, 3)]
    assert place("a b", [None, " b"]) == [(0, 1), (1, 3)]
    assert place("a b", [None, "a", " b"]) == [(0, 0), (0, 1), (1, 3)]
    assert place("a🙂b", ["a", "bytes:\\xf0\\x9f", "\N{REPLACEMENT CHARACTER}", "b"]) == [
        (0, 1), (1, 2), (1, 2), (2, 3),
    ]  # fmt: skip
    assert place("é", ["", ""]) == [(0, 1), (0, 1)]
    with pytest.raises(OtherTokensError, match="of 'a c' and not of 'a b'"):
        place("a b", ["a", " c"])
    with pytest.raises(TruncatedPromptError):
        place("ab", ["", "b"])
    with pytest.raises(TruncatedPromptError, match="read 2 of the 4 characters"):
        place("a bc", ["b", "c"])
