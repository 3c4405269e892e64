"""GGUF files: what they hold must come out unchanged, and a bad one be refused in a sentence."""

import hashlib
import json
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from fakes.commands import Run, runner
from fakes.tiny_models import tiny_model, tiny_tokenizer
from gguf import GGMLQuantizationType, GGUFWriter
from transformers import PreTrainedModel

import heat
from heat import cli
from heat.cost.shape import load_config, shape_of
from heat.errors import HeatError, ModelNotFoundError, TokenizerError, UnsupportedModelError
from heat.loading.convert import convert
from heat.loading.gguf import read_header

TEXT = "The gate is made of iron. Answer:"
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def tensors(model: PreTrainedModel) -> dict[str, np.ndarray]:
    """Weights of a llama under their names in GGUF; the rotary halves of queries and keys are interleaved there."""
    weights = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    found = {
        "token_embd.weight": weights["model.embed_tokens.weight"],
        "output_norm.weight": weights["model.norm.weight"],
        "output.weight": weights["lm_head.weight"],
    }
    heads = {"attn_q": model.config.num_attention_heads, "attn_k": model.config.num_key_value_heads}
    for layer in range(model.config.num_hidden_layers):
        for theirs, ours in _LAYER.items():
            weight = weights[f"model.layers.{layer}.{theirs}.weight"]
            if ours in heads:
                rows, columns = weight.shape
                halves = weight.reshape(heads[ours], 2, rows // heads[ours] // 2, columns)
                weight = halves.swapaxes(1, 2).reshape(rows, columns)
            found[f"blk.{layer}.{ours}.weight"] = np.ascontiguousarray(weight)
    return found


def write(
    path: Path,
    model: PreTrainedModel,
    *,
    architecture: str = "llama",
    tokenizer: bool = True,
    heads: int | None = None,
    squeeze: GGMLQuantizationType | None = None,
    extra: Callable[[GGUFWriter], None] = lambda writer: None,
) -> Path:
    config = model.config
    writer = GGUFWriter(path, architecture)
    writer.add_name("Tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads or config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    if tokenizer:
        bpe = json.loads(tiny_tokenizer().backend_tokenizer.to_str())["model"]
        tokens = sorted(bpe["vocab"], key=bpe["vocab"].__getitem__)
        tokens += [f"<unused {index}>" for index in range(len(tokens), config.vocab_size)]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(tokens)
        writer.add_token_types([3 if index < 3 else 1 for index in range(len(tokens))])
        writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_pad_token_id(0)
        writer.add_add_bos_token(True)
    extra(writer)
    for name, weight in tensors(model).items():
        if squeeze is None or weight.ndim == 1:
            writer.add_tensor(name, weight)
        else:
            writer.add_tensor(name, gguf.quantize(weight, squeeze), raw_dtype=squeeze)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return tiny_model("llama")


@pytest.fixture
def file(model: PreTrainedModel, tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.gguf", model)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner("heat", cli.main, monkeypatch, capsys)


def test_weights_come_out_as_they_went_in(model: PreTrainedModel, file: Path) -> None:
    lm = heat.load(file)
    found = dict(lm.model.named_parameters())
    for name, weight in model.named_parameters():
        assert torch.equal(found[name], weight), name
    ids = torch.tensor([[1, 40, 77, 300, 5]])
    with torch.no_grad():
        assert torch.equal(lm.model(ids).logits, model(ids).logits)


def test_the_tokenizer_is_that_of_the_file(file: Path) -> None:
    lm = heat.load(file)
    assert lm.tokenizer is not None
    for text in (TEXT, "\U0001f600 café  Zürich\n"):
        assert lm.tokenizer(text)["input_ids"] == tiny_tokenizer()(text)["input_ids"]
    encoded = heat.encode(lm, TEXT, " iron")
    assert "".join(encoded.text[start:end] for start, end in encoded.offsets or []) == f"{TEXT} iron"


def test_a_file_is_named_and_hashed(file: Path) -> None:
    lm = heat.load(str(file))
    assert lm.name == str(file)
    assert lm.dtype == torch.float32
    assert lm.context_length == 64
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert lm.revision == heat.load(file).revision == digest[:16]


def test_squeezed_weights_are_unpacked_to_the_asked_format(model: PreTrainedModel, tmp_path: Path) -> None:
    squeezed = write(tmp_path / "q8.gguf", model, squeeze=GGMLQuantizationType.Q8_0)
    weight = model.get_parameter("model.layers.1.mlp.up_proj.weight").detach().numpy()
    q8 = GGMLQuantizationType.Q8_0
    unpacked = torch.from_numpy(gguf.dequantize(gguf.quantize(weight, q8), q8))
    assert not torch.equal(unpacked, torch.from_numpy(weight))
    for dtype, wanted in ((None, torch.float32), ("bfloat16", torch.bfloat16), ("float64", torch.float64)):
        found = heat.load(squeezed, dtype=dtype).model.get_parameter("model.layers.1.mlp.up_proj.weight")
        assert found.dtype == wanted
        assert torch.equal(found, unpacked.to(wanted))


def test_half_floats_are_unpacked_to_whole_ones(model: PreTrainedModel, tmp_path: Path) -> None:
    lm = heat.load(write(tmp_path / "f16.gguf", model, squeeze=GGMLQuantizationType.F16))
    weight = model.get_parameter("model.layers.0.mlp.up_proj.weight")
    assert torch.equal(lm.model.get_parameter("model.layers.0.mlp.up_proj.weight"), weight.half().float())


def test_weights_are_unpacked_whatever_kernels_are_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}
    load = PreTrainedModel.from_pretrained.__func__

    def watched(cls: type, *arguments: Any, **options: Any) -> Any:
        asked.update(options)
        return load(cls, *arguments, **options)

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", classmethod(watched))
    heat.load(file)
    assert asked["quantization_config"].dequantize is True
    assert asked["dtype"] == torch.float32


def test_what_lies_beside_the_file_is_not_read(file: Path) -> None:
    before = heat.load(file)
    (file.parent / "config.json").write_text('{"model_type": "gpt2"}')
    (file.parent / "tokenizer_config.json").write_text('{"tokenizer_class": "NoSuchTokenizer"}')
    (file.parent / "generation_config.json").write_text("no JSON")
    after = heat.load(file)
    assert after.model.config.model_type == "llama"
    assert type(after.tokenizer) is type(before.tokenizer)


def test_a_model_from_a_file_can_be_cast_and_saved(file: Path, tmp_path: Path) -> None:
    lm = heat.load(file)
    lm.model.save_pretrained(tmp_path / "saved")
    assert lm.model.double().dtype == torch.float64
    assert str(tempfile.gettempdir()) not in json.dumps(lm.model.config.to_dict())


@pytest.mark.parametrize("method", ["heat", "gradient-norm", "kl-only"])
def test_scores_are_those_of_the_converted_folder(file: Path, tmp_path: Path, method: str) -> None:
    convert(file, tmp_path / "folder")
    one, other = heat.load(str(file)), heat.load(str(tmp_path / "folder"))
    weights = dict(other.model.named_parameters())
    for name, weight in one.model.named_parameters():
        assert torch.equal(weight, weights[name]), name
    found, expected = (heat.attribute(lm, TEXT, " iron", method) for lm in (one, other))
    # To rounding: some processors take another kernel for weights that lie elsewhere in memory.
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.log_probs, expected.log_probs, rtol=1e-6, atol=1e-6)
    assert found.revision != expected.revision


def test_conversion_writes_an_ordinary_folder_and_how_it_was_made(
    run: Run, file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "folder"
    code, out, err = run("convert", str(file), str(folder))
    assert (code, err) == (0, "")
    assert out == f"wrote {folder} (revision {heat.load(folder).revision})\n"
    config = json.loads((folder / "config.json").read_text())
    assert config["dtype"] == "float32"
    assert "quantization_config" not in config
    readme = (folder / "README.md").read_text()
    assert hashlib.sha256(file.read_bytes()).hexdigest() in readme
    assert [each.name for each in folder.parent.iterdir()] == ["folder"]
    code, _, err = run("convert", str(file), str(folder))
    assert (code, err) == (1, f"error: this folder is not empty; name a new one: '{folder}'\n")


def test_conversion_to_another_format(run: Run, file: Path, tmp_path: Path) -> None:
    assert run("convert", str(file), str(tmp_path / "half"), "--dtype", "bfloat16")[0] == 0
    assert heat.load(tmp_path / "half").dtype == torch.bfloat16


def test_a_conversion_that_fails_leaves_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("transformers.PreTrainedTokenizerBase.save_pretrained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(file, tmp_path / "out" / "folder")
    assert list((tmp_path / "out").iterdir()) == []


def test_only_gguf_files_are_converted(run: Run, tmp_path: Path) -> None:
    code, _, err = run("convert", str(tmp_path), str(tmp_path / "folder"))
    assert (code, err) == (1, f"error: '{tmp_path}' is no GGUF file; only these need to be converted\n")


def test_every_command_takes_a_file(run: Run, file: Path) -> None:
    code, out, err = run("explain", TEXT, "--target", " iron", "--model", str(file), "--method", "random")
    assert (code, err) == (0, "")
    assert "-> iron" in out


def test_a_plan_reads_the_config_of_a_file(model: PreTrainedModel, file: Path) -> None:
    shape = shape_of(load_config(file), "tiny")
    assert (shape.family, shape.n_layers, shape.context) == ("llama", 2, 64)
    assert shape.parameters == model.num_parameters()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelNotFoundError, match="is cut off"):
        load_config(file)


def test_a_missing_extra_is_named(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = run("explain", TEXT, "--model", str(file))
    assert code == 1
    assert err == "error: GGUF files need an extra: pip install 'heat-alignment[gguf]'\n"


def test_the_end_of_the_weights_is_known(file: Path, model: PreTrainedModel, tmp_path: Path) -> None:
    squeezed = write(tmp_path / "q.gguf", model, squeeze=GGMLQuantizationType.Q5_0)
    for each in (file, squeezed):
        # The writer pads the last tensor as well.
        assert 0 <= each.stat().st_size - read_header(each).n_bytes < 32


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.05, 0.1, 0.3, 0.9, 0.999])
def test_a_file_cut_off_anywhere_is_refused(run: Run, file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: max(4, int(share * len(content)))])
    code, _, err = run("explain", TEXT, "--model", str(file))
    assert code == 1
    assert err.count("\n") == 1
    assert "cut off" in err
    assert "fetch it again" in err


