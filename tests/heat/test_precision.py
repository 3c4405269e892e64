"""Masked passes whose products are in bfloat16."""

from typing import Any

import pytest
import torch
from fakes.tiny_models import tiny_lm

import heat
from heat.batch import collate
from heat.components import curvature, information, masked
from heat.components.masked import ABOVE_NOISE
from heat.errors import ConfigError
from heat.internals import precision as precision_of
from heat.internals.forward import at_targets, token_vectors
from heat.internals.precision import bfloat16_products, multiplies_in_bfloat16

PROMPT = "Tom took a knife, and Ann had wood. The gate is made of iron. Answer:"


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gptj"])
def test_what_is_above_the_noise_is_near_and_what_is_below_is_exact(family: str) -> None:
    lm = tiny_lm(family)
    batch = collate([heat.encode(lm, PROMPT, " iron")])
    exact = information(lm.model, batch)
    rounded = information(lm.model, batch, precision="bfloat16")
    with torch.no_grad():
        values = at_targets(lm.model, batch, token_vectors(lm.model, batch))
        with bfloat16_products(lm.model):
            low = at_targets(lm.model, batch, token_vectors(lm.model, batch))
    noise = (values.exp() * (values - low)).sum(-1)
    above = (exact > 2 * ABOVE_NOISE * noise[:, None]) & batch.context
    below = (exact < 0.5 * ABOVE_NOISE * noise[:, None]) & batch.context
    assert above.any()
    torch.testing.assert_close(rounded[above], exact[above], rtol=0.4, atol=0)
    assert not torch.equal(rounded[above], exact[above])
    torch.testing.assert_close(rounded[below], exact[below], rtol=1e-4, atol=1e-7)


def test_all_is_masked_again_where_all_drowns(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    batch = collate([heat.encode(lm, PROMPT, " iron.")])
    monkeypatch.setattr(masked, "ABOVE_NOISE", 1e9)
    torch.testing.assert_close(
        information(lm.model, batch, precision="bfloat16"), information(lm.model, batch)
    )


def test_head_and_sums_stay_float32() -> None:
    lm = tiny_lm("llama")
    batch = collate([heat.encode(lm, PROMPT, " iron")])
    dtypes: list[torch.dtype] = []
    head: Any = lm.model.get_output_embeddings()
    handle = head.register_forward_hook(lambda _, args, output: dtypes.append(output.dtype))
    try:
        with torch.no_grad(), bfloat16_products(lm.model):
            at_targets(lm.model, batch, token_vectors(lm.model, batch))
    finally:
        handle.remove()
    assert dtypes == [torch.float32]
    assert "forward" not in vars(head)


def test_auto_asks_the_device_and_other_dtypes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    for fast in (True, False):
        monkeypatch.setattr(precision_of, "_is_fast", lambda device, fast=fast: fast)
        assert multiplies_in_bfloat16(lm.model, "auto") is fast
        assert multiplies_in_bfloat16(lm.model, "bfloat16")
        assert not multiplies_in_bfloat16(lm.model, "float32")
        assert not multiplies_in_bfloat16(tiny_lm("llama").model.bfloat16(), "bfloat16")


def test_results_in_float32_keep_their_key() -> None:
    lm = tiny_lm("llama")
    attribution = heat.attribute(lm, PROMPT, " iron", "heat")
    assert "precision" not in attribution.config
    rounded = heat.attribute(lm, PROMPT, " iron", "heat", precision="bfloat16", temper=0.5)
    assert rounded.config["precision"] == "bfloat16"
    assert rounded.config["temper"] == 0.5
    for method in ("kl-only", "hessian-only"):
        with pytest.raises(ConfigError, match=r"information|curvature"):
            heat.recombine(attribution, method, precision="bfloat16")


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gptj"])
@pytest.mark.parametrize(
    ("mode", "products"), [("row", "auto"), ("row", "double-backward"), ("block", "auto")]
)
def test_curvature_in_bfloat16_is_near(family: str, mode: Any, products: Any) -> None:
    lm = tiny_lm(family)
    batch = collate([heat.encode(lm, PROMPT, " iron")])
    exact = curvature(lm.model, batch, mode=mode, products=products, n_probes=4)[batch.context]
    rounded = curvature(lm.model, batch, mode=mode, products=products, n_probes=4, precision="bfloat16")[
        batch.context
    ]
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.15, atol=0.01 * float(exact.max()))


@pytest.mark.parametrize("options", [{"products": "finite-difference"}, {"rank": 2}])
def test_differences_and_low_rank_stay_float32(options: dict[str, Any]) -> None:
    lm = tiny_lm("llama")
    batch = collate([heat.encode(lm, PROMPT, " iron")])
    exact = curvature(lm.model, batch, n_probes=2, **options)
    assert torch.equal(curvature(lm.model, batch, n_probes=2, precision="bfloat16", **options), exact)
