"""Peak memory, predicted from a model's shape beside measured; and the fit that the prediction rests on.

    python benchmarks/memory.py
    python benchmarks/memory.py --model llama --tokens 512 --method heat
    python benchmarks/memory.py --fit data/models/footprint.json

Measured is the most bytes that tensors held at one time (`heat.measure.LiveBytes`), weights included; beside it stands
the process's own peak, with the libraries and the allocator's slack. Every row runs in a process of its own. The fit
measures other, smaller models than those that are checked.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from heat.batch import Batch
    from heat.cost.shape import Shape

# Checked: three families, at sizes that no fit has seen.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": (
        "llama",
        {
            "hidden_size": 160,
            "intermediate_size": 432,
            "num_hidden_layers": 5,
            "num_attention_heads": 5,
            "num_key_value_heads": 5,
            "vocab_size": 8000,
        },
    ),
    "gpt2": ("gpt2", {"n_embd": 120, "n_layer": 5, "n_head": 3, "vocab_size": 12000}),
    "qwen2": (
        "qwen2",
        {
            "hidden_size": 200,
            "intermediate_size": 800,
            "num_hidden_layers": 3,
            "num_attention_heads": 10,
            "num_key_value_heads": 2,
            "vocab_size": 20000,
            "tie_word_embeddings": True,
        },
    ),
}
METHODS = [
    "heat",
    "heat-windowed",
    "heat-low-rank",
    "gradient-norm",
    "integrated-gradients",
    "kl-only",
    "occlusion",
]
FAMILIES = ["llama", "phi3", "gpt2", "gptj"]


def main(
    model: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(MODELS)}. Default: all.")] = None,
    tokens: Annotated[list[int] | None, typer.Option(help="Prompt length; repeat for several.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Method; repeat for several.")] = None,
    fit: Annotated[Path | None, typer.Option(help="Measure small models and write the fit here.")] = None,
    family: Annotated[list[str] | None, typer.Option(help="Families to fit. Default: all.")] = None,
    designs: Annotated[int, typer.Option(min=8, help="Random sizes measured for the fit.")] = 14,
    seed: Annotated[int, typer.Option(help="Seed of the sizes.")] = 1,
    alone: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Print a JSON line for every model, length and method, or for every part of a fit."""
    if fit is not None:
        write_fit(fit, family or FAMILIES, designs, seed)
        return
    for name in model or MODELS:
        for n in tokens or [128, 512, 1024]:
            for name_of_method in method or METHODS:
                if alone:
                    print(json.dumps(check(name, n, name_of_method)), flush=True)
                    continue
                command = [sys.executable, __file__, "--alone", "--model", name]
                subprocess.run([*command, "--tokens", str(n), "--method", name_of_method], check=True)


def check(name: str, n: int, method: str) -> dict[str, object]:
    """Predicted and measured peak of one method on a random prompt of n tokens."""
    import heat
    from heat.cost.footprint import footprints
    from heat.cost.shape import shape_of
    from heat.internals.passes import counted_passes
    from heat.measure import LiveBytes

    family, options = MODELS[name]
    built = build(family, options)
    shape = shape_of(built.config, name)
    lm = heat.LanguageModel(built, None, name=name, revision="random")
    chosen = heat.methods()[method]()
    prompt = [3 + (7 * i) % (shape.vocabulary - 3) for i in range(n)]
    weights = sum(weight.numel() * weight.element_size() for weight in built.parameters())
    began = time.perf_counter()
    with counted_passes(built) as passes, LiveBytes() as live:
        heat.attribute(lm, prompt, [7], chosen)
    parts = footprints(shape, chosen, n)
    fullest = max(parts, key=lambda part: part.total)
    measured = weights + live.peak
    predicted_passes = sum(chosen.costs_in(n, 1, shape.n_layers).values())
    return {
        "model": name,
        "tokens": n,
        "method": method,
        "predicted_MiB": round(fullest.total / 2**20, 1),
        "measured_MiB": round(measured / 2**20, 1),
        "ratio": round(fullest.total / measured, 3),
        "without_weights": round((fullest.total - weights) / live.peak, 3),
        "part": fullest.part,
        "process_MiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "passes": round((passes.forward + passes.backward) / n - 1, 2),
        "predicted_passes": round(predicted_passes, 2),
        "seconds": round(time.perf_counter() - began, 1),
    }


