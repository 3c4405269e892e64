"""Labelling under faults: what is lost, what is paid, how long it takes. Needs no network and no key.

    python benchmarks/labelling.py              2,000 paragraphs x 2 annotators, 20 % of all attempts failing
    python benchmarks/labelling.py --kills 20   the same killed 20 times and resumed, against an unbroken run

The fake API runs in a process of its own, the command as a user runs it in another; times are the command's alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotate.files import read_records
from annotate.ledger.ledger import read_ledger
from annotate.schema import Label

ROOT = Path(__file__).resolve().parents[1]
KEY = "sk-benchmark-5c0ffee5c0ffee"
ANNOTATORS = ("openai:gpt-4o", "openai:gpt-5")
FAULTS = (
    "429:0.02,429:0.3,429,500,503:0.02,drop,stall:1.5,html,badjson,nochoices,"
    "schema,refusal,filter,length,empty,duplicate,wrong"
)
TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


@contextmanager
def fake_api(rate: float, seed: int, latency: float) -> Iterator[str]:
    """The fake API in a process of its own; yields its address."""
    options = (
        "--rate",
        str(rate),
        "--seed",
        str(seed),
        "--latency",
        str(latency),
        "--faults",
        FAULTS,
        "--key",
        KEY,
    )
    command = [sys.executable, "-m", "tests.fakes.openai_server", *options]
    server = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": KEY, "OMP_NUM_THREADS": "1"}


def label(folder: Path, url: str, concurrency: int) -> list[str]:
    """The command that labels the benchmark in ``folder``."""
    chosen = [word for name in ANNOTATORS for word in ("--annotator", name)]
    limits = ("--concurrency", str(concurrency), "--timeout", "1")
    return [
        *(sys.executable, "-m", "annotate.cli", "label", "--benchmark", str(folder)),
        *(*chosen, "--base-url", url, *limits),
    ]


def build(folder: Path, size: int) -> None:
    """A benchmark of the sample world."""
    command = [
        sys.executable,
        "-m",
        "annotate.cli",
        "build-dataset",
        "--size",
        str(size),
        "--out",
        str(folder),
    ]
    subprocess.run([*command, "--quiet"], cwd=ROOT, env=environment(), check=True)


def run(command: list[str]) -> tuple[int, float, float, float]:
    """Run ``command``; its exit code, wall and CPU seconds, and most memory in MB."""
    start = time.monotonic()
    process = subprocess.Popen(command, env=environment())
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    return os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def server_log(url: str) -> list[dict[str, object]]:
    """What the fake API was asked, attempt by attempt."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/fake/log") as answer:
        log: list[dict[str, object]] = json.load(answer)["log"]
    return log


def labels(folder: Path) -> dict[str, list[Label]]:
    """The labels by file."""
    return {path.name: read_records(path, Label) for path in sorted((folder / "labels").glob("*.jsonl"))}


def check_key(folder: Path) -> None:
    """The key is in no byte written."""
    for path in folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def ledger_bill(folder: Path) -> dict[str, int]:
    """Tokens billed, as the ledger says."""
    usages = [row.usage for row in read_ledger(folder / "ledger.jsonl").rows if row.usage]
    return {name: sum(getattr(usage, name) for usage in usages) for name in TOKENS}


def report(folder: Path, log: list[dict[str, object]]) -> Counter[str]:
    """Print statuses and bills; return how often each request was answered more than once."""
    for name, rows in labels(folder).items():
        print(f"  {name}: {dict(Counter(row.status for row in rows))}")
    faults = Counter(str(entry["fault"]) for entry in log)
    failing = 1 - faults["ok"] / len(log)
    print(f"  attempts at the server: {len(log):,}, {failing:.1%} of them failing: {dict(faults)}")
    bill = {name: sum(int(str(entry[name])) for entry in log) for name in TOKENS}
    print(f"  bill of the server: {bill}\n  bill in the ledger: {ledger_bill(folder)}")
    answered = Counter(str(entry["body_sha256"]) for entry in log if entry["input_tokens"])
    return Counter({digest: count - 1 for digest, count in answered.items() if count > 1})


def unbroken(folder: Path, arguments: argparse.Namespace) -> None:
    """One run under faults."""
    with fake_api(arguments.rate, arguments.seed, arguments.latency) as url:
        code, wall, cpu, memory = run(label(folder, url, arguments.concurrency))
        print(f"exit code {code}; {wall:.1f} s, {cpu:.1f} s of CPU, {memory:.0f} MB at most")
        log = server_log(url)
        twice = report(folder, log)
        print(f"  requests answered more than once: {len(twice)}")
        assert code in (0, 3), code
        assert not twice
        bill = {name: sum(int(str(entry[name])) for entry in log) for name in TOKENS}
        assert bill == ledger_bill(folder)
        assert not any(row.status == "missing" for rows in labels(folder).values() for row in rows)
    check_key(folder)


def lines(path: Path) -> int:
    """Lines of a file that need not exist yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_lines(process: subprocess.Popen[bytes], path: Path, wanted: int) -> None:
    """Wait until ``path`` has N lines, or the process has ended."""
    while process.poll() is None and lines(path) < wanted:
        time.sleep(0.001)


def killed(folder: Path, whole: Path, arguments: argparse.Namespace) -> None:
    """Kill -9 at random moments, resume each time, and compare with an unbroken run."""
    rng = random.Random(arguments.seed)
    with fake_api(arguments.rate, arguments.seed, arguments.latency) as url:
        run(label(whole, url, arguments.concurrency))
    kills = 0
    with fake_api(arguments.rate, arguments.seed, arguments.latency) as url:
        command = label(folder, url, arguments.concurrency)
        ledger = folder / "ledger.jsonl"
        attempts = len(read_ledger(whole / "ledger.jsonl").rows)
        for point in sorted(rng.sample(range(1, int(0.95 * attempts)), arguments.kills)):
            process = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
            wait_for_lines(process, ledger, max(point, lines(ledger) + 1))
            kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        code, *_ = run(command)
        print(f"killed {kills} times; the last run ended with exit code {code}")
        log = server_log(url)
        twice = report(folder, log)
        print(f"  attempts lost in flight: {len(log) - len(read_ledger(ledger).rows)}")
        print(
            f"  answers lost in flight and paid again: {twice.total()} (at most {kills * arguments.concurrency})"
        )
        assert twice.total() <= kills * arguments.concurrency
    same = labels(folder) == labels(whole)
    print(f"  final labels equal those of an unbroken run: {same}")
    assert same
    check_key(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=2000, help="paragraphs")
    parser.add_argument("--rate", type=float, default=0.2, help="share of attempts that fail")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds the server takes for an answer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=0, help="kill the command N times instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, whole = Path(temporary) / "benchmark", Path(temporary) / "whole"
        build(folder, arguments.size)
        if arguments.kills:
            build(whole, arguments.size)
            killed(folder, whole, arguments)
        else:
            unbroken(folder, arguments)


if __name__ == "__main__":
    main()
