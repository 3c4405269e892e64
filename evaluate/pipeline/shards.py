"""Parts of a run that are done apart, in folders of their own, and put together: for clusters without an engine."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from annotate.files import append_lines, read_lines, repair_tail
from evaluate.errors import EvaluateError
from evaluate.pipeline.runner import CHUNK
from evaluate.pipeline.store import Store, attribution_path
from evaluate.robustness.decoding import ANSWERS
from evaluate.robustness.llm import LEDGER
from evaluate.tasks.task import Task


def shard_of(task: Task, shard: str) -> Task:
    """One of N parts of a task.

    Examples stay in the pieces in which a whole run attributes them, so that a part gives the bytes of the whole
    (where no example is left out: that shifts the pieces).

    Args:
        task: The whole.
        shard: ``"I/N"``, I from 1 to N.

    Raises:
        EvaluateError: It is something else, or the part is empty.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    index, n = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= n:
        raise EvaluateError(f"--shard takes I/N with I from 1 to N, for instance 2/8, and not {shard!r}")
    examples = [example for at, example in enumerate(task.examples) if at // CHUNK % n == index - 1]
    if not examples:
        pieces = -(-len(task.examples) // CHUNK)
        raise EvaluateError(
            f"part {shard} of {len(task.examples)} examples is empty: they make {pieces} pieces of {CHUNK}"
        )
    return replace(task, examples=tuple(examples))


@dataclass(frozen=True)
class MergeCounts:
    """What came together.

    Attributes:
        items: Examples that the model was asked about.
        scores: Rows of metrics.
        attributions: Attributions.
        answers: What models said: generated answers, and attempts at paraphrases, paid ones among them.
    """

    items: int
    scores: int
    attributions: int
    answers: int


def merge(out: Path, parts: Sequence[Path]) -> MergeCounts:
    """Put the finished work of several results folders into one; what is there already stays.

    Args:
        out: Results folder, made where it is missing.
        parts: Results folders that are read.

    Returns:
        What ``out`` now holds that it did not before.

    Raises:
        EvaluateError: A part is no results folder, or is ``out`` itself.
        StoreError: A folder is being written to, or of another schema version.
        BenchmarkError: A file in one is damaged.
    """
    for part in parts:
        if not (part / "store.json").is_file():
            raise EvaluateError(f"{part} is no results folder: it has no store.json")
        if part.resolve() == out.resolve():
            raise EvaluateError(f"{part} is both read and written; name another --out")
    items = scores = attributions = answers = 0
    with Store(out) as whole:
        for folder in parts:
            with Store(folder) as source:
                # The attributions first: a row of scores says that its attribution is there.
                for path in sorted((folder / "attributions").glob("*.safetensors")):
                    target = attribution_path(out, path.stem)
                    if not target.exists():
                        unfinished = target.with_name(f".{target.name}")
                        shutil.copyfile(path, unfinished)
                        unfinished.replace(target)
                        attributions += 1
                new_items = [row for key, row in source.items.items() if key not in whole.items]
                new_scores = [row for key, row in source.scores.items() if key not in whole.scores]
                whole.add_items(new_items)
                whole.add_scores(new_scores)
                whole.add_timings([row for key, row in source.timings.items() if key not in whole.timings])
                items, scores = items + len(new_items), scores + len(new_scores)
                answers += sum(_take_over(folder / name, out / name) for name in (ANSWERS, LEDGER))
    return MergeCounts(items, scores, attributions, answers)


def _take_over(log: Path, into: Path) -> int:
    """Append the lines of an append-only file that another lacks; how many those are."""
    if not log.exists():
        return 0
    repair_tail(into)
    known = {line for _, line in read_lines(into)} if into.exists() else set[str]()
    new = [line for _, line in read_lines(log) if line not in known]
    append_lines(into, new)
    return len(new)
