"""AttnLRP and CP-LRP beside relevance passed on by hand, what must be conserved, and the published library."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fakes.tiny_models import FAMILIES, PARTICULAR, tiny_lm, tiny_model
from torch import Tensor
from transformers.activations import NewGELUActivation, QuickGELUActivation
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

import heat
from heat.batch import collate
from heat.components.relevance import relevance
from heat.internals.attention import decoder_blocks
from heat.internals.lrp import Rules, relevance_rules

IDS = [5, 17, 200, 31, 9, 88]
TARGET, FOIL = 140, 77
METHODS = {"attn-lrp": "attn", "cp-lrp": "cp"}
ORACLE = Path(__file__).parents[1] / "fakes" / "lxt_oracle.py"
# Families without biases and position embeddings (or whose biases are 0 at the start): nothing else takes relevance.
CONSERVED = (
    *("gptj", "gpt_neox", "bloom", "falcon", "llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2"),
    *("afmoe", "bitnet", "gemma4_text", "lfm2", "mamba", "minimax", "mixtral", "mpt", "nemotron", "phimoe"),
)


def logits_of(lm: heat.LanguageModel) -> Tensor:
    with torch.no_grad():
        logits: Tensor = lm.model(torch.tensor([IDS])).logits[0, -1]
    return logits


def slopes(rules: Rules, function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """The derivatives that the rules give a function, of the sum of its values."""
    points = [tensor.double().requires_grad_() for tensor in inputs]
    with relevance_rules(tiny_model("llama"), rules):
        values = function(*points)
    expected = function(*[point.detach() for point in points])
    torch.testing.assert_close(values.detach(), expected)
    gradients = torch.autograd.grad(values.sum(), points, allow_unused=True)
    return [torch.zeros_like(point) if g is None else g for point, g in zip(points, gradients, strict=True)]


A = torch.tensor([[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]])
B = torch.tensor([[1.5, 0.5, -1.0], [-2.0, 3.0, 0.1]])
WEIGHT = torch.tensor([[1.0, 2.0, -1.0], [0.5, -0.5, 3.0], [2.0, 1.0, 1.0]]).double()


@pytest.mark.parametrize("rules", ["attn", "cp"])
@pytest.mark.parametrize(
    "function",
    [
        F.silu,
        F.gelu,
        F.relu,
        torch.tanh,
        torch.square,
        lambda x: x.pow(2),
        lambda x: F.relu(x, inplace=True),
        lambda x: x * torch.sigmoid(1.7 * x),
        lambda x: torch.sigmoid(x * 1.7) * x,
        lambda x: 3.0 * torch.tanh(x / 3.0),
        lambda x: x.clamp(max=1.0),
    ],
)
def test_activations_hand_on_all_of_their_relevance(rules: Rules, function: Callable[..., Tensor]) -> None:
    (slope,) = slopes(rules, function, A)
    value = function(A.double().clone())
    torch.testing.assert_close(slope * A, value)


def test_what_an_activation_is_at_zero_stays_with_it() -> None:
    (slope,) = slopes("attn", torch.sigmoid, A)
    torch.testing.assert_close(slope * A, torch.sigmoid(A.double()) - 0.5)
    (at_zero,) = slopes("attn", F.gelu, torch.zeros(2))
    assert at_zero.tolist() == [0, 0]


@pytest.mark.parametrize("activation", [NewGELUActivation(), QuickGELUActivation()])
def test_activations_of_several_functions_are_one(activation: torch.nn.Module) -> None:
    model = tiny_model("llama")
    model.add_module("activation", activation)
    x = A.double().requires_grad_()
    with relevance_rules(model, "attn"):
        y = activation(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope * A, activation(A.double()))
    assert not activation._forward_hooks


@pytest.mark.parametrize(
    "product",
    [
        lambda a, b: a * b,
        lambda a, b: a @ b.T,
        lambda a, b: torch.einsum("id,jd->ij", a, b),
        lambda a, b: a.mul_(b),
    ],
)
def test_factors_have_equal_shares(product: Callable[..., Tensor]) -> None:
    inputs = A.double().requires_grad_(), B.double().requires_grad_()
    plain = torch.autograd.grad(product(inputs[0].clone(), inputs[1]).sum(), inputs)
    for found, expected in zip(slopes("attn", lambda a, b: product(a.clone(), b), A, B), plain, strict=True):
        torch.testing.assert_close(found, expected / 2)


def test_a_product_added_to_something_is_shared_too() -> None:
    third, first, second = slopes("attn", torch.addmm, torch.ones(2, 2), A, B.T)
    assert third.tolist() == [[1, 1], [1, 1]]
    torch.testing.assert_close(first, B.double().sum(0).expand(2, 3) / 2)
    torch.testing.assert_close(second, A.double().sum(0)[:, None].expand(3, 2) / 2)


@pytest.mark.parametrize(
    "gate", [F.silu, lambda g: torch.sigmoid(g).unsqueeze(0)[0], lambda g: F.gelu(g) * 2.0]
)
def test_gates_are_constant_under_cp_and_share_under_attn(gate: Callable[..., Tensor]) -> None:
    def gated(g: Tensor, u: Tensor) -> Tensor:
        return gate(g @ WEIGHT) * (u @ WEIGHT)

    opened = gate(A.double() @ WEIGHT)
    closed, through = slopes("cp", gated, A, B)
    assert closed.abs().sum() == 0
    torch.testing.assert_close(through, opened @ WEIGHT.T)
    opening, through = slopes("attn", gated, A, B)
    torch.testing.assert_close(through, opened @ WEIGHT.T / 2)
    assert opening.abs().sum() > 0


def test_a_layer_s_input_is_no_gate() -> None:
    # What comes from an activation through weights is a hidden state as any other.
    def twice(x: Tensor) -> Tensor:
        hidden = F.relu(x) @ WEIGHT
        return hidden * (x @ WEIGHT)

    (slope,) = slopes("cp", twice, A)
    torch.testing.assert_close((slope * A).sum(), twice(A.double()).sum())


@pytest.mark.parametrize("rules", ["attn", "cp"])
def test_divisors_are_constant(rules: Rules) -> None:
    x = A.double()
    root = x.square().mean(-1, keepdim=True).sqrt()
    scale = torch.tensor([1.0, 2.0, 3.0]).double()
    centred = x - x.mean(-1, keepdim=True)
    deviation = centred.square().mean(-1, keepdim=True).sqrt()
    middle = torch.eye(3).double() - 1 / 3
    for function, expected in {
        (lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True))): 1 / root,
        (lambda x: x * x.pow(2).mean(-1, keepdim=True).pow(-0.5)): 1 / root,
        (lambda x: x / x.pow(2).mean(-1, keepdim=True).sqrt()): 1 / root,
        (lambda x: x / x.norm(dim=-1, keepdim=True)): 1 / root / 3**0.5,
        (lambda x: F.normalize(x, dim=-1)): 1 / root / 3**0.5,
        (lambda x: F.rms_norm(x, (3,), scale, 0.0)): scale / root,
        (lambda x: F.layer_norm(x, (3,), scale, scale, 0.0)): (scale / deviation) @ middle,
    }.items():
        (slope,) = slopes(rules, function, A)
        torch.testing.assert_close(slope, expected.expand_as(slope))


@pytest.mark.parametrize("rules", ["attn", "cp"])
def test_fused_attention_is_treated_as_it_is_written_out(rules: Rules) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 2, 5, 4, generator=generator) for _ in range(3))

    def written_out(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = query @ key.transpose(-1, -2) / 2.0
        scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
        return (scores.softmax(-1) @ value) * torch.arange(4)

    def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True) * torch.arange(4)

    found, expected = slopes(rules, fused, query, key, value), slopes(rules, written_out, query, key, value)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert all((slope.abs().sum() > 0) == (rules == "attn") for slope in found[:2])


def passed_on(relevance_out: Tensor, out: Tensor) -> Tensor:
    return relevance_out / torch.where(out == 0, 1.0, out)


def by_hand(lm: heat.LanguageModel, rules: Rules) -> Tensor:
    """Relevance passed on from layer to layer through a Llama, by the papers' formulas and without any gradient.

    Linear layers z = Wx: R_x = x ⊙ Wᵀ(R_z / z). Products O = AV: R_A = ½ A ⊙ (R_O/O)Vᵀ and R_V alike. Softmax s of x:
    R_x = x ⊙ (R_s - s Σ R_s). Norms and activations: as it came. Sums: in proportion.
    """
    model: Any = lm.model
    config = model.config
    n_heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    shared = n_heads // config.num_key_value_heads
    x = model.get_input_embeddings()(torch.tensor([IDS]))[0]
    cos, sin = model.model.rotary_emb(x[None], torch.arange(len(IDS))[None])
    future = torch.ones(len(IDS), len(IDS)).triu(1).bool()

    def rotated(heads: Tensor) -> Tensor:
        return apply_rotary_pos_emb(heads[None], heads[None], cos, sin)[0][0]

    def split(flat: Tensor) -> Tensor:
        return flat.unflatten(-1, (-1, size)).transpose(0, 1)

    steps = []
    for block in model.model.layers:
        attention, mlp = block.self_attn, block.mlp
        normed = block.input_layernorm(x)
        flat = [getattr(attention, f"{name}_proj")(normed) for name in "qkv"]
        query, key, value = (split(part) for part in flat)
        turned_query, turned_key = rotated(query), rotated(key).repeat_interleave(shared, 0)
        value = value.repeat_interleave(shared, 0)
        scores = turned_query @ turned_key.transpose(1, 2) * size**-0.5
        weights = scores.masked_fill(future, -torch.inf).softmax(-1)
        mixed = weights @ value
        middle = x + attention.o_proj(mixed.transpose(0, 1).flatten(1))
        normed_middle = block.post_attention_layernorm(middle)
        gate, up = F.silu(mlp.gate_proj(normed_middle)), mlp.up_proj(normed_middle)
        after = middle + mlp.down_proj(gate * up)
        steps.append(
            (
                x,
                normed,
                flat,
                turned_query,
                turned_key,
                value,
                scores,
                weights,
                mixed,
                middle,
                normed_middle,
                gate,
                up,
            )
        )
        x = after
    normed = model.model.norm(x)[-1]
    z = model.lm_head(normed)[TARGET]
    last = normed * model.lm_head.weight[TARGET]
    assert torch.isclose(last.sum(), z)
    relevance_x = torch.zeros_like(x)
    relevance_x[-1] = last
    for block, step in zip(reversed(model.model.layers), reversed(steps), strict=True):
        (before, normed, flat, query, key, value, scores, weights, mixed, middle, normed_middle, gate, up) = (
            step
        )
        attention, mlp = block.self_attn, block.mlp

        def linear(layer: Any, inputs: Tensor, relevance_out: Tensor) -> Tensor:
            return inputs * (passed_on(relevance_out, layer(inputs)) @ layer.weight)

        share = passed_on(relevance_x, x)
        hidden = linear(mlp.down_proj, gate * up, share * (x - middle))
        if rules == "cp":
            inside = linear(mlp.up_proj, normed_middle, hidden)
        else:
            inside = linear(mlp.up_proj, normed_middle, hidden / 2)
            inside = inside + linear(mlp.gate_proj, normed_middle, hidden / 2)
        relevance_middle = share * middle + inside
        share = passed_on(relevance_middle, middle)
        heads = split(linear(attention.o_proj, mixed.transpose(0, 1).flatten(1), share * (middle - before)))
        ratio = passed_on(heads, mixed)
        half = 1.0 if rules == "cp" else 0.5
        to_value = half * value * (weights.transpose(1, 2) @ ratio)
        grouped = to_value.unflatten(0, (-1, shared)).sum(1)
        inside = linear(attention.v_proj, normed, grouped.transpose(0, 1).flatten(1))
        if rules == "attn":
            to_weights = half * weights * (ratio @ value.transpose(1, 2))
            to_scores = scores * (to_weights - weights * to_weights.sum(-1, keepdim=True))
            ratio = passed_on(to_scores, scores) * size**-0.5
            to_query, to_key = 0.5 * query * (ratio @ key), 0.5 * key * (ratio.transpose(1, 2) @ query)
            to_key = passed_on(to_key, key).unflatten(0, (-1, shared)).sum(1)
            for layer, part, slope in (
                (attention.q_proj, flat[0], passed_on(to_query, query)),
                (attention.k_proj, flat[1], to_key),
            ):
                # A rotation is linear: its transpose turns the ratio R/q back.
                back = apply_rotary_pos_emb(slope[None], slope[None], cos, -sin)[0][0]
                inside = inside + linear(layer, normed, part * back.transpose(0, 1).flatten(1))
        relevance_x, x = share * before + inside, before
    result: Tensor = relevance_x.sum(-1)
    return result


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_relevance_passed_on_by_hand(method: str) -> None:
    lm = tiny_lm("llama")
    lm.model.double()
    batch = collate([heat.encode(lm, IDS, [TARGET])])
    rules: Any = METHODS[method]
    with torch.no_grad():
        expected = by_hand(lm, rules)
    found = relevance(lm.model, batch, rules=rules)[0, : len(IDS)]
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    scores = heat.attribute(tiny_lm("llama"), IDS, [TARGET], method).scores[0, :-1]
    torch.testing.assert_close(scores, expected.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", CONSERVED)
def test_cp_scores_sum_to_the_logit_where_nothing_else_takes_relevance(family: str) -> None:
    lm = tiny_lm(family)
    logits = logits_of(lm)
    scores = heat.attribute(lm, IDS, [TARGET], "cp-lrp").scores
    torch.testing.assert_close(scores.sum(), logits[TARGET], rtol=1e-5, atol=1e-5)
    against = heat.attribute(lm, IDS, [TARGET], "cp-lrp", foil=[FOIL]).scores
    torch.testing.assert_close(against.sum(), logits[TARGET] - logits[FOIL], rtol=1e-5, atol=1e-5)


def test_attn_scores_sum_to_the_logit_where_attention_is_uniform() -> None:
    # The softmax's linearization leaves out what sharp attention has.
    def kept(initializer_range: float) -> float:
        lm = tiny_lm("llama", initializer_range=initializer_range)
        return float(heat.attribute(lm, IDS, [TARGET], "attn-lrp").scores.sum() / logits_of(lm)[TARGET])

    assert kept(0.02) == pytest.approx(1, abs=0.1)
    assert abs(kept(0.2) - 1) > 0.5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", [name for name in PARTICULAR if name != "ctrl"])
def test_particular_families_have_finite_scores(method: str, family: str) -> None:
    scores = heat.attribute(tiny_lm(family), IDS, [TARGET], method).scores
    assert scores.isfinite().all()
    assert scores.abs().sum() > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["gpt2", "llama", "mixtral"])
def test_half_precision_gives_the_scores_to_its_rounding(
    method: str, dtype: torch.dtype, family: str
) -> None:
    expected = heat.attribute(tiny_lm(family), IDS, [TARGET], method).scores
    lm = tiny_lm(family)
    lm.model.to(dtype)  # type: ignore[arg-type]
    scores = heat.attribute(lm, IDS, [TARGET], method).scores
    assert float((scores - expected).abs().max() / expected.abs().max()) < 0.03


@pytest.mark.parametrize("rules", ["attn", "cp"])
def test_attention_of_other_kernels_is_replaced_meanwhile(rules: Rules) -> None:
    lm = tiny_lm("llama")
    batch = collate([heat.encode(lm, IDS, [TARGET])])
    expected = relevance(lm.model, batch, rules=rules)
    lm.model.config._attn_implementation_internal = "flash_attention_2"
    assert torch.equal(relevance(lm.model, batch, rules=rules), expected)
    assert lm.model.config._attn_implementation == "flash_attention_2"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_stays_behind(error: type[BaseException]) -> None:
    lm = tiny_lm("gpt2")
    activation = decoder_blocks(lm.model)[0].mlp.act
    before = heat.attribute(lm, IDS, [TARGET], "input-x-gradient").scores
    scores = heat.attribute(lm, IDS, [TARGET], "attn-lrp").scores
    hooks: list[int] = []

    def broken(*arguments: Any) -> None:
        hooks.append(len(activation._forward_hooks))
        raise error("inside")

    handle = lm.model.get_output_embeddings().register_forward_pre_hook(broken)
    with pytest.raises(error, match="inside"):
        relevance(lm.model, collate([heat.encode(lm, IDS, [TARGET])]), rules="attn")
    handle.remove()
    assert hooks == [1]
    assert not activation._forward_hooks
    assert torch.equal(heat.attribute(lm, IDS, [TARGET], "input-x-gradient").scores, before)
    assert not torch.allclose(scores, before, atol=1e-3)


@pytest.mark.parametrize("foil", [None, [FOIL]])
def test_the_positive_part_is_a_transition(foil: list[int] | None) -> None:
    lm = tiny_lm("llama")
    targets = [TARGET] if foil else [TARGET, FOIL]
    scores = heat.attribute(lm, IDS, targets, "attn-lrp", foil=foil).scores.clamp_min(0)
    gate = heat.attribute(lm, IDS, targets, "transition-only", transition="attn-lrp", foil=foil).scores
    torch.testing.assert_close(gate, scores / scores.sum(-1, keepdim=True))


@pytest.mark.skipif(find_spec("lxt") is None, reason="lxt is not installed (pip install --no-deps lxt)")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "qwen3"])
def test_scores_are_those_of_lxt(family: str, method: str, tmp_path: Path) -> None:
    # lxt patches classes for good: it has a process of its own.
    lm = tiny_lm(family)
    generator = torch.Generator().manual_seed(1)
    for weight in lm.model.parameters():
        if weight.dim() == 1:
            weight.data += 0.1 * torch.randn(weight.shape, generator=generator)
    lm.model.save_pretrained(tmp_path)
    arguments = {
        "folder": str(tmp_path),
        "family": family,
        "rules": METHODS[method],
        "ids": IDS,
        "target": TARGET,
    }
    done = subprocess.run(
        [sys.executable, str(ORACLE)], input=json.dumps(arguments), capture_output=True, text=True, check=True
    )
    expected = torch.tensor(json.loads(done.stdout.splitlines()[-1]))
    scores = heat.attribute(lm, IDS, [TARGET], method).scores[0, :-1]
    deviation = float((scores - expected).abs().max() / expected.abs().max())
    print(f"{method} on {family}: {deviation:.1e} of the largest score")
    assert deviation < 1e-5


def test_all_families_are_tried() -> None:
    without = {"ctrl", "falcon_h1", "gemma3n_text", "gpt2", "gpt_neo", "gpt_oss", "opt"}
    assert set(CONSERVED) == {*FAMILIES, *PARTICULAR} - without
