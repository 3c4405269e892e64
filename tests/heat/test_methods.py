"""Every registered method on every family: the promises that all of them make."""

import copy
from typing import Any

import pytest
import torch
from fakes.tiny_models import FAMILIES, tiny_lm

import heat
from heat.checks import check
from heat.components.prefix import keeps_prefixes
from heat.errors import ConfigError, PrecisionError, PromptTooLongError, UnknownMethodError

METHODS = list(heat.methods())
# These run no pass of their own, so nothing of theirs can break in one.
WITHOUT_MODEL = ["constant", "lexical-overlap", "position", "random"]
# Nothing was learned of the tiny models.
NEEDED: dict[str, dict[str, Any]] = {"at2": {"weights": "uniform"}}
# A text's targets are one span to these.
TOGETHER = ["flashtrace"]
FEWER = {
    **NEEDED,
    "gradient-shap": {"n_samples": 3},
    "integrated-gradients": {"n_steps": 6},
    "integrated-gradients-norm": {"n_steps": 6},
    "progressive-inference-multi": {"n_copies": 3},
    "reagent": {"max_steps": 8},
    "kernel-shap": {"n_samples": 64},
    "layer-integrated-gradients": {"n_steps": 6},
    "lime": {"n_samples": 64},
    "owen": {"budget": 40},
    "shapley-sampling": {"n_samples": 2},
    "smoothgrad": {"n_samples": 3},
    "heat-windowed": {"window": 12, "tail": 6, "n_probes": 3},
    "heat-lr-win": {"window": 12, "tail": 6, "rank": 6},
}
# All that the others of a row do to a model its first does too, by the same functions: it runs on every family, they on
# a few. A method that stands in no row, as a new one does, runs on every family.
SAME_PASSES = {
    "attention-rollout": ["attention-flow", "attention-last"],
    "context-cite": ["kl-top-k"],
    "gradient-shap": ["smoothgrad"],
    "heat": ["heat-adaptive", "hessian-only", "kl-only", "no-gate", "transition-only", "uniform-transition"],
    "heat-windowed": ["heat-lr-win"],
    "integrated-gradients": ["gradient-norm", "input-x-gradient"],
    "occlusion": ["kernel-shap", "lime", "shapley-sampling"],
    "random": ["constant", "lexical-overlap", "position"],
    "tdd-bidirectional": ["context-length-probing", "progressive-inference", "tdd-backward", "tdd-forward"],
}
FEW_FAMILIES = ["gpt2", "gptj", "llama"]  # fused projections, an attention of its own, grouped keys
PROMPT = "The gate is made of iron. Answer:"
LONGER = "Tom took a knife, and Ann had wood. The gate is made of iron. Answer:"


def options(method: str) -> dict[str, Any]:
    if method in FEWER:
        return FEWER[method]
    if hasattr(heat.methods()[method], "rank"):
        return {"rank": 6}
    return {"n_probes": 3} if hasattr(heat.methods()[method], "n_probes") else {}


def lm_for(method: str, family: str) -> heat.LanguageModel:
    lm = tiny_lm(family)
    if method == "temperature":
        # A norm without weights of its own gives vectors of one length, whose gradient is rounding.
        for name, weight in lm.model.named_parameters():
            if weight.dim() == 1 and name.endswith("weight"):
                weight.data.copy_(torch.linspace(0.5, 1.5, len(weight)))
    return lm


