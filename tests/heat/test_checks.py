"""Models on which numbers would be wrong: they are given what they need, or refused in a sentence."""

from typing import Any

import pytest
import torch
from fakes.tiny_models import FAMILIES, PARTICULAR, tiny_model
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

import heat
from heat.batch import Batch
from heat.checks import attention_obstacle, check, gradient_obstacle, whole_obstacle
from heat.components import curvature, transition
from heat.components import prefix as prefix_module
from heat.components.information import information
from heat.components.prefix import keeps_prefixes
from heat.errors import PromptTooLongError, UnsupportedModelError
from heat.internals.attention import attention_modules, capture_attention, projection_of
from heat.internals.forward import at_targets, embed, replacement, target_log_probs, token_vectors
from heat.internals.state import frozen
from heat.model import LanguageModel

IDS = [40, 7, 199, 250, 31, 88, 120, 5, 301, 64]
BLOCK_PARTS = ["gemma3n_text", "gemma4_text"]


def bare(family: str, **changes: Any) -> LanguageModel:
    return LanguageModel(tiny_model(family, **changes), None, name=family)


def text_of(ids: list[int]) -> Batch:
    token_ids = torch.tensor([ids])
    return Batch(
        token_ids,
        torch.ones_like(token_ids),
        torch.tensor([0]),
        torch.tensor([len(ids) - 2]),
        token_ids[0, -1:],
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_ordinary_families_pass(family: str) -> None:
    model = tiny_model(family)
    assert whole_obstacle(model) == ""
    assert attention_obstacle(model) == ""
    assert keeps_prefixes(model)


# --- tokens that are looked up more than once -----------------------------------------------------------------------


@pytest.mark.parametrize("family", BLOCK_PARTS)
def test_what_blocks_look_up_is_given_with_the_embeddings(family: str) -> None:
    model, batch = tiny_model(family), text_of(IDS)
    with torch.no_grad():
        said = model(input_ids=batch.token_ids, use_cache=False).logits[0, -2].log_softmax(-1)[IDS[-1]]
        alone = target_log_probs(model, batch, embed(model, batch))
        whole = target_log_probs(model, batch, token_vectors(model, batch))
    assert float(whole) == pytest.approx(float(said), abs=1e-5)
    assert float(alone) == pytest.approx(float(said), abs=1e-5)
    assert token_vectors(model, batch).shape[-1] == 32 + 4 * 8
    for method in ("heat", "kl-only", "gradient-norm", "integrated-gradients", "relevance"):
        found = heat.attribute(bare(family), IDS[:-1], IDS[-1:], method)
        assert float(found.log_probs[0]) == pytest.approx(float(said), abs=1e-4), method


@pytest.mark.parametrize("family", BLOCK_PARTS)
def test_a_masked_token_is_hidden_from_every_block_too(family: str) -> None:
    model, batch = tiny_model(family), text_of(IDS)
    decoder = model.get_decoder()
    rows = []
    with torch.no_grad():
        for masked in (None, *range(len(IDS) - 1)):
            embeddings, parts = embed(model, batch), decoder.get_per_layer_inputs(batch.token_ids).clone()
            if masked is not None:
                embeddings[0, masked], parts[0, masked] = 0, 0
            output = model(inputs_embeds=embeddings, per_layer_inputs=parts, use_cache=False)
            rows.append(output.logits[0, -2].log_softmax(-1))
    expected = torch.stack([(rows[0].exp() * (rows[0] - each)).sum() for each in rows[1:]])
    for prefix_cache in (True, False):
        found = information(model, batch, prefix_cache=prefix_cache)[0, :-1]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_the_padding_token_stands_in_with_all_its_parts() -> None:
    model, batch = tiny_model("gemma3n_text", pad_token_id=9), text_of(IDS)
    found = replacement(model, batch, token_vectors(model, batch), "pad")
    assert torch.equal(found[0], token_vectors(model, text_of([9, 9]))[0, 0])


def test_blocks_of_several_streams_are_not_read_as_one() -> None:
    lm = bare("gemma3n_text")
    for method, options in (
        ("peering", {}),
        ("heat", {"residual": "relevance"}),
        ("heat-layer-sampling", {}),
    ):
        with pytest.raises(UnsupportedModelError, match="do not hand on one vector a token"):
            heat.attribute(lm, IDS[:-1], IDS[-1:], method, **options)


@pytest.mark.parametrize(("family", "options"), [("gemma4_text", {}), ("opt", {"word_embed_proj_dim": 16})])
def test_a_blocks_input_may_have_another_width_than_what_is_looked_up(
    family: str, options: dict[str, Any]
) -> None:
    model, batch = tiny_model(family, **options), text_of(IDS)
    assert token_vectors(model, batch).shape[-1] != 32
    found = [
        curvature(model, batch, products=products, n_probes=2, layers=1)
        for products in ("batched", "double-backward", "finite-difference")
    ]
    for each in found:
        torch.testing.assert_close(each, found[0], rtol=2e-2, atol=1e-3)
    assert (found[0][0, : len(IDS) - 1] > 0).any()
    assert heat.attribute(bare(family, **options), IDS, [3], "heat-layer-sampling").scores.isfinite().all()


def test_a_model_that_takes_more_than_embeddings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = bare("llama")
    decoder: Any = lm.model.get_decoder()
    original = decoder.forward

    def forward(input_ids: Tensor | None = None, **options: Any) -> Any:
        output = original(input_ids=input_ids, **options)
        if input_ids is not None:
            output.last_hidden_state = output.last_hidden_state + 0.1 * input_ids[..., None].sin()
        return output

    monkeypatch.setattr(decoder, "forward", forward)
    with pytest.raises(UnsupportedModelError, match=r"answers differently when it is given .* embeddings"):
        heat.attribute(lm, IDS, [3], "gradient-norm")
    assert heat.attribute(lm, IDS, [3], "random").scores.shape == (1, len(IDS) + 1)


def test_a_model_that_writes_over_its_input_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="writes over the embeddings"):
        heat.attribute(bare("ctrl"), IDS, [3], "kl-only")


