"""Methods that read attention and hidden states, against formulas written out on the model's own outputs."""

import networkx
import pytest
import torch
from fakes.tiny_models import tiny_lm, tiny_model
from torch import Tensor

import heat
from heat.algorithms.attention import max_flows
from heat.errors import ConfigError, PromptTooLongError

IDS = [5, 17, 200, 31, 9, 88]
TARGET, FOIL = 140, 33


@pytest.fixture(params=["gpt2", "llama"])
def lm(request: pytest.FixtureRequest) -> heat.LanguageModel:
    return tiny_lm(str(request.param))


def scores(lm: heat.LanguageModel, method: str, **options: object) -> Tensor:
    return heat.attribute(lm, IDS, [TARGET], method, **options).scores[0, :-1]


def eager_attentions(lm: heat.LanguageModel) -> list[Tensor]:
    lm.model.set_attn_implementation("eager")
    found = lm.model(torch.tensor([IDS]), output_attentions=True).attentions
    return [weights[0].detach() for weights in found]


def test_attention_last_is_the_last_block_s_mean_row(lm: heat.LanguageModel) -> None:
    found = scores(lm, "attention-last")
    torch.testing.assert_close(found, eager_attentions(lm)[-1].mean(0)[-1], rtol=1e-4, atol=1e-6)


def test_attention_flow_equals_networkx() -> None:
    lm = tiny_lm("llama", num_hidden_layers=3)
    found = scores(lm, "attention-flow")
    graph = networkx.DiGraph()
    for layer, weights in enumerate(eager_attentions(lm)):
        matrix = 0.5 * weights.mean(0) + 0.5 * torch.eye(len(IDS))
        for above in range(len(IDS)):
            for below in range(above + 1):
                graph.add_edge((layer + 1, above), (layer, below), capacity=float(matrix[above, below]))
    flows = torch.tensor(
        [networkx.maximum_flow_value(graph, (3, len(IDS) - 1), (0, j)) for j in range(len(IDS))]
    )
    torch.testing.assert_close(found, flows / flows.sum(), rtol=1e-4, atol=1e-6)


def test_max_flow_is_cut_at_the_narrowest_place() -> None:
    # From token 1 on top: 0.6 goes to middle 0 and 0.4 to middle 1. Middle 0 passes all it gets to token 0; middle 1
    # can give token 0 up to 0.3 and token 1 up to 0.7, of which 0.4 arrives.
    capacities = torch.tensor([[[1.0, 0.0], [0.3, 0.7]], [[1.0, 0.0], [0.6, 0.4]]], dtype=torch.float64)
    torch.testing.assert_close(max_flows(capacities), torch.tensor([0.9, 0.4], dtype=torch.float64))


def test_attention_flow_refuses_long_prompts_and_names_a_remedy() -> None:
    with pytest.raises(
        PromptTooLongError, match=r"has 6 tokens and attention-flow takes 5.*attention-rollout"
    ):
        heat.attribute(tiny_lm("llama"), IDS, [TARGET], "attention-flow", max_tokens=5)


def block_norms(lm: heat.LanguageModel) -> list[Tensor]:
    """‖Σ_h α^h (x W_V + b_V) W_O‖₂ from the weights of GPT-2 or grouped-query LLaMA."""
    hidden = lm.model(torch.tensor([IDS]), output_hidden_states=True).hidden_states
    found = []
    for index, weights in enumerate(eager_attentions(lm)):
        if lm.model.config.model_type == "gpt2":
            block = lm.model.transformer.h[index]
            x = block.ln_1(hidden[index])[0]
            values = (x @ block.attn.c_attn.weight + block.attn.c_attn.bias)[:, 64:]
            out = block.attn.c_proj.weight
        else:
            block = lm.model.model.layers[index]
            x = block.input_layernorm(hidden[index])[0]
            values = x @ block.self_attn.v_proj.weight.T
            out = block.self_attn.o_proj.weight.T
        n_values = values.shape[1] // 8
        norms = []
        for j in range(len(IDS)):
            moved = torch.zeros(32)
            for head in range(4):
                group = head * n_values // 4
                value = values[j, 8 * group : 8 * group + 8]
                moved = moved + weights[head, -1, j] * (value @ out[8 * head : 8 * head + 8])
            norms.append(moved.norm())
        found.append(torch.stack(norms).detach())
    return found


def with_random_biases(lm: heat.LanguageModel) -> heat.LanguageModel:
    """Biases begin at 0 in a new model, where a forgotten one would not show."""
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if name.endswith("bias"):
                weight.copy_(torch.linspace(-0.5, 0.5, weight.numel()))
    return lm


