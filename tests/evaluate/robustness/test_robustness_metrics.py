"""Metrics of robustness against captum, scipy and numbers worked out by hand."""

import itertools

import numpy as np
import pytest
import torch
from fakes.tiny_models import tiny_lm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

import heat
from evaluate.robustness.metrics import (
    kendall,
    max_sensitivity,
    overlap_at_k,
    relative_variation,
    spearman,
    spread,
    standardised,
)
from evaluate.robustness.view import Noise, noisy

SCORES = arrays(np.float64, 7, elements=st.integers(-4, 4).map(float))


@given(SCORES, SCORES)
def test_correlations_are_scipy_s(one: np.ndarray, other: np.ndarray) -> None:
    if np.ptp(one) == 0:
        assert np.isnan(spearman(one, other))
        assert np.isnan(kendall(one, other))
    elif np.ptp(other) == 0:
        assert spearman(one, other) == kendall(one, other) == 0.0
    else:
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
        assert kendall(one, other) == pytest.approx(stats.kendalltau(one, other).statistic)


def test_spread_by_hand() -> None:
    # Deviations with K - 1: sqrt(2) for (1, 3), 0 for (5, 5).
    assert spread(np.array([[1.0, 5.0], [3.0, 5.0]])) == pytest.approx(np.sqrt(2) / 2)
    assert np.isnan(spread(np.array([[1.0, 5.0]])))


def test_small_scores_do_not_look_steady() -> None:
    generator = np.random.default_rng(0)
    copies = generator.normal(size=(4, 50))
    tiny = 1e-6 * copies + 3.0  # a small scale over a large constant
    assert spread(tiny) < 1e-5 < spread(copies)
    assert spread(standardised(tiny)) == pytest.approx(spread(standardised(copies)), rel=1e-6)
    assert 0.7 < spread(standardised(copies)) < 1.1
    assert max_sensitivity(tiny[0], tiny[1:]) < 1e-5


def test_standardised_rows() -> None:
    found = standardised(np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]))
    assert found[0] == pytest.approx([-np.sqrt(1.5), 0, np.sqrt(1.5)])
    assert found[1] == pytest.approx([0, 0, 0])


def test_max_sensitivity_is_captum_s_on_the_same_noise() -> None:
    captum = pytest.importorskip("captum.metrics")
    lm = tiny_lm("llama")
    clean = heat.attribute(lm, "The gate is made of", " iron", "input-x-gradient", max_targets=1)
    views = [noisy(lm, Noise("uniform", 0.3, seed)) for seed in (1, 2, 3)]
    noisy_scores = [
        heat.attribute(view, "The gate is made of", " iron", "input-x-gradient", max_targets=1).scores[0]
        for view in views
    ]
    ids = torch.tensor(clean.token_ids[: clean.target_span[0]])
    draws = [view.model.get_input_embeddings()(ids)[None] for view in views]
    clean_embeddings = lm.model.get_input_embeddings()(ids)[None].detach()

    def explain(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        """Input x gradient by torch alone."""
        found = []
        for one in inputs[0]:
            with torch.enable_grad():
                leaf = one[None].detach().requires_grad_()
                said = lm.model(inputs_embeds=leaf).logits[0, -1].log_softmax(-1)
                (gradient,) = torch.autograd.grad(said[clean.token_ids[-1]], leaf)
            found.append((leaf * gradient).sum(-1)[0].detach())
        return (torch.stack(found),)

    def disturb(inputs: tuple[torch.Tensor, ...], radius: float) -> tuple[torch.Tensor]:
        return (torch.cat(draws).detach(),)

    expected = captum.sensitivity_max(
        explain, clean_embeddings, perturb_func=disturb, n_perturb_samples=3, max_examples_per_batch=3
    )
    n = len(ids)
    found = max_sensitivity(
        clean.scores[0, :n].double().numpy(),
        np.stack([each[:n].double().numpy() for each in noisy_scores]),
    )
    assert found == pytest.approx(float(expected[0]), rel=1e-4)


def test_max_sensitivity_of_nothing_divides_by_one_as_captum_does() -> None:
    assert max_sensitivity(np.zeros(2), np.array([[3.0, 4.0], [0.0, 1.0]])) == 5.0


@given(SCORES, SCORES, st.integers(1, 7))
def test_overlap_is_the_mean_over_all_orders_of_ties(one: np.ndarray, other: np.ndarray, k: int) -> None:
    def tops(scores: np.ndarray) -> np.ndarray:
        last = np.sort(scores)[-k]
        above, tied = scores > last, np.flatnonzero(scores == last)
        rows = []
        for chosen in itertools.combinations(tied, k - int(above.sum())):
            row = above.copy()
            row[list(chosen)] = True
            rows.append(row)
        return np.mean(rows, axis=0)

    if np.ptp(one) == 0:
        assert np.isnan(overlap_at_k(one, other, k))
    else:
        assert overlap_at_k(one, other, k) == pytest.approx(float((tops(one) * tops(other)).sum()) / k)


def test_relative_variation_by_hand() -> None:
    # Means 2, 1.9, 2.5: the largest move is 0.5 of 2. The last row is not defined throughout.
    values = np.array([[1.0, 1.0, 1.5], [3.0, 2.8, 3.5], [9.0, np.nan, 0.0]])
    assert relative_variation(values) == pytest.approx(0.25)
    assert np.isnan(relative_variation(np.array([[0.0, 1.0]])))
    assert np.isnan(relative_variation(np.zeros((0, 3))))
