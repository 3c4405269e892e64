"""The gate in deep models, where what moves a fixed share per block ends on the attention sink."""

import logging

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import heat
from heat.api import _warn_of_collapse
from heat.batch import Batch
from heat.components.transition import collapsed, transition
from heat.internals.attention import capture_attention
from heat.internals.forward import embed
from heat.model import LanguageModel

BLOCKS = 30
SINK = 1
HEADS, WIDTH = 2, 8
SLOW = 3  # of a head's dimensions the one that rotary embeddings turn least


def deep_model_with_sink() -> LanguageModel:
    """30 blocks of random weights in which every token attends mostly to the first, as pretrained models do."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=HEADS * WIDTH,
        intermediate_size=24,
        num_hidden_layers=BLOCKS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=64,
        attention_bias=True,
        initializer_range=0.1,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        # Dimension 0 of the residual stream says "I am the sink", and no block writes to it.
        model.model.embed_tokens.weight[:, 0] = 0.0
        model.model.embed_tokens.weight[SINK] = 0.0
        model.model.embed_tokens.weight[SINK, 0] = 3.0
        for block in model.model.layers:
            block.self_attn.o_proj.weight[0] = 0.0
            block.self_attn.o_proj.bias.zero_()
            block.mlp.down_proj.weight[0] = 0.0
            for head in range(HEADS):
                row = head * WIDTH + SLOW
                block.self_attn.q_proj.bias[row] = 6.0
                block.self_attn.k_proj.weight[row] = 0.0
                block.self_attn.k_proj.weight[row, 0] = 2.0
    return LanguageModel(model=model, tokenizer=None, name="deep", revision="deep")


def text(n_tokens: int = 24) -> Batch:
    ids = torch.randint(2, 64, (1, n_tokens), generator=torch.Generator().manual_seed(1))
    ids[0, 0] = SINK
    last = torch.tensor([n_tokens - 2])
    return Batch(ids, torch.ones_like(ids), torch.tensor([0]), last, ids[0, -1:])


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return deep_model_with_sink()


@pytest.fixture(autouse=True)
def warn_anew() -> None:
    _warn_of_collapse.cache_clear()


def test_the_model_has_a_sink(lm: LanguageModel) -> None:
    batch = text()
    with torch.no_grad():
        _, blocks = capture_attention(lm.model, batch, embed(lm.model, batch))
    weights = torch.stack([block.weights[0] for block in blocks])
    assert weights[:, :, 5:, 0].mean() > 0.5


def test_the_default_gate_does_not_collapse_on_the_sink(lm: LanguageModel) -> None:
    batch = text()
    found = transition(lm.model, batch)
    assert found[0, :2].sum() < 0.5
    assert not collapsed(found)


@pytest.mark.parametrize("residual", ["half", "relevance"])
def test_a_fixed_share_per_block_collapses(lm: LanguageModel, residual: str) -> None:
    found = transition(lm.model, text(), residual=residual)  # type: ignore[arg-type]
    assert collapsed(found)


def test_heat_warns_once_of_a_collapsed_gate(lm: LanguageModel, caplog: pytest.LogCaptureFixture) -> None:
    ids = text().token_ids[0].tolist()
    with caplog.at_level(logging.WARNING, logger="heat"):
        for end in (20, 22):
            heat.attribute(lm, ids[:end], [ids[end]], "transition-only", residual="half")
    assert [record.message for record in caplog.records] == [
        "transition-only on deep: over 90 % of the transition lies on the first two tokens, so the scores rank by "
        "position; use transition='gradient' with residual='full', the default"
    ]


def test_heat_does_not_warn_of_the_default(lm: LanguageModel, caplog: pytest.LogCaptureFixture) -> None:
    ids = text().token_ids[0].tolist()
    with caplog.at_level(logging.WARNING, logger="heat"):
        heat.attribute(lm, ids[:20], [ids[20]], "heat")
    assert not caplog.records


def test_a_short_text_never_collapses() -> None:
    assert not collapsed(torch.tensor([[1.0, 0.0, 0.0]]))
    assert collapsed(torch.tensor([[0.5, 0.45, *[0.05 / 10] * 10]]))
    assert not collapsed(torch.tensor([[0.4, 0.45, *[0.15 / 10] * 10]]))
    assert collapsed(torch.tensor([[0.5, 0.45, *[0.05 / 8] * 8]]))  # ten tokens
    assert not collapsed(torch.tensor([[0.5, 0.45, *[0.05 / 7] * 7]]))
    # The mean over the targets counts, not the worst of them.
    rest = [1 / 12] * 12
    assert not collapsed(torch.tensor([[1.0, *[0.0] * 11], rest]))
