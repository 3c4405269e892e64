"""Windows of a long prompt, and the methods that read it through them."""

from typing import Any

import pytest
import torch
from fakes.batches import batch_of
from fakes.tiny_models import CONTEXT_LENGTH, tiny_lm
from hypothesis import given
from hypothesis import strategies as st

import heat
from heat.batch import Batch
from heat.components import information
from heat.components.windows import windows_of
from heat.errors import PromptTooLongError


def counted_batch(n_context: int, n_padding: int = 0) -> Batch:
    """Tokens named by their place."""
    return batch_of(range(n_padding, n_padding + n_context + 1), n_padding=n_padding)


def test_windows_by_hand() -> None:
    # Eight tokens, the last two in every window; before them windows of four that move by two; 8 is the target.
    windows = windows_of(counted_batch(8), 0, size=4, tail=2, first=False)
    assert windows.columns.tolist() == [[0, 1, 2, 3, 6, 7, 8], [2, 3, 4, 5, 6, 7, 8]]
    assert windows.batch.positions.tolist() == [5, 5]
    # Tokens 2 and 3 are in both windows, and so is the tail: their means.
    found = windows.averaged(torch.tensor([[1.0, 1, 1, 1, 1, 1, 9], [3.0, 3, 3, 3, 3, 3, 9]]), 9)
    assert found.tolist() == [1, 1, 2, 2, 3, 3, 2, 2, 9]


def test_each_window_lies_half_over_the_next() -> None:
    # Before a tail of two, nine tokens: windows of four begin two apart, and the last ends with the ninth.
    windows = windows_of(counted_batch(11), 0, size=4, tail=2, first=False)
    begins = [columns[0] for columns in windows.columns.tolist()]
    assert begins == [0, 2, 4, 5]
    assert [columns[3] for columns in windows.columns.tolist()] == [3, 5, 7, 8]
    # An odd size moves by the lesser half, and a single window needs no other.
    odd = windows_of(counted_batch(11), 0, size=5, tail=2, first=True)
    assert [columns[:6] for columns in odd.columns.tolist()] == [
        [0, 1, 2, 3, 4, 5],
        [0, 3, 4, 5, 6, 7],
        [0, 4, 5, 6, 7, 8],
    ]
    assert len(windows_of(counted_batch(11), 0, size=9, tail=2, first=False).columns) == 1


@given(st.integers(1, 60), st.integers(2, 20), st.integers(1, 10), st.booleans(), st.integers(0, 5))
def test_every_token_is_in_a_window_and_the_tail_in_all(
    n: int, size: int, tail: int, first: bool, padding: int
) -> None:
    windows = windows_of(counted_batch(n, padding), 0, size=size, tail=tail, first=first)
    assert set(windows.columns.flatten().tolist()) == set(range(padding, padding + n + 1))
    for columns in windows.columns.tolist():
        assert columns == sorted(set(columns))
        assert columns[-1 - min(tail, n - first) :] == list(
            range(padding + n - min(tail, n - first), padding + n + 1)
        )
        assert not first or columns[0] == padding
        assert len(columns) <= size + tail + first + 1


PAIRS = [("heat-windowed", "heat", {}), ("heat-lr-win", "heat-low-rank", {"rank": 12})]


