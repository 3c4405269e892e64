"""Weights of 4 and 8 bits (extra `quantization`), on CPU."""

from pathlib import Path

import pytest
import torch
from fakes.tiny_models import tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

import heat
from heat.internals.attention import decoder_blocks, output_projection

bitsandbytes = pytest.importorskip("bitsandbytes", reason="needs the extra 'quantization'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose matrices are wide enough to be cut into blocks of 64."""
    path = tmp_path_factory.mktemp("wide")
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


@pytest.mark.parametrize("method", ["heat", "gradient-norm", "occlusion", "attn-lrp", "cp-lrp"])
def test_4_bits_are_explained_as_what_they_stand_for(folder: Path, method: str) -> None:
    squeezed = heat.load(folder, dtype="float32", quantization="4bit", device="cpu")
    plain = heat.load(folder, dtype="float32")
    n_changed = 0
    for name, module in squeezed.model.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weight = bitsandbytes.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            own = plain.model.get_submodule(name).weight
            assert not torch.equal(own, weight)
            own.data = weight.to(own.dtype)
            n_changed += 1
    assert n_changed == 14
    found = heat.attribute(squeezed, "The gate is made of", " iron", method)
    expected = heat.attribute(plain, "The gate is made of", " iron", method)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_output_projections_are_numbers_and_not_codes(
    folder: Path, quantization: heat.model.Quantization
) -> None:
    squeezed = heat.load(folder, dtype="float32", quantization=quantization, device="cpu")
    plain = heat.load(folder, dtype="float32")
    found, expected = (
        output_projection(decoder_blocks(lm.model)[0].self_attn, 4) for lm in (squeezed, plain)
    )
    assert (found - expected).norm() < 0.15 * expected.norm()


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_other_bits_are_another_revision(folder: Path, quantization: heat.model.Quantization) -> None:
    lm = heat.load(folder, quantization=quantization, device="cpu")
    assert lm.revision == f"{heat.load(folder).revision}+{quantization}"
    assert heat.attribute(lm, "The gate is made of", " iron", "heat").scores.isfinite().all()