def test_a_model_that_fails_is_refused_with_its_own_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = bare("llama")

    def forward(*arguments: Any, **options: Any) -> Any:
        raise KeyError("no such cache\nsecond line")

    monkeypatch.setattr(lm.model, "forward", forward)
    with pytest.raises(
        UnsupportedModelError, match=r"cannot be run .*KeyError: 'no such cache.*; use another model$"
    ):
        check(lm.model, "x")


def test_memory_that_runs_out_is_no_fault_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = bare("llama")

    def forward(*arguments: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(lm.model, "forward", forward)
    with pytest.raises(torch.OutOfMemoryError):
        check(lm.model, "x")


def test_a_model_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = bare("llama")
    heat.attribute(lm, IDS, [3], "heat", n_probes=1)
    passes: list[None] = []
    lm.model.lm_head.register_forward_hook(lambda *_: passes.append(None))
    check(lm.model, "x", ("attention",))
    assert passes == []


# --- attention that is not what goes on ------------------------------------------------------------------------------


def dense_relevance(model: Any, batch: Batch) -> Tensor:
    """The walk over transformers' own attention weights and their own gradients, under its eager attention."""
    model.set_attn_implementation("eager")
    output = model(
        inputs_embeds=embed(model, batch).requires_grad_(), output_attentions=True, use_cache=False
    )
    g = output.logits[0, -2].log_softmax(-1)[batch.target_ids[0]]
    gradients = torch.autograd.grad(g, output.attentions)
    walked = torch.eye(batch.token_ids.shape[1])
    for weights, gradient in zip(output.attentions, gradients, strict=True):
        weights, gradient = weights[..., : len(walked)], gradient[..., : len(walked)]
        walked = walked + (weights * gradient).clamp_min(0)[0].mean(0).detach() @ walked
    return walked[-2]


@pytest.mark.parametrize("family", ["bitnet", "afmoe", "gpt_oss", "llama"])
def test_relevance_is_taken_at_the_attention_and_not_behind_a_gate_or_norm(family: str) -> None:
    model, batch = tiny_model(family), text_of(IDS)
    found = heat.attribute(LanguageModel(model, None), IDS[:-1], IDS[-1:], "relevance").scores[0, :-1]
    gate = transition(model, batch, residual="full")[0, :-1]
    expected = dense_relevance(model, batch)[:-1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gate, expected / expected.sum(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["bitnet", "afmoe"])
def test_value_norms_count_the_gate_at_the_target(family: str) -> None:
    lm, batch = bare(family), text_of(IDS)
    with frozen(lm.model), torch.no_grad():
        _, blocks = capture_attention(lm.model, batch, embed(lm.model, batch))
    expected = torch.zeros(len(IDS) - 1)
    for block in blocks:
        gate = block.gate()
        assert gate is not None
        moved = torch.einsum(
            "hj,hjk,hk,hkd->jd",
            block.weights[0, :, -2],
            block.expanded_values()[0],
            gate[0, :, -2],
            block.projection,
        )
        # What the tokens move together is what the projection gives for what really enters it.
        assert block.projected is not None
        together = torch.einsum("hk,hkd->d", block.per_head(block.projected)[0, :, -2], block.projection)
        torch.testing.assert_close(moved.sum(0), together, rtol=1e-3, atol=1e-5)
        expected += moved[:-1].norm(dim=-1) / len(blocks)
    found = heat.attribute(lm, IDS[:-1], IDS[-1:], "value-norms").scores[0, :-1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UnsupportedModelError, match="gate or norm between its attention and the output"):
        heat.attribute(lm, IDS[:-1], IDS[-1:], "heat", transition="value")


def test_a_family_with_something_unknown_behind_its_own_attention_is_refused() -> None:
    model: Any = tiny_model("gptj")
    assert attention_obstacle(model) == ""
    model = tiny_model("gptj")
    merge = model.transformer.h[1].attn._merge_heads
    model.transformer.h[1].attn._merge_heads = lambda *arguments: merge(*arguments).tanh()
    with pytest.raises(UnsupportedModelError, match=r"'x' \(gptj\) puts something between .* \(block 1\)"):
        check(model, "x", ("attention",))
    check(model, "x", ("gradients",))


def test_sinks_take_their_share() -> None:
    model, batch = tiny_model("gpt_oss"), text_of(IDS)
    with torch.no_grad():
        recorded, blocks = capture_attention(model, batch, embed(model, batch))
        model.set_attn_implementation("eager")
        plain = at_targets(model, batch, embed(model, batch))
        output = model(inputs_embeds=embed(model, batch), output_attentions=True, use_cache=False)
    torch.testing.assert_close(recorded, plain, rtol=1e-4, atol=1e-5)
    for block, theirs, module in zip(blocks, output.attentions, attention_modules(model), strict=True):
        torch.testing.assert_close(block.weights, theirs[..., : len(IDS)], rtol=1e-4, atol=1e-6)
        # The first token sees itself and the sink, so its row says the sink's share: softmax of two scores.
        left = 1 - block.weights[0, :, 0, 0]
        assert ((left > 0.01) & (left < 0.999)).all()
        rebuilt = torch.einsum("bhqk,bhkv,hvd->bqd", block.weights, block.expanded_values(), block.projection)
        expected = projection_of(module)(block.mixed.flatten(2)) - projection_of(module).bias
        torch.testing.assert_close(rebuilt, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("falcon_h1", "tokens meet in other ways"),
        ("lfm2", "tokens meet in other ways"),
        ("mamba", "no attention module known here"),
        ("minimax", "called its attention 1 times in 2 blocks"),
    ],
)
def test_mixers_other_than_attention_are_named_and_need_no_prefix(family: str, reason: str) -> None:
    lm = bare(family)
    with pytest.raises(UnsupportedModelError, match=reason):
        heat.attribute(lm, IDS[:-1], IDS[-1:], "heat")
    batch = text_of(IDS)
    embeddings = embed(lm.model, batch)
    with frozen(lm.model), torch.no_grad():
        p = lm.model(inputs_embeds=embeddings, use_cache=False).logits[0, -2].log_softmax(-1)
        expected = []
        for masked in range(len(IDS) - 1):
            changed = embeddings.clone()
            changed[0, masked] = 0
            q = lm.model(inputs_embeds=changed, use_cache=False).logits[0, -2].log_softmax(-1)
            expected.append(float((p.exp() * (p - q)).sum()))
    found = heat.attribute(lm, IDS[:-1], IDS[-1:], "kl-only").scores[0, :-1]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-3, atol=1e-5)
    assert heat.attribute(lm, IDS[:-1], IDS[-1:], "peering").scores.isfinite().all()


