import pytest
import torch
from fakes.batches import batch_of, left_padded
from fakes.tiny_models import FAMILIES, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from heat.batch import Batch
from heat.components import information, masked
from heat.components.masked import kl
from heat.internals.forward import embed

MASKS = ["zero", "mean", "attention", "pad"]


IDS = [5, 17, 200, 31, 9, 88, 140, 7]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_equals_one_pass_at_a_time(family: str, mask: str) -> None:
    model, batch = tiny_model(family, pad_token_id=0).double(), batch_of(IDS)
    embeddings = embed(model, batch)
    position_ids = torch.arange(len(IDS))[None]

    def log_probs(changed: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        output = model(inputs_embeds=changed, attention_mask=attention_mask, position_ids=position_ids)
        return output.logits[0, -2].log_softmax(-1)

    blank = {
        "zero": torch.zeros_like(embeddings[0, 0]),
        "mean": embeddings[0].mean(0),
        "pad": model.get_input_embeddings().weight[0],
        "attention": None,
    }[mask]
    expected = []
    with torch.no_grad():
        p = log_probs(embeddings, batch.attention_mask)
        for token in range(len(IDS) - 1):
            changed, attention_mask = embeddings.clone(), batch.attention_mask.clone()
            if blank is None:
                attention_mask[0, token] = 0
            else:
                changed[0, token] = blank
            q = log_probs(changed, attention_mask)
            expected.append((p.exp() * (p - q)).sum())
    found = information(model, batch, mask=mask)[0]
    torch.testing.assert_close(found[:-1], torch.stack(expected), rtol=1e-5, atol=1e-8)
    assert found[-1] == 0


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_prefix_cache_changes_nothing(family: str, mask: str) -> None:
    model, width = tiny_model(family, pad_token_id=0), 24
    ids = torch.tensor([[3 + 7 * index % 300 for index in range(width)]] * 2)
    attention_mask = torch.ones_like(ids)
    attention_mask[1, -5:] = 0
    rows, positions = torch.tensor([0, 0, 1]), torch.tensor([width - 4, width - 2, width - 7])
    batch = Batch(ids, attention_mask, rows, positions, ids[rows, positions + 1])
    cached = information(model, batch, mask=mask)
    assert (cached[0, : width - 4] > 0).any()
    torch.testing.assert_close(
        cached, information(model, batch, mask=mask, prefix_cache=False), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("mask", MASKS)
def test_several_targets_equal_one_at_a_time(mask: str) -> None:
    model = tiny_model("llama")
    together = information(model, batch_of(IDS, n_targets=3), mask=mask)
    for index in range(3):
        alone = information(model, batch_of(IDS[: len(IDS) - 2 + index]), mask=mask)[0]
        torch.testing.assert_close(together[index, : len(alone)], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_left_padding_changes_nothing(family: str, mask: str) -> None:
    model, batch = tiny_model(family), batch_of(IDS)
    padded = left_padded(batch, 3)
    found = information(model, padded, mask=mask)
    assert (found[:, :3] == 0).all()
    torch.testing.assert_close(found[:, 3:], information(model, batch, mask=mask), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("budget", [1, 20])
def test_a_small_budget_changes_nothing(budget: int) -> None:
    model, batch = tiny_model("llama"), batch_of(IDS, n_targets=3)
    torch.testing.assert_close(
        information(model, batch, batch_tokens=budget), information(model, batch), rtol=1e-4, atol=1e-6
    )


@given(st.lists(st.integers(3, 319), min_size=2, max_size=12), st.sampled_from(MASKS))
@settings(max_examples=25, deadline=None)
def test_is_finite_and_never_negative(token_ids: list[int], mask: str) -> None:
    found = information(tiny_model("llama"), batch_of(token_ids), mask=mask)
    assert found.isfinite().all()
    assert (found >= 0).all()


@pytest.mark.parametrize("mask", MASKS)
def test_a_token_out_of_the_model_s_sight_has_none(mask: str) -> None:
    # Two blocks that each see 8 tokens (itself and 7 back) cannot carry anything further than 14 tokens.
    token_ids = [3 + 11 * index % 300 for index in range(24)]
    found = information(tiny_model("mistral").double(), batch_of(token_ids), mask=mask)[0]
    assert (found[: 22 - 14] < 1e-12).all()
    assert (found[22 - 14 : 23] > 1e-9).all()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_spans_by_hand(family: str) -> None:
    model, batch = tiny_model(family).double(), batch_of(IDS)
    embeddings = embed(model, batch)
    sizes = []
    with torch.no_grad():
        p = model(inputs_embeds=embeddings).logits[0, -2].log_softmax(-1)
        for first, last in ((0, 3), (3, 6), (6, 7)):
            changed = embeddings.clone()
            changed[0, first:last] = 0
            q = model(inputs_embeds=changed).logits[0, -2].log_softmax(-1)
            sizes += [float((p.exp() * (p - q)).sum()) / (last - first)] * (last - first)
    found = information(model, batch, span=3, refine=0.0)[0, :7]
    torch.testing.assert_close(found, torch.tensor(sizes).double(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("mask", MASKS)
def test_all_spans_refined_equal_one_by_one(mask: str) -> None:
    model, batch = tiny_model("llama", pad_token_id=0), batch_of(IDS, n_targets=3)
    exact = information(model, batch, mask=mask)
    torch.testing.assert_close(
        information(model, batch, mask=mask, span=2, refine=1.0), exact, rtol=1e-4, atol=1e-6
    )


def test_a_part_of_the_spans_is_refined_and_the_rest_is_not() -> None:
    model, batch = tiny_model("llama"), batch_of([3 + 11 * index % 300 for index in range(25)])
    exact, coarse = information(model, batch)[0], information(model, batch, span=4, refine=0.0)[0]
    found = information(model, batch, span=4, refine=0.6)[0]
    refined = torch.isclose(found, exact, rtol=1e-3) & ~torch.isclose(exact, coarse, rtol=1e-3)
    assert 4 <= refined.sum() < 20
    assert torch.isclose(found[~refined], coarse[~refined], rtol=1e-3, atol=1e-7).all()
    # The spans that are looked into are those that hold most.
    assert coarse[:24][refined[:24]].min() >= coarse[:24][~refined[:24]].max()


def test_windows_rank_their_spans_together() -> None:
    model = tiny_model("llama")
    ids = torch.tensor([[3 + 11 * index % 300 for index in range(25)], [9] * 25])
    batch = Batch(ids, torch.ones_like(ids), torch.tensor([0, 1]), torch.tensor([23, 23]), ids[:, -1])
    coarse, exact = information(model, batch, span=4, refine=0.0), information(model, batch)
    sums = coarse.sum(-1)
    stronger, weaker = int(sums.argmax()), int(sums.argmin())
    assert sums[weaker] < 0.7 * sums[stronger]
    # Up to the stronger text's best span alone, nothing of the weaker one is looked into.
    together = information(model, batch, span=4, refine=1e-3, groups=torch.tensor([0, 0]))
    torch.testing.assert_close(together[weaker], coarse[weaker], rtol=1e-4, atol=1e-7)
    apart = information(model, batch, span=4, refine=1e-3)
    assert not torch.allclose(apart[weaker], coarse[weaker], rtol=1e-3)
    assert torch.isclose(together[stronger], exact[stronger], rtol=1e-3).sum() >= 4


@pytest.mark.parametrize("groups", [[0, 0, 0], [1, 0, 1], [0, 1, 2]])
@pytest.mark.parametrize("refine", [0.3, 0.6, 0.9])
def test_the_fewest_spans_of_a_group_that_hold_the_share_by_hand(groups: list[int], refine: float) -> None:
    model, span = tiny_model("llama"), 4
    ids = torch.tensor([[9] * 17, [3 + 11 * index % 300 for index in range(17)], [5, 40] * 8 + [7]])
    batch = Batch(ids, torch.ones_like(ids), torch.arange(3), torch.tensor([15] * 3), ids[:, -1])
    coarse, exact = information(model, batch, span=span, refine=0.0), information(model, batch)
    expected = coarse.clone()
    sums = coarse[:, :16].reshape(3, 4, span).sum(-1).tolist()
    for group in set(groups):
        mine = [(sums[row][at], row, at) for row in range(3) if groups[row] == group for at in range(4)]
        held, wanted = 0.0, refine * sum(size for size, _, _ in mine)
        for size, row, at in sorted(mine, reverse=True):
            if held < wanted:
                expected[row, at * span : (at + 1) * span] = exact[row, at * span : (at + 1) * span]
                held += size
    found = information(model, batch, span=span, refine=refine, groups=torch.tensor(groups))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    assert not torch.allclose(coarse, exact, rtol=1e-2)


def test_rounding_never_makes_a_divergence_negative() -> None:
    logits = torch.randn(500, 320, generator=torch.Generator().manual_seed(0))
    unmasked = logits.log_softmax(-1)
    masked = (logits + 1e-7 * torch.randn(500, 320, generator=torch.Generator().manual_seed(1))).log_softmax(
        -1
    )
    # In float32 the sum of p (log p - log q) over the outcomes falls below zero where the two are nearly equal.
    assert ((unmasked.exp() * (unmasked - masked)).sum(-1) < 0).any()
    ids = torch.zeros(500, 2).long()
    batch = Batch(ids, torch.ones_like(ids), torch.arange(500), ids[:, 0], ids[:, 1])
    assert (kl(unmasked, masked, batch) >= 0).all()


def test_spans_of_several_targets_equal_one_at_a_time() -> None:
    # The last span of the shorter contexts is cut by their targets.
    model = tiny_model("llama")
    together = information(model, batch_of(IDS, n_targets=3), span=3, refine=0.5)
    for index in range(3):
        alone = information(model, batch_of(IDS[: len(IDS) - 2 + index]), span=3, refine=0.5)[0]
        torch.testing.assert_close(together[index, : len(alone)], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("prefix_cache", [True, False])
def test_a_large_vocabulary_is_taken_some_places_at_a_time(
    monkeypatch: pytest.MonkeyPatch, prefix_cache: bool
) -> None:
    model, batch = tiny_model("llama").double(), batch_of(IDS, n_targets=2)
    expected = information(model, batch, prefix_cache=prefix_cache)
    entries = model.config.vocab_size
    arrays: list[int] = []
    compare, read = masked.kl, masked.logits

    def compared(unmasked: torch.Tensor, values: torch.Tensor, some: Batch) -> torch.Tensor:
        arrays.append(values.numel())
        return compare(unmasked, values, some)

    def logits(*args: torch.Tensor, **options: torch.Tensor) -> torch.Tensor:
        values = read(*args, **options)
        places.append(len(values))
        return values

    for at_once, of_a_pass, most in ((3 * entries, 4 * entries, 4), (1, 1, 2)):
        places: list[int] = []
        arrays.clear()
        monkeypatch.setattr(masked, "AT_ONCE", at_once)
        monkeypatch.setattr(masked, "LOGITS", of_a_pass)
        monkeypatch.setattr(masked, "kl", compared)
        monkeypatch.setattr(masked, "logits", logits)
        torch.testing.assert_close(information(model, batch, prefix_cache=prefix_cache), expected)
        # One masked text at the least, read at both targets.
        assert max(places) == most
        assert max(arrays) == max(at_once, entries)
