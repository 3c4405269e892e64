"""The tables of docs/scale.md: what the models of the poster cost, from their configs alone.

python benchmarks/scale.py
"""

from __future__ import annotations

import typer

from heat.cost.footprint import footprints, weight_bytes
from heat.cost.shape import Shape, known_configs, load_config, shape_of
from heat.cost.variants import HEAT_FORMS, Rate, fitted
from heat.registry import build

GPU = 80 * 10**9
MOST = 16
GPUS = 64
PARAGRAPHS = 2000
TOKENS = 300
# Forward passes of the faithfulness metrics, counted on the embedded reader: for each attribution, and once a text.
PROBES, PROBES_SHARED = 87, 236
RATE = Rate(single=400e12, batched=400e12, float32=40e12)
BASELINES = [
    *("attention-last", "attention-rollout", "value-norms", "relevance"),
    *("input-x-gradient", "gradient-norm", "gradient-shap", "smoothgrad", "contrastive-gradient"),
    *("integrated-gradients", "layer-integrated-gradients"),
    *("occlusion", "lime", "reagent", "tdd-backward"),
]
ABLATIONS = ["no-gate", "uniform-transition", "transition-only", "hessian-only", "kl-only"]


def main() -> None:
    """Print the tables as Markdown."""
    shapes = [shape_of(load_config(name), name) for name in known_configs()]
    print(
        "| model | weights, GiB | a pass over 300 tokens, TFLOPs | over 100,000, PFLOPs |\n|---|---|---|---|"
    )
    for shape in shapes:
        held = weight_bytes(shape, "bfloat16") / 2**30
        short, long = shape.forward_flops(TOKENS) / 1e12, shape.forward_flops(100_000) / 1e15
        print(f"| {shape.name} | {held:.1f} | {short:.2f} | {long:.1f} |")
    for n in (300, 2000):
        print(f"\n{n} tokens, 1,000 examples: GPU-hours (GPUs a copy)\n")
        names = [*HEAT_FORMS, "integrated-gradients", "occlusion"]
        print("| model | " + " | ".join(names) + " |\n|" + "---|" * (1 + len(names)))
        for shape in shapes:
            print(f"| {shape.name} | " + " | ".join(_cell(shape, name, n) for name in names) + " |")
    print("\n100,000 tokens, one example: GPU-hours (GPUs a copy, peak of one device that held all, GiB)\n")
    for shape in shapes:
        for name in ("heat-windowed", "heat-lr-win"):
            one = fitted(shape, build(name, {}), RATE, 100_000, memory=GPU, most=MOST)
            parts = {
                part.part: round(part.total / 2**30)
                for part in footprints(
                    shape, build(name, {}), 100_000, dtype="bfloat16", batch_tokens=one.batch_tokens
                )
            }
            hours = f"{one.device_seconds / 3600:.2f} ({one.n_devices})"
            print(f"| {shape.name} | {name} | {one.flops / 1e15:,.0f} PFLOPs | {hours} | {parts} |")
    print(f"\n{PARAGRAPHS} paragraphs of {TOKENS} tokens, {len(_methods())} methods, on {GPUS} GPUs\n")
    print(
        "| model | attributions, GPU-hours | of these curvature | probes | wall hours |\n|---|---|---|---|---|"
    )
    for shape in shapes:
        print(f"| {shape.name} | " + " | ".join(f"{value:,.1f}" for value in _benchmark(shape)) + " |")


def _methods() -> list[str]:
    return [*HEAT_FORMS, *ABLATIONS, *BASELINES]


def _cell(shape: Shape, name: str, n: int) -> str:
    one = fitted(shape, build(name, {}), RATE, n, memory=GPU, most=MOST)
    if one.peak_bytes > GPU:
        return "does not fit"
    return f"{one.device_seconds * 1000 / 3600:.2f} ({one.n_devices})"


def _benchmark(shape: Shape) -> tuple[float, float, float, float]:
    spent = curvature = 0.0
    forward = shape.forward_flops(TOKENS)
    for name in _methods():
        method = build(name, {})
        one = fitted(shape, method, RATE, TOKENS, memory=GPU, most=MOST)
        spent += one.device_seconds * PARAGRAPHS
        passes = method.costs_in(TOKENS, 1, shape.n_layers).get("curvature", 0.0)
        curvature += passes * forward / RATE.float32 * one.n_devices * PARAGRAPHS
    copies = fitted(shape, build("random", {}), RATE, TOKENS, memory=GPU, most=MOST).n_devices
    probes = (PROBES * len(_methods()) + PROBES_SHARED) * forward / RATE.batched * copies * PARAGRAPHS
    return spent / 3600, curvature / 3600, probes / 3600, (spent + probes) / 3600 / GPUS


if __name__ == "__main__":
    typer.run(main)
