"""The table of docs/families.md: every family of transformers' causal language models, tiny and random, tried.

python benchmarks/families.py > docs/families.md                 # half an hour on one core
python benchmarks/families.py --data > data/models/families.json  # the page as `evaluate plan` reads it
python benchmarks/families.py llama opt                           # some families, for people

A family is built from its own config class with small sizes and weights drawn wide enough that every part counts, and
what the methods say is compared with loops over the model's own forward that share nothing with theirs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import multiprocessing
import re
import resource
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
import transformers
import typer
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import heat
from heat.checks import attention_obstacle, gradient_obstacle, whole_obstacle
from heat.components import curvature
from heat.cost.shape import layer_kinds
from heat.errors import HeatError
from heat.internals.forward import embed
from heat.internals.state import attention_implementation, frozen
from heat.model import LanguageModel

if TYPE_CHECKING:
    from heat.batch import Batch

PAGE = Path(__file__).parents[1] / "docs" / "families.md"
SECONDS = 60  # for one family, in all
BUILD_SECONDS = 1.0
LARGEST = 30_000_000  # weights of a family that counts as tiny
WIDTH, HEADS, VOCABULARY, LAYERS = 32, 4, 320, 4
IDS = [40, 107, 199, 250, 31, 88, 120, 55, 301, 64, 177, 93]

# Sizes by the names that configs give them.
SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "emb_dim", "embedding_size", "lru_width"), WIDTH),
    **dict.fromkeys(("word_embed_proj_dim", "mamba_d_ssm", "d_embed", "dim_model", "d_embedding"), WIDTH),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "dff", "d_inner", "dim_ff"), 48),
    **dict.fromkeys(("ffn_hidden_size", "intermediate_size_mlp", "decoder_ffn_dim", "encoder_ffn_dim"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), LAYERS),
    **dict.fromkeys(("encoder_layers", "num_decoder_layers", "num_encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), HEADS),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads", "swa_num_attention_heads"), HEADS),
    **dict.fromkeys(("num_key_value_heads", "swa_num_key_value_heads"), 2),
    **dict.fromkeys(("head_dim", "kv_channels", "global_head_dim", "swa_head_dim", "dim_head", "d_kv"), 8),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_top_k", "top_k_experts", "moe_topk", "moe_k"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 24),
    **dict.fromkeys(("shared_intermediate_size", "expert_intermediate_size", "expert_ffn_hidden_size"), 24),
    **dict.fromkeys(("n_shared_experts", "num_shared_experts", "n_group", "topk_group"), 1),
    **dict.fromkeys(("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "o_lora_rank", "index_head_dim"), 16),
    **dict.fromkeys(
        ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "swa_v_head_dim", "rotary_dim"), 8
    ),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "context_length"), 128),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "char_vocab_size"), VOCABULARY),
    **dict.fromkeys(("sliding_window", "window_size", "attention_window_size", "local_attention"), 6),
    **dict.fromkeys(("attention_chunk_size", "sliding_window_size"), 8),
    **dict.fromkeys(("mamba_n_groups", "n_groups", "mamba_ngroups", "mamba_num_groups"), 1),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim", "mamba_headdim", "mamba_d_state", "state_size"), 8),
    **dict.fromkeys(("ssm_state_size", "mamba_dt_rank", "time_step_rank", "mamba_state_dim"), 8),
    **dict.fromkeys(("linear_num_value_heads", "linear_num_key_heads"), 4),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8),
    **dict.fromkeys(("hidden_size_per_layer_input", "query_pre_attn_scalar", "laurel_rank"), 8),
    "num_kv_shared_layers": 2,
    "index_n_heads": 2,
    # All: of scores that are equal (they are, where a ReLU gives 0) the choice is nobody's.
    "index_topk": 16,
    "block_size": 16,
    "chunk_size": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "original_max_position_embeddings": 128,
    "use_mamba_kernels": False,
}
_PICTURE = {
    **{"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"image_size": 28, "patch_size": 14, "vision_output_dim": 16, "projector_input_dim": 16},
    **{"projector_output_dim": 16, "depth": 1, "num_heads": 2, "out_hidden_size": WIDTH, "embed_dim": 16},
}
_TOWERS = ("vision_config", "audio_config", "vq_config", "encoder", "audio_encoder", "text_encoder")
_PICTURE_TOKENS = {
    **{"image_token_id": 310, "video_token_id": 311, "audio_token_id": 312, "boi_token_id": 313},
    **{"eoi_token_id": 314, "boa_token_id": 315, "eoa_token_id": 316},
}
_LATENT = {"num_key_value_heads": HEADS}
_SHARED_KEYS = {"layer_types": ["sliding_attention", "full_attention"] * 2}
_MIXED = {"layer_types": ["linear_attention", "full_attention"] * 2}

# What the sizes do not say of a family.
OWN: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3], "mamba_n_heads": 8, "mamba_d_head": 8},
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "deepseek_v32": _LATENT,
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "axk1": _LATENT,
    "bailing_hybrid": {**_LATENT, **_MIXED, "num_experts": 4, "mlp_layer_types": ["dense", "sparse"] * 2},
    "axk2": _LATENT,
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 10000.0}
            for kind in ("sliding_attention", "full_attention")
        },
    },
    "dots3_note_text": {**_LATENT, "swa_num_key_value_heads": HEADS},
    "falcon": {"num_kv_heads": HEADS},
    "falcon_h1": {"mamba_n_heads": 4, "mamba_d_head": 8},
    "gemma3n_text": {"intermediate_size": [48] * LAYERS, "activation_sparsity_pattern": [0.0] * LAYERS},
    "gemma4": _PICTURE_TOKENS,
    "gemma4_text": _SHARED_KEYS,
    "gemma4_unified": _PICTURE_TOKENS,
    "gemma4_unified_text": _SHARED_KEYS,
    "glm4_moe_lite": _LATENT,
    "glm_moe_dsa": _LATENT,
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": _MIXED,
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {**_LATENT, **_MIXED, "linear_head_dim": 8, "linear_num_heads": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "llama4_text": {"num_experts_per_tok": 1, "no_rope_layers": [1, 1, 1, 0]},
    "longcat_flash": _LATENT,
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "minicpm3": _LATENT,
    "minimax": {"layer_types": ["full_attention", "linear_attention"] * 2},
    "olmo_hybrid": _MIXED,
    "qwen3_next": _MIXED,
    "qwen3_5_text": _MIXED,
    "qwen3_5_moe_text": _MIXED,
    "qwen4_exp_text": {
        **{"layer_types": ["linear_attention", "indexed_attention"] * 2, "hc_lowrank": 8, "hc_count": 2},
        **{"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 16},
        **{"indexer_compress_ratio": 2, "ngram_vocab_size_base": 64, "split_ngram_parts": 1},
    },
    "reformer": {"is_decoder": True, "axial_pos_embds": False, "attn_layers": ["local", "lsh"] * 2},
    "roc_bert": {"is_decoder": True, "pronunciation_vocab_size": 32, "shape_vocab_size": 32},
    "stablelm": {"qk_layernorm": True},
    "xlm": {"gelu_activation": True, "is_decoder": True, "causal": True},
    "xlstm": {"num_heads": 4, "head_dim": None, "chunk_size": 4},
    "xmod": {"is_decoder": True, "default_language": "en_XX"},
    "youtu": _LATENT,
    "zamba": {"layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"]},
    "zamba2": {"layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"]},
    "zaya": {"num_experts_per_tok": 1},
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of a family.

    Attributes:
        kind: `right`, `right, attention refused`, `right, gradients refused`, `refused`, `not built`, `wrong` or
            `crash`.
        note: A sentence; empty where all is right.
    """

    kind: str
    note: str = ""


