"""Weights that are not those of the config, and places that are not there: one line instead of random numbers."""

import pickle
from pathlib import Path

import pytest
import torch
from fakes.tiny_models import tiny_lm
from safetensors.torch import load_file, save_file

import heat
from heat import weights
from heat.errors import HeatError, ModelNotFoundError, OutOfMemoryError, UnsupportedModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lm = tiny_lm("llama")
    lm.model.save_pretrained(tmp_path)
    assert lm.tokenizer is not None
    lm.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def changed(folder: Path, **tensors: torch.Tensor | None) -> None:
    """Write the weights anew with some put in, exchanged, or (None) left out."""
    path = folder / "model.safetensors"
    held = load_file(path) | {name.replace("__", "."): each for name, each in tensors.items()}
    save_file({name: each for name, each in held.items() if each is not None}, path, {"format": "pt"})


def test_whole_weights_load_as_they_are(folder: Path) -> None:
    lm = heat.load(folder)
    own = dict(tiny_lm("llama").model.named_parameters())
    assert all(torch.equal(weight, own[name]) for name, weight in lm.model.named_parameters())


def test_a_missing_weight_is_not_made_up(folder: Path) -> None:
    changed(folder, model__layers__1__mlp__up_proj__weight=None)
    with pytest.raises(ModelNotFoundError, match=r"it lacks model\.layers\.1\.mlp\.up_proj\.weight; fetch"):
        heat.load(folder)


def test_more_blocks_in_the_config_than_there_are_weights_for(folder: Path) -> None:
    config = (folder / "config.json").read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 9')
    (folder / "config.json").write_text(config)
    with pytest.raises(ModelNotFoundError, match=r"it lacks model\.layers\.2\..* and \d+ more"):
        heat.load(folder)


def test_an_unexpected_weight_is_named(folder: Path) -> None:
    changed(folder, model__layers__7__mlp__up_proj__weight=torch.zeros(2, 2))
    with pytest.raises(ModelNotFoundError, match=r"should not have, model\.layers\.7\.mlp\.up_proj\.weight"):
        heat.load(folder)


def test_a_weight_of_another_size_is_named_with_both(folder: Path) -> None:
    changed(folder, model__norm__weight=torch.zeros(7))
    with pytest.raises(
        ModelNotFoundError, match=r"model\.norm\.weight \(\[7\] in the file, \[32\] in the config\)"
    ):
        heat.load(folder)


@pytest.mark.parametrize("kept", [4, 60, 5000])
def test_half_a_file_is_one_line(folder: Path, kept: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelNotFoundError, match="fetch") as raised:
        heat.load(folder)
    assert "\n" not in str(raised.value)


def test_a_header_too_large_is_one_line(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 8 + b"{}")
    with pytest.raises(ModelNotFoundError, match="fetch"):
        heat.load(folder)


def test_pickled_code_is_not_run(folder: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (ran,))

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Evil()}))
    with pytest.raises(HeatError, match="safetensors"):
        heat.load(folder)
    assert not ran.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("device", ["cuda", "cuda:3", "nonsense", "meta"])
def test_a_device_that_is_not_here(folder: Path, device: str) -> None:
    with pytest.raises(
        UnsupportedModelError, match=f"there is no device '{device}' here .*use one of: cpu, or auto"
    ):
        heat.load(folder, device=device)


def test_weights_beyond_the_memory_are_refused_before_they_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(weight.numel() for weight in tiny_lm("llama").model.parameters()) * 4
    monkeypatch.setattr(weights, "memory_bytes", lambda: size - 1)
    with pytest.raises(OutOfMemoryError, match="GiB of memory"):
        heat.load(folder)
    monkeypatch.setattr(weights, "memory_bytes", lambda: size)
    assert heat.load(folder).vocab_size > 0
