"""How time and memory grow with the prompt, and the windowed forms beside plain HEAT.

    python benchmarks/long.py --tokens 64 --tokens 512 --tokens 2048
    python benchmarks/long.py --method heat-windowed --tokens 100000
    python benchmarks/long.py --model models/smollm2 --method heat --method heat-first-order --tokens 64 --tokens 128

Without `--model`, one of the embedded reader's shape with random weights and no limit on its context. Each row runs in
a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Annotated, Any

import typer


def measure(method: str, n: int, repeats: int, window: int, path: str | None) -> dict[str, object]:
    """Seconds and peak memory of one method on a random prompt of n tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    import heat

    if path is not None:
        lm = heat.load(path)
    else:
        shape = heat.load().model.config.to_dict() | {"max_position_embeddings": max(4096, n + 1)}
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**shape)).eval()
        lm = heat.LanguageModel(model, None, name="reader's shape", revision="random")
    prompt = torch.randint(3, 3000, (n,), generator=torch.Generator().manual_seed(1)).tolist()
    options: dict[str, Any] = {"window": window} if "win" in method else {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        attribution = heat.attribute(lm, prompt, [7], method, **options)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "method": method,
        "tokens": n,
        "seconds": round(statistics.median(seconds), 3),
        "peak_MiB": round(peak / 1024),
        "loaded_MiB": round(before / 1024),
        "finite": bool(attribution.scores.isfinite().all()),
        "repeats": repeats,
        "threads": torch.get_num_threads(),
    }


def main(
    tokens: Annotated[list[int] | None, typer.Option(help="Prompt length; repeat for several.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Method; repeat for several.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each; the median counts.")] = 1,
    window: Annotated[int, typer.Option(min=2, help="Tokens of a window.")] = 512,
    model: Annotated[str | None, typer.Option(help="A model's folder in place of that shape.")] = None,
    alone: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Print a JSON line a method and length."""
    for n in tokens or [64, 128, 256, 512, 1024, 2048]:
        for name in method or ["heat", "heat-windowed", "heat-lr-win"]:
            if alone:
                print(json.dumps(measure(name, n, repeats, window, model)), flush=True)
                continue
            command = [sys.executable, __file__, "--alone", "--tokens", str(n), "--method", name]
            command += ["--repeats", str(repeats), "--window", str(window)]
            command += [] if model is None else ["--model", model]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    typer.run(main)
