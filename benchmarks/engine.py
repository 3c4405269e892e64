"""The Ray engine beside plain processes on this machine: the same bytes, what it costs, and what dies.

    python benchmarks/engine.py --examples 500

Makes a benchmark of the sample world and runs `evaluate alignment` four times: in two processes at once (`--shard`),
merged; with `--engine ray --num-workers 2`; the same with one worker killed in the middle; and the same with the driver
killed in the middle and started again. Then compares the folders and counts what was computed twice. `--poison` scores
5,000 examples of which 1,000 are broken.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

METHODS = (
    "heat",
    "gradient-norm",
    "attention-rollout",
    "input-x-gradient",
    "relevance",
    "contrastive-gradient",
)
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
ENGINE = ("--engine", "ray", "--num-workers", "2")


def start(place: Path, out: str, *options: str) -> subprocess.Popen[str]:
    methods = [part for name in METHODS for part in ("--method", name)]
    command = [sys.executable, "-m", "evaluate.cli", "alignment", "--benchmark", "bench", *methods]
    return subprocess.Popen(
        [*command, "--out", out, *options], cwd=place, env=ENVIRONMENT, text=True, stdout=subprocess.DEVNULL
    )


def run(place: Path, out: str, *options: str) -> float:
    began = time.perf_counter()
    done = start(place, out, *options)
    if done.wait():
        raise SystemExit(f"{out} failed")
    return time.perf_counter() - began


def attributions(place: Path, out: str) -> int:
    return len(list((place / out / "attributions").glob("*.safetensors")))


def lines(place: Path, out: str, name: str) -> list[str]:
    path = place / out / name
    return path.read_text().splitlines() if path.exists() else []


def wait_for(place: Path, out: str, number: int) -> None:
    while attributions(place, out) < number:
        time.sleep(0.2)


def digest(place: Path, out: str) -> str:
    """Over every attribution and the table; rows of scores in any order."""
    checksum = hashlib.sha256()
    for path in sorted((place / out / "attributions").glob("*.safetensors")):
        checksum.update(path.name.encode() + path.read_bytes())
    for name in ("items.jsonl", "scores.jsonl"):
        checksum.update("\n".join(sorted(lines(place, out, name))).encode())
    checksum.update((place / out / "alignment.csv").read_bytes())
    return checksum.hexdigest()[:16]


def workers() -> list[int]:
    listing = subprocess.run(["pgrep", "-f", "ray::_Worker"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listing.stdout.split()]


def engines(place: Path, examples: int) -> None:
    build = [sys.executable, "-m", "annotate.cli", "build-dataset", "--size", str(examples), "--out", "bench"]
    subprocess.run([*build, "--quiet"], cwd=place, env=ENVIRONMENT, check=True)
    label = [sys.executable, "-m", "annotate.cli", "label", "--benchmark", "bench", "--quiet"]
    subprocess.run(label, cwd=place, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    total = examples * (len(METHODS) + 1)  # random is beside them

    began = time.perf_counter()
    parts = [start(place, f"part-{i}", "--shard", f"{i}/2", "--quiet") for i in (1, 2)]
    for part in parts:
        part.wait()
    shards = time.perf_counter() - began
    merge = [sys.executable, "-m", "evaluate.cli", "merge", "--out", "local", "part-1", "part-2"]
    subprocess.run(merge, cwd=place, env=ENVIRONMENT, check=True)
    run(place, "local", "--quiet")
    print(f"two local processes: {shards:.1f} s, {attributions(place, 'local'):,} attributions", flush=True)

    ray = run(place, "ray", *ENGINE, "--quiet")
    print(f"ray, 2 workers: {ray:.1f} s, {ray / shards:.3f} of the local processes' time", flush=True)

    process = start(place, "killed", *ENGINE, "--quiet")
    wait_for(place, "killed", total // 2)
    victim = workers()[0]
    os.kill(victim, signal.SIGKILL)
    code = process.wait()
    timings = len(lines(place, "killed", "timings.jsonl"))
    print(f"a worker killed: exit {code}, {timings - total} attributions written twice", flush=True)

    process = start(place, "driver", *ENGINE, "--quiet")
    wait_for(place, "driver", total // 2)
    process.kill()
    process.wait()
    before = attributions(place, "driver")
    time.sleep(5)  # Ray notices that its driver is gone
    run(place, "driver", *ENGINE, "--quiet")
    timings = len(lines(place, "driver", "timings.jsonl"))
    print(
        f"the driver killed at {before:,}, run again: {timings - total} attributions written twice",
        flush=True,
    )

    checksums = {out: digest(place, out) for out in ("local", "ray", "killed", "driver")}
    print(f"checksums: {checksums}; all equal: {len(set(checksums.values())) == 1}")


def poison(place: Path, good: int, bad: int) -> None:
    """Good paragraphs with, among them, prompts too long for the model, words beyond the text, and a method's NaN."""
    import torch
    from pydantic.dataclasses import dataclass as checked

    import heat
    from evaluate.alignment.run import alignment
    from evaluate.pipeline.run import RunConfig
    from evaluate.pipeline.store import Store
    from evaluate.tasks.catalog import load_task
    from heat.method import Method, Scores
    from heat.registry import _REGISTERED

    @checked(frozen=True)
    class Fragile(Method):
        """Gives NaN or breaks on marked texts."""

        name = "fragile"
        summary, source, needs = "", "", ()

        def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
            return {}

        def score(self, lm, batch, *, seed=0, batch_tokens=1):  # type: ignore[no-untyped-def]
            texts = [lm.tokenizer.decode(row) for row in batch.token_ids]
            if any("xqbroken" in text for text in texts):
                raise RuntimeError("a bug")
            scores = batch.token_ids[batch.rows].float()
            for row, text in enumerate(texts):
                if "xqmissing" in text:
                    scores[row] = torch.nan
            return Scores(scores)

    _REGISTERED["fragile"] = Fragile
    build = [
        sys.executable,
        "-m",
        "annotate.cli",
        "build-dataset",
        "--size",
        str(good + bad),
        "--out",
        "many",
    ]
    subprocess.run([*build, "--quiet"], cwd=place, env=ENVIRONMENT, check=True)
    task = load_task(str(place / "many"), gold="evidence")
    every = (good + bad) // bad
    examples = []
    kinds = ("long", "malformed", "xqbroken", "xqmissing")
    made = dict.fromkeys(kinds, 0)
    for index, example in enumerate(task.examples):
        if index % every == every - 1 and sum(made.values()) < bad:
            kind = kinds[sum(made.values()) % len(kinds)]
            made[kind] += 1
            if kind == "long":
                example = example.model_copy(update={"prompt": example.prompt + " word" * 4000})
            elif kind == "malformed":
                example = example.model_copy(update={"words": ((0, 10**6),), "gold": (0,), "distractor": ()})
            else:
                example = example.model_copy(update={"prompt": f"{example.prompt} {kind}"})
        examples.append(example)
    from dataclasses import replace

    began = time.perf_counter()
    result = alignment(
        replace(task, examples=tuple(examples)), heat.load(), ["fragile"], RunConfig(place / "poison")
    )
    seconds = time.perf_counter() - began
    (row,) = result.methods
    with Store(place / "poison") as store:
        statuses: dict[str, int] = {}
        for score in store.scores.values():
            statuses[score.status] = statuses.get(score.status, 0) + 1
    print(json.dumps({"made": made, "skipped": result.skipped, "statuses": statuses}))
    print(
        f"{result.asked:,} asked, {result.scored:,} scored in {seconds:.0f} s; refused or failed {row.refused} "
        f"({row.refused_example}), not finite {row.not_finite}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--poison", action="store_true", help="run the broken examples instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.poison:
            poison(Path(folder), 4000, 1000)
        else:
            engines(Path(folder), options.examples)


if __name__ == "__main__":
    main()
