"""Benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from annotate.benchmark import open_benchmark, prebuilt
from annotate.files import file_hash, shipped
from evaluate.tasks import lambada, longra, tellmewhy, wikibio
from evaluate.tasks.curated import curated
from evaluate.tasks.errors import TaskError, UnknownTaskError
from evaluate.tasks.hub import hub_rows
from evaluate.tasks.rows import Rows, file_rows
from evaluate.tasks.task import GoldSource, Task

CURATED = "curated"
SAMPLE_RATIONALES = GoldSource(
    rule=lambada.RULE,
    annotators=("the authors of the sample",),
    offline=False,
    note="rationale spans that whoever wrote the sample passages marked while writing; nobody else was asked.",
)


@dataclass(frozen=True)
class TaskInfo:
    """What a benchmark is and where its rows can be had.

    Attributes:
        summary: What the model is asked.
        hub: Its name on the Hugging Face hub; empty where it is not there in this schema.
        split: The split that is read from the hub.
        licence: The terms of the real rows; the samples are ours.
        schema: What a row holds.
        sample: The file below `data/tasks` that ships.
        gold_rule: How its gold comes about; empty where there is none.
    """

    summary: str
    hub: str
    split: str
    licence: str
    schema: str
    sample: str
    gold_rule: str


TASKS: dict[str, TaskInfo] = {
    CURATED: TaskInfo(
        summary="a question about a paragraph that mixes a narrative with the support of the answer",
        hub="",
        split="",
        licence="that of the passages, on the card of the benchmark folder",
        schema="a folder made with `annotate build-dataset`",
        sample="",
        gold_rule="as the labels were settled",
    ),
    longra.NAME: TaskInfo(
        summary="the fourth word of an analogy, near its pair or after a passage about something else",
        hub="",
        split="test",
        licence="Apache-2.0",
        schema=longra.SCHEMA,
        sample="longra.txt",
        gold_rule=longra.RULE,
    ),
    lambada.NAME: TaskInfo(
        summary="the last word of a passage, with the words that people said give it away",
        hub="",
        split="test",
        licence="MIT (rationales)",
        schema=lambada.SCHEMA,
        sample="lambada-rationales.jsonl",
        gold_rule=lambada.RULE,
    ),
    tellmewhy.NAME: TaskInfo(
        summary="a question why about a short narrative",
        hub="StonyBrookNLP/tellmewhy",
        split="test",
        licence="unknown",
        schema=tellmewhy.SCHEMA,
        sample="tellmewhy.jsonl",
        gold_rule="",
    ),
    wikibio.NAME: TaskInfo(
        summary="a name or number in the last sentence of a biography",
        hub="potsawee/wiki_bio_gpt3_hallucination",
        split="evaluation",
        licence="CC BY-SA 3.0 (text of Wikipedia)",
        schema=wikibio.SCHEMA,
        sample="wikibio.jsonl",
        gold_rule="",
    ),
}
"""The benchmarks there are, by name."""


def load_task(
    name: str, *, source: str = "sample", gold: str = "auto", limit: int | None = None, seed: int = 0
) -> Task:
    """The examples of a benchmark.

    Args:
        name: A key of `TASKS`, or the folder of a benchmark made with `annotate build-dataset`.
        source: `sample` (what ships: small sets of our own text, and the prebuilt benchmark for `curated`), `hub`,
            `hub:OWNER/NAME` for a data set of the same schema under another name, or the path of a local
            file (for `curated`, of a benchmark folder).
        gold: Which gold: for a benchmark folder see `load_gold`; the others have one kind or none, which is `auto`.
            `none` says that none is needed.
        limit: Use the first so many examples only.
        seed: Seed of what is drawn at random (`longra`).

    Raises:
        UnknownTaskError: There is no such benchmark.
        TaskError: Its rows cannot be had, none of them can be used, or it has no such gold.
        NoGoldError: A benchmark folder has no gold of that kind.
        AnnotateError: A benchmark folder, or what ships, is damaged.
    """
    if name == CURATED:
        return _curated(source, gold, limit)
    if name not in TASKS:
        return _folder(name, source, gold, limit)
    info = TASKS[name]
    if gold not in {"auto", "none", info.gold_rule}:
        has = f"is its own ({info.gold_rule})" if info.gold_rule else "does not exist"
        raise TaskError(f"{name} has no gold {gold!r}: gold of {name} {has}; leave --gold away")
    rows = _rows(name, info, source)
    if name == longra.NAME:
        return longra.longra(rows, seed=seed, limit=limit)
    if name == lambada.NAME:
        return lambada.lambada(rows, SAMPLE_RATIONALES if source == "sample" else lambada.PEOPLE, limit)
    make = tellmewhy.tellmewhy if name == tellmewhy.NAME else wikibio.wikibio
    return make(rows, limit)


def _curated(source: str, gold: str, limit: int | None) -> Task:
    if source == "sample":
        benchmark = prebuilt()
        checksum = file_hash(benchmark.paragraphs_path)
        return replace(curated(benchmark, gold, limit), source=f"sample sha256:{checksum}")
    if _is_hub(source):
        raise TaskError(
            "curated is not on the hub; make it with `annotate build-dataset --source hub --out FOLDER` and"
            " name the folder"
        )
    return curated(open_benchmark(Path(source)), gold, limit)


def _folder(name: str, source: str, gold: str, limit: int | None) -> Task:
    if not Path(name).is_dir():
        raise UnknownTaskError(name, TASKS)
    if source != "sample":
        raise TaskError(f"{name} is a folder and holds its own rows; leave --source {source} away")
    return replace(curated(open_benchmark(Path(name)), gold, limit), name=name)


def _is_hub(source: str) -> bool:
    return source == "hub" or source.startswith("hub:")


def _rows(name: str, info: TaskInfo, source: str) -> Rows:
    read: Callable[[Path], Rows] = longra.quadruples if name == longra.NAME else file_rows
    if source == "sample":
        path = shipped("tasks") / info.sample
        return replace(read(path), source=f"sample sha256:{file_hash(path)}")
    if not _is_hub(source):
        return read(Path(source))
    on_hub = source.removeprefix("hub").removeprefix(":") or info.hub
    if not on_hub:
        raise TaskError(
            f"{name} is not on the hub in the schema it is read in; give --source FILE, or"
            f" --source hub:OWNER/NAME of a data set that holds: {info.schema}"
        )
    return hub_rows(on_hub, info.split)
