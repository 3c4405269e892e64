"""Methods that captum or a rollout computes, against formulas written out here."""

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients
from fakes.tiny_models import tiny_lm
from torch import Tensor

import heat

IDS = [5, 17, 200, 31, 9, 88]
TARGET = 140


def log_prob(model: torch.nn.Module, embeddings: Tensor) -> Tensor:
    return model(inputs_embeds=embeddings).logits[:, len(IDS) - 1].log_softmax(-1)[:, TARGET]


def gradient_at(model: torch.nn.Module, embeddings: Tensor) -> Tensor:
    point = embeddings.clone().requires_grad_()
    return torch.autograd.grad(log_prob(model, point).sum(), point)[0][0]


@pytest.fixture(params=["gpt2", "llama"])
def lm(request: pytest.FixtureRequest) -> heat.LanguageModel:
    return tiny_lm(str(request.param))


@pytest.fixture
def embeddings(lm: heat.LanguageModel) -> Tensor:
    embedded: Tensor = lm.model.get_input_embeddings()(torch.tensor([IDS])).detach()
    return embedded


def test_input_x_gradient(lm: heat.LanguageModel, embeddings: Tensor) -> None:
    expected = (embeddings[0] * gradient_at(lm.model, embeddings)).sum(-1)
    found = heat.attribute(lm, IDS, [TARGET], "input-x-gradient").scores[0, :-1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_gradient_norm(lm: heat.LanguageModel, embeddings: Tensor) -> None:
    expected = gradient_at(lm.model, embeddings).norm(dim=-1)
    found = heat.attribute(lm, IDS, [TARGET], "gradient-norm").scores[0, :-1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_norms_are_those_of_captum_s_products(lm: heat.LanguageModel, embeddings: Tensor) -> None:
    def forward(points: Tensor) -> Tensor:
        return log_prob(lm.model, points)

    steps = IntegratedGradients(forward).attribute(embeddings, n_steps=20)
    for method, products, options in (
        ("input-x-gradient-norm", InputXGradient(forward).attribute(embeddings.clone().requires_grad_()), {}),
        ("integrated-gradients-norm", steps, {"n_steps": 20}),
    ):
        scores = heat.attribute(lm, IDS, [TARGET], method, **options).scores[0, :-1]
        torch.testing.assert_close(scores, products[0].square().sum(-1).sqrt(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("baseline", ["zero", "pad", "mean"])
@pytest.mark.parametrize("budget", [1, 4096])
def test_integrated_gradients(lm: heat.LanguageModel, embeddings: Tensor, baseline: str, budget: int) -> None:
    weight = lm.model.get_input_embeddings().weight.detach()
    pad = lm.model.config.pad_token_id
    start = {
        "zero": torch.zeros_like(weight[0]),
        "pad": weight[lm.model.config.eos_token_id if pad is None else pad],
        "mean": weight[[*IDS, TARGET]].mean(0),
    }[baseline]
    # Gauss-Legendre on [0, 1]: nodes (x + 1) / 2, weights w / 2.
    nodes, weights = np.polynomial.legendre.leggauss(20)
    total = sum(
        float(w) / 2 * gradient_at(lm.model, start + (float(x) + 1) / 2 * (embeddings - start))
        for x, w in zip(nodes, weights, strict=True)
    )
    expected = (total * (embeddings[0] - start)).sum(-1)
    found = heat.attribute(
        lm, IDS, [TARGET], "integrated-gradients", n_steps=20, baseline=baseline, batch_tokens=budget
    ).scores[0, :-1]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_integrated_gradients_are_complete(lm: heat.LanguageModel, embeddings: Tensor) -> None:
    # Σ_i IG_i = g(E) - g(baseline). Not from zero, where RMSNorm jumps and no step is small enough.
    mean = lm.model.get_input_embeddings().weight.detach()[[*IDS, TARGET]].mean(0).expand_as(embeddings)
    with torch.no_grad():
        expected = float(log_prob(lm.model, embeddings) - log_prob(lm.model, mean))
    found = heat.attribute(
        lm, IDS, [TARGET], "integrated-gradients", n_steps=200, baseline="mean"
    ).scores.sum()
    assert float(found) == pytest.approx(expected, abs=0.01)


def test_attention_rollout_equals_dense_products(lm: heat.LanguageModel) -> None:
    model = lm.model
    found = heat.attribute(lm, IDS, [TARGET], "attention-rollout").scores[0, :-1]
    model.set_attn_implementation("eager")
    attentions = model(torch.tensor([IDS]), output_attentions=True).attentions
    product = torch.eye(len(IDS))
    for weights in attentions:
        product = (0.5 * weights[0].mean(0) + 0.5 * torch.eye(len(IDS))) @ product
    torch.testing.assert_close(found, product[-1].detach(), rtol=1e-4, atol=1e-6)


def test_random_is_uniform_and_seeded_by_the_text() -> None:
    lm = tiny_lm("llama")
    drawn = torch.cat([heat.attribute(lm, [5] * n, [TARGET], "random").scores[0, :-1] for n in range(10, 60)])
    # 1,725 draws of U(0, 1): mean 0.5 with standard error 0.289 / √1725 = 0.007.
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.035)
    assert 0 <= float(drawn.min()) < 0.05
    assert 0.95 < float(drawn.max()) < 1