def test_a_family_with_an_unusual_name_for_its_heads_is_read() -> None:
    lm = bare("mpt")
    assert attention_obstacle(lm.model) == ""
    assert heat.attribute(lm, IDS[:-1], IDS[-1:], "heat", n_probes=2).scores.isfinite().all()


@pytest.mark.parametrize("family", [name for name in PARTICULAR if name != "ctrl"])
def test_a_particular_family_is_explained_alone_as_in_a_batch_or_refused(family: str) -> None:
    lm = bare(family)
    encodings = [heat.encode(lm, IDS[:-1], IDS[-1:]), heat.encode(lm, IDS[2:6], IDS[-1:])]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("heat", {"n_probes": 2}),
        ("kl-only", {}),
        ("gradient-norm", {}),
    ]
    for method, options in asked:
        if method == "heat" and attention_obstacle(lm.model):
            with pytest.raises(UnsupportedModelError, match=r"^[^\n]*$"):
                heat.attribute_batch(lm, encodings, [None, None], method, **options)
            continue
        both = heat.attribute_batch(lm, encodings, [None, None], method, **options)
        for encoded, together in zip(encodings, both, strict=True):
            alone = heat.attribute(lm, encoded, None, method, **options)
            torch.testing.assert_close(together.scores, alone.scores, rtol=5e-3, atol=1e-5)


