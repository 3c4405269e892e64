"""What the prefix cache brings to the information term, as a ratio in one run.

python benchmarks/prefix_cache.py --tokens 64 --tokens 256
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Annotated

import typer


def main(
    tokens: Annotated[list[int] | None, typer.Option(help="Prompt length; repeat for several.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or hub name. Default: the embedded reader.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each; the median counts.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the prompts.")] = 0,
) -> None:
    """Time the masked passes with and without the cache, by turns, and print a JSON line a length."""
    import torch

    import heat
    from heat.batch import Batch
    from heat.components import information

    torch.set_num_threads(threads)
    lm = heat.load(model)
    generator = torch.Generator().manual_seed(seed)
    for n in tokens or [64, 256]:
        ids = torch.randint(3, lm.model.config.vocab_size, (1, n + 1), generator=generator)
        batch = Batch(ids, torch.ones_like(ids), torch.tensor([0]), torch.tensor([n - 1]), ids[0, -1:])
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(repeats + 1):
            for prefix_cache, taken in seconds.items():
                began = time.perf_counter()
                information(lm.model, batch, prefix_cache=prefix_cache)
                taken.append(time.perf_counter() - began)
        cached, uncached = (statistics.median(seconds[kind][1:]) for kind in (True, False))
        row = {"tokens": n, "cached_seconds": round(cached, 4), "ratio": round(uncached / cached, 2)}
        print(json.dumps(row | {"threads": threads, "repeats": repeats}), flush=True)


if __name__ == "__main__":
    typer.run(main)