@pytest.mark.parametrize(("windowed", "plain", "options"), PAIRS)
def test_one_window_that_covers_all_equals_no_windows(
    windowed: str, plain: str, options: dict[str, Any]
) -> None:
    lm, prompt, longer = tiny_lm("llama"), list(range(10, 40)), list(range(10, 90))
    whole = heat.attribute(lm, prompt, [7, 8], plain, **options)
    alone = heat.attribute(lm, prompt, [7, 8], windowed, window=40, tail=8, **options)
    # Beside a prompt that needs several windows the short one goes through the windows too.
    beside, _ = heat.attribute_batch(
        lm, [prompt, longer], [[7, 8], [7, 8]], windowed, window=40, tail=8, **options
    )
    for found in (alone, beside):
        torch.testing.assert_close(found.scores, whole.scores, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(found.log_probs, whole.log_probs)


def test_a_prompt_longer_than_the_context() -> None:
    lm, prompt = tiny_lm("gpt2"), [3 + 7 * index % 300 for index in range(150)]
    with pytest.raises(PromptTooLongError, match="windowed method"):
        heat.attribute(lm, prompt, [7], "heat")
    found = heat.attribute(lm, prompt, [7], "heat-windowed", window=32, tail=8)
    assert (found.scores[0, :150] > 0).all()
    # What the model says of the last window, the prompt's own last 40 tokens.
    last = heat.attribute(lm, prompt[-40:], [7], "random")
    torch.testing.assert_close(found.log_probs, last.log_probs)


def widest_pass(lm: heat.LanguageModel, prompt: list[int], method: str, **options: Any) -> int:
    """The longest text, with what a cache holds of it, that any pass of a run is given."""
    seen = []

    def keep(module: Any, args: Any, kwargs: Any) -> None:
        if kwargs.get("attention_mask") is not None:
            seen.append(int(kwargs["attention_mask"].shape[-1]))

    handle = lm.model.register_forward_pre_hook(keep, with_kwargs=True)
    heat.attribute(lm, prompt, [7], method, **options)
    handle.remove()
    return max(seen)


@pytest.mark.parametrize(
    ("begins", "options", "width"),
    [
        # Beginning-of-text token (1), window, tail and target fill the context.
        (1, {}, CONTEXT_LENGTH),
        (9, {}, CONTEXT_LENGTH),
        (1, {"window": 50}, CONTEXT_LENGTH),
        # A tail takes half of it at most: 31 of the 62 or 63 tokens that are left.
        (1, {"window": 20, "tail": 200}, 1 + 20 + 31 + 1),
        (9, {"window": 20, "tail": 200}, 20 + 31 + 1),
    ],
)
def test_windows_and_tail_never_exceed_the_model_s_context(
    begins: int, options: dict[str, int], width: int
) -> None:
    lm, prompt = tiny_lm("llama"), [begins, *(3 + 7 * index % 300 for index in range(150))]
    assert widest_pass(lm, prompt, "heat-windowed", n_probes=1, **options) <= CONTEXT_LENGTH
    method: Any = heat.methods()["heat-windowed"](**options)
    ids = torch.tensor([[*prompt, 7]])
    windows = method._windows(
        lm, Batch(ids, torch.ones_like(ids), *torch.tensor([[0], [len(prompt) - 1], [7]])), 0
    )
    assert windows.columns.shape[1] == width


def test_windows_of_a_text_share_what_is_masked_token_by_token() -> None:
    # Windows that say the same over and over, and one that does not: half of what all of them hold is looked into.
    lm, span, refine = tiny_lm("llama"), 4, 0.5
    ids = torch.tensor([[9] * 14 + [3 + 11 * index % 300 for index in range(10)] + [7]])
    batch = Batch(ids, torch.ones_like(ids), torch.tensor([0]), torch.tensor([23]), ids[0, -1:])
    options = {"window": 8, "tail": 4, "span": span, "refine": refine, "n_probes": 1}
    method: Any = heat.methods()["heat-windowed"](**options)
    windows = method._windows(lm, batch, 0)
    n_windows, width = windows.columns.shape
    coarse = information(lm.model, windows.batch, span=span, refine=0.0)
    exact, chosen = information(lm.model, windows.batch), torch.zeros(n_windows, width).bool()
    parts = [(row, slice(at, at + span)) for row in range(n_windows) for at in range(0, width, span)]
    held = 0.0
    for row, part in sorted(parts, key=lambda each: -float(coarse[each].sum())):
        if held < refine * float(coarse.sum()):
            chosen[row, part] = True
            held += float(coarse[row, part].sum())
    # Some windows are looked into and some are not, which each by itself would be.
    assert 0 < int(chosen.any(-1).sum()) < n_windows
    values = torch.where(chosen, exact, coarse)
    expected = [values[windows.columns == column].mean() for column in range(24)]
    found = method.score(lm, batch).components["information"][0, :24]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-7)


def test_the_beginning_of_text_stays_in_every_window() -> None:
    lm = tiny_lm("llama")
    windows = heat.methods()["heat-windowed"](window=8, tail=2)._windows(  # type: ignore[call-arg,attr-defined]
        lm,
        Batch(
            torch.tensor([[1, *range(10, 40)]]), torch.ones(1, 31).long(), *torch.tensor([[0], [29], [39]])
        ),
        0,
    )
    assert (windows.batch.token_ids[:, 0] == 1).all()
    assert len(windows.columns) > 3
