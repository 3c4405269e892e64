"""The same numbers as inseq's, where that library is installed (it is no dependency: pip install inseq==0.7.1)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.tiny_models import tiny_lm
from torch import Tensor
from torch.testing import assert_close

import heat

inseq: Any = pytest.importorskip("inseq", reason="inseq, an independent implementation, is not installed")

PROMPT = "The gate is made of iron. Answer:"
TARGET = " iron."
STEPS = 20


def of_rows(found: Tensor) -> Tensor:
    return found.sum(-1)


def lengths(found: Tensor) -> Tensor:
    return found.norm(dim=-1)


def as_they_are(found: Tensor) -> Tensor:
    return found


# Ours with its options, inseq's with its own, how inseq's embedding-wise scores become one a token.
PAIRS: dict[str, tuple[dict[str, Any], str, dict[str, Any], Callable[[Tensor], Tensor]]] = {
    "gradient-norm": ({}, "saliency", {}, lengths),
    "input-x-gradient": ({}, "input_x_gradient", {}, of_rows),
    # inseq's baseline is the embedding of the unknown token, here the padding token.
    "integrated-gradients": (
        {"n_steps": STEPS, "baseline": "pad"},
        "integrated_gradients",
        {"n_steps": STEPS},
        of_rows,
    ),
    "occlusion": ({"baseline": "pad"}, "occlusion", {}, as_they_are),
}


@pytest.fixture(params=["gpt2", "llama"])
def lm(request: pytest.FixtureRequest) -> heat.LanguageModel:
    lm = tiny_lm(str(request.param), pad_token_id=0)
    assert lm.tokenizer is not None
    lm.tokenizer.unk_token = "<pad>"
    return lm


@pytest.mark.parametrize("method", PAIRS)
def test_the_scores_are_inseq_s(lm: heat.LanguageModel, method: str, tmp_path: Path) -> None:
    assert lm.tokenizer is not None
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    config, name, options, reduced = PAIRS[method]
    theirs = (
        inseq.load_model(str(tmp_path), name)
        .attribute(
            PROMPT,
            PROMPT + TARGET,
            attributed_fn="probability",
            logprob=True,
            step_scores=["probability"],
            show_progress=False,
            **options,
        )
        .sequence_attributions[0]
    )
    ours = heat.attribute(lm, PROMPT, TARGET, method, **config)
    assert tuple(token.id for token in theirs.target) == ours.token_ids
    expected = reduced(theirs.target_attributions)
    (tmp_path / "ours.json").write_text(ours.to_inseq(), encoding="utf-8")
    (saved,) = inseq.FeatureAttributionOutput.load(str(tmp_path / "ours.json")).sequence_attributions
    assert saved.source == theirs.source
    assert (saved.attr_pos_start, saved.attr_pos_end) == (theirs.attr_pos_start, theirs.attr_pos_end)
    assert saved.target_attributions.isnan().equal(expected.isnan())
    # With logprob=True inseq gives its logarithm.
    assert_close(
        saved.step_scores["probability"].log(), theirs.step_scores["probability"], rtol=1e-4, atol=1e-4
    )
    first, last = ours.target_span
    for row, position in enumerate(range(first, last)):
        found = ours.scores[row, :position]
        # inseq gives the size of an occlusion's effect.
        found = found.abs() if method == "occlusion" else found
        difference = (found - expected[:position, row]).abs().max() / expected[:position, row].abs().max()
        print(
            f"{lm.name} {method} target {row}: largest difference {float(difference):.1e} of the largest score"
        )
        assert float(difference) < 1e-4
