"""Attributions in inseq's JSON: what stands in it, and that inseq reads and shows it where it is installed."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.tiny_models import tiny_lm
from safetensors.torch import load as from_safetensors
from torch import Tensor

import heat
from heat import Attribution

PROMPT = "The gate is made of iron. Answer:"


def unpacked(text: str) -> Tensor:
    return from_safetensors(base64.b64decode(text))["attribution"]


def parts(found: Attribution) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of the only sequence, and what is said of all."""
    document = json.loads(found.to_inseq())
    assert document["__instance_type__"] == ["inseq.data.attribution", "FeatureAttributionOutput"]
    (sequence,) = document["attributes"]["sequence_attributions"]
    assert sequence["__instance_type__"][1] == "CoarseFeatureAttributionSequenceOutput"
    return sequence["attributes"], document["attributes"]["info"]


@pytest.fixture(scope="module")
def found() -> Attribution:
    return heat.attribute(tiny_lm("llama"), PROMPT, " iron, said", "heat", n_probes=2)


def test_scores_parts_and_probabilities_stand_where_inseq_has_its_own(found: Attribution) -> None:
    sequence, info = parts(found)
    first, last = found.target_span
    assert [token["attributes"]["id"] for token in sequence["target"]] == list(found.token_ids)
    assert [token["attributes"]["token"] for token in sequence["source"]] == list(found.tokens[:first])
    assert (sequence["attr_pos_start"], sequence["attr_pos_end"]) == (first, last)
    stored = {"scores": unpacked(sequence["target_attributions"])} | {
        name: unpacked(part) for name, part in sequence["sequence_scores"].items()
    }
    assert set(stored) == {"scores", *found.components}
    for name, values in stored.items():
        ours = found.scores if name == "scores" else found.components[name]
        assert values.shape == (last, last - first)
        for target in range(last - first):
            assert torch.equal(values[: first + target, target], ours[target, : first + target])
            assert values[first + target :, target].isnan().all()
    torch.testing.assert_close(unpacked(sequence["step_scores"]["probability"]), found.log_probs.exp())
    assert info["attribution_method"] == "heat"
    assert info["attribution_args"] == found.config
    assert info["input_texts"] == [PROMPT]
    assert info["generated_texts"] == [PROMPT + " iron, said"]


def test_targets_that_were_not_explained_have_no_scores() -> None:
    lm = tiny_lm("llama")
    encoded = heat.encode(lm, PROMPT, " iron, said")
    some = heat.attribute(lm, replace(encoded, explained=(1,)), None, "gradient-norm")
    values = unpacked(parts(some)[0]["target_attributions"])
    assert values[:, 0].isnan().all()
    assert not values[: encoded.n_prompt + 1, 1].isnan().any()


def test_a_prompt_of_ids_has_no_text_before_the_target() -> None:
    sequence, info = parts(heat.attribute(tiny_lm("llama"), [5, 6, 7], [8], "random"))
    assert len(sequence["source"]) == 3
    assert info["input_texts"] == [""]


def test_inseq_reads_and_shows_it(found: Attribution, tmp_path: Path) -> None:
    inseq = pytest.importorskip(
        "inseq", reason="inseq, whose format it is, is not installed (pip install inseq==0.7.1)"
    )
    path = tmp_path / "found.json"
    path.write_text(found.to_inseq(), encoding="utf-8")
    loaded = inseq.FeatureAttributionOutput.load(str(path))
    (sequence,) = loaded.sequence_attributions
    first = found.target_span[0]
    assert tuple(token.id for token in sequence.target) == found.token_ids
    assert torch.equal(sequence.target_attributions[:first].T, found.scores[:, :first])
    assert torch.equal(
        sequence.sequence_scores["curvature"][:first].T, found.components["curvature"][:, :first]
    )
    shown = loaded.show(display=False, return_html=True)
    assert "gate" in shown
    loaded.save(str(tmp_path / "again.json"))
    again = inseq.FeatureAttributionOutput.load(str(tmp_path / "again.json"))
    torch.testing.assert_close(
        again[0].target_attributions, sequence.target_attributions, equal_nan=True, rtol=0, atol=0
    )
    merged = inseq.merge_attributions([loaded, again])
    assert len(merged.sequence_attributions) == 2
