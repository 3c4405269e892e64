"""Plans against what is then spent."""

from typing import Any

import pytest
from fakes.tiny_models import FAMILIES, tiny_lm

import heat
from heat.cost.plan import Speed, calibrate, plan

PROMPT = "The gate is made of iron. Answer:"


@pytest.mark.parametrize("method", list(heat.methods()))
def test_forward_equivalents_are_those_that_the_attribution_reports(method: str) -> None:
    if not heat.methods()[method].is_installed():
        pytest.skip(f"needs the extra {heat.methods()[method].extra}")
    options: dict[str, Any] = {"weights": "uniform"} if method == "at2" else {}
    lm, chosen = tiny_lm("llama"), heat.methods()[method](**options)
    encoded = heat.encode(lm, PROMPT, " iron")
    found = plan(lm, encoded, chosen, Speed(1.0, 0.5))
    spent = heat.attribute(lm, encoded, None, chosen).forward_equivalents
    assert sum(found.forward_equivalents.values()) == pytest.approx(spent)
    assert found.peak_bytes > sum(weight.numel() for weight in lm.model.parameters()) * 4


def test_masked_passes_are_timed_in_batches_and_the_rest_alone() -> None:
    lm = tiny_lm("llama")
    encoded = heat.encode(lm, list(range(10, 30)), [7])
    found = plan(lm, encoded, heat.methods()["heat"](), Speed(single=2.0, batched=0.25))
    for part, seconds in found.seconds.items():
        token = 0.25 if part == "information" else 2.0
        assert seconds == pytest.approx(found.forward_equivalents[part] * 20 * token)


@pytest.mark.parametrize("family", FAMILIES)
def test_calibration_reads_the_clock_and_leaves_the_model_alone(family: str) -> None:
    lm = tiny_lm(family)
    lm.model.train()
    ticks = iter(range(10_000))
    encoded = heat.encode(lm, list(range(10, 30)), [7])
    # A clock that moves by one at every look: each pass takes one, over 21 tokens, and 84 in a batch.
    found = calibrate(lm, encoded, batch_tokens=90, seconds=8, clock=lambda: float(next(ticks)))
    assert found == Speed(single=1 / 21, batched=1 / 84)
    assert lm.model.training


def test_a_window_bounds_the_peak() -> None:
    lm = tiny_lm("llama")
    peaks = {}
    for method in ("heat", "heat-windowed"):
        peaks[method] = [
            plan(lm, heat.encode(lm, [5] * n, [7]), heat.methods()[method](), Speed(1.0, 1.0)).peak_bytes
            for n in (20_000, 40_000)
        ]
    assert peaks["heat-windowed"][0] == peaks["heat-windowed"][1]
    assert peaks["heat"][0] < peaks["heat"][1]
