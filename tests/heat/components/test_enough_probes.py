import math

import pytest
import torch
from fakes.batches import random_batch
from fakes.tiny_models import WIDTH, tiny_model

import heat
from heat.components import curvature
from heat.components.probes import MOST_PROBES, PROBES_A_TURN, SETTLED, certainty, probes_of_turn
from heat.errors import ConfigError

N = 6


def test_certainty_is_the_share_of_the_spread_that_is_no_noise() -> None:
    sizes = torch.tensor([[1.0, 4.0], [3.0, 4.0]])
    # Means 2 and 4; variances 2 and 0 over m = 2 probes; so squared relative errors 2 / 2 / 4 and 0.
    noise = (0.25 + 0.0) / 2
    spread = math.log(2) ** 2 / 2
    assert certainty(sizes) == pytest.approx(math.sqrt(1 - noise / spread))


def test_certainty_is_near_the_correlation_that_is_reached() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(400, generator=generator, dtype=torch.float64)
    sizes = (truth + 0.4 * torch.randn(200, 400, generator=generator, dtype=torch.float64)).exp()
    for m in (2, 4, 10):
        reached = torch.corrcoef(torch.stack([sizes[:m].mean(0).log(), truth]))[0, 1]
        assert certainty(sizes[:m]) == pytest.approx(float(reached), abs=0.015)


def test_where_nothing_can_be_ranked_one_is_certain() -> None:
    assert certainty(torch.zeros(2, 5)) == 1
    assert certainty(torch.ones(2, 5)) == 1
    assert certainty(torch.tensor([[1.0], [2.0]])) == 1


def test_auto_stops_where_the_ranking_has_settled() -> None:
    model, batch = tiny_model("llama").double(), random_batch(N + 1, n_targets=1, seed=1)
    singles = torch.cat(
        [
            torch.cat([curvature(model, batch, probes=probe[None].double()) for probe in probes])
            for probes in (
                probes_of_turn(turn, N + 2, WIDTH, 0) for turn in range(MOST_PROBES // PROBES_A_TURN)
            )
        ]
    )
    inside = singles[:, batch.context[0]]
    counts = range(PROBES_A_TURN, MOST_PROBES + 1, PROBES_A_TURN)
    enough = next((m for m in counts if certainty(inside[:m]) >= SETTLED), MOST_PROBES)
    assert enough > PROBES_A_TURN  # otherwise nothing is shown
    found = curvature(model, batch, n_probes="auto")
    torch.testing.assert_close(found[0], singles[:enough].mean(0))


def test_auto_is_decided_for_every_text_by_itself() -> None:
    model = tiny_model("gpt2").double()
    together = random_batch(N + 1, n_targets=3, seed=2).one_target_per_row()
    found = curvature(model, together, n_probes="auto")
    for row in range(3):
        alone = together.of_rows(torch.tensor([row]))[0]
        torch.testing.assert_close(curvature(model, alone, n_probes="auto")[0], found[row])
    torch.testing.assert_close(curvature(model, together, n_probes="auto", batch_tokens=1), found)


@pytest.mark.parametrize("mode", ["block", "fisher"])
def test_auto_is_refused_where_it_means_nothing(mode: str) -> None:
    lm = heat.LanguageModel(tiny_model("llama"), None, name="tiny", revision="random")
    with pytest.raises(ConfigError, match="mode 'row'"):
        heat.attribute(lm, [3, 4, 5], [6], "heat", n_probes="auto", mode=mode)


def test_auto_is_an_option_of_every_form_of_the_hessian() -> None:
    lm = heat.LanguageModel(tiny_model("llama"), None, name="tiny", revision="random")
    for method in (
        "heat",
        "hessian-only",
        "no-gate",
        "heat-layer-sampling",
        "heat-windowed",
        "heat-low-rank",
    ):
        assert heat.attribute(lm, [3, 4, 5], [6], method, n_probes="auto").scores.isfinite().all()
