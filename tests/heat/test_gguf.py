"""GGUF files: what they hold must come out unchanged, and a bad one be refused in a sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from fakes.tiny_models import tiny_model, tiny_tokenizer
from gguf import GGMLQuantizationType, GGUFWriter
from transformers import PreTrainedModel

import heat

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
    writer.add_head_count(config.num_attention_heads)
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


def test_weights_come_out_as_they_went_in(model: PreTrainedModel, file: Path) -> None:
    lm = heat.load(file)
    found = dict(lm.model.named_parameters())
    for name, weight in model.named_parameters():
        assert torch.equal(found[name], weight), name
