"""ALTI, information flow routes and ALTI-Logit against loops over vectors that are made of the models' weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from fakes.tiny_models import FAMILIES, tiny_lm, tiny_model
from numpy.typing import NDArray
from torch import Tensor

import heat
from heat.batch import Batch
from heat.components.alti_logit import logit_effects
from heat.components.contributions import Block, moved_vectors, shares_of_parts, taken_apart
from heat.components.transition import transition
from heat.errors import UnsupportedModelError
from heat.internals.attention import BlockAttention
from heat.internals.readout import directions, recorded_readout
from heat.internals.residual import Addition
from heat.internals.state import frozen

IDS = [5, 17, 200, 31, 9, 88]
TARGET, FOIL = 140, 33
KINDS = ["alti", "ifr", "ifr-direct", "alti-logit"]
# With grouped queries, tied and own biases, a norm behind attention, parallel branches, and two layouts of V.
ORACLES = ["llama", "gpt2", "gemma2", "gptj", "bloom", "falcon"]
CHANGES: dict[str, dict[str, Any]] = {
    "gemma2": {"final_logit_softcapping": None, "attn_logit_softcapping": None}
}

Array = NDArray[np.float64]


def lm_of(family: str) -> heat.LanguageModel:
    """A model whose biases and norms are not what they begin as, where a forgotten one would not show."""
    lm = tiny_lm(family, **CHANGES.get(family, {}))
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if name.endswith("bias"):
                weight.copy_(torch.linspace(-0.5, 0.5, weight.numel()).reshape(weight.shape))
            elif weight.dim() == 1:
                weight.add_(torch.linspace(-0.3, 0.3, weight.numel()))
    return lm


@dataclass
class Parts:
    """x, y [n, d] and f [n, n, H, d] of one block."""

    before: Array
    after: Array
    vectors: Array


def array(tensor: Tensor) -> Array:
    return tensor.detach().double().numpy()


def values_of(family: str, block: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """V [n, H, d_head] of every query head, W_O [H · d_head, d], b_O."""
    if family == "gpt2":
        mixed = block.ln_1(x) @ block.attn.c_attn.weight + block.attn.c_attn.bias
        return mixed[:, 64:].reshape(-1, 4, 8), block.attn.c_proj.weight, block.attn.c_proj.bias
    if family == "gptj":
        values = block.attn.v_proj(block.ln_1(x))
        return values.reshape(-1, 4, 8), block.attn.out_proj.weight.T, None
    if family == "bloom":
        together = block.self_attention.query_key_value(block.input_layernorm(x))
        dense = block.self_attention.dense
        return together.reshape(-1, 4, 3, 8)[:, :, 2], dense.weight.T, dense.bias
    if family == "falcon":
        # Four heads of queries, and one of keys and values.
        together = block.self_attention.query_key_value(block.input_layernorm(x))
        values = together[:, None, 40:48].expand(-1, 4, -1)
        return values, block.self_attention.dense.weight.T, block.self_attention.dense.bias
    values = block.self_attn.v_proj(block.input_layernorm(x)).reshape(-1, 2, 8)
    return values[:, [0, 0, 1, 1]], block.self_attn.o_proj.weight.T, None


@torch.no_grad()
def parts_of(lm: heat.LanguageModel, ids: list[int] = IDS) -> list[Parts]:
    """Every f_ij^h, from weights and from transformers' own attentions and hidden states under eager."""
    family = lm.model.config.model_type
    lm.model.config._attn_implementation_internal = "eager"
    output = lm.model(torch.tensor([ids]), output_hidden_states=True, output_attentions=True)
    decoder = lm.model.get_decoder()
    parts = []
    for x, attention, block in zip(
        output.hidden_states, output.attentions, getattr(decoder, "layers", None) or decoder.h, strict=False
    ):
        values, projection, bias = values_of(family, block, x[0])
        vectors = torch.zeros(len(ids), len(ids), 4, 32, dtype=torch.float64)
        for i in range(len(ids)):
            for j in range(i + 1):
                for h in range(4):
                    moved = values[j, h].double() @ projection[8 * h : 8 * h + 8].double()
                    vectors[i, j, h] = attention[0, h, i, j].double() * moved
        total = vectors.sum((1, 2)) + (0 if bias is None else bias.double())
        if family == "gemma2":
            norm = block.post_attention_layernorm
            factor = (1 + norm.weight.double()) / (total.square().mean(-1, keepdim=True) + norm.eps).sqrt()
            total, vectors = total * factor, vectors * factor[:, None, None]
        before = x[0].double()
        parts.append(Parts(array(before), array(before + total), array(vectors)))
    return parts


