"""What each attribution method costs, as a ratio to one forward pass in the same run.

    python benchmarks/methods.py --tokens 64 --tokens 256

Every method attributes one target after prompts of the given lengths; the fastest of several runs counts. The ratio
beside the method's own count of forward-equivalents shows where the count and the clock part.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated

import typer


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of ``repeats`` runs, after one that is not counted."""
    work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def main(
    tokens: Annotated[list[int] | None, typer.Option(help="Prompt length; repeat for several.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or hub name. Default: the embedded reader.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of which the fastest counts.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the prompts.")] = 0,
) -> None:
    """Time every method and print a JSON line each."""
    import torch

    import heat
    from heat.registry import methods

    lm = heat.load(model)
    generator = torch.Generator().manual_seed(seed)
    for length in tokens or [64, 256]:
        prompt = torch.randint(3, lm.model.config.vocab_size, (length,), generator=generator).tolist()
        ids = torch.tensor([[*prompt, prompt[0]]], device=lm.device)
        with torch.inference_mode():
            forward = fastest(lambda ids=ids: lm.model(input_ids=ids), repeats)  # type: ignore[misc]
        for name, method in methods().items():
            taken = fastest(
                lambda name=name, prompt=prompt: heat.attribute(lm, prompt, prompt[:1], name),  # type: ignore[misc]
                repeats,
            )
            row = {
                "method": name,
                "tokens": length,
                "ratio_to_forward": round(taken / forward, 1),
                "forward_equivalents": 1 + method().cost(length, 1),
                "forward_seconds": round(forward, 5),
                "device": str(lm.device),
                "threads": torch.get_num_threads(),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    typer.run(main)
