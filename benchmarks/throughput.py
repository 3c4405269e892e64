"""Texts per second of a method beside plain forward passes over the same batches, on people's texts.

    python benchmarks/throughput.py --source ../shared/data/rationales/fair-rationales --model models/smollm2

Texts are sorted by their length and dealt out in batches; forward passes and the methods take turns batch by batch, so
that a machine that slows down slows all of them down.
"""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer


def main(
    source: Annotated[str, typer.Option(help="Folder of the benchmark.")],
    model: Annotated[str, typer.Option(help="The model's folder.")] = "models/smollm2",
    benchmark: Annotated[str, typer.Option(help="Name of the benchmark.")] = "fair-rationales/sst",
    prompt: Annotated[str, typer.Option(help="How texts are put to the model.")] = "few-shot",
    texts: Annotated[int, typer.Option(min=1, help="Number of texts.")] = 100,
    batch: Annotated[int, typer.Option(min=1, help="Texts of a batch.")] = 16,
    method: Annotated[list[str] | None, typer.Option(help="Default: heat-first-order.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Print a JSON line for forward passes and for every method."""
    import torch

    import heat
    from evaluate.tasks.asking import put
    from evaluate.tasks.catalog import load_task
    from heat.batch import collate
    from heat.internals.forward import target_log_probs, token_vectors
    from heat.internals.state import frozen

    lm = heat.load(model, device=device)
    task = put(load_task(benchmark, source=source, limit=texts), lm, prompt)
    encodings = [
        heat.encode(lm, example.prompt, example.target, max_targets=1, special_tokens=example.special_tokens)
        for example in task.examples
    ]
    encodings.sort(key=lambda encoded: len(encoded.token_ids))
    names = method or ["heat-first-order"]
    seconds = dict.fromkeys(["forward passes", *names], 0.0)

    def forward(part: list[heat.Encoded]) -> None:
        with frozen(lm.model), torch.no_grad():
            together = collate(part, lm.device)
            target_log_probs(lm.model, together, token_vectors(lm.model, together)).cpu()

    def timed(name: str, part: list[heat.Encoded]) -> float:
        began = time.perf_counter()
        if name == "forward passes":
            forward(part)
        else:
            heat.attribute_batch(lm, part, [None] * len(part), name)
        return time.perf_counter() - began

    for name in seconds:
        timed(name, encodings[:1])  # what is tried of a model once
    for first in range(0, len(encodings), batch):
        for name in seconds:
            seconds[name] += timed(name, encodings[first : first + batch])
    for name, taken in seconds.items():
        line = {
            "what": name,
            "texts": len(encodings),
            "tokens": sum(len(encoded.token_ids) for encoded in encodings),
            "texts_per_second": round(len(encodings) / taken, 2),
            "forward_passes": round(taken / seconds["forward passes"], 2),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    typer.run(main)
