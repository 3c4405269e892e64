"""What the runner takes from the store, and what it computes."""

from pathlib import Path

import pytest
import torch

from evaluate.pipeline import runner
from evaluate.pipeline.runner import attributions, settings_of
from evaluate.pipeline.store import Scratch
from evaluate.tasks.task import Example
from heat import LanguageModel
from heat.errors import HeatError

OFF_HEAT = ["heat-windowed", "hessian-only", "kl-only", "no-gate", "transition-only", "uniform-transition"]


def never(*_: object) -> list[object]:
    raise AssertionError("a pass through the model")


@pytest.mark.parametrize("method", OFF_HEAT)
def test_ablations_are_read_off_what_heat_left(
    method: str, lm: LanguageModel, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(lm, seed=2)
    own, _ = attributions(Scratch(tmp_path), lm, examples, method, settings)
    store = Scratch(tmp_path)
    attributions(store, lm, examples, "heat", settings)
    monkeypatch.setattr(runner, "_compute", never)
    timed = list(store.timings)
    found, new = attributions(store, lm, examples, method, settings)
    assert new == len(examples)
    for made, computed in zip(found, own, strict=True):
        assert not isinstance(made, HeatError)
        assert not isinstance(computed, HeatError)
        torch.testing.assert_close(made.scores, computed.scores, rtol=0, atol=0)
        assert (made.method, made.config) == (computed.method, computed.config)
    # What it cost was not measured.
    assert store.timings == timed


def test_without_all_parts_a_method_is_computed(
    lm: LanguageModel, examples: list[Example], tmp_path: Path
) -> None:
    settings = settings_of(lm)
    store = Scratch(tmp_path)
    attributions(store, lm, examples, "hessian-only", settings)
    # HEAT itself of one example fewer: another batch, and not all there.
    attributions(store, lm, examples[1:], "heat", settings)
    for method in ("no-gate", "heat-low-rank"):
        attributions(store, lm, examples, method, settings)
        assert method in {timing.method for timing in store.timings}