def families() -> list[str]:
    """Names of the families, as configs have them."""
    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def tiny(family: str) -> PreTrainedModel:
    """A small random model of a family.

    Raises:
        Exception: Of whatever kind, where the sizes do not fit the family.
    """
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(_config(family)).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "conv" not in name:
                # Every matrix hands on vectors of about the length that it takes.
                weight.normal_(0, 1.0 if "embed" in name else weight.shape[-1] ** -0.5)
            elif "sink" in name or "output_scale" in name or name.endswith("gate"):
                weight.normal_(1, 0.3)
    return model


def judge(family: str) -> Verdict:
    """Build a family and compare what is said of it with what its own forward says."""
    began = time.perf_counter()
    try:
        with torch.device("meta"):
            n_weights = sum(
                weight.numel() for weight in AutoModelForCausalLM.from_config(_config(family)).parameters()
            )
        if n_weights > LARGEST:
            return Verdict("not built", f"has {n_weights:,} weights at these sizes")
        model = tiny(family)
        with torch.no_grad():
            model(input_ids=torch.tensor([IDS]))
    except Exception as error:
        return Verdict("not built", _line(error))
    if time.perf_counter() - began > 30 * BUILD_SECONDS:
        return Verdict("not built", "took too long")
    lm = LanguageModel(model, None, name=family)
    try:
        if refusal := whole_obstacle(model):
            return Verdict("refused", refusal)
        if without := gradient_obstacle(model):
            _refused(lm, ("heat", "gradient-norm", "no-gate"))
            wrong = _wrong_forward(lm)
            return (
                Verdict("wrong", "; ".join(wrong)) if wrong else Verdict("right, gradients refused", without)
            )
        wrong = _wrong_forward(lm) + _wrong_gradient(lm)
        if wrong:
            return Verdict("wrong", "; ".join(wrong))
        without = attention_obstacle(model)
        if without:
            _refused(lm, ("heat", "relevance", "value-norms"))
            return Verdict("right, attention refused", without)
        wrong = _wrong_attention(lm)
    except HeatError as error:
        return Verdict("refused", str(error))
    except Exception as error:
        return Verdict("crash", _line(error))
    return Verdict("wrong", "; ".join(wrong)) if wrong else Verdict("right")


