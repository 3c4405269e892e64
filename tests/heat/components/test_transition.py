from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes.batches import left_padded, random_batch
from fakes.tiny_models import FAMILIES, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import heat
from heat.batch import Batch
from heat.components import transition
from heat.components.transition import _relevance_walk, shares
from heat.internals.attention import BlockAttention, attention_modules, capture_attention
from heat.internals.forward import embed, target_log_probs
from heat.model import LanguageModel

PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense")


def one_text(n_tokens: int = 10, seed: int = 0) -> Batch:
    return random_batch(n_tokens, seed=seed)


def dense_attentions(family: str, batch: Batch) -> tuple[torch.nn.Module, tuple[Tensor, ...], Tensor]:
    """An oracle that shares nothing with our capture: transformers' own `output_attentions` under eager."""
    model = tiny_model(family)
    model.config._attn_implementation_internal = "eager"  # Falcon and others refuse the public setter
    embeddings = embed(model, batch).requires_grad_()
    output = model(inputs_embeds=embeddings, output_attentions=True, use_cache=False)
    g = output.logits[0, int(batch.positions)].log_softmax(-1)[batch.target_ids[0]]
    return model, output.attentions, g


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_values_and_projection_rebuild_the_attention_output(family: str) -> None:
    model, batch = tiny_model(family), one_text()
    seen: list[tuple[Any, Tensor]] = []
    for module in attention_modules(model):
        module.register_forward_hook(lambda module, inputs, output: seen.append((inputs, output[0])))
    with torch.no_grad():
        _, blocks = capture_attention(model, batch, embed(model, batch))
    calls = list(seen)  # families with an attention of their own run it again for its weights
    for module, block, (inputs, output) in zip(attention_modules(model), blocks, calls, strict=True):
        layer = next(child for name, child in module.named_children() if name in PROJECTIONS)
        rebuilt = torch.einsum("bhqk,bhkv,hvd->bqd", block.weights, block.expanded_values(), block.projection)
        if getattr(layer, "bias", None) is not None:
            rebuilt = rebuilt + layer.bias
        if family == "bloom":
            rebuilt = rebuilt + inputs[1]  # its module adds the residual stream itself
        torch.testing.assert_close(rebuilt, output, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["value", "gradient", "uniform"])
@pytest.mark.parametrize("residual", ["full", "half", "without-self", "relevance"])
def test_is_a_distribution_over_the_context(kind: str, residual: str) -> None:
    batch = one_text()
    flow = transition(tiny_model("llama"), batch, kind=kind, residual=residual)[0]
    assert flow.sum().item() == pytest.approx(1, abs=1e-5)
    assert (flow >= 0).all()
    assert flow[-1] == 0


def fake_blocks(*matrices: list[list[float]]) -> list[BlockAttention]:
    """Blocks of one head whose attention is given; values and projection are ones."""
    ones, nothing = torch.ones(1, 1, 2, 1), torch.zeros(1, 2, 1)

    def weights_of(matrix: list[list[float]]) -> Callable[[slice], Tensor]:
        return lambda queries: torch.tensor(matrix)[None, None, queries]

    return [
        BlockAttention(
            n_heads=1,
            values=ones,
            projection=torch.ones(1, 1, 1),
            residual=nothing,
            mixed=nothing,
            weights_of=weights_of(matrix),
            blockwise=True,
        )
        for matrix in matrices
    ]