def build(family: str, options: dict[str, Any]) -> PreTrainedModel:
    """A random model of a family."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.manual_seed(0)
    longest = {"n_positions": 4096} if family.startswith("gpt") else {"max_position_embeddings": 4096}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    settings: dict[str, Any] = {**special, **longest, **options}
    config = CONFIG_MAPPING[family](**settings)
    made: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    return made


# --- the fit ------------------------------------------------------------------------------------------------------


def write_fit(path: Path, families: list[str], designs: int, seed: int) -> None:
    """Measure every part on random sizes and write how many of each term it holds; families not named stay."""
    fits = json.loads(path.read_text()) if path.exists() else {}
    for family in families:
        fits[family] = fitted(list(measured(family, designs, seed)), family)
        path.write_text(json.dumps(fits, indent=1) + "\n")


def measured(family: str, designs: int, seed: int) -> Iterator[tuple[str, dict[str, float], float]]:
    """Part, its terms, and the numbers (float32) that it held."""
    from heat.cost.shape import shape_of
    from heat.measure import LiveBytes

    draw = random.Random(seed)
    for _ in range(designs):
        heads, head = draw.choice([2, 4, 6, 8]), draw.choice([16, 24, 32, 48])
        width, layers, vocabulary = (
            heads * head,
            draw.choice([2, 3, 4, 6]),
            draw.choice([300, 1000, 4000, 16000]),
        )
        inner = int(width * draw.uniform(2.5, 5.5)) // 8 * 8
        shared = draw.choice([k for k in (1, 2, 4, 8) if heads % k == 0])
        n, rows, probes = (
            draw.choice([40, 70, 100, 160, 220, 300, 420]),
            draw.choice([1, 1, 2, 4]),
            draw.choice([2, 4, 10]),
        )
        built = build(family, _options(family, width, inner, heads, shared, layers, vocabulary))
        shape = shape_of(built.config, family)
        for part, terms, work in _parts(built, shape, rows, n + 1, probes):
            with LiveBytes() as live:
                work()
            yield part, terms, live.peak / 4


def _options(
    family: str, width: int, inner: int, heads: int, shared: int, layers: int, vocabulary: int
) -> dict[str, Any]:
    if family.startswith("gpt"):
        rotary = {"rotary_dim": 16} if family == "gptj" else {}
        sizes = {
            "n_embd": width,
            "n_inner": inner,
            "n_head": heads,
            "n_layer": layers,
            "vocab_size": vocabulary,
        }
        return {**sizes, **rotary}
    original = {"original_max_position_embeddings": 4096} if family == "phi3" else {}
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "num_hidden_layers": layers,
        "vocab_size": vocabulary,
        **original,
    }


def _parts(model: PreTrainedModel, shape: Shape, rows: int, n: int, probes: int) -> Iterator[Any]:
    import torch

    import heat
    from heat.batch import DEFAULT_BATCH_TOKENS, Batch, rows_within
    from heat.components import curvature, information, transition
    from heat.components.information import information_terms
    from heat.cost.terms import forward_terms, gradient_terms, second_terms, transition_terms
    from heat.internals.forward import embed, explained, target_log_probs
    from heat.internals.state import frozen
    from heat.registry import build as build_method

    def text(rows: int) -> Batch:
        ids = torch.randint(3, shape.vocabulary, (rows, n))
        every = torch.arange(rows)
        return Batch(ids, torch.ones_like(ids), every, torch.full((rows,), n - 2), ids[:, -1])

    def forward() -> None:
        with frozen(model), torch.no_grad():
            target_log_probs(model, several, embed(model, several))

    def gradient() -> None:
        with frozen(model), torch.enable_grad():
            point = embed(model, several).requires_grad_()
            torch.autograd.grad(explained(model, several, point).sum(), point)

    several, one = text(rows), text(1)
    lm = heat.LanguageModel(model, None)
    yield "forward", forward_terms(shape, rows, n), forward
    yield "gradient", gradient_terms(shape, rows, n), gradient
    yield "transition", transition_terms(shape, rows, n), lambda: transition(model, several)
    yield (
        "difference",
        gradient_terms(shape, min(2, rows_within(DEFAULT_BATCH_TOKENS, n)), n),
        lambda: curvature(model, one, products="finite-difference", n_probes=2),
    )
    yield (
        "second",
        second_terms(shape, 1, n, 1),
        lambda: curvature(model, one, products="double-backward", n_probes=2),
    )
    if n <= 200:
        yield (
            "second",
            second_terms(shape, 1, n, probes),
            lambda: curvature(model, one, products="batched", n_probes=probes),
        )
    yield (
        "information",
        information_terms(shape, n - 1, DEFAULT_BATCH_TOKENS),
        lambda: information(model, one),
    )
    steps = min(20, rows_within(DEFAULT_BATCH_TOKENS, n))
    copies = {"copies": float(20 * n * shape.width)}
    method = build_method("integrated-gradients", {"n_steps": 20})
    yield "copies", {**gradient_terms(shape, steps, n), **copies}, lambda: method.score(lm, one)
    together = rows_within(DEFAULT_BATCH_TOKENS, n)
    copies = {"copies": float(together * n * shape.width)}
    occlusion = build_method("occlusion", {})
    if together < n:
        yield "perturbed", {**forward_terms(shape, together, n), **copies}, lambda: occlusion.score(lm, one)


def fitted(
    measurements: list[tuple[str, dict[str, float], float]], family: str
) -> dict[str, dict[str, float]]:
    """Non-negative least squares of the relative errors, part by part."""
    import numpy as np
    from scipy.optimize import nnls

    result: dict[str, dict[str, float]] = {}
    for part in dict.fromkeys(name for name, _, _ in measurements):
        mine = [(terms, held) for name, terms, held in measurements if name == part]
        names = list(mine[0][0])
        known = {"copies": "gradient", "perturbed": "forward"}.get(part)
        # What captum adds is fitted on top of the passes it makes.
        free = names if known is None else ["copies"]
        matrix = np.array([[terms[name] / held for name in free] for terms, held in mine])
        rest = np.array(
            [
                1 - sum(result[known].get(name, 0.0) * terms[name] for name in names) / held if known else 1.0
                for terms, held in mine
            ]
        )
        counts, _ = nnls(matrix, rest)
        errors = matrix @ counts - rest
        result[part] = {
            name: round(float(count), 3) for name, count in zip(free, counts, strict=True) if count > 5e-4
        }
        line = {"family": family, "part": part, "n": len(mine), **result[part]}
        print(json.dumps({**line, "worst_error": round(float(np.abs(errors).max()), 3)}), flush=True)
    return result


if __name__ == "__main__":
    typer.run(main)
