"""Benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from pathlib import Path

from annotate.benchmark import open_benchmark, prebuilt
from annotate.files import canonical_hash, file_hash, shipped
from annotate.rationales import eraser as eraser_set
from annotate.rationales import expmrc as expmrc_set
from annotate.rationales import fair_rationales as fair_set
from annotate.rationales import onestopqa as onestopqa_set
from annotate.rationales import qed as qed_set
from annotate.rationales.rows import Rows, file_rows
from annotate.rationales.sets import SETS
from evaluate.tasks import (
    blimp_evidence,
    eraser,
    expmrc,
    fair_rationales,
    lambada,
    longra,
    onestopqa,
    qed,
    tellmewhy,
    wikibio,
)
from evaluate.tasks.curated import curated
from evaluate.tasks.errors import TaskError, UnknownSubsetError, UnknownTaskError
from evaluate.tasks.hub import hub_rows
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
        sample: The file or folder below `data/tasks` that ships.
        gold_rule: How its gold comes about; empty where there is none.
        subsets: What may stand after a slash behind its name, with the file of a folder that holds it, as a
            pattern; an empty pattern where `file` holds all of them.
        file: The file of a folder that is read, where its subsets are not files of their own.
    """

    summary: str
    hub: str
    split: str
    licence: str
    schema: str
    sample: str
    gold_rule: str
    subsets: Mapping[str, str] = field(default_factory=dict)
    file: str = ""


@dataclass(frozen=True)
class TaskRequest:
    """What examples are to be made of.

    Attributes:
        name: The benchmark as it is to be called, with its subset.
        subset: What stands after the slash; empty for none.
        sample: Whether the rows are those that ship.
        limit: Make the first N examples only.
        seed: Seed of what is drawn at random.
    """

    name: str
    subset: str
    sample: bool
    limit: int | None
    seed: int


@dataclass(frozen=True)
class Loader:
    """How a benchmark is made of its rows.

    Attributes:
        make: Makes it.
        read: Reads the rows of a file.
    """

    make: Callable[[Rows, TaskRequest], Task]
    read: Callable[[Path], Rows] = file_rows


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
    fair_set.NAME: TaskInfo(
        summary="the sentiment of a text, or a question with five choices, with the words that several people marked",
        hub="",
        split="",
        licence="MIT",
        schema=fair_set.SCHEMA,
        sample="fair-rationales",
        gold_rule=fair_rationales.RULE,
        subsets=SETS[fair_set.NAME].subsets,
    ),
    onestopqa_set.NAME: TaskInfo(
        summary="a question about a paragraph at one of three reading levels, with the span that answers it",
        hub="malmaud/onestop_qa",
        split="train",
        licence="CC BY-SA 4.0",
        schema=onestopqa_set.SCHEMA,
        sample="onestopqa",
        gold_rule=onestopqa.RULE,
        subsets=SETS[onestopqa_set.NAME].subsets,
        file="onestop_qa.json",
    ),
    qed_set.NAME: TaskInfo(
        summary="a question about a paragraph, with the noun phrases that tie the answer to it",
        hub="",
        split="",
        licence="unstated (annotation), CC BY-SA 3.0 (text of Wikipedia)",
        schema=qed_set.SCHEMA,
        sample="qed",
        gold_rule=qed.RULE,
        file="qed-dev.jsonl",
    ),
    expmrc_set.NAME: TaskInfo(
        summary="a question about a passage, with the evidence that two people marked",
        hub="",
        split="",
        licence="CC BY-SA 4.0",
        schema=expmrc_set.SCHEMA,
        sample="expmrc",
        gold_rule=expmrc.RULE,
        file="expmrc-squad-dev.json",
    ),
    eraser_set.NAME: TaskInfo(
        summary="a question about a document, a claim about it, or its sentiment, with evidence that people marked",
        hub="",
        split="",
        licence="unclear (research); FEVER's and BoolQ's text CC BY-SA 3.0",
        schema=eraser_set.SCHEMA,
        sample="eraser",
        gold_rule=eraser.RULE,
        subsets=SETS[eraser_set.NAME].subsets,
        file="val.jsonl",
    ),
    blimp_evidence.NAME: TaskInfo(
        summary="the next word of a sentence against one that grammar forbids, with the word that decides",
        hub="",
        split="",
        licence="Apache-2.0; BLiMP CC BY 4.0",
        schema=blimp_evidence.SCHEMA,
        sample="blimp-evidence",
        gold_rule=blimp_evidence.RULE,
        subsets={name: f"{name}*.csv" for name in blimp_evidence.PATTERNS},
    ),
}
"""The benchmarks there are, by name."""

