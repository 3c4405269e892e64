"""Layer, noise, occlusion, Shapley and surrogate methods against formulas and enumerations written out here."""

import random
from collections.abc import Callable
from itertools import combinations
from math import exp, factorial
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import DeepLift
from fakes.tiny_models import tiny_lm
from sklearn.linear_model import Ridge
from torch import Tensor

import heat
from heat.algorithms import gradients, perturbation
from heat.errors import ConfigError, OutOfMemoryError

IDS = [5, 17, 200, 31]
TARGET = 140
DRAWING = {
    "gradient-shap": {"n_samples": 7},
    "kernel-shap": {"n_samples": 40},
    "lime": {"n_samples": 40},
    "shapley-sampling": {"n_samples": 5},
    "smoothgrad": {"n_samples": 7},
}
PERTURBING = ["kernel-shap", "lime", "occlusion", "shapley-sampling"]


def log_prob(model: torch.nn.Module, embeddings: Tensor, target: int = TARGET) -> Tensor:
    return model(inputs_embeds=embeddings).logits[:, -1].log_softmax(-1)[:, target]


def gradient_at(function: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    point = point.clone().requires_grad_()
    return torch.autograd.grad(function(point).sum(), point)[0]


@pytest.fixture(params=["gpt2", "llama"])
def lm(request: pytest.FixtureRequest) -> heat.LanguageModel:
    return tiny_lm(str(request.param))


@pytest.fixture
def embeddings(lm: heat.LanguageModel) -> Tensor:
    embedded: Tensor = lm.model.get_input_embeddings()(torch.tensor([IDS])).detach()
    return embedded


def start_of(lm: heat.LanguageModel, baseline: str) -> Tensor:
    weight = lm.model.get_input_embeddings().weight.detach()
    pad = lm.model.config.pad_token_id
    return {
        "zero": torch.zeros_like(weight[0]),
        "pad": weight[lm.model.config.eos_token_id if pad is None else pad],
        "mean": weight[[*IDS, TARGET]].mean(0),
    }[baseline]


def values_of_coalitions(
    lm: heat.LanguageModel, embeddings: Tensor, baseline: str = "zero", foil: int | None = None
) -> dict[frozenset[int], float]:
    """The explained scalar for every set of tokens that are there."""
    values = {}
    for size in range(len(IDS) + 1):
        for kept in combinations(range(len(IDS)), size):
            point = start_of(lm, baseline).expand_as(embeddings).clone()
            point[0, list(kept)] = embeddings[0, list(kept)]
            with torch.no_grad():
                value = log_prob(lm.model, point)
                if foil is not None:
                    value = value - log_prob(lm.model, point, foil)
            values[frozenset(kept)] = float(value)
    return values


def shapley_values(values: dict[frozenset[int], float]) -> Tensor:
    n = len(IDS)
    exact = torch.zeros(n)
    for kept, value in values.items():
        for token in set(range(n)) - kept:
            weight = factorial(len(kept)) * factorial(n - len(kept) - 1) / factorial(n)
            exact[token] += weight * (values[kept | {token}] - value)
    return exact


def scores(lm: heat.LanguageModel, method: str, **options: Any) -> Tensor:
    found: Tensor = heat.attribute(lm, IDS, [TARGET], method, **options).scores[0, :-1]
    return found


# --- occlusion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", ["zero", "pad", "mean"])
@pytest.mark.parametrize("budget", [1, 4096])
def test_occlusion_is_the_loss_without_each_token(
    lm: heat.LanguageModel, embeddings: Tensor, baseline: str, budget: int
) -> None:
    values = values_of_coalitions(lm, embeddings, baseline)
    everything = frozenset(range(len(IDS)))
    expected = [values[everything] - values[everything - {token}] for token in range(len(IDS))]
    found = scores(lm, "occlusion", baseline=baseline, batch_tokens=budget)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_occlusion_by_windows_is_the_mean_over_those_that_hold_the_token(
    lm: heat.LanguageModel, embeddings: Tensor
) -> None:
    values = values_of_coalitions(lm, embeddings)
    everything = frozenset(range(len(IDS)))
    losses = [values[everything] - values[everything - {first, first + 1}] for first in range(len(IDS) - 1)]
    expected = [losses[0], (losses[0] + losses[1]) / 2, (losses[1] + losses[2]) / 2, losses[2]]
    torch.testing.assert_close(
        scores(lm, "occlusion", window=2), torch.tensor(expected), rtol=1e-4, atol=1e-5
    )
    whole = values[everything] - values[frozenset()]
    torch.testing.assert_close(
        scores(lm, "occlusion", window=9), torch.full((4,), whole), rtol=1e-4, atol=1e-5
    )


def test_a_foil_is_taken_off(lm: heat.LanguageModel, embeddings: Tensor) -> None:
    values = values_of_coalitions(lm, embeddings, foil=77)
    everything = frozenset(range(len(IDS)))
    expected = [values[everything] - values[everything - {token}] for token in range(len(IDS))]
    found = heat.attribute(lm, IDS, [TARGET], "occlusion", foil=[77]).scores[0, :-1]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)
    exact = shapley_values(values)
    found = heat.attribute(lm, IDS, [TARGET], "shapley-sampling", foil=[77], n_samples=300).scores[0, :-1]
    torch.testing.assert_close(found, exact, rtol=0, atol=0.15)


