"""Progress, and an end between two blocks."""

import pytest
import torch
from fakes.tiny_models import tiny_lm

import heat
from heat.internals.passes import Passes, counted_passes


class Enough(BaseException):
    """Ends a computation."""


def state(lm: heat.LanguageModel) -> list[object]:
    hooks = [len(module._forward_hooks) for module in lm.model.modules()]
    return [hooks, lm.model.training, [weight.requires_grad for weight in lm.model.parameters()]]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("kl-only", "forward"),
        ("alti-logit", "forward"),
        ("heat", "forward"),
        ("heat", "backward"),
        ("hessian-only", "backward"),
        ("integrated-gradients", "backward"),
    ],
)
def test_what_a_tick_raises_ends_the_work_and_leaves_the_model_as_it_was(name: str, kind: str) -> None:
    lm = tiny_lm("llama")
    encoded = heat.encode(lm, "The gate is made of iron.", " iron")
    before, expected = state(lm), heat.attribute(lm, encoded, None, name)
    seen = []

    def tick(passes: Passes) -> None:
        seen.append((passes.forward, passes.backward))
        if getattr(passes, kind) > 0:
            raise Enough

    with pytest.raises(Enough), counted_passes(lm.model, tick):
        heat.attribute(lm, encoded, None, name)
    assert getattr(Passes(*seen[-1]), kind) > 0
    assert state(lm) == before
    assert torch.equal(heat.attribute(lm, encoded, None, name).scores, expected.scores)


def test_ticks_grow_to_the_whole_count() -> None:
    lm = tiny_lm("gpt2")
    seen: list[float] = []
    with counted_passes(lm.model, lambda passes: seen.append(passes.forward + passes.backward)) as passes:
        heat.attribute(lm, "The gate is made of iron.", " iron", "heat")
    assert seen == sorted(seen)
    assert seen[-1] == passes.forward + passes.backward
    assert len(seen) > 20