@pytest.mark.parametrize("at_once", [1 << 24, 2])
def test_a_walk_through_two_blocks_by_hand(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heat.internals.attention.WEIGHTS_AT_ONCE", at_once)
    # Two tokens, target position 1. Block 2 (on top): token 1 looks half at 0, half at 1; block 1: all at 0.
    blocks = fake_blocks([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.5, 0.5]])
    # V and the gradient of A V are 1, so the relevance is A itself. Chefer: (0, 1) + (½, ½) = (½, 1½); then
    # (½, 1½) + (2, 0) = (2½, 1½).
    upstream = [torch.ones(1, 2, 1)] * 2
    rows, positions = torch.tensor([0]), torch.tensor([1])
    assert _relevance_walk(blocks, upstream, rows, positions, "full").tolist() == [[2.5, 1.5]]
    assert _relevance_walk(blocks, upstream, rows, positions, "without-self").tolist() == [[2.5, 0.5]]
    # Half: ½(0, 1) + ½(½, ½) = (¼, ¾); then ½(¼, ¾) + ½(1, 0) = (⅝, ⅜).
    assert _relevance_walk(blocks, upstream, rows, positions, "half").tolist() == [[0.625, 0.375]]
    # Relevance with |h·∂g/∂h| = 0: attention takes all, (½, ½) and then (1, 0). With 1 against attention's 1, half
    # of ρ stays each time, as above.
    zeros, ones = [torch.zeros(1, 2, 1)] * 2, [torch.ones(1, 2, 1)] * 2
    still = [*upstream, *zeros]
    assert _relevance_walk(blocks, still, rows, positions, "relevance").tolist() == [[1.0, 0.0]]
    moving = [replace(block, residual=ones[0]) for block in blocks]
    assert _relevance_walk(moving, [*upstream, *ones], rows, positions, "relevance").tolist() == [
        [0.625, 0.375]
    ]


