"""A model with disturbed embeddings, or another generation config, beside the caller's own."""

import copy

import pytest
import torch
from fakes.tiny_models import FAMILIES, tiny_lm
from transformers import GenerationConfig

import heat
from evaluate.robustness.view import Noise, decoding, noisy
from heat import LanguageModel
from heat.errors import UnsupportedModelError

IDS = torch.tensor([[5, 9, 30, 9]])


def state(lm: LanguageModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_view_has_noise_and_the_model_none(family: str) -> None:
    lm = tiny_lm(family)
    before, clean = state(lm), lm.model(input_ids=IDS).logits
    config = copy.deepcopy(lm.model.config.to_dict())
    view = noisy(lm, Noise("gaussian", 0.5, 1))
    table = lm.model.get_input_embeddings().weight.detach()
    added = view.model.get_input_embeddings().weight.detach() - table
    assert float(added[3:].std()) == pytest.approx(0.5 * float(table.square().mean().sqrt()), rel=0.05)
    assert bool((added[:3] == 0).all())  # <pad>, <s>, </s>
    # The same as the caller's model on embeddings that carry the noise: all else is shared.
    embeddings = view.model.get_input_embeddings()(IDS)
    expected = lm.model(inputs_embeds=embeddings).logits
    assert torch.allclose(view.model(input_ids=IDS).logits, expected, atol=1e-5)
    assert not torch.allclose(expected, clean, atol=1e-3)
    assert torch.equal(lm.model(input_ids=IDS).logits, clean)
    assert lm.model.config.to_dict() == config
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(lm).items())


def test_uniform_noise_stays_within_its_radius_and_is_seeded() -> None:
    lm = tiny_lm("llama")
    table = lm.model.get_input_embeddings().weight.detach()
    rms = float(table.square().mean().sqrt())

    def added(seed: int) -> torch.Tensor:
        return noisy(lm, Noise("uniform", 0.2, seed)).model.get_input_embeddings().weight.detach() - table

    assert 0.19 * rms < float(added(1).max()) <= 0.2 * rms * 1.001
    assert -0.2 * rms * 1.001 <= float(added(1).min()) < -0.19 * rms
    # Of 317 · 32 draws, whose standard deviation is 0.2 / √3.
    assert float(added(1)[3:].mean()) == pytest.approx(0, abs=5 * 0.2 * rms / 3**0.5 / (317 * 32) ** 0.5)
    assert torch.equal(added(1), added(1))
    assert not torch.equal(added(1), added(2))


def test_a_radius_of_nothing_gives_the_same_scores_under_another_revision() -> None:
    lm = tiny_lm("gpt2")
    view = noisy(lm, Noise("gaussian", 0.0, 1))
    one, other = (heat.attribute(each, "The gate is made of", " iron", "heat") for each in (lm, view))
    assert torch.equal(one.scores, other.scores)
    assert view.revision == "random+gaussian-0-1"


def test_a_failing_method_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    clean = lm.model(input_ids=IDS).logits
    view = noisy(lm, Noise("gaussian", 0.5, 1))
    monkeypatch.setattr(view.model, "forward", lambda **_: 1 / 0)
    with pytest.raises(UnsupportedModelError, match="division by zero"):
        heat.attribute(view, "The gate is made of", " iron", "gradient-norm")
    assert torch.equal(lm.model(input_ids=IDS).logits, clean)
    assert "forward" not in vars(lm.model)


def test_a_model_that_a_library_rewired_is_refused() -> None:
    lm = tiny_lm("llama")
    lm.model.forward = lm.model.forward  # as accelerate leaves it
    with pytest.raises(UnsupportedModelError, match="load it on one device"):
        noisy(lm, Noise("gaussian", 0.5, 1))


def test_a_decoding_view_has_its_own_config() -> None:
    lm = tiny_lm("llama")
    own = lm.model.generation_config
    view = decoding(lm, GenerationConfig(do_sample=True, temperature=0.3))
    assert view.model.generation_config.temperature == 0.3
    assert lm.model.generation_config is own
    assert view.revision != decoding(lm, GenerationConfig(do_sample=True, temperature=0.4)).revision
    assert view.model.get_input_embeddings() is lm.model.get_input_embeddings()
