"""HEAT without second derivatives, and the components it is made of, against explicit Jacobians."""

import copy

import pytest
import torch
from fakes.tiny_models import tiny_lm
from torch import Tensor

import heat
from heat.batch import Batch, collate
from heat.components.fisher import Fisher
from heat.components.gradient import GradientNorm
from heat.errors import ConfigError
from heat.internals.forward import at_targets, token_vectors
from heat.registry import build

PROMPT = "The gate is made of iron. Answer:"
ALIKE = {"atol": 1e-6, "rtol": 1e-4}


def batch_of(lm: heat.LanguageModel, foil: str | None = None) -> Batch:
    return collate([heat.encode(lm, PROMPT, " iron", foil=foil)])


def log_probs_and_jacobian(lm: heat.LanguageModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Log-probabilities [V] at the only target, and their Jacobian at the embeddings, [V, T, d]."""
    embeddings = token_vectors(lm.model, batch).requires_grad_()
    values = at_targets(lm.model, batch, embeddings)[0]
    rows = [torch.autograd.grad(value, embeddings, retain_graph=True)[0][0] for value in values]
    return values.detach(), torch.stack(rows)


def trace_of_blocks(values: Tensor, jacobian: Tensor) -> Tensor:
    """Trace of every token's block of E_y ∂log p(y) ∂log p(y)ᵀ, summed over the whole vocabulary; [T]."""
    return (values.exp()[:, None, None] * jacobian.square()).sum((0, 2))


@pytest.mark.parametrize("family", ["gpt2", "llama", "gptj"])
def test_the_fisher_trace_is_that_of_the_whole_jacobian(family: str) -> None:
    lm = tiny_lm(family)
    batch = batch_of(lm)
    trace = trace_of_blocks(*log_probs_and_jacobian(lm, batch))
    estimate = Fisher(n_probes=3000).compute(lm.model, batch, seed=0, batch_tokens=4096)[0].square()
    # The spread of one estimate is about its mean, so of 3,000 a fiftieth.
    assert torch.allclose(estimate, trace, rtol=0.1)
    inside = batch.context[0]
    # And the mean over tokens is not off to one side.
    assert abs(float((estimate[inside] / trace[inside]).mean()) - 1) < 0.05


def test_the_fisher_trace_between_target_and_foil_is_exact() -> None:
    lm = tiny_lm("llama")
    batch = batch_of(lm, foil=" wood")
    assert batch.foil_ids is not None
    values, jacobian = log_probs_and_jacobian(lm, batch)
    pair = torch.stack([batch.target_ids[0], batch.foil_ids[0]])
    share = values[pair].softmax(-1)
    # Log-probabilities of the two alone: what they share drops out.
    mean = (share[:, None, None] * jacobian[pair]).sum(0)
    trace = (share[:, None, None] * (jacobian[pair] - mean).square()).sum((0, 2))
    exact = Fisher(n_probes=1).compute(lm.model, batch, seed=0, batch_tokens=4096)[0].square()
    torch.testing.assert_close(exact, trace, **ALIKE)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gptj", "falcon"])
@pytest.mark.parametrize("foil", [None, " wood."])
def test_first_order_is_the_geometric_mean_of_two_other_methods(family: str, foil: str | None) -> None:
    lm = tiny_lm(family)
    scores = {
        name: heat.attribute(lm, PROMPT, " iron.", name, foil=foil).scores
        for name in ("heat-first-order", "transition-only", "gradient-norm")
    }
    expected = (scores["transition-only"] * scores["gradient-norm"]).sqrt()
    torch.testing.assert_close(scores["heat-first-order"], expected, **ALIKE)


def test_components_of_one_graph_are_those_computed_apart() -> None:
    lm = tiny_lm("llama")
    together = heat.attribute(lm, PROMPT, " iron.", "heat-fisher")
    gate = heat.attribute(lm, PROMPT, " iron.", "transition-only")
    fisher = heat.attribute(lm, PROMPT, " iron.", "fisher")
    torch.testing.assert_close(together.components["transition"], gate.scores, **ALIKE)
    torch.testing.assert_close(together.components["fisher"], fisher.scores, **ALIKE)
    assert torch.equal(together.scores, together.components["transition"] * together.components["fisher"])
    read_off = heat.recombine(together, "fisher", scale="trace")
    torch.testing.assert_close(read_off.scores, fisher.scores.square(), **ALIKE)


def test_one_graph_is_paid_for_once() -> None:
    # A forward pass, one backward pass a target for gate and gradient, and a pass a probe.
    assert build("heat-first-order", {}).costs(100, 3) == {"transition": 4.0, "gradient": 0.0}
    assert build("heat-fisher", {"n_probes": 5}).costs(100, 3) == {"transition": 4.0, "fisher": 15.0}
    assert build("fisher", {"n_probes": 5}).cost(100, 3) == 16.0
    apart = build("heat-first-order", {"residual": "relevance"}).costs(100, 1)
    assert apart == {"transition": 2.0, "gradient": 2.0}


@pytest.mark.parametrize("residual", ["full", "relevance"])
def test_the_gradient_norm_is_counted_in_as_many_passes_as_it_takes(residual: str) -> None:
    lm = tiny_lm("llama")
    # What is tried of a model once comes first.
    heat.attribute(lm, PROMPT, " iron", "heat-first-order", residual=residual)
    passes: list[int] = []
    handle = lm.model.register_forward_hook(lambda *_: passes.append(1))
    try:
        heat.attribute(lm, PROMPT, " iron", "heat-first-order", residual=residual)
    finally:
        handle.remove()
    # The graph gives log p(target) too; without one it takes another pass.
    assert len(passes) == (1 if residual == "full" else 3)


def test_temperature_looks_at_no_target() -> None:
    lm = copy.deepcopy(tiny_lm("llama"))
    # An RMS norm without weights of its own gives vectors of one length, whose gradient is rounding.
    with torch.no_grad():
        weight = lm.model.base_model.norm.weight
        weight.copy_(torch.linspace(0.1, 3.0, len(weight)))
    one, other = (heat.attribute(lm, list(range(10, 20)), [target], "temperature") for target in (30, 40))
    assert torch.equal(one.scores, other.scores)
    batch = batch_of(lm)
    embeddings = token_vectors(lm.model, batch).requires_grad_()
    hidden = lm.model.base_model(inputs_embeds=embeddings).last_hidden_state[0, batch.positions[0]]
    (gradient,) = torch.autograd.grad(hidden.norm(), embeddings)
    expected = torch.where(batch.context, gradient.norm(dim=-1), 0.0)
    scores = heat.attribute(lm, PROMPT, " iron", "temperature").scores
    torch.testing.assert_close(scores, expected[:, : scores.shape[1]], **ALIKE)


def test_the_temper_opens_the_gate_and_costs_nothing_where_the_parts_are_there() -> None:
    lm = tiny_lm("llama")
    whole = heat.attribute(lm, PROMPT, " iron", "heat")
    opened = heat.recombine(whole, "heat", temper=0.5)
    mixed = heat.recombine(whole, "no-gate").scores
    torch.testing.assert_close(opened.scores, whole.components["transition"].sqrt() * mixed, **ALIKE)
    # The option came later: at 1 it is not part of what results are found by.
    assert "temper" not in whole.config
    assert opened.config["temper"] == 0.5


@pytest.mark.parametrize("mode", ["fisher", "gradient"])
def test_curvature_of_first_derivatives(mode: str) -> None:
    lm = tiny_lm("llama")
    attribution = heat.attribute(lm, PROMPT, " iron", "heat", mode=mode)
    component = Fisher() if mode == "fisher" else GradientNorm()
    expected = component.compute(lm.model, batch_of(lm), seed=0, batch_tokens=4096)
    torch.testing.assert_close(
        attribution.components["curvature"], expected[:, : attribution.scores.shape[1]], **ALIKE
    )
    with pytest.raises(ConfigError, match="approximates the Hessian"):
        heat.attribute(lm, PROMPT, " iron", "heat-low-rank", mode=mode)