def nearness(whole: Array, part: Array) -> float:
    return max(0.0, float(np.abs(whole).sum() - np.abs(whole - part).sum()))


def alti_matrix(parts: Parts) -> Array:
    n = len(parts.before)
    matrix = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            matrix[i, j] = nearness(parts.after[i], parts.vectors[i, j].sum(0) + (i == j) * parts.before[i])
    return matrix / matrix.sum(1, keepdims=True)


def ifr_matrices(parts: Parts, threshold: float = 0.0) -> tuple[Array, Array]:
    """Σ_h e_ij^h, and e_res."""
    n = len(parts.before)
    heads, residual = np.zeros((n, n, 4)), np.zeros(n)
    for i in range(n):
        for j in range(i + 1):
            for h in range(4):
                heads[i, j, h] = nearness(parts.after[i], parts.vectors[i, j, h])
        residual[i] = nearness(parts.after[i], parts.before[i])
        for _ in range(2):  # once, and again for what the threshold leaves
            total = heads[i].sum() + residual[i]
            heads[i], residual[i] = heads[i] / total, residual[i] / total
            heads[i] = np.where(heads[i] < threshold, 0, heads[i])
            residual[i] = 0 if residual[i] < threshold else residual[i]
        total = heads[i].sum() + residual[i]
        heads[i], residual[i] = heads[i] / total, residual[i] / total
    return heads.sum(-1), residual


def scores(lm: heat.LanguageModel, method: str, **options: Any) -> Array:
    return heat.attribute(lm, IDS, [TARGET], method, **options).scores[0, :-1].double().numpy()


def close(actual: Array, expected: Array) -> None:
    np.testing.assert_allclose(actual, expected, atol=2e-6, rtol=2e-4)


@pytest.mark.parametrize("family", ORACLES)
def test_alti_equals_the_product_of_the_matrices(family: str) -> None:
    lm = lm_of(family)
    actual = scores(lm, "alti")
    product = np.eye(len(IDS))
    for parts in parts_of(lm):
        product = alti_matrix(parts) @ product
    close(actual, product[-1])


@pytest.mark.parametrize("threshold", [0.0, 0.05])
@pytest.mark.parametrize("family", ORACLES)
def test_routes_equal_the_product_of_the_matrices(family: str, threshold: float) -> None:
    lm = lm_of(family)
    actual = scores(lm, "ifr", threshold=threshold)
    product = np.eye(len(IDS))
    for parts in parts_of(lm):
        heads, residual = ifr_matrices(parts, threshold)
        product = (heads + np.diag(residual)) @ product
    close(actual, product[-1])


@pytest.mark.parametrize("family", ORACLES)
def test_direct_contributions_are_summed_over_blocks(family: str) -> None:
    lm = lm_of(family)
    actual = scores(lm, "ifr-direct")
    close(actual, sum(ifr_matrices(parts)[0][-1] for parts in parts_of(lm)))


def linearised(lm: heat.LanguageModel, state: Array, vector: Array) -> Array:
    """The final norm's linear part at a state, without bias, from its weights."""
    decoder = lm.model.get_decoder()
    norm = getattr(decoder, "norm", None) or decoder.ln_f
    weight = array(norm.weight)
    if lm.model.config.model_type in ("llama", "gemma2"):
        epsilon = getattr(norm, "variance_epsilon", None) or norm.eps
        weight = weight + (lm.model.config.model_type == "gemma2")
        return weight * vector / np.sqrt((state**2).mean() + epsilon)
    return weight * (vector - vector.mean()) / np.sqrt(state.var() + norm.eps)


