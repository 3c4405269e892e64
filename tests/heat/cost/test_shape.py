"""What a config says of a model, against the model itself."""

import pytest
import torch
from fakes.tiny_models import FAMILIES, PARTICULAR, tiny_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, GraniteMoeHybridConfig, MixtralConfig

import heat
from heat.checks import attention_obstacle, gradient_obstacle, whole_obstacle
from heat.cost.shape import shape_of
from heat.cost.variants import Rate, variant

N_TOKENS = 24
EXPERTS = {
    "mixtral": {"num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen3_moe": {"num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 16},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 1},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "layer_types": ["full_attention"] * 2},
    "jetmoe": {"num_local_experts": 4, "num_experts_per_tok": 2, "kv_channels": 8},
    # All are computed, whichever is chosen.
    "llama4_text": {"num_local_experts": 4, "num_experts_per_tok": 1, "intermediate_size_mlp": 48},
    "deepseek_v3": {
        **{
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
            "n_shared_experts": 1,
        },
        **{"num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 4},
        **{"qk_rope_head_dim": 4, "v_head_dim": 6, "head_dim": 4},
        **{"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
    },
    "dbrx": {
        **{"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 64},
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 1},
    },
}
COMMON = {
    **{"vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64},
}


@pytest.mark.parametrize("family", EXPERTS)
def test_the_work_of_experts_is_what_is_computed(family: str) -> None:
    options = EXPERTS[family] if family == "dbrx" else {**COMMON, **EXPERTS[family]}
    torch.manual_seed(0)
    config = CONFIG_MAPPING[family](**options)
    config._experts_implementation = "eager"  # one product after another, which the counter knows
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.arange(5, 5 + N_TOKENS)[None], use_cache=False, logits_to_keep=1)
    shape = shape_of(model.config, family)
    # Attention of the eager kind is computed whole, of which half counts; routers do not count.
    counted = counter.get_total_flops() - 2 * shape.n_layers * N_TOKENS**2 * shape.query_width
    assert shape.forward_flops(N_TOKENS) == pytest.approx(counted, rel=0.06)
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())
    assert 0 < shape.active_experts <= shape.experts
    assert (shape.active_experts == shape.experts) == (family == "llama4_text")


def test_mixtral_takes_two_of_eight_experts() -> None:
    shape = shape_of(MixtralConfig(), "mixtral-8x7b")
    assert shape.forward_flops(300) == pytest.approx(7.6e12, rel=0.01)
    assert shape.parameters == pytest.approx(46.7e9, rel=1e-3)
    assert shape.active == pytest.approx(12.9e9, rel=3e-3)
    assert shape.inner == 2 * 14336


@pytest.mark.parametrize("family", [*FAMILIES, *PARTICULAR])
def test_a_config_says_what_is_refused(family: str) -> None:
    model = tiny_model(family)
    obstacles = shape_of(model.config, family).obstacles
    assert ("forward" in obstacles) == bool(whole_obstacle(model))
    if not whole_obstacle(model):
        assert ("attention" in obstacles) == bool(attention_obstacle(model))
        assert ("gradients" in obstacles) == bool(gradient_obstacle(model))


def test_a_hybrid_without_the_other_kind_of_block_is_not_refused() -> None:
    both, alone = (
        shape_of(GraniteMoeHybridConfig(num_hidden_layers=2, layer_types=kinds), "x").obstacles
        for kinds in (["linear_attention", "full_attention"], ["full_attention"] * 2)
    )
    assert "lets tokens meet in other ways" in both["attention"]
    assert alone == {}


def test_blocks_of_different_widths_and_contexts_without_a_limit() -> None:
    found = shape_of(tiny_model("gemma4_text", global_head_dim=16).config, "gemma4")
    assert (found.query_width, found.key_width, found.inner) == (4 * 16, 2 * 16, 64)
    assert shape_of(CONFIG_MAPPING["xlnet"](n_layer=2, d_model=32, n_head=4), "xlnet").context is None


def test_what_needs_nothing_of_what_is_refused_has_no_obstacle() -> None:
    shape = shape_of(tiny_model("lfm2").config, "lfm2")
    found = {
        name: variant(shape, heat.methods()[name](), Rate(1.0, 1.0, 1.0), 20).obstacle
        for name in ("heat", "relevance", "no-gate", "kl-only")
    }
    assert all("tokens meet in other ways" in found[name] for name in ("heat", "relevance"))
    assert found["no-gate"] == found["kl-only"] == ""