def _wrong_forward(lm: LanguageModel) -> list[str]:
    """What methods that need neither gradients nor attention get wrong."""
    model, encoded = lm.model, heat.encode(lm, IDS[:-1], IDS[-1:])
    batch = heat.batch.collate([encoded])
    reasons = []
    with frozen(model), torch.no_grad():
        said = model(input_ids=batch.token_ids, use_cache=False).logits[0, -2].log_softmax(-1)[IDS[-1]]
    information = heat.attribute(lm, encoded, None, "kl-only")
    if not _near(information.log_probs[0], said):
        reasons.append(f"log p is {float(information.log_probs[0]):.4f} and should be {float(said):.4f}")
    if not _near(information.scores[0, :-1], _divergences(model, batch)):
        reasons.append("kl-only is not the divergence")
    reasons += _apart_from_alone(lm, "kl-only")
    # Blocks that cannot be told apart, or hand on something else, are said to.
    with contextlib.suppress(HeatError):
        heat.attribute(lm, encoded, None, "peering")
    return reasons


def _wrong_gradient(lm: LanguageModel) -> list[str]:
    """What methods that need gradients and no attention get wrong."""
    model, encoded = lm.model, heat.encode(lm, IDS[:-1], IDS[-1:])
    batch = heat.batch.collate([encoded])
    reasons = []
    gradient = heat.attribute(lm, encoded, None, "gradient-norm")
    if not _near(gradient.scores[0, :-1], _gradient_norms(model, batch)):
        reasons.append("gradient-norm is not the L2 norm of the gradient")
    reasons += _apart_from_alone(lm, "gradient-norm") + _apart_from_alone(lm, "no-gate", n_probes=2)
    ways = [
        curvature(model, batch, products=way, n_probes=2) for way in ("double-backward", "finite-difference")
    ]
    if not _near(ways[1], ways[0], 1e-2):
        reasons.append("curvature by differences is not that by second derivatives")
    return reasons


def _apart_from_alone(lm: LanguageModel, method: str, **options: Any) -> list[str]:
    """Whether a text is scored otherwise in a batch than alone."""
    encoded, other = heat.encode(lm, IDS[:-1], IDS[-1:]), heat.encode(lm, IDS[2:7], IDS[-1:])
    both = heat.attribute_batch(lm, [encoded, other], [None, None], method, **options)
    alone = [heat.attribute(lm, text, None, method, **options) for text in (encoded, other)]
    same = all(_near(one.scores, other.scores) for one, other in zip(both, alone, strict=True))
    return [] if same else [f"{method} in a batch is not what it is alone"]


