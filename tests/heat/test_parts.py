"""Attributions put together from the parts of another."""

from typing import Any

import pytest
import torch
from fakes.tiny_models import tiny_lm

import heat
from heat.errors import ConfigError

PROMPT = list(range(10, 40))
FROM_HEAT = [
    "hessian-only",
    "kl-only",
    "no-gate",
    "transition-only",
    "uniform-transition",
    "heat-windowed",
    "heat",
]


@pytest.mark.parametrize("foil", [None, [9, 11]])
@pytest.mark.parametrize("method", FROM_HEAT)
def test_what_is_put_together_is_what_the_method_says(method: str, foil: list[int] | None) -> None:
    lm = tiny_lm("llama")
    whole = heat.attribute(lm, PROMPT, [7, 8], "heat", foil=foil, seed=3)
    own = heat.attribute(lm, PROMPT, [7, 8], method, foil=foil, seed=3)
    made = heat.recombine(whole, method)
    torch.testing.assert_close(made.scores, own.scores, rtol=0, atol=0)
    assert made.components.keys() == own.components.keys()
    for name, part in own.components.items():
        torch.testing.assert_close(made.components[name], part, rtol=0, atol=0)
    assert made.config == own.config
    assert (made.method, made.forward_equivalents, made.seed) == (method, own.forward_equivalents, 3)
    assert made.seconds is None


def test_other_weights_are_read_off_the_same_parts() -> None:
    lm = tiny_lm("gpt2")
    whole = heat.attribute(lm, PROMPT, [7], "heat")
    own = heat.attribute(lm, PROMPT, [7], "heat", beta=0.9, gamma=0.2, normalize="none")
    made = heat.recombine(whole, "heat", beta=0.9, gamma=0.2, normalize="none")
    torch.testing.assert_close(made.scores, own.scores, rtol=0, atol=0)
    assert not torch.allclose(made.scores, whole.scores)


@pytest.mark.parametrize(
    ("beta", "gamma", "exponent"), [(0.5, 0.5, 0.5), (0.75, 0.25, 0.75), (2.0, 6.0, 0.25)]
)
def test_the_geometric_mix_is_a_weighted_mean_of_logarithms(
    beta: float, gamma: float, exponent: float
) -> None:
    whole = heat.attribute(tiny_lm("llama"), PROMPT, [7], "heat")
    made = heat.recombine(whole, "heat", mix="geometric", beta=beta, gamma=gamma)
    parts = {name: part[0, :30].double() for name, part in whole.components.items()}
    s, i = (parts[name] / parts[name].sum() for name in ("curvature", "information"))
    expected = parts["transition"] * (exponent * s.log() + (1 - exponent) * i.log()).exp()
    torch.testing.assert_close(made.scores[0, :30].double(), expected, rtol=1e-5, atol=1e-12)


def test_low_rank_windows_are_low_rank_where_one_window_holds_all() -> None:
    lm = tiny_lm("llama")
    low_rank = heat.attribute(lm, PROMPT, [7], "heat-low-rank", rank=12)
    own = heat.attribute(lm, PROMPT, [7], "heat-lr-win", rank=12)
    torch.testing.assert_close(heat.recombine(low_rank, "heat-lr-win", rank=12).scores, own.scores)


def test_windows_are_counted_by_the_longest_context() -> None:
    # 30 tokens stand before the first target, 31 before the second: one window for that one, and two for this.
    lm = tiny_lm("llama")
    whole = heat.attribute(lm, PROMPT, [7, 8], "heat")
    with pytest.raises(ConfigError, match="'heat-windowed' needs"):
        heat.recombine(whole, "heat-windowed", window=20, tail=10)
    own = heat.attribute(lm, PROMPT, [7, 8], "heat-windowed", window=20, tail=10)
    assert not torch.allclose(own.scores[1], whole.scores[1], rtol=1e-3)
    fits = heat.recombine(whole, "heat-windowed", window=21, tail=10)
    torch.testing.assert_close(fits.scores, whole.scores)


@pytest.mark.parametrize(
    ("method", "config", "message"),
    [
        ("heat-low-rank", {}, "needs curvature with options"),
        ("heat-layer-sampling", {}, "needs transition and curvature with options"),
        ("heat", {"n_probes": 3}, "needs curvature with options"),
        ("heat", {"mask": "mean"}, "needs information with options"),
        ("transition-only", {"transition": "value"}, "needs transition with options"),
        ("heat-windowed", {"window": 8, "tail": 4}, "needs"),
        ("gradient-norm", {}, "'gradient-norm' is not made of parts"),
    ],
)
def test_parts_that_do_not_fit_are_refused(method: str, config: dict[str, Any], message: str) -> None:
    whole = heat.attribute(tiny_lm("llama"), PROMPT, [7], "heat")
    with pytest.raises(ConfigError, match=message):
        heat.recombine(whole, method, **config)


@pytest.mark.parametrize(
    ("name", "options"), [("heat-low-rank", {"rank": 12}), ("heat-layer-sampling", {"layers": 1})]
)
def test_another_rank_or_depth_is_another_curvature(name: str, options: dict[str, Any]) -> None:
    found = heat.attribute(tiny_lm("llama"), PROMPT, [7], name, **options)
    with pytest.raises(ConfigError, match="curvature"):
        heat.recombine(found, name)


def test_parts_of_other_methods_are_refused() -> None:
    norm = heat.attribute(tiny_lm("llama"), PROMPT, [7], "gradient-norm")
    with pytest.raises(ConfigError, match="'gradient-norm' is not made of parts"):
        heat.recombine(norm, "heat")
    alone = heat.attribute(tiny_lm("llama"), PROMPT, [7], "kl-only")
    with pytest.raises(ConfigError, match="needs curvature"):
        heat.recombine(alone, "no-gate")