def snapshot(model: torch.nn.Module) -> dict[str, Any]:
    return {
        "weights": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "requires_grad": [weight.requires_grad for weight in model.parameters()],
        "gradients": [weight.grad is None for weight in model.parameters()],
        "training": [module.training for module in model.modules()],
        "hooks": [
            (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
            for module in model.modules()
        ],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "config": copy.deepcopy(model.config.to_dict()),
        "attention": model.config._attn_implementation,
    }


def assert_untouched(before: dict[str, Any], model: torch.nn.Module) -> None:
    after = snapshot(model)
    for name, tensor in before.pop("weights").items():
        assert torch.equal(tensor, after["weights"][name]), name
    after.pop("weights")
    assert before == after


def test_the_list_is_what_is_registered() -> None:
    assert list(heat.methods()) == METHODS


def families_of(method: str) -> list[str]:
    return FEW_FAMILIES if any(method in others for others in SAME_PASSES.values()) else list(FAMILIES)


def test_what_runs_on_few_families_is_registered_and_led_by_one_that_runs_on_all() -> None:
    assert set(FEW_FAMILIES) <= set(FAMILIES)
    for first, others in SAME_PASSES.items():
        assert {first, *others} <= set(METHODS)
        assert families_of(first) == list(FAMILIES)
    assert families_of("a-new-method") == list(FAMILIES)


@pytest.mark.parametrize(
    ("method", "family"), [(method, family) for method in METHODS for family in families_of(method)]
)
def test_every_method_on_its_families(method: str, family: str) -> None:
    lm = lm_for(method, family)
    before = snapshot(lm.model)
    config = options(method)
    short, long = heat.attribute_batch(lm, [PROMPT, LONGER], [" iron", " iron."], method, **config)
    alone = heat.attribute(lm, PROMPT, " iron", method, **config)
    again = heat.attribute(lm, PROMPT, " iron", method, **config)
    assert_untouched(before, lm.model)

    assert torch.equal(alone.scores, again.scores)
    assert alone.scores.dtype == torch.float32
    torch.testing.assert_close(short.log_probs, alone.log_probs, atol=1e-5, rtol=1e-5)
    for name, part in {"scores": short.scores, **short.components}.items():
        reference = alone.scores if name == "scores" else alone.components[name]
        scale = max(1.0, float(reference.abs().max()))
        torch.testing.assert_close(part / scale, reference / scale, atol=1e-5, rtol=1e-5)
    for attribution in (short, long):
        first, last = attribution.target_span
        assert attribution.scores.shape == (last - first, last)
        assert attribution.scores.isfinite().all()
        assert attribution.scores.abs().sum() > 0
        for index in range(last - first):
            assert (attribution.scores[index, first + index :] == 0).all()
        if not heat.methods()[method].signed:
            assert (attribution.scores >= 0).all()


@pytest.mark.parametrize("method", [name for name in METHODS if name not in TOGETHER])
def test_several_targets_equal_one_at_a_time(method: str) -> None:
    lm = lm_for(method, "llama")
    token_ids = list(range(10, 20))
    both = heat.attribute(lm, token_ids, [30, 40], method, **NEEDED.get(method, {}))
    for index, (prompt, target) in enumerate([(token_ids, [30]), ([*token_ids, 30], [40])]):
        alone = heat.attribute(lm, prompt, target, method, **NEEDED.get(method, {})).scores[0]
        scale = float(alone.abs().max())
        torch.testing.assert_close(
            both.scores[index, : len(alone)] / scale, alone / scale, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("method", METHODS)
def test_a_prompt_of_one_token(method: str) -> None:
    attribution = heat.attribute(tiny_lm("llama"), [7], [30], method, **options(method))
    assert attribution.scores.shape == (1, 2)
    assert attribution.scores.isfinite().all()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("method", [name for name in METHODS if name not in WITHOUT_MODEL])
def test_the_model_is_untouched_when_something_breaks(
    method: str, family: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = tiny_lm(family)
    # What is tried of a model once comes first: the method itself is to break.
    check(lm.model, lm.name, ("gradients", "attention"))
    keeps_prefixes(lm.model)
    head = lm.model.get_output_embeddings()
    all_passes: list[None] = []
    counter = head.register_forward_hook(lambda *_: all_passes.append(None))
    heat.attribute(lm, PROMPT, " iron", method, **NEEDED.get(method, {}))
    counter.remove()
    lm.model.train()
    passes = 0

    def broken(*arguments: Any, **named: Any) -> Any:
        nonlocal passes
        passes += 1
        if passes == min(2, len(all_passes)):
            raise error("broken on the way")
        return original(*arguments, **named)

    original = head.forward
    before = snapshot(lm.model)
    with monkeypatch.context() as patch:
        patch.setattr(head, "forward", broken)
        with pytest.raises(error, match="broken"):
            heat.attribute(lm, PROMPT, " iron", method, **NEEDED.get(method, {}))
    head.__dict__.pop("forward", None)
    assert_untouched(before, lm.model)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_in_training_mode_with_dropout_is_explained_as_in_evaluation(method: str) -> None:
    lm = tiny_lm("gpt2")
    expected = heat.attribute(lm, PROMPT, " iron", method, **options(method))
    lm.model.train()
    found = heat.attribute(lm, PROMPT, " iron", method, **options(method))
    assert torch.equal(found.scores, expected.scores)
    assert lm.model.training


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_gives_finite_float32_scores(method: str) -> None:
    lm = tiny_lm("llama")
    lm.model.bfloat16()
    attribution = heat.attribute(lm, PROMPT, " iron", method, **options(method))
    assert attribution.dtype == "bfloat16"
    assert attribution.scores.dtype == torch.float32


def test_the_caller_s_random_state_is_left_alone() -> None:
    lm = tiny_lm("llama")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    for method in METHODS:
        heat.attribute(lm, PROMPT, " iron", method, **options(method))
    assert torch.equal(torch.rand(3), expected)


def test_seeds_matter_where_something_is_drawn() -> None:
    lm = tiny_lm("llama")
    for method, differs in {"random": True, "hessian-only": True, "kl-only": False}.items():
        first, second = (heat.attribute(lm, PROMPT, " iron", method, seed=seed).scores for seed in (0, 1))
        assert torch.equal(first, second) != differs


def test_heat_is_the_product_of_its_parts() -> None:
    attribution = heat.attribute(tiny_lm("llama"), PROMPT, " iron", "heat", beta=0.3, gamma=0.7)
    parts = attribution.components
    mixed = (
        0.3 * parts["curvature"] / parts["curvature"].sum()
        + 0.7 * parts["information"] / parts["information"].sum()
    )
    torch.testing.assert_close(attribution.scores, parts["transition"] * mixed)
    printed = heat.attribute(tiny_lm("llama"), PROMPT, " iron", "heat", beta=0.3, gamma=0.7, normalize="none")
    expected = parts["transition"] * (0.3 * parts["curvature"] + 0.7 * parts["information"])
    torch.testing.assert_close(printed.scores, expected)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"beta": -1}, "'beta' = -1"),
        ({"beta": 0, "gamma": 0}, "both 0"),
        ({"beta": float("nan")}, "'beta'"),
        ({"n_probes": 0}, "'n_probes' = 0"),
        ({"mode": "diagonal"}, "'row' or 'block'"),
        ({"probes": 3}, "no option 'probes'; did you mean 'n_probes'\\? its options: .*n_probes"),
    ],
)
def test_wrong_options_are_named(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        heat.attribute(tiny_lm("llama"), PROMPT, " iron", "heat", **config)


def test_unknown_method_lists_those_that_exist() -> None:
    with pytest.raises(
        UnknownMethodError, match="no method 'deeplift'; there are: alti, alti-logit, at2, attention-flow"
    ):
        heat.attribute(tiny_lm("llama"), PROMPT, " iron", "deeplift")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ConfigError, match="registered already"):
        heat.register("heat")(heat.methods()["random"])