def _wrong_attention(lm: LanguageModel) -> list[str]:
    """What methods that read attention get wrong."""
    encoded = heat.encode(lm, IDS[:-1], IDS[-1:])
    reasons = _apart_from_alone(lm, "heat", n_probes=2)
    reasons += _apart_from_alone(lm, "relevance") + _apart_from_alone(lm, "attention-rollout")
    expected = _relevance(lm.model, heat.batch.collate([encoded]))
    if expected is not None:
        scores = heat.attribute(lm, encoded, None, "relevance").scores[0, :-1]
        if not _near(scores, expected):
            reasons.append("relevance is not that of the model's own attention weights")
    return reasons


def _refused(lm: LanguageModel, methods: tuple[str, ...]) -> None:
    """What needs something that a model does not have must be refused."""
    for method in methods:
        try:
            heat.attribute(lm, IDS[:-1], IDS[-1:], method)
        except HeatError:
            continue
        raise AssertionError(f"{method} was not refused")


def _given(model: PreTrainedModel, batch: Batch, masked: int | None) -> dict[str, torch.Tensor]:
    """What the model's forward takes for the text with one token hidden."""
    given = {"inputs_embeds": embed(model, batch).clone()}
    parts = getattr(model.get_decoder(), "get_per_layer_inputs", None)
    if parts is not None and model.get_decoder().config.hidden_size_per_layer_input:
        given["per_layer_inputs"] = parts(batch.token_ids).detach().clone()
    if masked is not None:
        for tensor in given.values():
            tensor[0, masked] = 0
    return given


