"""How well few probes of the curvature rank tokens, and what `n_probes="auto"` thinks of it.

    python benchmarks/probes.py --source ../shared/data/longra/annotated_lambada.jsonl --model models/smollm2

Half of the probes are the truth, and the first of the others are set beside them. Some minutes a text.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

COUNTS = (2, 4, 10, 20, 50)


def main(
    source: Annotated[str, typer.Option(help="The benchmark's file or folder.")],
    model: Annotated[str, typer.Option(help="The model's folder.")] = "models/smollm2",
    benchmark: Annotated[str, typer.Option(help="Name of the benchmark.")] = "lambada-rationales",
    texts: Annotated[int, typer.Option(min=1, help="Number of texts.")] = 3,
    probes: Annotated[int, typer.Option(min=4, help="Number of probes, half of them for the truth.")] = 100,
) -> None:
    """Print a JSON line for every text and number of probes."""
    import torch
    from scipy.stats import spearmanr

    import heat
    from evaluate.tasks.catalog import load_task
    from heat.batch import collate
    from heat.components import curvature, rademacher
    from heat.components.probes import certainty
    from heat.internals.forward import token_vectors

    lm = heat.load(model)
    for number, example in enumerate(load_task(benchmark, source=source, limit=texts).examples):
        encoded = heat.encode(
            lm, example.prompt, example.target, max_targets=1, special_tokens=example.special_tokens
        )
        batch = collate([encoded], lm.device)
        width = token_vectors(lm.model, batch).shape[-1]
        drawn = rademacher(probes, batch.token_ids.shape[1], width, 0)
        sizes = torch.cat([curvature(lm.model, batch, probes=one[None]) for one in drawn])
        sizes = sizes[:, batch.context[0]].double()
        few, truth = sizes[: probes // 2], sizes[probes // 2 :].mean(0)
        for m in [m for m in COUNTS if m <= len(few)]:
            line = {
                "text": number,
                "tokens": len(truth),
                "m": m,
                "spearman": round(float(spearmanr(few[:m].mean(0), truth)[0]), 4),
                "certainty": round(certainty(few[:m]), 4),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    typer.run(main)
