"""Models that accelerate has dispatched: their modules carry hooks that move tensors, and nothing else may."""

import pytest
import torch
from accelerate import dispatch_model
from accelerate.hooks import remove_hook_from_module
from fakes.tiny_models import tiny_lm

import heat

METHODS = ["heat", "heat-low-rank", "heat-windowed", "integrated-gradients", "attention-rollout"]


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