def test_value_norms_equal_the_formula_on_the_weights(lm: heat.LanguageModel) -> None:
    with_random_biases(lm)
    mean, last = scores(lm, "value-norms"), scores(lm, "value-norms", layers=1)
    norms = block_norms(lm)
    torch.testing.assert_close(mean, torch.stack(norms).mean(0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(last, norms[-1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["attention-last", "attention-rollout", "value-norms"])
def test_weights_made_some_queries_at_a_time_change_nothing(
    lm: heat.LanguageModel, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = heat.attribute(lm, IDS, [TARGET, 9], method)
    # Two queries at a time, of four heads and eight tokens.
    monkeypatch.setattr("heat.internals.attention.WEIGHTS_AT_ONCE", 2 * 4 * (len(IDS) + 2))
    parts = heat.attribute(lm, IDS, [TARGET, 9], method)
    torch.testing.assert_close(parts.scores, whole.scores, rtol=1e-4, atol=1e-6)


def test_relevance_equals_the_dense_update(lm: heat.LanguageModel) -> None:
    found = scores(lm, "relevance")
    lm.model.set_attn_implementation("eager")
    output = lm.model(torch.tensor([IDS]), output_attentions=True)
    g = output.logits[0, -1].log_softmax(-1)[TARGET]
    gradients = torch.autograd.grad(g, output.attentions)
    R = torch.eye(len(IDS))
    for weights, gradient in zip(output.attentions, gradients, strict=True):
        R = R + (weights[0] * gradient[0]).clamp_min(0).mean(0) @ R
    torch.testing.assert_close(found, R[-1].detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer", [None, 0, 1])
def test_peering_is_the_cosine_to_the_target_s_state(lm: heat.LanguageModel, layer: int | None) -> None:
    hidden = lm.model(torch.tensor([[*IDS, TARGET]]), output_hidden_states=True).hidden_states
    states = hidden[1 if layer is None else layer][0].detach()
    expected = torch.cosine_similarity(states[:-1], states[-1:], dim=-1)
    torch.testing.assert_close(scores(lm, "peering", layer=layer), expected, rtol=1e-4, atol=1e-6)


def test_peering_finds_the_target_s_own_copy_and_refuses_a_layer_that_is_not_there() -> None:
    # With the embeddings alone (no positions in LLaMA) a copy of the target is the target.
    found = heat.attribute(tiny_lm("llama"), [5, TARGET, 9], [TARGET], "peering", layer=0).scores[0]
    assert float(found[1]) == pytest.approx(1.0)
    assert found[[0, 2]].abs().max() < 0.9
    with pytest.raises(ConfigError, match="'layer' = 2: 'tiny llama' has the layers 0 to 1"):
        heat.attribute(tiny_lm("llama"), IDS, [TARGET], "peering", layer=2)


def contrast_gradient(lm: heat.LanguageModel, foil: int) -> Tensor:
    embeddings = lm.model.get_input_embeddings()(torch.tensor([IDS])).detach().requires_grad_()
    logits = lm.model(inputs_embeds=embeddings).logits[0, -1]
    return torch.autograd.grad(logits[TARGET] - logits[foil], embeddings)[0][0]


def test_contrastive_gradient_is_the_l1_norm_of_a_difference_of_logits(lm: heat.LanguageModel) -> None:
    expected = contrast_gradient(lm, FOIL).abs().sum(-1)
    torch.testing.assert_close(
        scores(lm, "contrastive-gradient", foil=[FOIL]), expected, rtol=1e-4, atol=1e-5
    )


def test_contrastive_gradient_takes_the_most_probable_other_token(lm: heat.LanguageModel) -> None:
    with torch.no_grad():
        best, second = lm.model(torch.tensor([IDS])).logits[0, -1].topk(2).indices.tolist()
    torch.testing.assert_close(
        scores(lm, "contrastive-gradient"), contrast_gradient(lm, best).abs().sum(-1), rtol=1e-4, atol=1e-5
    )
    # The target being the most probable itself, the second is its foil.
    own = heat.attribute(lm, IDS, [best], "contrastive-gradient").scores
    paired = heat.attribute(lm, IDS, [best], "contrastive-gradient", foil=[second]).scores
    torch.testing.assert_close(own, paired)


def test_position_grows_towards_the_target() -> None:
    found = heat.attribute(tiny_lm("llama"), IDS, [30, 40], "position").scores
    assert found[0, :6].tolist() == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert found[1, :7].tolist() == pytest.approx([place / 7 for place in range(1, 8)])


def test_lexical_overlap_marks_words_that_the_tail_repeats() -> None:
    prompt = "The gate is made of iron. Question: What is the gate made of? Answer:"
    found = heat.attribute(tiny_lm("llama"), prompt, " iron", "lexical-overlap", tail=10)
    marked = [name for name, score in zip(found.tokens, found.scores[0], strict=True) if score == 1]
    # Once, before the question; "is" and "of" have too few letters.
    assert marked == ["The", "Ġgate", "Ġmade"]
    assert found.scores[0].nonzero()[:, 0].tolist() == [1, 2, 4]
    assert set(found.scores[0].tolist()) == {0.0, 1.0}


def test_lexical_overlap_needs_a_second_occurrence() -> None:
    model = heat.LanguageModel(tiny_model("llama"), None)
    # Without a tokenizer ids are compared. Of the tail (9, 5, 7) only 5 occurs before it; 8 is no part of it.
    found = heat.attribute(model, [5, 8, 8, 9, 5, 7], [30], "lexical-overlap", tail=3).scores[0, :6]
    assert found.tolist() == [1, 0, 0, 0, 0, 0]
    # A word that stands twice in the tail marks itself.
    twice = heat.attribute(model, [8, 5, 9, 5], [30], "lexical-overlap", tail=3).scores[0, :4]
    assert twice.tolist() == [0, 1, 0, 1]
    none = heat.attribute(model, [1, 2, 3, 4], [30], "lexical-overlap").scores[0, :4]
    assert none.tolist() == [0.25] * 4