_LOADERS: dict[str, Loader] = {
    longra.NAME: Loader(
        lambda rows, asked: longra.longra(rows, seed=asked.seed, limit=asked.limit), longra.quadruples
    ),
    lambada.NAME: Loader(
        lambda rows, asked: lambada.lambada(
            rows, SAMPLE_RATIONALES if asked.sample else lambada.PEOPLE, asked.limit
        )
    ),
    tellmewhy.NAME: Loader(lambda rows, asked: tellmewhy.tellmewhy(rows, asked.limit)),
    wikibio.NAME: Loader(lambda rows, asked: wikibio.wikibio(rows, asked.limit)),
    fair_set.NAME: Loader(
        lambda rows, asked: fair_rationales.fair_rationales(
            rows,
            fair_rationales.AUTHORS if asked.sample else fair_rationales.PEOPLE,
            asked.limit,
            asked.name,
        )
    ),
    onestopqa_set.NAME: Loader(
        lambda rows, asked: onestopqa.onestopqa(
            rows,
            onestopqa.AUTHORS if asked.sample else onestopqa.PEOPLE,
            asked.limit,
            asked.subset,
            asked.name,
        ),
        onestopqa_set.question_rows,
    ),
    qed_set.NAME: Loader(
        lambda rows, asked: qed.qed(rows, qed.AUTHORS if asked.sample else qed.PEOPLE, asked.limit)
    ),
    expmrc_set.NAME: Loader(
        lambda rows, asked: expmrc.expmrc(
            rows, expmrc.AUTHORS if asked.sample else expmrc.PEOPLE, asked.limit
        ),
        expmrc_set.squad_rows,
    ),
    eraser_set.NAME: Loader(
        lambda rows, asked: eraser.eraser(
            rows, eraser.AUTHORS if asked.sample else eraser.PEOPLE, asked.limit, asked.subset, asked.name
        ),
        eraser_set.document_rows,
    ),
    blimp_evidence.NAME: Loader(
        lambda rows, asked: blimp_evidence.blimp_evidence(rows, asked.limit, asked.name)
    ),
}

BENCHMARKS = tuple(
    f"{name}[/{'|'.join(info.subsets)}]" if info.subsets else name for name, info in TASKS.items()
)
"""The names that `load_task` takes, each with its subsets, for help texts."""


def load_task(
    name: str, *, source: str = "sample", gold: str = "auto", limit: int | None = None, seed: int = 0
) -> Task:
    """The examples of a benchmark.

    Args:
        name: A key of `TASKS`, with a subset after a slash where it has some (`fair-rationales/sst`), or the folder
            of a benchmark made with `annotate build-dataset`.
        source: `sample` (what ships: small sets of our own text, and the prebuilt benchmark for `curated`), `hub`,
            `hub:OWNER/NAME` for a data set of the same schema under another name, or the path of a local
            file, of the folder of a benchmark that has a `file` or files for its subsets, or for `curated` of a
            benchmark folder. All subsets of a folder are read together where the name has none; their
            examples take turns.
        gold: Which gold: for a benchmark folder see `load_gold`; the others have one kind or none, which is `auto`.
            `none` says that none is needed.
        limit: Use the first N examples only.
        seed: Seed of what is drawn at random (`longra`).

    Raises:
        UnknownTaskError: There is no such benchmark.
        UnknownSubsetError: It has no such subset.
        TaskError: Its rows cannot be had, none of them can be used, or it has no such gold.
        NoGoldError: A benchmark folder has no gold of that kind.
        AnnotateError: A benchmark folder, or what ships, is damaged.
    """
    if name == CURATED:
        return _curated(source, gold, limit)
    benchmark, slash, subset = name.partition("/")
    if benchmark not in _LOADERS:
        return _folder(name, source, gold, limit)
    info = TASKS[benchmark]
    if slash and subset not in info.subsets:
        raise UnknownSubsetError(benchmark, subset, info.subsets)
    if gold not in {"auto", "none", info.gold_rule}:
        has = f"is its own ({info.gold_rule})" if info.gold_rule else "does not exist"
        raise TaskError(f"{name} has no gold {gold!r}: gold of {name} {has}; leave --gold away")
    loader = _LOADERS[benchmark]
    parts = [
        loader.make(
            rows,
            TaskRequest(f"{benchmark}/{part}" if part else name, part, source == "sample", limit, seed),
        )
        for part, rows in _parts(benchmark, subset, source, loader.read)
    ]
    return _joined(name, source, parts, limit)


