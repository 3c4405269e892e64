"""Whole answers: what depends on the text, and the attribution of that alone."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from fakes.tiny_models import next_log_probs, tiny_lm, tiny_model, tiny_tokenizer
from test_units import SHOTS, chat_lm

import heat
from heat.answers import Answer, answer
from heat.attribution import Attribution
from heat.encoding import CharSpan
from heat.errors import ConfigError, EmptyTargetError, FoilError, HeatError, PromptTooLongError
from heat.generation import said
from heat.model import LanguageModel

PROMPT = "The vault is made of copper. The gate is made of iron. Answer:"


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_lm("llama")


@pytest.fixture(scope="module")
def found(lm: LanguageModel) -> Answer:
    return answer(lm, PROMPT, " iron, said Tom")


def test_divergences_are_those_of_two_passes_by_hand(lm: LanguageModel, found: Answer) -> None:
    ids, n_prompt = list(found.encoded.token_ids), found.encoded.n_prompt
    assert found.without == ((0, len(PROMPT)),)
    assert ids[0] == lm.bos_token_id
    for index, token in enumerate(found.tokens):
        following = ids[n_prompt : n_prompt + index]
        with_text = next_log_probs(lm, ids[:n_prompt] + following).double()
        alone = next_log_probs(lm, [lm.bos_token_id, *following]).double()  # type: ignore[list-item]
        divergence = float((with_text.exp() * (with_text - alone)).sum())
        assert token.divergence == pytest.approx(divergence, rel=1e-4, abs=1e-6)
        assert token.log_prob == pytest.approx(float(with_text[token.token_id]), rel=1e-4)
        assert token.log_prob_without == pytest.approx(float(alone[token.token_id]), rel=1e-4)
        assert token.depends == (divergence >= found.threshold)
    assert "".join(token.text for token in found.tokens) == " iron, said Tom"
    assert (found.text, found.ended) == ("iron, said Tom", None)


def test_of_ids_the_beginning_stays_and_without_more_nothing_moves(lm: LanguageModel) -> None:
    assert answer(lm, [1, 50, 60], [70, 80]).tokens[1].divergence > 0
    assert answer(lm, [1], [70, 80]).depending == ()
    assert answer(lm, [1], [70, 80]).tokens[1].divergence == 0


def test_another_threshold_takes_no_pass(found: Answer) -> None:
    values = sorted(token.divergence for token in found.tokens)
    assert values[0] < values[-1]
    strict = found.at_threshold(values[-1])
    assert len(strict.depending) == 1
    assert strict.encoded.explained == strict.depending
    assert found.at_threshold(0).depending == tuple(range(len(found.tokens)))
    assert found.at_threshold(1e9).depending == ()
    with pytest.raises(ConfigError, match="threshold"):
        found.at_threshold(float("nan"))


@pytest.mark.parametrize("method", ["heat", "kl-only", "gradient-norm", "occlusion", "transition-only"])
def test_what_depends_is_attributed_as_if_all_were(lm: LanguageModel, found: Answer, method: str) -> None:
    some = replace(found.encoded, explained=(1, 3))
    whole = heat.attribute(lm, PROMPT, " iron, said Tom", method)
    part = heat.attribute(lm, some, None, method)
    assert part.explained == (1, 3)
    torch.testing.assert_close(part.scores[[1, 3]], whole.scores[[1, 3]], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(part.log_probs, whole.log_probs, rtol=1e-4, atol=1e-6)
    others = [index for index in range(len(found.tokens)) if index not in (1, 3)]
    assert not part.scores[others].any()
    assert all(not values[others].any() for values in part.components.values())
    assert part.forward_equivalents < whole.forward_equivalents + 1
    assert Attribution.from_json(part.to_json()).explained == (1, 3)
    if method == "heat":
        uniform = heat.recombine(part, "uniform-transition")
        assert uniform.components["transition"][1].any()
        assert not uniform.components["transition"][others].any()
    with pytest.raises(EmptyTargetError, match="no token of the target"):
        heat.attribute(lm, replace(found.encoded, explained=()), None, method)


def test_one_token_has_a_foil_and_the_others_none(lm: LanguageModel, found: Answer) -> None:
    foiled = answer(lm, PROMPT, " iron, said Tom", foils={0: " copper"}, threshold=0.0)
    foil = lm.tokenizer(" copper", add_special_tokens=False)["input_ids"][0]  # type: ignore[misc]
    assert foiled.encoded.foil_ids == (foil, *(-1,) * (len(found.tokens) - 1))
    mixed = heat.attribute(lm, foiled.encoded, None, "gradient-norm")
    plain = heat.attribute(lm, PROMPT, " iron, said Tom", "gradient-norm")
    against = heat.attribute(
        lm, PROMPT, list(found.encoded.token_ids[found.encoded.n_prompt :][:1]), "gradient-norm", foil=[foil]
    )
    torch.testing.assert_close(mixed.scores[1:], plain.scores[1:], rtol=1e-4, atol=1e-7)
    n_prompt = found.encoded.n_prompt
    torch.testing.assert_close(mixed.scores[0, :n_prompt], against.scores[0, :n_prompt], rtol=1e-4, atol=1e-7)
    assert not torch.allclose(mixed.scores[0], plain.scores[0])
    assert mixed.foil_ids == foiled.encoded.foil_ids
    # A token with a foil is explained whether it depends or not.
    assert foiled.at_threshold(1e9).encoded.explained == (0,)
    assert foiled.at_threshold(1e9).depending == ()


def test_foils_that_cannot_be_contrasted_are_refused(lm: LanguageModel) -> None:
    with pytest.raises(FoilError, match="equals the answer at token 1"):
        answer(lm, PROMPT, " iron", foils={0: " iron"})
    with pytest.raises(FoilError, match="no token 9"):
        answer(lm, PROMPT, " iron", foils={8: " copper"})
    with pytest.raises(FoilError, match="vocabulary"):
        answer(lm, PROMPT, " iron", foils={0: 5000})


def test_a_part_of_the_prompt_is_taken_away(lm: LanguageModel) -> None:
    gate = "The gate is made of iron."
    start = PROMPT.index(gate)
    by_text = answer(lm, PROMPT, " iron", context=gate)
    by_place = answer(lm, PROMPT, " iron", context=CharSpan(start, start + len(gate)))
    assert by_text == by_place
    ids = list(by_text.encoded.token_ids[: by_text.encoded.n_prompt])
    kept = [
        token
        for token, (first, end) in zip(ids, by_text.encoded.offsets or (), strict=False)
        if end <= start or first >= start + len(gate)
    ]
    alone = next_log_probs(lm, kept)
    assert by_text.tokens[0].log_prob_without == pytest.approx(
        float(alone[by_text.tokens[0].token_id]), rel=1e-4
    )
    for context in ("is made of", "nowhere", "", CharSpan(4, 900)):
        with pytest.raises(ConfigError, match="the context"):
            answer(lm, PROMPT, " iron", context=context)


def test_messages_are_taken_away_and_the_template_stays() -> None:
    lm = chat_lm()
    found = answer(lm, SHOTS, " iron")
    text = found.encoded.text
    taken = [text[start:end] for start, end in found.without]
    assert taken == ["What is iron?", "A metal.", "What is copper?\nSay it."]
    assert found.tokens[0].divergence > 0
    prefilled = answer(lm, [*SHOTS, {"role": "assistant", "content": "It is"}], " iron")
    assert [text[start:end] for start, end in prefilled.without] == taken


def test_the_model_s_own_answer_is_greedy_and_ends_with_it(lm: LanguageModel) -> None:
    encoded = heat.encode(lm, PROMPT, [5])
    head = list(encoded.token_ids[:-1])
    found = answer(lm, PROMPT, max_tokens=4)
    ids = list(head)
    for token in found.tokens:
        assert token.token_id == int(next_log_probs(lm, ids).argmax())
        ids.append(token.token_id)
    assert found.ended in (True, False)
    drawn = [said(lm, head, 6, temperature=3.0, seed=seed).token_ids for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    state = torch.random.get_rng_state()
    answer(lm, PROMPT, max_tokens=2, temperature=2.0)
    assert torch.equal(state, torch.random.get_rng_state())
    with pytest.raises(ConfigError, match="temperature"):
        answer(lm, PROMPT, temperature=0.0)


def says(ids: list[int]) -> LanguageModel:
    """A model that says some different ids after whatever it reads, and then its end."""
    lm = LanguageModel(tiny_model("gpt2", n_layer=1), tiny_tokenizer(), name="says", revision="made")
    following = dict(pairwise([*ids, 2]))
    first = ids[0] if ids else 2

    def rewrite(module: Any, args: Any, options: dict[str, Any], output: Any) -> Any:
        if options.get("input_ids") is not None:
            output.logits[0, -1] = 0.0
            output.logits[0, -1, following.get(int(options["input_ids"][0, -1]), first)] = 9.0
        return output

    lm.model.register_forward_hook(rewrite, with_kwargs=True)
    return lm


def test_a_string_is_answered_to_the_end_of_a_line_and_a_chat_to_the_end() -> None:
    newline, iron, copper = (
        tiny_tokenizer()(t, add_special_tokens=False)["input_ids"][0] for t in ("\n", "i", "c")
    )
    lm = says([iron, newline, copper])
    found = answer(lm, PROMPT)
    assert (found.text, found.ended) == ("i", True)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}!{% endfor %}"
    chat = LanguageModel(lm.model, tokenizer, name="says", revision="made")
    found = answer(chat, [{"role": "user", "content": "Say"}])
    assert (found.text, found.ended) == ("i\nc", True)
    assert answer(chat, [{"role": "user", "content": "Say"}], max_tokens=2).ended is False


def test_a_model_that_says_nothing_is_told_of(lm: LanguageModel) -> None:
    with pytest.raises(EmptyTargetError, match="ends its answer before"):
        answer(says([]), PROMPT)
    with pytest.raises(PromptTooLongError):
        answer(lm, "The gate is made of iron. " * 40)
    with pytest.raises(HeatError):
        answer(lm, "", " iron")