def test_too_long_names_both_lengths() -> None:
    with pytest.raises(PromptTooLongError, match="65 tokens and 'tiny llama' takes 64"):
        heat.attribute(tiny_lm("llama"), [9] * 64, [30], "random")


def test_float16_is_refused_for_derivatives_alone() -> None:
    lm = tiny_lm("llama")
    lm.model.half()
    with pytest.raises(PrecisionError, match="'integrated-gradients' needs derivatives"):
        heat.attribute(lm, PROMPT, " iron", "integrated-gradients")
    heat.attribute(lm, PROMPT, " iron", "random")


def test_nan_weights_are_reported() -> None:
    lm = tiny_lm("llama")
    with torch.no_grad():
        lm.model.get_output_embeddings().weight[5, 0] = float("nan")
    with pytest.raises(heat.HeatError, match="NaN or infinite log-probabilities"):
        heat.attribute(lm, PROMPT, " iron", "random")


@pytest.mark.parametrize("method", METHODS)
def test_costs_grow_with_the_work(method: str) -> None:
    made = heat.methods()[method]()
    # A pass counts as one at any length: a method may take fewer of longer ones, but never less work.
    assert 0 <= 10 * made.cost(10, 1) <= 20 * made.cost(20, 1)
    assert made.cost(10, 1) <= made.cost(10, 3)
    assert made.summary
    assert made.source