def _divergences(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    with frozen(model), torch.no_grad():
        rows = [
            model(**_given(model, batch, masked), use_cache=False).logits[0, -2].log_softmax(-1)
            for masked in (None, *range(len(IDS) - 1))
        ]
    return torch.stack([(rows[0].exp() * (rows[0] - row)).sum() for row in rows[1:]])


def _gradient_norms(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    given = {name: tensor.requires_grad_() for name, tensor in _given(model, batch, None).items()}
    with frozen(model):
        g = model(**given, use_cache=False).logits[0, -2].log_softmax(-1)[IDS[-1]]
    squares = [
        gradient.flatten(2).square().sum(-1)[0, :-1]
        for gradient in torch.autograd.grad(g, list(given.values()))
    ]
    return torch.stack(squares).sum(0).sqrt()


def _relevance(model: PreTrainedModel, batch: Batch) -> torch.Tensor | None:
    """The walk over the weights that the model itself shows under eager attention; None where it shows none."""
    n_tokens = batch.token_ids.shape[1]
    try:
        with frozen(model), attention_implementation(model, "eager"):
            given = {name: tensor.requires_grad_() for name, tensor in _given(model, batch, None).items()}
            output = model(**given, output_attentions=True, use_cache=False)
            g = output.logits[0, -2].log_softmax(-1)[IDS[-1]]
            gradients = torch.autograd.grad(g, output.attentions)
    except Exception:
        return None
    walked = torch.eye(n_tokens)
    for weights, slope in zip(output.attentions, gradients, strict=True):
        shown = (weights * slope)[0, ..., :n_tokens]
        walked = walked + shown.clamp_min(0).mean(0).detach() @ walked
    return walked[-2, :-1]


def _near(actual: torch.Tensor, expected: torch.Tensor, within: float = 3e-3) -> bool:
    actual, expected = actual.detach(), expected.detach()
    return bool((actual - expected).abs().max() <= within * expected.abs().max() + 1e-6)


def _config(family: str) -> Any:
    kind = CONFIG_MAPPING[family]
    return kind(**_small(kind, OWN.get(family, {})))


def _small(kind: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes that a config class knows, and those of its parts."""
    names = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    names |= set(inspect.signature(kind.__init__).parameters)
    chosen = {name: value for name, value in SIZES.items() if name in names or name in kind.attribute_map}
    for name, part in getattr(kind, "sub_configs", {}).items():
        if not hasattr(part, "model_type"):  # whichever class the default has
            part = type(getattr(kind(), name))
        if name in _TOWERS:
            known = (
                {field.name for field in dataclasses.fields(part)}
                if dataclasses.is_dataclass(part)
                else set()
            )
            chosen[name] = {key: value for key, value in _PICTURE.items() if key in known}
        elif hasattr(part, "model_type"):
            chosen[name] = _small(part, OWN.get(getattr(part, "model_type", ""), {}))
    return chosen | dict(overrides)


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    # Some announce in the first line what stands in the second.
    return f"{type(error).__name__}: {' '.join(lines[: 2 if lines[0].endswith(':') else 1])}"[:300]


def _child(family: str, answer: Any) -> None:
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    answer.send(judge(family))


def apart(family: str) -> Verdict:
    """The verdict from a process of its own, which may die or take too long."""
    theirs, mine = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_child, args=(family, mine), daemon=True)
    process.start()
    mine.close()
    try:
        if theirs.poll(SECONDS):
            verdict: Verdict = theirs.recv()
            return verdict
        return Verdict("not built", f"took more than {SECONDS} s")
    except EOFError:
        return Verdict("crash", "the process died")
    finally:
        process.kill()
        process.join()


def page(verdicts: Mapping[str, Verdict]) -> str:
    """The page as Markdown."""
    groups: dict[str, list[str]] = {}
    for family, verdict in verdicts.items():
        groups.setdefault(verdict.kind, []).append(family)
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in sorted(groups.items()))
    lines = [
        "# Model families",
        "",
        f"All {len(verdicts)} families of causal language models in transformers {transformers.__version__}, tiny and "
        "with random weights: "
        f"{counts}. Written by `python benchmarks/families.py > docs/families.md`; "
        "`tests/heat/test_families.py` runs some of them.",
        "",
        "* **right**: log p is what the model says of the ids; `kl-only`, `gradient-norm` and (where the model shows "
        "its weights) `relevance` are what loops over its own forward give; `heat`, its parts and `attention-rollout` "
        "are the same in a batch as alone; curvature by differences is that by second derivatives, to 1 %.",
        "* **right, attention refused**: the same for methods that read no attention; those that do, HEAT among them, "
        "are refused with the reason beside it. `no-gate` is HEAT without the gate.",
        "* **right, gradients refused**: the same for methods that need neither gradients nor attention.",
        "* **refused**: nothing can be attributed, for the reason beside it.",
        "* **not built**: no tiny model could be made from the sizes tried, which says nothing about the family.",
        "",
        "| family | what came of it | why |",
        "|---|---|---|",
    ]
    for family, verdict in verdicts.items():
        note = re.sub(r"\s+", " ", verdict.note).replace("|", "\\|")
        lines.append(f"| {family} | {verdict.kind} | {note} |")
    return "\n".join(lines) + "\n"


def data(text: str) -> str:
    """The page as JSON, with the kinds of blocks that each tiny model had.

    Args:
        text: The page.
    """
    rows = {}
    for family, kind, note in re.findall(r"^\| (\S+) \| ([^|]+) \| (.*) \|$", text, re.MULTILINE):
        if kind.startswith(("right", "refused")):
            layers = sorted({*layer_kinds(_config(family))})
            rows[family] = {"kind": kind, "note": note.replace("\\|", "|"), "layers": layers}
    return json.dumps(rows, indent=1, sort_keys=True)


def main(
    chosen: Annotated[list[str] | None, typer.Argument(metavar="FAMILY...", help="Default: all.")] = None,
    as_data: Annotated[bool, typer.Option("--data", help="Print the page that is there as JSON.")] = False,
) -> None:
    """Print the page, or some families' verdicts."""
    if as_data:
        print(data(PAGE.read_text(encoding="utf-8")))
        return
    verdicts = {}
    for family in chosen or families():
        verdicts[family] = apart(family)
        print(f"{family}: {verdicts[family].kind} {verdicts[family].note}", file=sys.stderr, flush=True)
    if not chosen:
        print(page(verdicts), end="")


if __name__ == "__main__":
    typer.run(main)