# --- Shapley values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_shapley_sampling_nears_the_exact_values(
    lm: heat.LanguageModel, embeddings: Tensor, baseline: str
) -> None:
    values = values_of_coalitions(lm, embeddings, baseline)
    exact = shapley_values(values)
    # The standard deviation of one order's contribution is below the widest spread of contributions.
    spread = max(
        abs(values[kept | {token}] - values[kept]) for kept in values for token in set(range(4)) - kept
    )
    found = scores(lm, "shapley-sampling", baseline=baseline, n_samples=400)
    assert float((found - exact).abs().max()) < 4 * spread / 400**0.5


@pytest.mark.parametrize("n_samples", [1, 25])
def test_shapley_sampling_is_complete_with_any_number_of_orders(
    lm: heat.LanguageModel, embeddings: Tensor, n_samples: int
) -> None:
    values = values_of_coalitions(lm, embeddings)
    expected = values[frozenset(range(4))] - values[frozenset()]
    found = float(scores(lm, "shapley-sampling", n_samples=n_samples).sum())
    assert found == pytest.approx(expected, abs=1e-4)


def test_kernel_shap_nears_the_exact_values_and_is_complete(
    lm: heat.LanguageModel, embeddings: Tensor
) -> None:
    # 2,056 draws of the 14 proper coalitions: all are there, with the kernel's frequencies to 2 %.
    values = values_of_coalitions(lm, embeddings)
    exact = shapley_values(values)
    found = scores(lm, "kernel-shap")
    scale = float(exact.abs().max())
    torch.testing.assert_close(found / scale, exact / scale, rtol=0, atol=0.05)
    complete = values[frozenset(range(4))] - values[frozenset()]
    assert float(found.sum()) == pytest.approx(complete, abs=5e-3)


@pytest.mark.parametrize("method", ["kernel-shap", "shapley-sampling", "occlusion"])
def test_a_single_token_has_the_whole_difference(lm: heat.LanguageModel, method: str) -> None:
    embedded = lm.model.get_input_embeddings()(torch.tensor([[7]])).detach()
    with torch.no_grad():
        expected = log_prob(lm.model, embedded) - log_prob(lm.model, torch.zeros_like(embedded))
    found = heat.attribute(lm, [7], [TARGET], method).scores[0, 0]
    torch.testing.assert_close(found, expected[0], rtol=1e-4, atol=1e-5)


# --- LIME -----------------------------------------------------------------------------------------------------------