@pytest.mark.parametrize("pad", [-1, None])
def test_a_padding_id_of_minus_one_is_none(pad: int | None) -> None:
    model, batch = tiny_model("gpt2"), text_of(IDS)
    model.config.pad_token_id = pad
    found = replacement(model, batch, token_vectors(model, batch), "pad")
    assert torch.equal(found[0], token_vectors(model, text_of([2, 2]))[0, 0])  # the end-of-text token


def test_a_gradient_that_leaves_a_part_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = bare("llama")
    block: Any = lm.model.get_decoder().layers[1]
    forward = block.mlp.forward
    # A part of a part: a quarter of what the block's MLP adds.
    monkeypatch.setattr(block.mlp, "forward", lambda x: 0.75 * forward(x) + 0.25 * forward(x.detach()))
    with pytest.raises(UnsupportedModelError, match="not the slope of what it says"):
        heat.attribute(lm, IDS, [3], "input-x-gradient")
    assert heat.attribute(lm, IDS, [3], "kl-only").scores.isfinite().all()


@pytest.mark.parametrize("family", [*FAMILIES, *(name for name in PARTICULAR if name != "ctrl")])
def test_every_family_passes_its_gradient_on(family: str) -> None:
    assert gradient_obstacle(tiny_model(family)) == ""


def test_attention_that_is_fused_by_the_model_itself_is_differentiated_twice() -> None:
    model, batch = tiny_model("llama"), text_of(IDS)
    exact = curvature(model, batch, products="double-backward", n_probes=2)
    block: Any = model.get_decoder().layers[0].self_attn

    def own(hidden_states: Tensor, **options: Any) -> tuple[Tensor, None]:
        q, k, v = (
            layer(hidden_states).unflatten(-1, (-1, 8)).transpose(1, 2)
            for layer in (block.q_proj, block.k_proj, block.v_proj)
        )
        k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return block.o_proj(mixed.transpose(1, 2).flatten(2)), None

    block.forward = own
    for products in ("double-backward", "batched"):
        found = curvature(model, batch, products=products, n_probes=2)  # type: ignore[arg-type]
        assert found.shape == exact.shape
        assert found.isfinite().all()


def multimodal() -> LanguageModel:
    text = {
        **{
            "vocab_size": 320,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "head_dim": 8,
        },
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64},
        **{"sliding_window": 8, "query_pre_attn_scalar": 8, "initializer_range": 0.2, "pad_token_id": 9},
    }
    picture = {
        **{"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"image_size": 28, "patch_size": 14},
    }
    torch.manual_seed(0)
    config = CONFIG_MAPPING["gemma3"](
        text_config=text,
        vision_config=picture,
        mm_tokens_per_image=4,
        boi_token_index=315,
        eoi_token_index=316,
        image_token_index=317,
    )
    return LanguageModel(AutoModelForCausalLM.from_config(config).eval(), None, name="gemma3")


def test_a_model_that_sees_pictures_too_is_read_where_it_reads_text() -> None:
    lm = multimodal()
    assert type(lm.model).__name__ == "Gemma3ForConditionalGeneration"
    assert lm.context_length == 64
    assert len(attention_modules(lm.model)) == 2
    batch = text_of(IDS)
    found = heat.attribute(lm, IDS[:-1], IDS[-1:], "relevance").scores[0, :-1]
    torch.testing.assert_close(found, dense_relevance(lm.model, batch)[:-1], rtol=1e-4, atol=1e-5)
    for method in ("heat", "kl-only", "peering", "heat-windowed"):
        assert heat.attribute(lm, IDS[:-1], IDS[-1:], method).scores.isfinite().all()
    pad = replacement(lm.model, batch, token_vectors(lm.model, batch), "pad")
    assert torch.equal(pad[0], token_vectors(lm.model, text_of([9, 9]))[0, 0])
    with pytest.raises(PromptTooLongError):
        heat.attribute(lm, IDS * 8, [3], "random")


@pytest.mark.parametrize("value", [-1, 0, None])
def test_a_context_of_no_length_is_none(value: int | None) -> None:
    lm = bare("gpt2")
    lm.model.config.max_position_embeddings = value
    assert lm.context_length is None
    assert bare("mpt").context_length == 64


def test_what_a_cache_keeps_beside_keys_and_values_forbids_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    # A choice among few tokens (an index) cannot be noticed on a text of four; the cache's own layers say it.
    assert keeps_prefixes(tiny_model("llama"))
    monkeypatch.setattr(prefix_module, "_PLAIN", ())
    assert not keeps_prefixes(tiny_model("llama"))