@pytest.mark.parametrize("kind", ["value", "gradient"])
@pytest.mark.parametrize("family", FAMILIES)
def test_blockwise_equals_dense(family: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny_model(family), one_text(24)
    dense = transition(model, batch, kind=kind)
    monkeypatch.setattr("heat.internals.attention.WEIGHTS_AT_ONCE", 5 * 4 * 24)
    torch.testing.assert_close(transition(model, batch, kind=kind), dense, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_what_the_model_itself_says(family: str) -> None:
    _, attentions, _ = dense_attentions(family, one_text(20))
    model, batch = tiny_model(family), one_text(20)
    with torch.no_grad():
        _, blocks = capture_attention(model, batch, embed(model, batch))
    for block, weights in zip(blocks, attentions, strict=True):
        torch.testing.assert_close(block.weights, weights, atol=1e-6, rtol=1e-4)


def test_rollout_is_the_product_of_the_matrices() -> None:
    _, attentions, _ = dense_attentions("llama", one_text())
    product = torch.eye(10)
    for weights in attentions:
        product = (0.5 * weights[0].detach().mean(0) + 0.5 * torch.eye(10)) @ product
    batch = one_text()
    lm = LanguageModel(tiny_model("llama"), None)
    found = heat.methods()["attention-rollout"]().score(lm, batch).scores[0]
    torch.testing.assert_close(found, product[8], atol=1e-6, rtol=1e-4)


def test_layers_from_the_top_alone() -> None:
    batch = one_text()
    _, attentions, _ = dense_attentions("llama", batch)
    model = tiny_model("llama")
    with torch.no_grad():
        _, blocks = capture_attention(model, batch, embed(model, batch))
    expected = (attentions[1][0, :, 8].detach() * blocks[1].value_norms()[0]).sum(0)[:9]
    found = transition(model, batch, kind="value", layers=1)[0, :9]
    torch.testing.assert_close(found, expected / expected.sum(), atol=1e-6, rtol=1e-4)
    both = transition(model, batch, kind="value")
    torch.testing.assert_close(transition(model, batch, kind="value", layers=6), both)


@pytest.mark.parametrize("family", ["gpt2", "llama", "phi3"])
def test_gradient_equals_dense_relevance_propagation(family: str) -> None:
    batch = one_text()
    _, attentions, g = dense_attentions(family, batch)
    gradients = torch.autograd.grad(g, attentions)
    relevance = torch.eye(10)
    for weights, gradient in zip(attentions, gradients, strict=True):
        relevance = relevance + (weights * gradient).clamp_min(0).mean(1)[0].detach() @ relevance
    row = relevance[8, :9]
    found = transition(tiny_model(family), batch, kind="gradient", residual="full")[0, :9]
    torch.testing.assert_close(found, row / row.sum(), atol=1e-6, rtol=1e-4)


def dense_walk(family: str, residual: str, batch: Batch) -> Tensor:
    """ρ at the embeddings by the dense matrices of transformers' own attentions and hidden states."""
    model = tiny_model(family)
    model.config._attn_implementation_internal = "eager"
    options = {"output_attentions": True, "output_hidden_states": True, "use_cache": False}
    output = model(inputs_embeds=embed(model, batch).requires_grad_(), **options)
    g = output.logits[0, int(batch.positions)].log_softmax(-1)[batch.target_ids[0]]
    n_blocks = len(output.attentions)
    streams = output.hidden_states[:n_blocks]
    gradients = torch.autograd.grad(g, [*output.attentions, *streams])
    rho = torch.eye(batch.token_ids.shape[1])[int(batch.positions)]
    for block in reversed(range(n_blocks)):
        product = (output.attentions[block] * gradients[block])[0].detach()
        if residual == "half":
            matrix = product.clamp_min(0).mean(0)
            sums = matrix.sum(-1, keepdim=True)
            matrix = torch.where(sums > 0, matrix / sums, 0.0)
            rho = 0.5 * rho + 0.5 * rho @ matrix
            continue
        matrix = product.abs().sum(0)
        keep = (streams[block] * gradients[n_blocks + block])[0].sum(-1).abs().detach()
        # Behind the target neither has a gradient, nor has ρ anything there.
        total = torch.where(matrix.sum(-1) + keep > 0, matrix.sum(-1) + keep, 1.0)
        rho = (rho / total) @ matrix + rho * keep / total
    return rho


@pytest.mark.parametrize("residual", ["half", "relevance"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "phi3"])
def test_half_and_relevance_equal_the_dense_walk(family: str, residual: str) -> None:
    batch = one_text()
    row = dense_walk(family, residual, batch)[:9]
    found = transition(tiny_model(family), batch, kind="gradient", residual=residual)[0, :9]
    torch.testing.assert_close(found, row / row.sum(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("at_once", [1 << 24, 1])
def test_rows_of_half_sum_to_one_by_hand(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heat.internals.attention.WEIGHTS_AT_ONCE", at_once)
    # The gradient makes 3 A of A, which is no matter once each row is divided by its sum; token 0 has no relevance.
    blocks = fake_blocks([[1.0, 0.0], [0.25, 0.75]])
    upstream = [torch.tensor([[[-1.0], [3.0]]])]
    rows, positions = torch.tensor([0]), torch.tensor([1])
    # ½(0, 1) + ½(¼, ¾)
    assert _relevance_walk(blocks, upstream, rows, positions, "half").tolist() == [[0.125, 0.875]]


@pytest.mark.parametrize("kind", ["value", "gradient"])
@pytest.mark.parametrize("residual", ["full", "half", "without-self", "relevance"])
def test_targets_of_two_texts_equal_one_at_a_time(kind: str, residual: str) -> None:
    model = tiny_model("llama")
    ids = torch.cat([one_text(seed=1).token_ids, one_text(seed=2).token_ids])
    rows, positions = torch.tensor([1, 0, 0, 1, 0]), torch.tensor([5, 8, 3, 8, 6])
    batch = Batch(ids, torch.ones_like(ids), rows, positions, ids[rows, positions + 1])
    together = transition(model, batch, kind=kind, residual=residual)
    for index in range(5):
        row = ids[rows[index], None]
        alone = Batch(
            row,
            torch.ones_like(row),
            torch.tensor([0]),
            positions[index, None],
            batch.target_ids[index, None],
        )
        found = transition(model, alone, kind=kind, residual=residual)[0]
        torch.testing.assert_close(together[index], found, atol=1e-6, rtol=1e-4)


def test_where_nothing_flows_the_target_position_keeps_everything() -> None:
    ids = torch.tensor([[5, 6, 7, 8]] * 3)
    mask = torch.ones_like(ids)
    batch = Batch(ids, mask, torch.tensor([0, 1, 2]), torch.tensor([2, 1, 2]), torch.tensor([8, 7, 8]))
    # Nothing at all; something behind the target alone; and a share in front of a negative rest.
    mass = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, 1.0], [3.0, -1.0, 1.0, 5.0]])
    assert shares(mass, batch).tolist() == [[0, 0, 1, 0], [0, 1, 0, 0], [0.75, 0, 0.25, 0]]


def test_query_heads_share_their_group_s_values_by_hand() -> None:
    # Two key/value heads of one number, for four query heads: the first two share the first. One token.
    (block,) = fake_blocks([[1.0]])
    shared = replace(
        block,
        n_heads=4,
        values=torch.tensor([2.0, 5.0]).reshape(1, 2, 1, 1),
        projection=torch.tensor([1.0, 10.0, 100.0, -1000.0]).reshape(4, 1, 1),
    )
    assert shared.value_norms()[0, :, 0].tolist() == [2, 20, 500, 5000]
    assert shared.expanded_values()[0, :, 0, 0].tolist() == [2, 2, 5, 5]


def test_without_self_leaves_out_the_identity_path() -> None:
    batch = one_text()
    full = transition(tiny_model("llama"), batch, kind="gradient", residual="full")[0]
    _, attentions, g = dense_attentions("llama", batch)
    gradients = torch.autograd.grad(g, attentions)
    relevance = torch.eye(10)
    for weights, gradient in zip(attentions, gradients, strict=True):
        relevance = relevance + (weights * gradient).clamp_min(0).mean(1)[0].detach() @ relevance
    row = relevance[8] - torch.eye(10)[8]
    found = transition(tiny_model("llama"), batch, kind="gradient", residual="without-self")[0]
    torch.testing.assert_close(found[:9], (row / row.sum())[:9], atol=1e-6, rtol=1e-4)
    assert found[8] < full[8]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_value_equals_dense_matrices(family: str) -> None:
    batch = one_text()
    _, attentions, _ = dense_attentions(family, batch)
    model = tiny_model(family)
    with torch.no_grad():
        _, blocks = capture_attention(model, batch, embed(model, batch))
    above = torch.eye(10)
    total = torch.zeros(10)
    for weights, block in zip(reversed(attentions), reversed(blocks), strict=True):
        per_head = above @ weights[0].detach()  # [H, T, T]: from every target to every source
        total += (per_head[:, 8] * block.value_norms()[0]).sum(0)
        above = 0.5 * above + 0.5 * above @ weights[0].detach().mean(0)
    found = transition(model, batch, kind="value")[0]
    torch.testing.assert_close(found[:9], total[:9] / total[:9].sum(), atol=1e-6, rtol=1e-4)


def test_one_token_keeps_everything() -> None:
    batch = one_text(n_tokens=2)
    for kind in ("value", "gradient", "uniform"):
        assert transition(tiny_model("llama"), batch, kind=kind).tolist() == [[1.0, 0.0]]
    assert transition(tiny_model("llama"), batch, residual="without-self").tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("kind", ["value", "gradient"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_left_padding_changes_nothing(family: str, kind: str) -> None:
    model, batch = tiny_model(family), one_text()
    padded = left_padded(batch, 3)
    found = transition(model, padded, kind=kind)
    assert (found[:, :3] == 0).all()
    torch.testing.assert_close(found[:, 3:], transition(model, batch, kind=kind), atol=1e-6, rtol=1e-4)
    with torch.no_grad():
        plain = target_log_probs(model, batch, embed(model, batch))
        torch.testing.assert_close(
            target_log_probs(model, padded, embed(model, padded)), plain, atol=1e-5, rtol=1e-5
        )


@given(
    st.lists(st.integers(3, 319), min_size=2, max_size=12),
    st.sampled_from(["gpt2", "llama", "bloom"]),
    st.sampled_from(["value", "gradient", "uniform"]),
    st.sampled_from(["full", "half", "without-self", "relevance"]),
    st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_every_text_s_transition_is_a_distribution_before_the_target(
    token_ids: list[int], family: str, kind: str, residual: str, behind: int
) -> None:
    # Tokens behind the target are in the batch and may not have a share.
    ids = torch.tensor([[*token_ids, *range(5, 5 + behind)]])
    last = torch.tensor([len(token_ids) - 2])
    batch = Batch(ids, torch.ones_like(ids), torch.tensor([0]), last, ids[0, last + 1])
    found = transition(tiny_model(family), batch, kind=kind, residual=residual)[0]
    assert found.isfinite().all()
    assert (found >= 0).all()
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    assert (found[len(token_ids) - 1 :] == 0).all()