def test_lime_is_the_ridge_on_its_own_samples(
    lm: heat.LanguageModel, embeddings: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples: list[Tensor] = []
    kernel = perturbation._cosine_kernel

    def recording(width: float) -> Callable[..., float]:
        inner = kernel(width)

        def similarity(original: Tensor, perturbed: Tensor, sample: Tensor, **rest: Any) -> float:
            samples.append(sample[0])
            return float(inner(original, perturbed, sample, **rest))

        return similarity

    monkeypatch.setattr(perturbation, "_cosine_kernel", recording)
    found = scores(lm, "lime", n_samples=60, alpha=0.3, width=0.4)
    values = values_of_coalitions(lm, embeddings)
    drawn = torch.stack(samples).numpy()
    assert 0.35 < drawn.mean() < 0.65
    targets = [values[frozenset(np.flatnonzero(row).tolist())] for row in drawn]
    full = np.ones(4)
    cosines = [row @ full / max(1e-12, np.linalg.norm(row) * 2) for row in drawn]
    weights = [exp(-((1 - cosine) ** 2) / (2 * 0.4**2)) for cosine in cosines]
    surrogate = Ridge(alpha=0.3).fit(drawn, targets, sample_weight=weights)
    torch.testing.assert_close(found, torch.tensor(surrogate.coef_).float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("method", "options"), [("lime", {"alpha": 1e-6}), ("kernel-shap", {})])
def test_a_planted_linear_function_is_recovered(
    method: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = tiny_lm("llama")
    planted = torch.tensor([0.5, -2.0, 0.0, 1.5])
    embeddings = lm.model.get_input_embeddings()(torch.tensor([IDS])).detach()

    def linear(text: gradients.Text, points: Tensor) -> Tensor:
        kept = (points - embeddings).abs().amax(-1) < 1e-6
        return kept.float() @ planted - 1.0

    monkeypatch.setattr(gradients.Text, "forward", linear)
    torch.testing.assert_close(scores(lm, method, **options), planted, rtol=0, atol=2e-3)


# --- gradients ------------------------------------------------------------------------------------------------------


def test_smoothgrad_without_noise_is_the_gradient_norm(lm: heat.LanguageModel) -> None:
    found = scores(lm, "smoothgrad", noise=0.0, n_samples=3)
    torch.testing.assert_close(found, scores(lm, "gradient-norm"), rtol=1e-4, atol=1e-6)


def test_smoothgrad_averages_gradients_around_the_embeddings(
    lm: heat.LanguageModel, embeddings: Tensor
) -> None:
    generator = torch.Generator().manual_seed(3)
    noise = 0.3 * embeddings.square().mean().sqrt() * torch.randn(4000, 4, 32, generator=generator)
    gradient = gradient_at(lambda at: log_prob(lm.model, at), embeddings + noise)
    expected = gradient.mean(0).norm(dim=-1)
    # Both are means of 4,000 draws; the error of a length is that of one direction.
    tolerance = 5 * float((2 * gradient.var(0).max() / 4000).sqrt())
    found = scores(lm, "smoothgrad", noise=0.3, n_samples=4000)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    assert float((scores(lm, "gradient-norm") - expected).abs().max()) > 2 * tolerance


def test_gradient_shap_is_nearly_complete(lm: heat.LanguageModel, embeddings: Tensor) -> None:
    mean = start_of(lm, "mean").expand_as(embeddings)
    with torch.no_grad():
        expected = float(log_prob(lm.model, embeddings) - log_prob(lm.model, mean))
    # Without noise it is a Monte Carlo integral of integrated gradients.
    found = scores(lm, "gradient-shap", baseline="mean", noise=0.0, n_samples=4000)
    assert float(found.sum()) == pytest.approx(expected, abs=0.05)
    quadrature = scores(lm, "integrated-gradients", baseline="mean", n_steps=100)
    torch.testing.assert_close(found, quadrature, rtol=0, atol=0.05)
    noisy = scores(lm, "gradient-shap", baseline="mean", noise=0.05, n_samples=4000)
    assert not torch.equal(noisy, found)
    assert float(noisy.sum()) == pytest.approx(expected, abs=0.15)


def test_gradient_shap_s_noise_is_a_share_of_the_embeddings_size(
    lm: heat.LanguageModel, embeddings: Tensor
) -> None:
    # The definition written out: between the baseline and embeddings with noise of 0.3 times their size.
    mean = start_of(lm, "mean").expand_as(embeddings)
    generator = torch.Generator().manual_seed(3)
    noise = 0.3 * embeddings.square().mean().sqrt() * torch.randn(4000, 4, 32, generator=generator)
    share = torch.rand(4000, 1, 1, generator=generator)
    points = mean + share * (embeddings + noise - mean)
    gradient = gradient_at(lambda at: log_prob(lm.model, at), points)
    samples = (gradient * (embeddings + noise - mean)).sum(-1)
    found = scores(lm, "gradient-shap", baseline="mean", noise=0.3, n_samples=4000)
    tolerance = 5 * float((2 * samples.var(0).max() / 4000).sqrt())
    torch.testing.assert_close(found, samples.mean(0), rtol=0, atol=tolerance)


def inputs_of_block(model: torch.nn.Module, block: torch.nn.Module, embeddings: Tensor) -> Tensor:
    seen: list[Tensor] = []

    def keep(module: Any, args: Any, kwargs: Any) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    handle = block.register_forward_pre_hook(keep, with_kwargs=True)
    with torch.no_grad():
        log_prob(model, embeddings)
    handle.remove()
    return seen[0]


def blocks_of(lm: heat.LanguageModel) -> Any:
    return lm.model.transformer.h if hasattr(lm.model, "transformer") else lm.model.model.layers


@pytest.mark.parametrize("baseline", ["zero", "pad", "mean"])
@pytest.mark.parametrize("layer", [0, 1, None])
def test_layer_integrated_gradients(
    lm: heat.LanguageModel, embeddings: Tensor, baseline: str, layer: int | None
) -> None:
    block = blocks_of(lm)[1 if layer is None else layer]
    end = inputs_of_block(lm.model, block, embeddings)
    start = inputs_of_block(lm.model, block, start_of(lm, baseline).expand_as(embeddings))

    def from_block(point: Tensor) -> Tensor:
        def put(module: Any, args: Any, kwargs: Any) -> Any:
            return ((point, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": point})

        handle = block.register_forward_pre_hook(put, with_kwargs=True)
        value = log_prob(lm.model, embeddings)
        handle.remove()
        return value

    nodes, weights = np.polynomial.legendre.leggauss(12)
    total = sum(
        float(w) / 2 * gradient_at(from_block, start + (float(x) + 1) / 2 * (end - start))
        for x, w in zip(nodes, weights, strict=True)
    )
    expected = (total * (end - start)).sum(-1)[0]
    options = {} if layer is None else {"layer": layer}
    found = scores(lm, "layer-integrated-gradients", n_steps=12, baseline=baseline, **options)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_at_the_first_block_llama_s_are_integrated_gradients() -> None:
    # Nothing is added to the embeddings before the first block.
    lm = tiny_lm("llama")
    found = scores(lm, "layer-integrated-gradients", layer=0, baseline="mean")
    torch.testing.assert_close(
        found, scores(lm, "integrated-gradients", baseline="mean"), rtol=1e-3, atol=1e-5
    )


def test_a_layer_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="layer is 2, and 'tiny llama' has blocks 0 to 1"):
        scores(tiny_lm("llama"), "layer-integrated-gradients", layer=2)


def test_captum_s_deeplift_is_input_x_gradient_and_so_has_no_row(
    lm: heat.LanguageModel, embeddings: Tensor
) -> None:
    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = lm.model

        def forward(self, point: Tensor) -> Tensor:
            return log_prob(self.model, point)

    point = embeddings.clone().requires_grad_()
    found, delta = DeepLift(Wrapped()).attribute(
        point, torch.zeros_like(point), return_convergence_delta=True
    )
    torch.testing.assert_close(found[0].sum(-1), scores(lm, "input-x-gradient"), rtol=1e-4, atol=1e-6)
    # It should sum to the whole difference, and does not.
    assert float(delta.abs()) > 0.01


# --- draws ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", DRAWING)
def test_draws_depend_on_the_seed_and_never_on_the_budget(method: str) -> None:
    lm = tiny_lm("llama")
    options = DRAWING[method]
    first = scores(lm, method, seed=1, **options)
    assert not torch.equal(first, scores(lm, method, seed=2, **options))
    for budget in (1, 9, 24):
        torch.testing.assert_close(
            scores(lm, method, seed=1, batch_tokens=budget, **options), first, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("method", DRAWING)
def test_no_global_random_state_moves(method: str) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    scores(tiny_lm("llama"), method, **DRAWING[method])
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()
    assert before[2] == random.getstate()


@pytest.mark.parametrize("method", [*PERTURBING, "smoothgrad", "gradient-shap"])
def test_less_memory_changes_the_parts_and_not_the_scores(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = tiny_lm("llama")
    options = DRAWING.get(method, {})
    expected = scores(lm, method, **options)
    whole = gradients.Text.forward

    def tight(text: gradients.Text, points: Tensor, most: int = 2) -> Tensor:
        if len(points) > most:
            raise torch.OutOfMemoryError("out of memory")
        return whole(text, points)

    monkeypatch.setattr(gradients.Text, "forward", tight)
    torch.testing.assert_close(scores(lm, method, **options), expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(gradients.Text, "forward", lambda text, points: tight(text, points, 0))
    with pytest.raises(OutOfMemoryError, match="a single pass at a time"):
        scores(lm, method, **options)


def test_costs_at_a_hundred_tokens() -> None:
    costs = {name: heat.methods()[name]().cost(100, 1) for name in [*PERTURBING, *DRAWING]}
    assert costs == {
        "kernel-shap": 2248,
        "lime": 512,
        "occlusion": 101,
        "shapley-sampling": 2501,
        "gradient-shap": 50,
        "smoothgrad": 50,
    }


@pytest.mark.parametrize("method", ["occlusion", "shapley-sampling", "kernel-shap", "lime"])
def test_the_cost_is_the_number_of_sequences_that_pass(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    passed = 0
    whole = gradients.Text.forward

    def counted(text: gradients.Text, points: Tensor) -> Tensor:
        nonlocal passed
        passed += len(points)
        return whole(text, points)

    monkeypatch.setattr(gradients.Text, "forward", counted)
    options = DRAWING.get(method, {})
    scores(lm, method, **options)
    assert passed == heat.methods()[method](**options).cost(len(IDS), 1)