def _joined(name: str, source: str, parts: Sequence[Task], limit: int | None) -> Task:
    """Several subsets as one task, with one checksum; their examples take turns, so that a limit takes some of each."""
    if len(parts) == 1:
        return replace(parts[0], name=name)
    in_turn = chain.from_iterable(zip_longest(*(part.examples for part in parts)))
    left_out: dict[str, tuple[str, ...]] = {}
    for part in parts:
        for reason, places in part.left_out.items():
            named = tuple(f"{part.name.partition('/')[2]} {place}" for place in places)
            left_out[reason] = left_out.get(reason, ()) + named
    return replace(
        parts[0],
        name=name,
        source=f"{source} sha256:{canonical_hash([part.source.rpartition(':')[2] for part in parts])}",
        examples=tuple(example for example in in_turn if example is not None)[:limit],
        left_out=dict(sorted(left_out.items())),
    )


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
    if Path(name).is_file():
        raise TaskError(
            f"--benchmark {name} is a file; name the benchmark whose rows it holds and the file as --source: "
            f"{', '.join(TASKS)}"
        )
    if not Path(name).is_dir():
        raise UnknownTaskError(name, TASKS)
    if source != "sample":
        raise TaskError(f"{name} is a folder and holds its own rows; leave --source {source} away")
    return replace(curated(open_benchmark(Path(name)), gold, limit), name=name)


def _is_hub(source: str) -> bool:
    return source == "hub" or source.startswith("hub:")


def _parts(name: str, subset: str, source: str, read: Callable[[Path], Rows]) -> list[tuple[str, Rows]]:
    """Rows by the subset they belong to; empty where they are not told apart by file."""
    info = TASKS[name]
    if _is_hub(source):
        on_hub = source.removeprefix("hub").removeprefix(":") or info.hub
        if not on_hub:
            raise TaskError(
                f"{name} is not on the hub in the schema it is read in; give --source FILE, or"
                f" --source hub:OWNER/NAME of a data set that holds: {info.schema}"
            )
        return [(subset, hub_rows(on_hub, info.split or "train"))]
    path = shipped("tasks") / info.sample if source == "sample" else Path(source)
    in_folder = bool(info.subsets or info.file) and path.is_dir()
    files = _files_of(name, info, path, subset) if in_folder else [(subset, path)]
    if source == "sample":
        return [
            (part, replace(read(file), source=f"sample sha256:{file_hash(file)}")) for part, file in files
        ]
    return [(part, read(file)) for part, file in files]


def _files_of(name: str, info: TaskInfo, folder: Path, subset: str) -> list[tuple[str, Path]]:
    """The files of a folder to read, with the subset that each holds.

    Raises:
        TaskError: There is none.
    """
    patterns = {part: pattern for part, pattern in info.subsets.items() if pattern and subset in ("", part)}
    files = [(part, file) for part, pattern in patterns.items() for file in sorted(folder.glob(pattern))]
    if not files and info.file and (folder / info.file).is_file():
        files = [(subset, folder / info.file)]
    if not files:
        wanted = ", ".join([*patterns.values(), *([info.file] if info.file else [])])
        raise TaskError(f"{folder} holds none of the files that {name} is read from: {wanted}")
    return files
