"""Information of spans where little is expected, against masking by hand."""

import pytest
import torch
from fakes.batches import batch_of
from fakes.tiny_models import tiny_lm, tiny_model

import heat
from heat.batch import Batch, collate
from heat.components import information
from heat.components.adaptive import adaptive_information
from heat.errors import ConfigError
from heat.registry import build

PROMPT = "Tom took a knife, and Ann had wood. The gate is made of iron. Answer:"
IDS = [5, 17, 200, 31, 9, 88, 140, 7, 61, 12]


def two_texts() -> Batch:
    """Three targets in two texts, the second of them padded on the right."""
    ids = torch.tensor([IDS, IDS[::-1]])
    attention_mask = torch.ones_like(ids)
    attention_mask[1, -3:] = 0
    rows, positions = torch.tensor([0, 0, 1]), torch.tensor([5, 8, 5])
    return Batch(ids, attention_mask, rows, positions, ids[rows, positions + 1])


@pytest.mark.parametrize("mask", ["zero", "mean", "attention", "pad"])
def test_without_tolerance_every_token_that_matters_is_masked_alone(mask: str) -> None:
    model, batch = tiny_model("llama", pad_token_id=0).double(), two_texts()
    estimate = torch.zeros(batch.context.shape)
    adaptive = adaptive_information(model, batch, estimate, mask=mask, tolerance=0, span=3)
    torch.testing.assert_close(adaptive.information, information(model, batch, mask=mask))
    assert float(adaptive.unexplained.abs().max()) == 0


def test_a_span_is_masked_together_and_its_divergence_is_shared() -> None:
    model, batch = tiny_model("gpt2").double(), batch_of(IDS)
    estimate = torch.zeros(batch.context.shape)
    # Tokens 4 and 8 (the last) are alone, and between them stand spans of two, and of one.
    estimate[0, 4] = 1.0
    adaptive = adaptive_information(model, batch, estimate, tolerance=1 - 1e-6, span=2)
    embeddings = model.get_input_embeddings()(batch.token_ids).detach()
    with torch.no_grad():
        p = model(inputs_embeds=embeddings).logits[0, -2].log_softmax(-1)
        for first, length in ((0, 2), (2, 2), (4, 1), (5, 2), (7, 1), (8, 1)):
            changed = embeddings.clone()
            changed[0, first : first + length] = 0
            q = model(inputs_embeds=changed).logits[0, -2].log_softmax(-1)
            expected = ((p.exp() * (p - q)).sum() / length).expand(length)
            torch.testing.assert_close(adaptive.information[0, first : first + length], expected)
    spans = torch.tensor([1, 1, 1, 1, 0, 1, 1, 0, 0, 0], dtype=torch.bool)
    expected = torch.where(spans, adaptive.information[0], 0.0) / adaptive.information[0].sum()
    torch.testing.assert_close(adaptive.unexplained[0], expected)


@pytest.mark.parametrize("tolerance", [0.1, 0.4])
def test_a_wrong_estimate_costs_passes_and_no_accuracy(tolerance: float) -> None:
    model, batch = tiny_model("llama").double(), two_texts()
    exact = information(model, batch)
    # All of it where the least is.
    least = torch.where(batch.context, exact, torch.inf).argmin(-1)
    wrong = torch.nn.functional.one_hot(least, len(IDS)).double()
    adaptive = adaptive_information(model, batch, wrong, tolerance=tolerance, span=2)
    shares = adaptive.unexplained.sum(-1)
    assert float(shares.max()) <= tolerance + 1e-6
    assert (float(shares.max()) > 0) == (tolerance == 0.4)
    alone = batch.context & (adaptive.unexplained == 0)
    torch.testing.assert_close(adaptive.information[alone], exact[alone])


def test_products_in_bfloat16_are_near() -> None:
    model, batch = tiny_model("llama"), two_texts()
    estimate = information(model, batch)
    one, other = (
        adaptive_information(model, batch, estimate, span=2, precision=precision).information
        for precision in ("float32", "bfloat16")
    )
    torch.testing.assert_close(other, one, rtol=0.4, atol=1e-7)


def test_options_out_of_range_are_refused() -> None:
    model, batch = tiny_model("llama"), batch_of(IDS)
    for options in ({"span": 0}, {"tolerance": 1.5}):
        with pytest.raises(ConfigError, match="a share from 0 to 1"):
            adaptive_information(model, batch, torch.zeros(batch.context.shape), **options)


def test_with_rows_of_the_hessian_and_no_tolerance_it_is_heat() -> None:
    lm = tiny_lm("llama")
    adaptive = heat.attribute(lm, PROMPT, " iron.", "heat-adaptive", mode="row", tolerance=0)
    exact = heat.attribute(lm, PROMPT, " iron.", "heat")
    torch.testing.assert_close(adaptive.scores, exact.scores, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(adaptive.log_probs, exact.log_probs)


def test_the_attribution_says_what_is_unexplained_and_can_be_weighed_anew() -> None:
    lm = tiny_lm("gpt2")
    whole = heat.attribute(lm, PROMPT, " iron.", "heat-adaptive", tolerance=0.2)
    shares = whole.components["unexplained"].sum(-1)
    assert float(shares.max()) <= 0.2 + 1e-6
    again = heat.recombine(whole, "heat-adaptive", tolerance=0.2, beta=0.9, gamma=0.1)
    expected = heat.attribute(lm, PROMPT, " iron.", "heat-adaptive", tolerance=0.2, beta=0.9, gamma=0.1)
    torch.testing.assert_close(again.scores, expected.scores)
    with pytest.raises(ConfigError, match="information"):
        heat.recombine(whole, "heat")


def test_one_graph_serves_gate_gradient_and_fisher() -> None:
    costs = build("heat-adaptive", {"mode": "fisher", "n_probes": 5}).costs(100, 2)
    assert (costs["transition"], costs["gradient"], costs["curvature"], costs["unexplained"]) == (
        3.0,
        0.0,
        10.0,
        0.0,
    )
    lm, passes = tiny_lm("llama"), []
    heat.attribute(lm, PROMPT, " iron", "heat-adaptive")
    handle = lm.model.register_forward_hook(lambda *_: passes.append(1))
    try:
        batch = collate([heat.encode(lm, PROMPT, " iron")])
        adaptive_information(lm.model, batch, torch.zeros(batch.context.shape), tolerance=1)
        alone = len(passes)
        heat.attribute(lm, PROMPT, " iron", "heat-adaptive", tolerance=1)
    finally:
        handle.remove()
    assert len(passes) - alone == 1 + alone