def split(writer: GGUFWriter) -> None:
    writer.add_uint16("split.no", 1)
    writer.add_uint16("split.count", 3)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"architecture": "nonesuch"}, UnsupportedModelError, "nonesuch"),
        ({"heads": 5}, UnsupportedModelError, "not a multiple of the number of attention heads"),
        ({"tokenizer": False}, TokenizerError, "holds no tokenizer"),
        ({"extra": split}, ModelNotFoundError, "part 2 of 3"),
    ],
)
def test_files_of_another_kind_are_refused(
    run: Run,
    model: PreTrainedModel,
    tmp_path: Path,
    options: dict[str, Any],
    error: type[HeatError],
    words: str,
) -> None:
    file = write(tmp_path / "other.gguf", model, **options)
    with pytest.raises(error, match=words):
        heat.load(file)
    code, _, err = run("explain", TEXT, "--model", str(file))
    assert (code, err.count("\n")) == (1, 1)
    assert str(file) in err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no GGUF file"),
        (b"PK\x03\x04 a zip", "no GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 0, 0), "general.architecture"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<I", 99), "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 2**63), "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 2**62), "damaged"),
        (
            b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"t", 1, 32, 9999, 0),
            "type that cannot be read \\(9999",
        ),
    ],
)  # fmt: skip
def test_other_bytes_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(HeatError, match=words):
        heat.load(file)


def test_a_file_is_known_by_its_first_bytes_too(file: Path) -> None:
    other = file.rename(file.with_name("blob"))
    assert heat.load(other).vocab_size == 320


def test_options_that_do_not_go_with_a_file(run: Run, file: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="is quantized already"):
        heat.load(file, quantization="4bit")
    with pytest.raises(ModelNotFoundError, match="is a file and has no revisions"):
        heat.load(file, revision="main")
    with pytest.raises(UnsupportedModelError, match="unknown dtype"):
        heat.load(file, dtype="int99")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"there is no file .*nothing\.gguf"):
        heat.load("nothing.gguf")
    write(tmp_path / "a.gguf", tiny_model("llama"))
    with pytest.raises(ModelNotFoundError, match=r"no config\.json; it holds a GGUF file.*a\.gguf"):
        heat.load(tmp_path)


def test_a_folder_of_that_name_is_a_folder(file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "named.gguf")
    assert heat.load(tmp_path / "named.gguf").vocab_size == 320
