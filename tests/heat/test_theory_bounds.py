"""docs/theory.md in numbers: every bound against explicit Hessians and exact expectations, every counterexample."""

import math

import pytest
import torch
from fakes.batches import batch_of
from fakes.hessians import explicit_hessian
from fakes.tiny_models import tiny_lm, tiny_model
from torch import Tensor

import heat
from heat.batch import Batch, collate
from heat.components import curvature, information, rademacher
from heat.components.low_rank import lanczos
from heat.internals.forward import at_targets, embed, explained
from heat.internals.state import eager_attention

N, D = 3, 4  # so few that all 2^12 probes can be tried, and an expectation is a sum
SIZE = N * D
NORMAL = math.sqrt(2 / math.pi)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    changes = {"hidden_size": D, "intermediate_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1}
    return tiny_model("llama", head_dim=2, initializer_range=1.0, **changes).double()


@pytest.fixture(scope="module")
def batch() -> Batch:
    return batch_of([5, 17, 230, 41])


@pytest.fixture(scope="module")
def hessian(model: torch.nn.Module, batch: Batch) -> Tensor:
    """H of the context, [N·d, N·d]."""
    return explicit_hessian(model, batch)[:N, :, :N].reshape(SIZE, SIZE)


@pytest.fixture(scope="module")
def every_probe() -> Tensor:
    """All sign vectors, [2^12, N, d]."""
    bits = (torch.arange(2**SIZE)[:, None] >> torch.arange(SIZE)) & 1
    return (2.0 * bits - 1.0).double().reshape(-1, N, D)


def by_token(rows: Tensor) -> Tensor:
    return rows.reshape(N, D).sum(-1)


def padded(probes: Tensor) -> Tensor:
    return torch.nn.functional.pad(probes, (0, 0, 0, 1))


@pytest.fixture(scope="module")
def expected(hessian: Tensor, every_probe: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of ‖(H r)_i‖₁ over all probes."""
    sizes = (every_probe.flatten(1) @ hessian).reshape(-1, N, D).abs().sum(-1)
    return sizes.mean(0), sizes.var(0, correction=0)


def test_the_functions_expectation_is_that_of_the_explicit_hessian(
    model: torch.nn.Module, batch: Batch, every_probe: Tensor, expected: tuple[Tensor, Tensor]
) -> None:
    found = curvature(model, batch, probes=padded(every_probe), batch_tokens=2**14)
    torch.testing.assert_close(found[0, :N], expected[0], rtol=1e-5, atol=1e-8)


def test_1_expectation_lies_between_the_row_norms_and_their_share(
    hessian: Tensor, expected: tuple[Tensor, Tensor]
) -> None:
    norms, absolute = by_token(hessian.norm(dim=1)), by_token(hessian.abs().sum(1))
    assert (expected[0] <= norms * (1 + 1e-12)).all()
    assert (expected[0] >= norms / math.sqrt(2)).all()
    # It is no estimate of the entries' absolute sum, which it stays below by a factor that is not constant.
    assert (expected[0] < 0.75 * absolute).all()
    assert float((expected[0] / absolute).max() / (expected[0] / absolute).min()) > 1.01


def test_1_the_lower_constant_is_met_by_two_equal_entries() -> None:
    probes = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    row = torch.tensor([3.0, 3.0])
    assert float((probes @ row).abs().mean() / row.norm()) == pytest.approx(1 / math.sqrt(2))


def test_2_variance_is_bounded_and_falls_with_m(
    model: torch.nn.Module, batch: Batch, hessian: Tensor, expected: tuple[Tensor, Tensor]
) -> None:
    mean, variance = expected
    norms = by_token(hessian.norm(dim=1))
    assert (variance <= norms**2 - mean**2 + 1e-12).all()
    assert (variance.sqrt() / mean <= 1).all()
    m, runs = 4, 250
    drawn = torch.stack([curvature(model, batch, n_probes=m, seed=seed)[0, :N] for seed in range(runs)])
    # Mean of the runs: unbiased for the expectation, within five standard errors; variance: 1/m of one probe's.
    assert ((drawn.mean(0) - mean).abs() <= 5 * (variance / m / runs).sqrt()).all()
    torch.testing.assert_close(drawn.var(0), variance / m, rtol=0.35, atol=0)


def test_3_blocks_never_exceed_rows(
    model: torch.nn.Module,
    batch: Batch,
    hessian: Tensor,
    every_probe: Tensor,
    expected: tuple[Tensor, Tensor],
) -> None:
    blocks = hessian.reshape(N, D, N, D)
    own = torch.stack([blocks[i, :, i] for i in range(N)])
    sizes = torch.einsum("ide,kie->kid", own, every_probe).abs().sum(-1).mean(0)
    assert (sizes <= expected[0] + 1e-12).all()
    assert (sizes < 0.999 * expected[0]).any()
    # With the same few probes they can: the inequality is one of expectations.
    some = every_probe[torch.randperm(len(every_probe), generator=torch.Generator().manual_seed(0))[:64]]
    above = [
        bool(
            (
                curvature(model, batch, mode="block", probes=padded(one[None]))
                > curvature(model, batch, probes=padded(one[None])) + 1e-9
            ).any()
        )
        for one in some
    ]
    assert any(above)


@pytest.mark.parametrize("rank", [1, 3, 6, 9, 11])
def test_4_low_rank_error_is_bounded_by_what_the_projection_leaves(
    model: torch.nn.Module, batch: Batch, hessian: Tensor, rank: int
) -> None:
    start = padded(rademacher(1, N + 1, D, 0)[:, :N].double())

    def product(vectors: Tensor) -> Tensor:
        return torch.nn.functional.pad(
            (vectors[..., :N, :].flatten(-2) @ hessian).reshape(*vectors.shape[:-2], N, D), (0, 0, 0, 1)
        )

    _, T = lanczos(product, start, batch.context, rank, seed=0)
    left = (hessian.square().sum() - T.square().sum()).clamp_min(0).sqrt()
    exact = NORMAL * by_token(hessian.norm(dim=1))
    found = curvature(model, batch, rank=rank)[0, :N]
    error = (found - exact).abs().sum()
    assert error <= NORMAL * math.sqrt(SIZE) * left * (1 + 1e-6) + 1e-9
    # What any matrix of this rank leaves (Eckart and Young): Lanczos cannot leave less.
    spectrum = torch.linalg.eigvalsh(hessian).abs().sort(descending=True).values
    discarded = spectrum[rank:].square().sum().sqrt()
    assert left >= discarded * (1 - 1e-6) - 1e-9
    # The truncated spectrum keeps the bound with the discarded part in its place.
    values, vectors = torch.linalg.eigh(hessian)
    order = values.abs().argsort(descending=True)[:rank]
    truncated = vectors[:, order] * values[order] @ vectors[:, order].T
    error = (NORMAL * by_token(truncated.norm(dim=1)) - exact).abs().sum()
    assert error <= NORMAL * math.sqrt(SIZE) * discarded * (1 + 1e-9)


def test_4_an_unlucky_start_leaves_lanczos_all_that_the_spectrum_would_keep() -> None:
    # H = λ e₀ e₀ᵀ has rank one, so its discarded spectrum is 0; from e₁ the first product finds nothing of it.
    H = torch.zeros(SIZE, SIZE).double()
    H[0, 0] = 7.0

    def product(vectors: Tensor) -> Tensor:
        return (vectors.flatten(-2) @ H).reshape(vectors.shape)

    start = torch.zeros(1, N, D).double()
    start[0, 0, 1] = 1
    inside = torch.ones(1, N).bool()
    assert float(lanczos(product, start, inside, 1, seed=0)[1].square().sum()) == 0
    assert float(lanczos(product, start, inside, SIZE, seed=0)[1].square().sum()) == pytest.approx(49)


def test_4_a_flat_spectrum_needs_every_product() -> None:
    start = torch.ones(1, N, D).double()
    for rank in (1, 6, 12):
        _, T = lanczos(lambda vectors: vectors, start, torch.ones(1, N).bool(), rank, seed=0)
        assert float(SIZE - T.square().sum()) == pytest.approx(SIZE - rank)


def test_5_interactions_outside_a_window_bound_what_it_leaves_out(
    hessian: Tensor, every_probe: Tensor
) -> None:
    inside = torch.tensor([False, True, True]).repeat_interleave(D)
    whole, cut = hessian, hessian * inside
    outside = by_token((hessian * ~inside).norm(dim=1))
    for expectation, constant in (
        (lambda matrix: NORMAL * by_token(matrix.norm(dim=1)), NORMAL),
        (lambda matrix: by_token((every_probe.flatten(1) @ matrix.T).abs().mean(0)), 1.0),
    ):
        error = expectation(whole) - expectation(cut)
        assert (error >= -1e-9).all()
        assert (error <= constant * outside + 1e-9).all()


def test_5_a_window_that_deletes_text_has_no_such_bound() -> None:
    # g(a, b) = a² b at a = 0: H_ab = 0, so nothing interacts with what lies outside, and yet H_aa = 2b goes with b.
    def g(point: Tensor) -> Tensor:
        return point[0] ** 2 * point[1]

    for b in (1.0, 100.0):
        whole = torch.autograd.functional.hessian(g, torch.tensor([0.0, b]))
        without = torch.autograd.functional.hessian(g, torch.tensor([0.0, 0.0]))
        assert whole[0, 1] == 0
        assert whole[0, 0] - without[0, 0] == 2 * b


def test_5_a_text_of_one_window_is_computed_whole() -> None:
    lm = tiny_lm("llama")
    prompt = "The vault is made of copper. What is the vault"
    whole = heat.attribute(lm, prompt, " made", "heat")
    torch.testing.assert_close(heat.attribute(lm, prompt, " made", "heat-windowed").scores, whole.scores)


def test_6_differences_are_off_by_the_third_derivative_and_by_rounding(
    model: torch.nn.Module, batch: Batch
) -> None:
    generator = torch.Generator().manual_seed(3)
    point = embed(model, batch)
    v, u = (torch.randn(point.shape, generator=generator).double() for _ in range(2))

    def along(t: float, order: int) -> float:
        """∂_s ∂_t^order g(E + t v + s u) at s = 0: the order-th derivative of u·∇g along v."""
        s, at = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.0, t))
        with eager_attention(model):
            value = explained(model, batch, point + at * v + s * u).sum()
        (value,) = torch.autograd.grad(value, s, create_graph=True)
        for _ in range(order):
            (value,) = torch.autograd.grad(value, at, create_graph=True)
        return float(value.detach())

    # Norms and softmax are computed in float32 whatever the weights are in.
    rounding = 64 * torch.finfo(torch.float32).eps * abs(along(0.0, 0))
    exact = along(0.0, 1)
    errors = []
    for step in (0.2, 0.1, 0.05):
        third = max(abs(along(t, 3)) for t in torch.linspace(-step, step, 9).tolist())
        found = (along(step, 0) - along(-step, 0)) / (2 * step)
        errors.append(abs(found - exact))
        assert errors[-1] <= step**2 / 6 * third * 1.05 + rounding / step
    assert errors[1] < 0.4 * errors[0]


def test_7_kl_bounds_how_far_any_probability_moves(model: torch.nn.Module, batch: Batch) -> None:
    embeddings = embed(model, batch)
    p = at_targets(model, batch, embeddings).exp()[0]
    loss = information(model, batch)[0]
    for token in range(N):
        masked = embeddings.clone()
        masked[0, token] = 0
        q = at_targets(model, batch, masked).exp()[0]
        assert (p - q).abs().max() <= 0.5 * (p - q).abs().sum() + 1e-9
        assert 0.5 * (p - q).abs().sum() <= (loss[token] / 2).sqrt() + 1e-7
        assert loss[token] > 1e-4


def test_8_the_quadratic_term_along_a_probe_is_below_the_sum(
    model: torch.nn.Module, batch: Batch, hessian: Tensor
) -> None:
    for seed in range(5):
        probes = rademacher(3, N + 1, D, seed).double()
        flat = probes[:, :N].flatten(1)
        quadratic = torch.einsum("ki,ij,kj->k", flat, hessian, flat).abs().mean()
        assert quadratic <= curvature(model, batch, probes=probes)[0, :N].sum() + 1e-9


def two_outcomes(logit: Tensor) -> Tensor:
    """Log-probabilities of the target and of the other outcome."""
    return torch.stack([torch.nn.functional.logsigmoid(logit), torch.nn.functional.logsigmoid(-logit)])


def divergence(p: Tensor, q: Tensor) -> float:
    return float((p.exp() * (p - q)).sum())


@pytest.mark.parametrize("rare", [20.0, 30.0])
def test_9_a_rare_targets_log_probability_is_bounded_by_nothing(rare: float) -> None:
    # logit = 10 x - rare, at x = 1, masked to 0: the target's log-probability falls by ten nats, the score is near 0.
    def g(x: Tensor) -> Tensor:
        return two_outcomes(10 * x - rare)[0]

    here, masked = torch.tensor(1.0).double(), torch.tensor(0.0).double()
    effect = float(g(here) - g(masked))
    curved = abs(float(torch.autograd.functional.hessian(g, here)))
    lost = divergence(two_outcomes(10 * here - rare), two_outcomes(10 * masked - rare))
    assert effect > 9.9
    assert 0.5 * curved + 0.5 * lost < 100 * math.exp(10 - rare)  # and M is 1 at most


def test_9_two_words_that_stand_in_for_each_other_have_no_score_and_all_the_effect() -> None:
    # logit = 20 tanh(5 (a + b)): without either nothing changes, and it is flat there; without both all is lost.
    def log_probs(point: Tensor) -> Tensor:
        return two_outcomes(20 * torch.tanh(5 * point.sum()))

    whole = torch.tensor([1.0, 1.0]).double()
    hessian = torch.autograd.functional.hessian(lambda point: log_probs(point)[0], whole)
    single = [whole * torch.tensor(keep) for keep in ([0.0, 1.0], [1.0, 0.0])]
    scores = hessian.abs().sum() + sum(divergence(log_probs(whole), log_probs(each)) for each in single)
    effect = float(log_probs(whole)[0] - log_probs(0 * whole)[0])
    assert effect == pytest.approx(math.log(2), abs=1e-6)
    assert float(scores) < 1e-6


def test_9_a_score_need_not_mean_any_effect_on_the_target() -> None:
    # Three outcomes: masking moves probability between the two that are not the target.
    p = torch.tensor([0.5, 0.49, 0.01]).log()
    q = torch.tensor([0.5, 0.01, 0.49]).log()
    assert divergence(p, q) > 1.5
    assert p[0] == q[0]


def test_9_normalised_scores_add_up_to_one_at_most_whatever_the_effects_are() -> None:
    lm = tiny_lm("llama", initializer_range=1.0)
    encoded = heat.encode(lm, "The gate is made of iron. What is the gate made of?", " copper", max_targets=1)
    found = heat.attribute(lm, encoded, None, "heat")
    assert 0 < float(found.scores.sum()) <= 1 + 1e-6
    batch = collate([encoded])
    masked = embed(lm.model, batch).clone()
    g = float(explained(lm.model, batch, masked).detach())
    effects = []
    for token in range(encoded.n_prompt):
        without = masked.clone()
        without[0, token] = 0
        effects.append(abs(g - float(explained(lm.model, batch, without).detach())))
    assert max(effects) > 1 > float(found.scores.max())


def test_9_curvature_has_the_embeddings_unit_and_the_effect_has_not() -> None:
    # g(x) = f(x / c) at c x: the same function of the same text, and its curvature is divided by c².
    def bend(c: float) -> float:
        x = torch.tensor(1.3 * c).double()
        return float(torch.autograd.functional.hessian(lambda at: torch.sin(at / c), x))

    assert bend(100.0) == pytest.approx(bend(1.0) / 100**2)
