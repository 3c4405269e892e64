"""Several methods on one text."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.attributions import made
from fakes.tiny_models import tiny_lm
from scipy.stats import spearmanr

import heat
from heat.comparison import _sources, attribute_each, compare
from heat.errors import ConfigError
from heat.registry import build

PROMPT = "The vault is made of copper. The gate is made of iron. Answer:"
SPANS = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]


def test_ranks_and_correlation_by_hand() -> None:
    one = made("a b c d e", SPANS, [[4.0, 3.0, 2.0, 1.0, 0.0]])
    other = replace(one, scores=torch.tensor([[1.0, 3.0, 2.0, 4.0, 0.0]]), method="other")
    found = compare([one, other])
    assert found.names == ("random", "other")
    # Ranks 1 2 3 4 against 4 2 3 1: rho = 1 - 6 * (9 + 9) / (4 * 15).
    assert found.correlation == pytest.approx(np.array([[1.0, -0.8], [-0.8, 1.0]]))
    assert [(one.text, one.ranks, one.gap) for one in found.disagreements] == [
        ("a", (1.0, 4.0), 3.0),
        ("d", (4.0, 1.0), 3.0),
    ]
    assert list(found.to_frame().columns) == ["word", "random", "other"]
    assert compare([one, one]).names == ("random 1", "random 2")
    flat = compare([one, replace(one, scores=torch.zeros(1, 5))])
    assert np.isnan(flat.correlation[0, 1])


def test_correlation_is_scipy_s_and_one_target_can_be_chosen() -> None:
    lm = tiny_lm("llama")
    methods = ["random", "gradient-norm", "attention-rollout"]
    attributions = attribute_each(lm, PROMPT, " iron, said", methods, seed=2)
    for target in (None, 1):
        found = compare(attributions, "word", "sum", target)
        expected = spearmanr(found.scores, axis=1).statistic
        assert found.correlation == pytest.approx(expected)
    with pytest.raises(ConfigError, match="different tokens"):
        compare([attributions[0], heat.attribute(lm, PROMPT, " iron", "random")])
    with pytest.raises(ConfigError, match="nothing to compare"):
        compare([])


def test_parts_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    names = ["kl-only", "heat", "uniform-transition", "no-gate", "gradient-norm", "transition-only"]
    alone = [heat.attribute(lm, PROMPT, " iron", name) for name in names]
    computed = []
    attribute = heat.attribute

    def counted(lm: object, encoded: object, target: object, method: heat.Method, **rest: object) -> object:
        computed.append(method.name)
        return attribute(lm, encoded, target, method, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr("heat.comparison.attribute", counted)
    together = attribute_each(lm, PROMPT, " iron", names)
    assert computed == ["heat", "gradient-norm"]
    for one, other in zip(together, alone, strict=True):
        assert one.method == other.method
        torch.testing.assert_close(one.scores, other.scores, rtol=1e-4, atol=1e-7)


def test_of_methods_with_the_same_parts_the_first_is_computed() -> None:
    methods = [build(name, {}) for name in ("no-gate", "uniform-transition", "kl-only")]
    assert _sources(methods, 10) == [0, 0, 0]
    other = [build("heat", {"n_probes": "3"}), *methods]
    assert _sources(other, 10) == [0, 1, 1, 0]
    assert _sources([*methods[::-1], build("heat", {})], 10) == [3, 3, 3, 3]
    assert _sources([build("random", {}), build("random", {})], 10) == [0, 1]
