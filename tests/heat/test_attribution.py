import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.attributions import made
from fakes.tiny_models import tiny_lm
from safetensors.torch import save_file

import heat
from heat.completeness import completeness
from heat.errors import AttributionFileError


@pytest.fixture(scope="module")
def attribution() -> heat.Attribution:
    return heat.attribute(tiny_lm("llama"), "The \U0001f600 gate is made of", " iron.", "heat", n_probes=2)


def assert_equal(found: heat.Attribution, expected: heat.Attribution) -> None:
    assert found._metadata() == expected._metadata()
    assert torch.equal(found.scores, expected.scores)
    assert torch.equal(found.log_probs, expected.log_probs)
    assert list(found.components) == sorted(expected.components)
    for name, part in expected.components.items():
        assert torch.equal(found.components[name], part)


def test_carries_what_a_metric_needs(attribution: heat.Attribution) -> None:
    first, last = attribution.target_span
    assert last == len(attribution.token_ids) == len(attribution.tokens) == len(attribution.offsets or ())
    assert set(attribution.components) == {"transition", "curvature", "information"}
    assert attribution.config["n_probes"] == 2
    assert attribution.scores.numpy().shape == (last - first, last)
    assert attribution.text[attribution.offsets[first][0] :].strip() == "iron."
    assert attribution.forward_equivalents > 1
    assert (attribution.seconds or 0) > 0
    with pytest.raises(AttributeError):
        attribution.seed = 3  # type: ignore[misc]


def test_seconds_of_a_batch_are_shared_by_length() -> None:
    prompts = [list(range(10, 40)), list(range(10, 15))]
    found = heat.attribute_batch(tiny_lm("llama"), prompts, [[7], [7]], "gradient-norm")
    seconds = [each.seconds or 0.0 for each in found]
    assert seconds[0] > 0
    assert seconds[0] / 31 == pytest.approx(seconds[1] / 6)


def test_no_pass_of_a_batch_holds_more_tokens_than_it_may() -> None:
    lm, seen = tiny_lm("llama"), []

    def keep(module: Any, args: Any, kwargs: Any) -> None:
        seen.append(kwargs["inputs_embeds"].shape[:2])

    lengths = [8, 30, 5, 20, 8, 9]
    handle = lm.model.register_forward_pre_hook(keep, with_kwargs=True)
    found = heat.attribute_batch(
        lm, [list(range(10, 10 + n)) for n in lengths], [[7]] * 6, "random", batch_tokens=32
    )
    handle.remove()
    assert [len(each.token_ids) for each in found] == [n + 1 for n in lengths]
    # Each with its target: 31 and 21 alone, then 10 beside two of 9, and 6.
    assert [tuple(shape) for shape in seen] == [(1, 31), (1, 21), (3, 10), (1, 6)]


def test_work_is_that_of_the_method_and_the_pass_that_reads_the_probability() -> None:
    lm, prompt = tiny_lm("llama"), list(range(10, 15))
    assert heat.attribute(lm, prompt, [7], "random").forward_equivalents == 1
    # A forward and a backward at each of four points, for each of two targets.
    found = heat.attribute(lm, prompt, [7, 8], "integrated-gradients", n_steps=4)
    assert found.forward_equivalents == 1 + 2 * 4 * 2


