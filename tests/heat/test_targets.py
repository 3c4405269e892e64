"""Foils and spans of characters as targets."""

import pytest
import torch
from fakes.tiny_models import FAMILIES, tiny_lm

import heat
from heat.errors import EmptyTargetError, FoilError

PROMPT = "The gate is made of iron. Answer:"


def test_a_span_of_the_prompt_is_a_target_behind_what_stands_before_it() -> None:
    lm = tiny_lm("llama")
    start = PROMPT.index(" iron")
    spanned = heat.attribute(lm, PROMPT, heat.CharSpan(start, start + 5), "input-x-gradient")
    apart = heat.attribute(lm, PROMPT[:start], " iron", "input-x-gradient")
    assert spanned.token_ids == apart.token_ids
    assert torch.equal(spanned.scores, apart.scores)


@pytest.mark.parametrize("span", [(5, 5), (-1, 3), (30, 99), (9, 4)])
def test_a_span_outside_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(EmptyTargetError, match="33 characters"):
        heat.attribute(tiny_lm("llama"), PROMPT, heat.CharSpan(*span), "random")
    with pytest.raises(EmptyTargetError, match="as a string"):
        heat.attribute(tiny_lm("llama"), [5, 6, 7], heat.CharSpan(0, 1), "random")


def test_a_foil_turns_integrated_gradients_into_the_difference() -> None:
    # Integrated gradients are linear in what they explain.
    lm, prompt = tiny_lm("llama"), list(range(10, 22))
    both = heat.attribute(lm, prompt, [30], "integrated-gradients", foil=[40])
    one, other = (heat.attribute(lm, prompt, [token], "integrated-gradients") for token in (30, 40))
    torch.testing.assert_close(both.scores, one.scores - other.scores, rtol=1e-4, atol=1e-5)
    assert both.foil_ids == (40,)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_part_of_heat_takes_a_foil(family: str) -> None:
    lm, prompt = tiny_lm(family), list(range(10, 22))
    plain = heat.attribute(lm, prompt, [30], "heat", n_probes=2)
    contrast = heat.attribute(lm, prompt, [30], "heat", foil=[40], n_probes=2)
    swapped = heat.attribute(lm, prompt, [40], "heat", foil=[30], n_probes=2)
    for name in ("transition", "curvature", "information"):
        assert not torch.allclose(contrast.components[name], plain.components[name])
    # g and -g bend alike, and the two outcomes are the same two.
    torch.testing.assert_close(
        contrast.components["curvature"], swapped.components["curvature"][:, :13], rtol=1e-3, atol=1e-5
    )
    torch.testing.assert_close(
        contrast.components["information"], swapped.components["information"], rtol=1e-3, atol=1e-6
    )


def test_information_with_a_foil_by_hand() -> None:
    lm, prompt = tiny_lm("llama"), [10, 11, 12, 13]
    found = heat.attribute(lm, prompt, [30], "kl-only", foil=[40]).scores[0, 1]
    embeddings = lm.model.get_input_embeddings()(torch.tensor([prompt])).detach()
    pair = []
    for changed in (False, True):
        if changed:
            embeddings[0, 1] = 0
        with torch.no_grad():
            pair.append(lm.model(inputs_embeds=embeddings).logits[0, -1, [30, 40]].softmax(-1))
    p, q = pair
    torch.testing.assert_close(found, (p * (p / q).log()).sum(), rtol=1e-3, atol=1e-6)


def test_a_text_as_foil() -> None:
    lm = tiny_lm("llama")
    found = heat.attribute(lm, PROMPT, " iron", "random", foil=" made", max_targets=1)
    assert found.foil_ids is not None
    assert found.foil_ids[0] != found.token_ids[found.target_span[0]]


def test_foils_that_contrast_nothing_are_refused() -> None:
    lm = tiny_lm("llama")
    with pytest.raises(FoilError, match="equals the target at token 1 of 1"):
        heat.attribute(lm, [5, 6], [7], "random", foil=[7])
    with pytest.raises(FoilError, match="has 1 tokens and the target 2"):
        heat.attribute(lm, [5, 6], [7, 8], "random", foil=[9])


def test_foils_in_a_batch_equal_one_at_a_time() -> None:
    lm = tiny_lm("gpt2")
    prompts, targets = [[5, 6, 7, 8], [9, 10], [5, 6]], [[30], [31, 32], [33]]
    foils = [[40], [41, 42], None]
    for method in ("heat", "gradient-norm"):
        together = heat.attribute_batch(lm, prompts, targets, method, foils=foils)
        for index, found in enumerate(together):
            alone = heat.attribute(lm, prompts[index], targets[index], method, foil=foils[index])
            torch.testing.assert_close(found.scores, alone.scores, rtol=1e-3, atol=1e-5)
