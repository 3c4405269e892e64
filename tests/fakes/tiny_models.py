"""Decoder-only models of every family, random and so small that a test takes milliseconds; a tokenizer."""

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from heat.model import LanguageModel

CONTEXT_LENGTH = 64
WIDTH = 32
_TRAINING_TEXT = [
    "The vault is made of copper. The gate is made of iron. Question: What is the gate made of? Answer: iron",
    "Tom ordered a pizza but they did not cut it, so he took a big knife and cut himself a slice.",
]

_COMMON = {
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT_LENGTH,
    "initializer_range": 0.2,
}
_GROUPED = {**_COMMON, "num_key_value_heads": 2}
_GPT2_NAMES = {
    "n_embd": WIDTH,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": CONTEXT_LENGTH,
    "initializer_range": 0.2,
}

FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": _GPT2_NAMES,
    "gptj": {**_GPT2_NAMES, "rotary_dim": 8},
    "gpt_neo": {
        "hidden_size": WIDTH,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
        "max_position_embeddings": CONTEXT_LENGTH,
        "initializer_range": 0.2,
    },
    "gpt_neox": _COMMON,
    "opt": {**_COMMON, "ffn_dim": 64, "word_embed_proj_dim": WIDTH, "init_std": 0.2},
    "bloom": {"hidden_size": WIDTH, "n_layer": 2, "n_head": 4, "initializer_range": 0.2},
    "falcon": {**_COMMON, "ffn_hidden_size": 64},
    "llama": _GROUPED,
    "mistral": {**_GROUPED, "sliding_window": 8},
    "qwen2": _GROUPED,
    "qwen3": {**_GROUPED, "head_dim": 8},
    "phi3": {**_COMMON, "pad_token_id": 0, "original_max_position_embeddings": CONTEXT_LENGTH},
    "gemma2": {**_GROUPED, "head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
}

_HEADS_OF_8 = {**_GROUPED, "head_dim": 8}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
_BOTH_KINDS = ["sliding_attention", "full_attention"]
_BLOCK_PARTS = {
    **_HEADS_OF_8,
    "sliding_window": 8,
    "layer_types": _BOTH_KINDS * 2,
    "num_hidden_layers": 4,
    "num_kv_shared_layers": 2,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 320,
    "query_pre_attn_scalar": 8,
}
_MAMBA = {"mamba_d_state": 8, "mamba_d_head": 8, "mamba_n_groups": 1}

# Families with something that the others do not have; too many for every test.
PARTICULAR: dict[str, dict[str, Any]] = {
    "afmoe": {
        **_HEADS_OF_8,
        **_EXPERTS,
        "num_experts": 4,
        "num_dense_layers": 1,
        "num_shared_experts": 1,
        "sliding_window": 8,
        "layer_types": _BOTH_KINDS,
    },
    "bitnet": _GROUPED,
    "ctrl": {**_GPT2_NAMES, "dff": 64},
    "falcon_h1": {**_HEADS_OF_8, **_MAMBA, "mamba_d_ssm": WIDTH, "mamba_n_heads": 4},
    "gemma3n_text": {
        **_BLOCK_PARTS,
        "intermediate_size": [64] * 4,
        "laurel_rank": 4,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    "gemma4_text": {**_BLOCK_PARTS, "global_head_dim": 8},
    "gpt_oss": {
        **_HEADS_OF_8,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 8,
        "layer_types": _BOTH_KINDS,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    "lfm2": {**_GROUPED, "layer_types": ["conv", "full_attention"]},
    "mamba": {"hidden_size": WIDTH, "num_hidden_layers": 2, "state_size": 8},
    "minimax": {
        **_HEADS_OF_8,
        "num_local_experts": 4,
        "block_size": 16,
        "layer_types": ["full_attention", "linear_attention"],
    },
    "mixtral": {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "mpt": {"d_model": WIDTH, "n_heads": 4, "n_layers": 2, "max_seq_len": CONTEXT_LENGTH},
    "nemotron": _HEADS_OF_8,
    "phimoe": {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with a few merges, trained in memory; it puts `<s>` before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TRAINING_TEXT, trainer)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)]),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=CONTEXT_LENGTH,
    )


def tiny_model(family: str, *, seed: int = 0, vocab_size: int = 320, **changes: Any) -> PreTrainedModel:
    """A random model of a family, in evaluation mode, with the family's default attention implementation."""
    own = {**FAMILIES, **PARTICULAR}[family]
    options = {"vocab_size": vocab_size, "bos_token_id": 1, "eos_token_id": 2, **own, **changes}
    config = CONFIG_MAPPING[family](**options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        if family in PARTICULAR:
            # Sinks, gates and parts of a block that begin at zero would hide what they do.
            for name, weight in model.named_parameters():
                if weight.dim() > 1 and "conv" not in name:
                    weight.data.normal_(0, 0.2)
                elif "sinks" in name or "output_scale" in name:
                    weight.data.normal_(1, 0.5)
    return model.eval()


def tiny_lm(family: str, **changes: Any) -> LanguageModel:
    """A random model of a family with the tiny tokenizer."""
    return LanguageModel(
        tiny_model(family, **changes), tiny_tokenizer(), name=f"tiny {family}", revision="random"
    )


def next_log_probs(lm: LanguageModel, ids: list[int]) -> torch.Tensor:
    """Log-probabilities of the token behind some ids, [V]."""
    with torch.no_grad():
        return lm.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
