import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.tiny_models import tiny_lm
from safetensors.torch import save_file

import heat
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