@pytest.mark.parametrize("foil", [None, FOIL])
@pytest.mark.parametrize("family", ORACLES)
def test_alti_logit_equals_the_sum_over_blocks(family: str, foil: int | None) -> None:
    lm = lm_of(family)
    actual = scores(lm, "alti-logit", **({} if foil is None else {"foil": [foil]}))
    states: list[Tensor] = []
    decoder = lm.model.get_decoder()
    norm = getattr(decoder, "norm", None) or decoder.ln_f
    handle = norm.register_forward_pre_hook(lambda module, args: states.append(args[0]))
    blocks = parts_of(lm)
    handle.remove()
    head = array(lm.model.get_output_embeddings().weight)
    reading = head[TARGET] - (0 if foil is None else head[foil])
    expected, below = np.zeros(len(IDS)), np.eye(len(IDS))
    for parts in blocks:
        effects = np.zeros(len(IDS))
        for j in range(len(IDS)):
            effects[j] = reading @ linearised(lm, array(states[-1])[0, -1], parts.vectors[-1, j].sum(0))
        expected += effects @ below
        below = alti_matrix(parts) @ below
    close(actual, expected)


def batch_of(ids: list[int], foil: int | None = None) -> Batch:
    token_ids = torch.tensor([ids])
    foils = None if foil is None else torch.tensor([foil])
    last = torch.tensor([len(ids) - 1])
    return Batch(
        token_ids, torch.ones_like(token_ids), torch.tensor([0]), last, torch.tensor([TARGET]), foils
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_what_everything_adds_is_the_difference_of_logits(family: str) -> None:
    lm = lm_of(family)
    batch = batch_of(IDS, FOIL)
    states: list[Tensor] = []
    with frozen(lm.model), torch.no_grad():
        with recorded_readout(lm.model) as readout:
            _, blocks = taken_apart(lm.model, batch)
        direction = directions(lm.model, batch, readout)
        norm, taken, _ = readout.norms[-1]
        states = [block.addition.before[0, -1] for block in blocks] + [taken[0, -1]]
        logits = lm.model(torch.tensor([IDS])).logits[0, -1]
        head = lm.model.get_output_embeddings()
        constant = head(norm(torch.zeros(1, 1, 32)))[0, 0]
    total = float(direction[0] @ states[0])
    for block, below, above in zip(blocks, states, states[1:], strict=False):
        effects = float(logit_effects(block, batch, direction).sum())
        attention = float(direction[0] @ (block.addition.after - block.addition.before)[0, -1])
        # Besides what tokens give there is the projection's bias.
        mixed = torch.einsum(
            "hk,hke,hed->d",
            block.attention.weights[0, :, -1],
            block.values(0, slice(0, len(IDS))),
            block.projection,
        )
        factor = 1.0 if block.addition.factor is None else block.addition.factor[0, -1]
        bias = float(direction[0] @ ((block.addition.after - block.addition.before)[0, -1] - mixed * factor))
        assert effects + bias == pytest.approx(attention, abs=1e-5)
        total += effects + bias + float(direction[0] @ (above - block.addition.after[0, -1]))
        assert above.shape == below.shape
    expected = float((logits - constant)[TARGET] - (logits - constant)[FOIL])
    assert total == pytest.approx(expected, abs=2e-5)


def block_of_numbers(values: list[float]) -> Block:
    """Two tokens in one dimension: x = (1, 1), the second looks half at each."""
    weights = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]])
    before = torch.ones(1, 2, 1)
    mixed = weights[0] @ torch.tensor(values)[None, :, None]
    attention = BlockAttention(
        n_heads=1,
        values=torch.tensor(values)[None, None, :, None],
        projection=torch.ones(1, 1, 1),
        residual=before,
        mixed=mixed[:, 0],
        weights_of=lambda queries: weights[:, :, queries],
        blockwise=True,
    )
    return Block(attention, Addition(before, before + mixed.reshape(1, 2, 1), None, True))


