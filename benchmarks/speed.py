"""HEAT against the naive procedure and against integrated gradients, as ratios in one run.

    python benchmarks/speed.py
    python benchmarks/speed.py --model models/smollm2 --tokens 80
    python benchmarks/speed.py --device cuda --shape 3b --dtype bfloat16

The naive procedure is written here as the method's public release does it: one gradient with its graph, then n·m
second derivatives one after another through the whole text, and n masked forward passes one after another. All of its
products cost the same, so `--products` may time fewer than n·m and multiply; 0 makes them all. Everything is timed by
turns, and the median of the turns counts. Weights are random: speed does not depend on them.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2-small": ("gpt2", {}),
    "tiny": ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 1000}),
    "3b": (
        "qwen2",
        {
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
        },
    ),
}


def main(
    shape: Annotated[str, typer.Option(help=f"Random weights: {', '.join(SHAPES)}.")] = "gpt2-small",
    path: Annotated[str | None, typer.Option("--model", help="A model's folder in place of a shape.")] = None,
    tokens: Annotated[int, typer.Option(min=2, help="Length of the prompt.")] = 96,
    prefix_tokens: Annotated[int, typer.Option(min=2, help="Length for the prefix cache's row.")] = 256,
    probes: Annotated[int, typer.Option(min=1, help="m, number of probes.")] = 10,
    products: Annotated[
        int, typer.Option(min=0, help="Naive products timed a turn; 0: all n·m of them.")
    ] = 16,
    repeats: Annotated[int, typer.Option(min=1, help="Turns; the median counts.")] = 5,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="Dtype of the weights.")] = "float32",
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens that a pass may hold.")] = 4096,
    row: Annotated[
        list[str] | None, typer.Option(help="Time this row alone; repeat for several. Default: all.")
    ] = None,
) -> None:
    """Print a JSON line for every row of the table in docs/heat.md."""
    import torch
    from scipy.stats import spearmanr
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    import heat
    from heat.batch import Batch
    from heat.components import curvature, information, transition
    from heat.components.probes import rademacher
    from heat.internals.forward import embed, target_log_probs
    from heat.internals.state import eager_attention, frozen

    if path is None:
        family, options = SHAPES[shape]
        torch.manual_seed(0)
        config = CONFIG_MAPPING[family](**options)
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).to(device).eval()
        lm = heat.LanguageModel(model, None, name=shape, revision="random")
    else:
        lm = heat.load(path, dtype=dtype, device=device)
        model, config = lm.model, lm.model.config

    def text(n: int) -> Batch:
        ids = torch.randint(3, config.vocab_size, (1, n + 1), generator=torch.Generator().manual_seed(1))
        ids = ids.to(device)
        last = torch.tensor([n - 1], device=device)
        return Batch(ids, torch.ones_like(ids), torch.tensor([0], device=device), last, ids[0, -1:])

    batch, longer = text(tokens), text(prefix_tokens)
    prompt, target = batch.token_ids[0, :-1].tolist(), batch.token_ids[0, -1:].tolist()
    signs = rademacher(probes, tokens + 1, embed(model, batch).shape[-1], 0).to(device)
    n_products = products or tokens * probes

    def naive_products(n: int) -> list[float]:
        """The first n of ‖[H Π_i r_k]_i‖₁, in the order token by token and probe by probe."""
        sizes = []
        with frozen(model), eager_attention(model), torch.enable_grad():
            embeddings = embed(model, batch).float().requires_grad_()
            g = target_log_probs(model, batch, embeddings).sum()
            (gradient,) = torch.autograd.grad(g, embeddings, create_graph=True)
            for index in range(n):
                i, k = divmod(index, probes)
                vector = torch.zeros_like(embeddings)
                vector[0, i] = signs[k, i]
                (product,) = torch.autograd.grad(gradient, embeddings, vector, retain_graph=True)
                sizes.append(float(product[0, i].abs().sum()))
        return sizes

    def naive_passes() -> list[float]:
        divergences = []
        with frozen(model), torch.no_grad():
            embeddings = embed(model, batch)
            p = model(inputs_embeds=embeddings).logits[0, tokens - 1].float().log_softmax(-1)
            for i in range(tokens):
                changed = embeddings.clone()
                changed[0, i] = 0
                q = model(inputs_embeds=changed).logits[0, tokens - 1].float().log_softmax(-1)
                divergences.append(float((p.exp() * (p - q)).sum()))
        return divergences

    def forward_pass() -> float:
        with frozen(model), torch.no_grad():
            return float(target_log_probs(model, batch, embed(model, batch)).sum())

    def attribute(method: str, **options: Any) -> Any:
        return heat.attribute(lm, prompt, target, method, batch_tokens=batch_tokens, **options)

    heat_options = {"n_probes": probes}
    rows: dict[str, Callable[[], object]] = {
        "naive products (some)": lambda: naive_products(n_products),
        "naive start": lambda: naive_products(0),
        "naive masked passes": naive_passes,
        "block curvature": lambda: curvature(
            model, batch, mode="block", n_probes=probes, batch_tokens=batch_tokens
        ),
        "row curvature": lambda: curvature(model, batch, n_probes=probes, batch_tokens=batch_tokens),
        "row curvature, one by one": lambda: curvature(
            model, batch, n_probes=probes, products="double-backward", batch_tokens=batch_tokens
        ),
        "row curvature, differences": lambda: curvature(
            model, batch, n_probes=probes, products="finite-difference", batch_tokens=batch_tokens
        ),
        "rank 64 curvature": lambda: curvature(model, batch, rank=64, batch_tokens=batch_tokens),
        "6 layers' curvature": lambda: curvature(
            model, batch, n_probes=probes, layers=6, batch_tokens=batch_tokens
        ),
        "transition": lambda: transition(model, batch),
        "information": lambda: information(model, batch, batch_tokens=batch_tokens),
        "information, products in bfloat16 where fast": lambda: information(
            model, batch, precision="auto", batch_tokens=batch_tokens
        ),
        "forward pass": lambda: forward_pass(),
        "heat": lambda: attribute("heat", **heat_options),
        "heat, n_probes auto": lambda: attribute("heat", n_probes="auto"),
        "heat-adaptive": lambda: attribute("heat-adaptive", **heat_options),
        "heat-adaptive, mode fisher": lambda: attribute("heat-adaptive", mode="fisher", n_probes=4),
        "heat, precision auto": lambda: attribute("heat", precision="auto", **heat_options),
        "heat-first-order": lambda: attribute("heat-first-order"),
        "heat-fisher": lambda: attribute("heat-fisher", **heat_options),
        "attn-lrp": lambda: attribute("attn-lrp"),
        "relevance": lambda: attribute("relevance"),
        "integrated gradients, 50 steps": lambda: attribute("integrated-gradients"),
        "information, longer": lambda: information(model, longer, batch_tokens=batch_tokens),
        "information, longer, no prefix cache": lambda: information(
            model, longer, prefix_cache=False, batch_tokens=batch_tokens
        ),
    }
    strange = sorted(set(row or ()) - set(rows))
    if strange:
        raise typer.BadParameter(f"no row {strange[0]!r}; there are: {', '.join(rows)}")
    rows = {name: work for name, work in rows.items() if not row or name in row}
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(repeats):
        for name, work in rows.items():
            if device == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            work()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - began)
        print(json.dumps({"turn": turn + 1, "of": repeats}), flush=True)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        print(json.dumps({"row": name, "seconds": round(value, 3)}))

    figures: dict[str, float] = {}

    def ratio(name: str, above: float | None, below: str) -> None:
        if above is not None and below in median:
            figures[name] = above / median[below]

    naive_curvature = naive = None
    if {"naive products (some)", "naive start"} <= set(median):
        per_product = (median["naive products (some)"] - median["naive start"]) / n_products
        naive_curvature = median["naive start"] + per_product * tokens * probes
        if {"naive masked passes", "transition"} <= set(median):
            naive = naive_curvature + median["naive masked passes"] + median["transition"]
    ratio("naive / heat (asked: 40 or more)", naive, "heat")
    ratio("naive / heat, precision auto (asked: 65 or more)", naive, "heat, precision auto")
    for form in ("heat-adaptive", "heat-adaptive, mode fisher"):
        ratio(f"naive / {form} (asked: 100 or more)", naive, form)
    ratio("naive / heat-first-order (asked: 500 or more)", naive, "heat-first-order")
    ratio("naive / heat-fisher (asked: 150 or more)", naive, "heat-fisher")
    ratio(
        "heat-first-order / forward pass (asked: 4 or less)", median.get("heat-first-order"), "forward pass"
    )
    ratio(
        "heat-fisher / integrated gradients (asked: 0.15 or less)",
        median.get("heat-fisher"),
        "integrated gradients, 50 steps",
    )
    ratio("naive curvature / block curvature (asked: 2 or more)", naive_curvature, "block curvature")
    ratio(
        "heat / integrated gradients (asked: 1 or less)",
        median.get("heat"),
        "integrated gradients, 50 steps",
    )
    ratio(
        "information without / with prefix cache (asked: 1.7 or more)",
        median.get("information, longer, no prefix cache"),
        "information, longer",
    )
    if "block curvature" in median:
        exact = curvature(model, batch, mode="block", n_probes=probes, batch_tokens=batch_tokens)[0, :tokens]
        checked = n_products // probes
        sizes = torch.tensor(naive_products(checked * probes)).reshape(checked, probes).mean(1)
        gate, loss = (part[0, :tokens] for part in (transition(model, batch), information(model, batch)))
        naive_scores = gate * (0.5 * exact / exact.sum() + 0.5 * loss / loss.sum())
        ours = attribute("heat", **heat_options).scores[0, :tokens]
        figures["Spearman, heat with naive (asked: 0.9 or more)"] = float(
            spearmanr(ours.cpu(), naive_scores.cpu()).statistic
        )
        if checked:
            figures["greatest relative difference, block and naive"] = float(
                ((exact[:checked].cpu() - sizes).abs() / sizes.max()).max()
            )
    about = {
        "shape": path or shape,
        "tokens": tokens,
        "probes": probes,
        "naive_products_timed": n_products,
        "repeats": repeats,
        "device": device,
        "dtype": dtype,
        "threads": torch.get_num_threads(),
    }
    for name, value in figures.items():
        print(json.dumps({"ratio": name, "value": round(value, 6), **about}))


if __name__ == "__main__":
    typer.run(main)