def test_file_round_trip(attribution: heat.Attribution, tmp_path: Path) -> None:
    attribution.save(tmp_path / "a.safetensors")
    assert_equal(heat.Attribution.load(tmp_path / "a.safetensors"), attribution)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    first = (tmp_path / "a.safetensors").read_bytes()
    attribution.save(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == first


def test_json_round_trip(attribution: heat.Attribution) -> None:
    assert_equal(heat.Attribution.from_json(attribution.to_json()), attribution)


def test_without_offsets(tmp_path: Path) -> None:
    ids = heat.attribute(tiny_lm("llama"), [5, 6, 7], [8], "random")
    ids.save(tmp_path / "a.safetensors")
    assert heat.Attribution.load(tmp_path / "a.safetensors").offsets is None


def test_another_schema_version_is_refused(attribution: heat.Attribution, tmp_path: Path) -> None:
    document = json.loads(attribution.to_json())
    document["metadata"]["schema_version"] = 99
    with pytest.raises(AttributionFileError, match="schema version 99, this program reads 2"):
        heat.Attribution.from_json(json.dumps(document))
    header = {"attribution": json.dumps(document["metadata"])}
    save_file({"scores": attribution.scores}, tmp_path / "a.safetensors", metadata=header)
    with pytest.raises(AttributionFileError, match="schema version 99"):
        heat.Attribution.load(tmp_path / "a.safetensors")


def test_damaged_and_foreign_files_are_refused(attribution: heat.Attribution, tmp_path: Path) -> None:
    whole = tmp_path / "a.safetensors"
    attribution.save(whole)
    (tmp_path / "torn").write_bytes(whole.read_bytes()[:-20])
    (tmp_path / "text").write_text("hello")
    save_file({"scores": attribution.scores}, tmp_path / "foreign")
    for name in ("torn", "text", "foreign"):
        with pytest.raises(AttributionFileError, match=name):
            heat.Attribution.load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no saved attribution"):
        heat.Attribution.load(tmp_path / "nothing")
    for text in ("{}", "not json", "[]"):
        with pytest.raises(AttributionFileError):
            heat.Attribution.from_json(text)
    document = json.loads(attribution.to_json())
    document["metadata"]["mood"] = "good"
    with pytest.raises(AttributionFileError, match="mood"):
        heat.Attribution.from_json(json.dumps(document))


def test_a_full_disk_leaves_the_old_file(
    attribution: heat.Attribution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    attribution.save(path)
    before = path.read_bytes()

    def full(descriptor: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        attribution.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


TEXT = "The iron gate yes"
SPANS = [(0, 0), (0, 3), (3, 6), (6, 8), (8, 13), (13, 17)]
ROW = [9.0, 5.0, 1.0, 2.0, -4.0, 0.0]


def test_the_repr_is_one_short_line(attribution: heat.Attribution) -> None:
    text = repr(attribution)
    assert "\n" not in text
    assert len(text) < 200
    assert text.startswith("Attribution(heat on ")
    assert "target ' iron.'" in text
    assert attribution._repr_html_() == attribution.show()._repr_html_()


def test_word_scores_as_a_frame() -> None:
    attribution = made(TEXT, SPANS, [ROW])
    frame = attribution.to_frame()
    assert list(frame["word"]) == ["The", "iron", "gate"]
    # A word has the mean over its tokens, weighed by their visible characters in it: two of "iron" in each.
    assert frame["score"].tolist() == pytest.approx([5.0, 1.5, -4.0])


def test_special_tokens_and_the_first_one_can_be_left_out() -> None:
    attribution = made(TEXT, SPANS, [ROW])
    rest = attribution.without_first()
    assert rest.scores.tolist() == [[0.0, 0.0, 1.0, 2.0, -4.0, 0.0]]
    assert attribution.scores.tolist() == [ROW]
    assert replace(attribution, offsets=None).without_first().scores.tolist() == [[0.0, *ROW[1:]]]


def test_completeness_is_the_gap_to_what_the_baseline_takes_away() -> None:
    lm, ids = tiny_lm("llama"), [5, 9, 12]
    method = heat.methods()["integrated-gradients"](n_steps=3)
    encoded = heat.encode(lm, ids, [7, 8])
    attribution = heat.attribute(lm, encoded, None, method)
    embeddings = lm.model.get_input_embeddings()
    for target, row in enumerate(completeness(lm, encoded, method, attribution)):
        context = torch.tensor([[*ids, *[7, 8][:target]]])
        vectors = embeddings(context)
        with torch.no_grad():
            logits = [lm.model(inputs_embeds=x).logits[0, -1] for x in (vectors, torch.zeros_like(vectors))]
        whole, empty = (float(logit.log_softmax(-1)[[7, 8][target]]) for logit in logits)
        assert row.difference == pytest.approx(whole - empty, abs=1e-5)
        assert row.total == pytest.approx(float(attribution.scores[target].sum()), abs=1e-6)
    assert completeness(lm, encoded, heat.methods()["random"](), attribution) == []