def test_shares_by_hand() -> None:
    last = torch.tensor([[False, True]])
    # y = 1 + ½·1 + ½·2 = 2½. T(x_0) = ½ and T(x_1) = 1 + 1 bring it nearer by ½ and by 2; f_0 = ½, f_1 = 1 and x = 1.
    (rows,) = shares_of_parts(block_of_numbers([1.0, 2.0]), last, "tokens")
    torch.testing.assert_close(rows.moved, torch.tensor([[0.2, 0.8]]))
    assert rows.stayed.tolist() == [0]
    (rows,) = shares_of_parts(block_of_numbers([1.0, 2.0]), last, "heads")
    torch.testing.assert_close(rows.moved, torch.tensor([[0.2, 0.4]]))
    torch.testing.assert_close(rows.stayed, torch.tensor([0.4]))
    (rows,) = shares_of_parts(block_of_numbers([1.0, 2.0]), last, "heads", 0.3)
    torch.testing.assert_close(rows.moved, torch.tensor([[0.0, 0.5]]))
    torch.testing.assert_close(rows.stayed, torch.tensor([0.5]))
    # y = 1 - ½ + 1 = 1½: what points away has no share.
    (rows,) = shares_of_parts(block_of_numbers([-1.0, 2.0]), last, "tokens")
    assert rows.moved.tolist() == [[0, 1]]
    # y = 1 - 1 = 0: nothing brings it nearer, and the row stays where it is.
    for parts in ("tokens", "heads"):
        (rows,) = shares_of_parts(block_of_numbers([-1.0, -1.0]), last, parts)
        assert rows.moved.tolist() == [[0, 0]]
        assert rows.stayed.tolist() == [1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["llama", "gemma2", "falcon"])
