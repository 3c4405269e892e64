"""Checkpoints that are not what their config says, and machines without room or device for them."""

import importlib.util
import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from fakes.tiny_models import tiny_model, tiny_tokenizer
from safetensors.torch import load_file, save_file

import heat
from heat.errors import (
    HeatError,
    MissingExtraError,
    ModelNotFoundError,
    OutOfMemoryError,
    UnsupportedModelError,
)
from heat.loading import weights as weights_module

Weights = dict[str, torch.Tensor]
UP = "model.layers.1.mlp.up_proj.weight"


def folder_of(path: Path, family: str = "llama", **changes: Any) -> Path:
    tiny_model(family, **changes).save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "tiny")


def changed(folder: Path, change: Callable[[Weights], object]) -> Path:
    found = load_file(folder / "model.safetensors")
    change(found)
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def refusal(folder: Path, kind: type[HeatError] = ModelNotFoundError) -> str:
    with pytest.raises(kind) as caught:
        heat.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", [UP, "lm_head.weight", "model.norm.weight", "model.embed_tokens.weight"])
def test_a_weight_that_is_lacking_is_named(folder: Path, name: str) -> None:
    changed(folder, lambda found: found.pop(name))
    assert f"it lacks {name};" in refusal(folder)


def test_a_tied_head_is_not_lacking(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    heat.load(folder)


def test_many_are_counted(folder: Path) -> None:
    def without_blocks(found: Weights) -> None:
        for name in [name for name in found if "layers" in name]:
            del found[name]

    changed(folder, without_blocks)
    assert "model.layers.0.mlp.gate_proj.weight and 15 more;" in refusal(folder)


def test_a_weight_too_many_is_named(folder: Path) -> None:
    changed(folder, lambda found: found.update({"model.layers.7.mlp.up_proj.weight": torch.ones(2, 2)}))
    assert "has, and should not have, model.layers.7.mlp.up_proj.weight;" in refusal(folder)


def test_a_config_of_fewer_blocks_is_not_the_weights_own(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    assert "should not have, model.layers.1.input_layernorm.weight, " in refusal(folder)


def test_a_weight_of_another_size_is_named_with_both(folder: Path) -> None:
    changed(folder, lambda found: found.update({UP: torch.ones(64, 30)}))
    assert f"another size {UP} ([64, 30] in the file, [64, 32] in the config);" in refusal(folder)


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("gpt2", ["transformer.h.0.attn.bias", "transformer.h.1.attn.masked_bias"]),
        ("gptj", ["transformer.h.0.attn.bias", "transformer.h.1.attn.masked_bias"]),
        ("gpt_neo", ["transformer.h.0.attn.attention.bias", "transformer.h.0.attn.attention.masked_bias"]),
        ("gpt_neox", ["gpt_neox.layers.0.attention.bias", "gpt_neox.layers.0.attention.masked_bias"]),
        ("llama", ["model.layers.0.self_attn.rotary_emb.inv_freq"]),
    ],
)
def test_masks_that_old_checkpoints_keep_are_no_weights(
    tmp_path: Path, family: str, names: list[str]
) -> None:
    folder = folder_of(tmp_path, family)
    changed(folder, lambda found: found.update({name: torch.ones(1, 1, 4, 4) for name in names}))
    heat.load(folder)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "header too small"),
        (b"hello", "header too small"),
        (struct.pack("<Q", 1 << 60) + b"{}", "header too large"),
        (struct.pack("<Q", 4) + b"junkjunk", "invalid"),
    ],
)
def test_damaged_weights(folder: Path, content: bytes, reason: str) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert f"(model.safetensors: {reason}" in refusal(folder)


def test_half_a_file(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "damaged or half a file (model.safetensors: incomplete" in refusal(folder)


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.trace),))


def test_pickled_code_is_not_run_and_safetensors_named(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Evil(tmp_path / "ran")}, folder / "pytorch_model.bin")
    said = refusal(folder)
    assert "pickled (.bin)" in said
    assert ".safetensors" in said
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_alone_are_read(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    heat.load(folder)


def test_a_config_nested_without_end(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000)
    assert "cannot load" in refusal(folder, UnsupportedModelError)


def test_a_model_larger_than_the_machine_is_not_begun(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 10**8}))
    assert "GiB of memory; use a smaller model" in refusal(folder, OutOfMemoryError)


def test_room_follows_the_number_format(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_weights = sum(weight.numel() for weight in heat.load(folder).model.parameters())
    monkeypatch.setattr(weights_module, "memory_bytes", lambda: 3 * n_weights)
    assert "take" in refusal(folder, OutOfMemoryError)
    heat.load(folder, dtype="bfloat16")
    # Without a format that is asked for, the config's own counts.
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    assert heat.load(folder).dtype == torch.bfloat16


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "warp", "meta", "cpu:0:0", ""])
def test_a_device_that_is_not_here(folder: Path, device: str) -> None:
    if device.startswith("cuda") and torch.cuda.device_count() > 7:
        pytest.skip("there are so many GPUs")
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UnsupportedModelError, match=rf"no device '{device}' here .* use one of: cpu"):
        heat.load(folder, device=device)


# --- adapters ---------------------------------------------------------------------------------------------------------


def adapter(folder: Path, base: object = "../tiny") -> Path:
    place = folder.parent / "adapter"
    place.mkdir()
    (place / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    return place


def test_an_adapter_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install peft" in refusal(adapter(folder, "some/model"), MissingExtraError)


@pytest.mark.parametrize("base", [None, 3, ""])
def test_an_adapter_of_nothing(folder: Path, base: object) -> None:
    assert "names no model that it belongs to" in refusal(adapter(folder, base))


def test_an_adapter_is_merged_into_the_model_it_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peft = ModuleType("peft")

    class PeftModel:
        """Doubles one weight, as an adapter might."""

        @staticmethod
        def from_pretrained(model: Any, place: str) -> Any:
            model.get_parameter(UP).data *= 2
            model.merge_and_unload = lambda safe_merge: model
            return model

    peft.PeftModel = PeftModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "peft", peft)
    found_before = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: peft if name == "peft" else found_before(name)
    )
    place = adapter(folder)
    base, lm = heat.load(folder), heat.load(place)
    assert torch.equal(lm.model.get_parameter(UP), 2 * base.model.get_parameter(UP))
    assert lm.name == str(place)
    assert lm.revision.startswith(f"{base.revision}+")
    (place / "adapter_model.safetensors").write_bytes(b"other weights")
    assert heat.load(place).revision != lm.revision
