from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.tiny_models import tiny_model, tiny_tokenizer
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, T5Config, T5ForConditionalGeneration

import heat
from heat.errors import (
    MissingExtraError,
    ModelNotFoundError,
    NonFiniteError,
    TokenizerError,
    UnsupportedModelError,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model("llama").save_pretrained(tmp_path / "tiny")
    tiny_tokenizer().save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_loads_a_folder_with_its_provenance(folder: Path) -> None:
    lm = heat.load(folder)
    assert lm.context_length == 64
    assert lm.vocab_size == 320
    assert lm.dtype == torch.float32
    assert lm.device.type == "cpu"
    assert lm.name == str(folder)
    assert not lm.model.training
    assert len(lm.revision) == 16
    assert int(lm.revision, 16) >= 0
    assert heat.load(folder, dtype="bfloat16").dtype == torch.bfloat16
    assert heat.attribute(str(folder), "The gate", " iron", "random").revision == lm.revision


def test_the_revision_follows_the_weights(folder: Path) -> None:
    before = heat.load(folder).revision
    assert heat.load(folder).revision == before
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert heat.load(folder).revision != before


@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "a/b/c", Path("nothing")])
def test_missing_folder(name: Any) -> None:
    with pytest.raises(ModelNotFoundError, match="no model folder"):
        heat.load(name)


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        heat.load(tmp_path)


def test_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match="no complete model"):
        heat.load(folder)


def test_hub_name_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def no_network(*arguments: Any, **options: Any) -> None:
        asked.append(options["timeout"])
        raise OSError("We couldn't connect to 'https://huggingface.co'\nCheck your internet connection")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", no_network)
    with pytest.raises(ModelNotFoundError, match=r"hf download some/model.*--offline"):
        heat.load("some/model")
    assert asked == [10]


def test_offline_takes_what_was_fetched_before_and_asks_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def not_asked(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the hub was asked")

    def from_cache(*arguments: Any, **options: Any) -> None:
        asked.append(options)
        raise OSError("not in the cache")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", not_asked)
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", from_cache)
    with pytest.raises(ModelNotFoundError, match="was not fetched before: not in the cache"):
        heat.load("some/model", offline=True, revision="v1")
    assert asked == [{"local_files_only": True, "trust_remote_code": False, "revision": "v1"}]


def test_a_folder_has_no_revisions(folder: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no revisions"):
        heat.load(folder, revision="main")


def test_quantized_weights_need_their_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"heat-alignment\[quantization\]"):
        heat.load(folder, quantization="4bit")


def test_folder_without_tokenizer(tmp_path: Path) -> None:
    tiny_model("llama").save_pretrained(tmp_path)
    with pytest.raises(TokenizerError, match="no tokenizer that can be loaded"):
        heat.load(tmp_path)


def test_encoder_is_refused(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=320,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        initializer_range=0.5,
    )
    torch.manual_seed(0)  # later tokens hardly matter to weights drawn small
    BertForMaskedLM(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"is an encoder: .* later ones"):
        heat.load(tmp_path)


def test_encoder_decoder_is_refused(tmp_path: Path) -> None:
    config = T5Config(vocab_size=320, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="encoder-decoder"):
        heat.load(tmp_path)


def test_nan_weights_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 3] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NonFiniteError, match=r"layers\.1\.mlp\.up_proj\.weight holds NaN"):
        heat.load(folder)


def test_unknown_number_format(folder: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="unknown dtype 'int99'"):
        heat.load(folder, dtype="int99")