def test_pieces_of_any_size_give_the_same(family: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny_model(family), batch_of(list(range(20, 44)))
    whole = transition(model, batch, kind=kind)
    monkeypatch.setattr("heat.components.contributions._CACHED", 300)
    monkeypatch.setattr("heat.internals.attention.WEIGHTS_AT_ONCE", 5 * 4 * 24)
    torch.testing.assert_close(transition(model, batch, kind=kind), whole, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["afmoe", "bitnet"])
def test_gates_and_norms_before_the_projection_rebuild_what_attention_adds(family: str, kind: str) -> None:
    model, batch = tiny_model(family), batch_of(IDS)
    with frozen(model), torch.no_grad():
        _, blocks = taken_apart(model, batch)
        assert any(block.gate is not None for block in blocks)
        for block in blocks:
            queries = torch.arange(len(IDS))
            vectors = moved_vectors(block, 0, queries, block.attention.weights[0], slice(0, len(IDS)))
            added = (block.addition.after - block.addition.before)[0]
            torch.testing.assert_close(vectors.sum((0, 2)), added, atol=1e-5, rtol=1e-4)
    gate = transition(model, batch, kind=kind)
    assert float(gate.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gate_of_heat_is_the_row_s_positive_part_by_shares(kind: str) -> None:
    lm = tiny_lm("llama")
    gate = heat.attribute(lm, IDS, [TARGET], "transition-only", transition=kind).scores[0]
    row = heat.attribute(lm, IDS, [TARGET], kind).scores[0].clamp_min(0)
    torch.testing.assert_close(gate, row / row.sum())


def test_the_top_block_alone() -> None:
    lm = lm_of("llama")
    matrix = alti_matrix(parts_of(lm)[1])
    actual = transition(lm.model, batch_of(IDS), kind="alti", layers=1)[0]
    close(actual.double().numpy(), matrix[-1])


def test_the_way_through_alti_looks_at_no_target_and_alti_logit_does() -> None:
    lm = tiny_lm("llama")
    for kind in KINDS:
        first, second = (heat.attribute(lm, IDS, [target], kind).scores for target in (TARGET, FOIL))
        assert torch.equal(first, second) == (kind != "alti-logit")
    one, other = (
        heat.attribute(lm, IDS, [target], "alti-logit", foil=[foil]).scores
        for target, foil in ((TARGET, FOIL), (FOIL, TARGET))
    )
    torch.testing.assert_close(one, -other)


@pytest.mark.parametrize("method", KINDS)
def test_a_stream_that_attention_is_not_added_to_is_refused_in_a_line(method: str) -> None:
    lm = tiny_lm("bloom", apply_residual_connection_post_layernorm=True)
    with pytest.raises(
        UnsupportedModelError, match=r"^block 0 does not add .*; use a method that"
    ) as refusal:
        heat.attribute(lm, IDS, [TARGET], method)
    assert "\n" not in str(refusal.value)


def test_alti_logit_refuses_blocks_that_end_in_a_norm() -> None:
    lm = tiny_lm("opt", do_layer_norm_before=False)
    heat.attribute(lm, IDS, [TARGET], "alti")
    with pytest.raises(
        UnsupportedModelError, match=r"does not only add to its residual stream.*use alti or ifr"
    ):
        heat.attribute(lm, IDS, [TARGET], "alti-logit")


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_reads_the_same_sums(family: str) -> None:
    lm = tiny_lm(family)
    expected = {method: heat.attribute(lm, IDS, [TARGET], method).scores for method in KINDS}
    lm.model.bfloat16()
    for method in KINDS:
        actual = heat.attribute(lm, IDS, [TARGET], method).scores
        torch.testing.assert_close(actual, expected[method], atol=0.1, rtol=0.1)


def span_of(blocks: list[Parts], columns: list[int], weights: list[float]) -> Array:
    """Σ_l Σ_h e_j of a weighted span, by loops."""
    total = np.zeros(len(blocks[0].before))
    for parts in blocks:
        after = sum(w * parts.after[s] for s, w in zip(columns, weights, strict=True))
        before = sum(w * parts.before[s] for s, w in zip(columns, weights, strict=True))
        near = np.zeros((len(total), 4))
        for j in range(max(columns) + 1):
            for h in range(4):
                vectors = sum(w * parts.vectors[s, j, h] for s, w in zip(columns, weights, strict=True))
                near[j, h] = nearness(after, vectors)
        total += near.sum(1) / (near.sum() + nearness(after, before))
    return total


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_a_span_is_explained_as_one(family: str) -> None:
    lm = lm_of(family)
    actual = heat.attribute(lm, IDS[:3], IDS[3:], "flashtrace").scores.double().numpy()
    expected = span_of(parts_of(lm), [2, 3, 4], [1, 1, 1])
    for target in range(3):
        close(actual[target, : 3 + target], expected[: 3 + target])
        assert (actual[target, 3 + target :] == 0).all()


@pytest.mark.parametrize("hops", [0, 1, 2])
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_hops_hand_on_what_lies_on_the_reasoning(family: str, hops: int) -> None:
    lm = lm_of(family)
    options = {"answer_tokens": 1, "hops": hops}
    actual = heat.attribute(lm, IDS[:3], IDS[3:], "flashtrace", **options).scores[-1, :-1].double().numpy()
    blocks = parts_of(lm)
    # Prompt 0 to 2, reasoning 3 and 4, and the answer's token 5 is predicted at 4.
    scores = span_of(blocks, [4], [1])
    expected, share = scores.copy(), 1.0
    if hops:
        expected[3:] = 0
    for _ in range(hops):
        weights = scores[[3, 4]]
        share *= weights.sum() / scores.sum()
        scores = span_of(blocks, [3, 4], list(weights / weights.sum()))
        expected[:3] += share * scores[:3]
    close(actual, expected[:-1])


def test_a_span_of_one_is_the_direct_row() -> None:
    lm = lm_of("llama")
    close(scores(lm, "flashtrace"), scores(lm, "ifr-direct"))
