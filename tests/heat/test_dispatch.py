"""Models that accelerate has dispatched: their modules carry hooks that move tensors, and nothing else may."""

from pathlib import Path

import pytest
import torch
from accelerate import dispatch_model
from accelerate.hooks import remove_hook_from_module
from fakes.tiny_models import tiny_lm
from transformers import PreTrainedModel

import heat
from heat import LanguageModel
from heat.checks import check

METHODS = ["heat", "heat-low-rank", "heat-windowed", "integrated-gradients", "attention-rollout", "attn-lrp"]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("method", METHODS)
def test_a_dispatched_model_gives_the_same_scores(method: str, family: str) -> None:
    options = {"rank": 6} if method == "heat-low-rank" else {}
    plain = heat.attribute(tiny_lm(family), list(range(10, 22)), [30], method, **options)
    lm = tiny_lm(family)
    dispatch_model(lm.model, {"": "cpu"}, force_hooks=True)
    found = heat.attribute(lm, list(range(10, 22)), [30], method, **options)
    torch.testing.assert_close(found.scores, plain.scores, rtol=1e-4, atol=1e-6)
    assert hasattr(lm.model, "_hf_hook")
    remove_hook_from_module(lm.model, recurse=True)


# Two devices on one: modules named `away` keep their weights on disk (on `meta` between calls) and run where accelerate
# sends them, as those on a second GPU do; what reads a weight instead of calling its module is found out.
SPLITS = {
    "head away": ("lm_head", "model.norm", "model.layers.1", "transformer.h.1", "transformer.ln_f"),
    "embedding away": ("model.embed_tokens", "model.layers.0", "transformer.wte", "transformer.h.0"),
}
SPLIT_METHODS = [
    "heat",
    "heat-low-rank",
    "heat-windowed",
    "integrated-gradients",
    "occlusion",
    "relevance",
    "cp-lrp",
]


@pytest.mark.parametrize("family", ["gptj", "llama"])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("method", SPLIT_METHODS)
def test_embedding_and_head_may_live_apart(method: str, split: str, family: str, tmp_path: Path) -> None:
    options = {"rank": 6} if method == "heat-low-rank" else {}
    plain = heat.attribute(tiny_lm(family), list(range(10, 22)), [30], method, **options)
    lm = _apart(family, split, tmp_path)
    ends = (lm.model.get_input_embeddings().weight, lm.model.get_output_embeddings().weight)
    assert [weight.is_meta for weight in ends] == [split == "embedding away", split == "head away"]
    found = heat.attribute(lm, list(range(10, 22)), [30], method, **options)
    torch.testing.assert_close(found.scores, plain.scores, rtol=1e-4, atol=1e-6)
    assert found.log_probs.tolist() == pytest.approx(plain.log_probs.tolist(), rel=1e-5)


def test_a_model_whose_embedding_is_away_can_be_asked_whether_it_is_a_decoder(tmp_path: Path) -> None:
    check(_apart("llama", "embedding away", tmp_path).model, "tiny")


def _apart(family: str, split: str, folder: Path) -> LanguageModel:
    """A tiny model with one of its ends on disk."""
    lm = tiny_lm(family)
    device_map = {name: "disk" if name.startswith(SPLITS[split]) else "cpu" for name in _units(lm.model)}
    assert set(device_map.values()) == {"cpu", "disk"}
    dispatch_model(lm.model, device_map, main_device="cpu", offload_dir=str(folder), force_hooks=True)
    return lm


def _units(model: PreTrainedModel) -> list[str]:
    """What a device map places: blocks whole, and every other module that holds weights or buffers of its own."""
    names: list[str] = []
    for name, module in model.named_modules():
        if any(name.startswith(f"{taken}.") for taken in names):
            continue
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if own or name.split(".")[-1].isdigit():
            names.append(name)
    return names
