"""What a ledger bills beside what the server counted by itself: requests and tokens. Part of ``real_servers.sh``.

    python benchmarks/server_bills.py FOLDER SERVER_LOG --tokenizer models/smollm2

The prompt's tokens are counted anew by the model's own tokenizer. llama.cpp logs, with every answer, how much of the
prompt it knew, how much of it and of the answer it worked on; from these the same counts follow.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from annotate.annotators import make_annotator
from annotate.benchmark import open_benchmark
from annotate.ledger.conversation import recorded
from annotate.ledger.ledger import Attempt, read_ledger
from annotate.ledger.questions import Questions

_REMAINING = re.compile(r"Llama\.generate: (\d+) prefix-match hit, remaining (\d+) prompt tokens to eval")
_PROMPT = re.compile(r"prompt eval time =.*?/\s+(\d+) tokens")
_RUNS = re.compile(r"  eval time =.*?/\s+(\d+) runs")


def prompt_tokens(folder: Path, rows: list[Attempt], tokenizer: Path) -> tuple[int, int, int]:
    """Prompts counted anew.

    Args:
        folder: The benchmark folder.
        rows: Its answers.
        tokenizer: The model's folder.

    Returns:
        Number of answers whose prompt could be made again, tokens in the ledger and tokens counted.
    """
    from transformers import AutoTokenizer

    count: Any = AutoTokenizer.from_pretrained(tokenizer)
    attempts, paragraphs = read_ledger(folder / "ledger.jsonl"), open_benchmark(folder).paragraphs()
    billed = {row.request_sha256: row.usage.input_tokens for row in rows if row.usage}
    found: list[tuple[int, int]] = []
    for name in {row.annotator for row in rows}:
        for question in Questions(paragraphs, 1):
            for request in recorded(make_annotator(name), question, attempts).requests:
                if request.sha256 in billed:
                    ids = count.apply_chat_template(
                        request.body["messages"], add_generation_prompt=True, return_dict=True
                    )["input_ids"]
                    found.append((billed[request.sha256], len(ids)))
    return len(found), sum(row[0] for row in found), sum(row[1] for row in found)


def logged_tokens(log: str) -> list[tuple[int, int]]:
    """Prompt tokens and sampled tokens of each answer in a log of llama-cpp-python, the end of the answer included."""
    found = []
    known = remaining = worked = 0
    for line in log.splitlines():
        if match := _REMAINING.search(line):
            known, remaining = int(match[1]), int(match[2])
        elif match := _PROMPT.search(line):
            worked = int(match[1])
        elif match := _RUNS.search(line):
            # A rest of one token is counted among the runs; the first sampled token needs no run of its own.
            remaining = remaining or worked
            runs = int(match[1]) - (remaining == 1)
            found.append((known + remaining, runs + 1))
            known = remaining = 0
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a labelled benchmark")
    parser.add_argument("log", type=Path, help="what the server wrote")
    parser.add_argument("--tokenizer", type=Path, required=True, help="the model's folder")
    given = parser.parse_args()
    rows = read_ledger(given.folder / "ledger.jsonl").rows
    answers = [row for row in rows if row.http == 200]
    twice = [count for count in Counter(row.request_sha256 for row in answers).values() if count > 1]
    log = given.log.read_text(encoding="utf-8", errors="replace")
    served = len(re.findall(r'"POST /v1/chat/completions HTTP/1\.1" 200', log))
    print(f"attempts in the ledger: {len(rows)}; statuses {dict(Counter(row.status for row in rows))}")
    print(
        f"answers in the ledger: {len(answers)}; answers in the server's log: {served}; billed twice: {len(twice)}"
    )
    said = [json.loads(row.raw)["usage"] for row in answers]
    tokens = {name: sum(usage[name] for usage in said) for name in ("prompt_tokens", "completion_tokens")}
    usages = [row.usage for row in rows if row.usage]
    paid = (sum(usage.input_tokens for usage in usages), sum(usage.output_tokens for usage in usages))
    print(f"tokens in the ledger: {paid[0]:,} in, {paid[1]:,} out; in the server's answers: {tokens}")
    number, billed, counted = prompt_tokens(given.folder, answers, given.tokenizer)
    print(
        f"prompts of {number} answers: {billed:,} tokens in the ledger, {counted:,} by the model's tokenizer"
    )
    worked = logged_tokens(log)
    if worked:
        ended = sum('"finish_reason":"stop"' in row.raw.replace('": "', '":"') for row in answers)
        print(
            f"llama.cpp's log of {len(worked)} answers: {sum(row[0] for row in worked):,} tokens in,"
            f" {sum(row[1] for row in worked):,} sampled; in the ledger {paid[0]:,} in, {paid[1] + ended:,} with"
            f" the ends of {ended} answers"
        )
    seconds = sum(row.latency_s or 0.0 for row in answers)
    print(
        f"{seconds:,.0f} s of asking, {paid[1] / seconds if seconds else 0.0:.1f} tokens of answers a second"
    )


if __name__ == "__main__":
    main()
