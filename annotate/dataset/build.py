"""From a source to a benchmark folder."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.benchmark import CARD, PARAGRAPHS, Benchmark
from annotate.dataset.card import dataset_card
from annotate.dataset.mixing import MixOptions, MixReport, build_dataset
from annotate.errors import AnnotateError, BenchmarkError, TooFewError
from annotate.files import file_hash, write_atomic
from annotate.manifest import versions
from annotate.overwriting import refuse_foreign
from annotate.schema import Manifest, text_hash
from annotate.sources.base import Source
from annotate.words import WORD_RULES


@dataclass(frozen=True)
class BuildResult:
    """A benchmark that is there now.

    Attributes:
        benchmark: Its folder.
        report: How many passages were used and left out.
        already_there: Whether it was there before, made by the same options from the same inputs.
    """

    benchmark: Benchmark
    report: MixReport
    already_there: bool

    def as_json(self) -> dict[str, Any]:
        """The folder, the report and the checksums, for machines."""
        return {
            "benchmark": str(self.benchmark.path),
            "already_there": self.already_there,
            "report": self.report.model_dump(mode="json"),
            "files": self.benchmark.manifest().files,
        }


def build_benchmark(
    source: Source,
    options: MixOptions,
    split: str,
    out: Path,
    *,
    allow_fewer: bool = False,
    force: bool = False,
    files: dict[str, Path] | None = None,
) -> BuildResult:
    """Build a benchmark into the folder ``out``; the manifest is written last.

    Args:
        source: Where the passages come from.
        options: Size, seed and length limits.
        split: Split of the source.
        out: The folder; made if missing.
        allow_fewer: Accept fewer paragraphs than asked, but not none.
        force: Write over a benchmark of other options, and over files that no build wrote. Labels are never
            written over.
        files: Options that name input files, recorded in the command of the manifest.

    Raises:
        AnnotateError: The length limits exclude every paragraph.
        BenchmarkError: ``out`` belongs to another build, is damaged, or holds labels of other
            paragraphs or a file that no build wrote.
        SourceError: The source cannot be read.
        TooFewError: Fewer paragraphs can be made than asked; nothing is written.
    """
    if options.min_words > options.max_words:
        raise AnnotateError(
            f"--min-words {options.min_words} is more than --max-words {options.max_words}: no paragraph fits"
        )
    if out.exists() and not out.is_dir():
        raise BenchmarkError(f"{out} is a file; name a folder with --out")
    benchmark = Benchmark(out)
    config: dict[str, Any] = {
        "source": source.name,
        "split": split,
        "size": options.size,
        "min_words": options.min_words,
        "max_words": options.max_words,
    }
    inputs = source.inputs(split)
    if benchmark.manifest_path.exists() and not force:
        _refuse_another(benchmark, options.seed, config, inputs)
        return BuildResult(benchmark, MixReport.model_validate(benchmark.check().report), already_there=True)
    passages = source.passages(split, options.size, options.seed)
    paragraphs, report = build_dataset(passages.narratives, passages.science, options)
    if report.made < options.size and not (allow_fewer and report.made):
        raise TooFewError(_too_few(report, options))
    dropped = Counter(passages.drops) + Counter(report.dropped)
    report = report.model_copy(update={"dropped": dict(sorted(dropped.items()))})
    command = _command(source.name, options, split, files or {}, allow_fewer=report.made < options.size)
    config["word_rule"] = max(paragraph.word_rule for paragraph in paragraphs)
    texts = {
        PARAGRAPHS: "".join(paragraph.model_dump_json() + "\n" for paragraph in paragraphs),
        CARD: dataset_card(source.name, split, command, source.licences, report),
    }
    checksums = {name: text_hash(text) for name, text in texts.items()}
    _keep_labels(benchmark, checksums[PARAGRAPHS])
    manifest = Manifest(
        command=command,
        seed=options.seed,
        config=config,
        inputs=inputs,
        files=checksums,
        report=report.model_dump(mode="json"),
        versions=versions(),
    )
    refuse_foreign(
        {out / name: text.encode("utf-8") for name, text in texts.items()},
        benchmark.manifest_path,
        force=force,
    )
    for name, text in texts.items():
        write_atomic(out / name, text)
    write_atomic(benchmark.manifest_path, manifest.model_dump_json(indent=2) + "\n")
    return BuildResult(benchmark, report, already_there=False)


def _refuse_another(benchmark: Benchmark, seed: int, config: dict[str, Any], inputs: dict[str, str]) -> None:
    manifest = benchmark.manifest()
    old = {"seed": manifest.seed, **manifest.config}
    if old.get("word_rule") in WORD_RULES:  # follows from the texts, and an older one is kept
        config = {**config, "word_rule": old["word_rule"]}
    new = {"seed": seed, **config}
    differences = [
        f"{key} {old.get(key)} there, {new.get(key)} asked"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    # By content: the same file may be named by another path.
    if sorted(manifest.inputs.values()) != sorted(inputs.values()):
        differences.append("other input data")
    if differences:
        raise BenchmarkError(
            f"{benchmark.path} belongs to another build ({'; '.join(differences)});"
            " use another --out, or --force to write over it"
        )


def _keep_labels(benchmark: Benchmark, checksum: str) -> None:
    if not benchmark.has_labels():
        return
    there = benchmark.paragraphs_path
    if there.is_file() and file_hash(there) == checksum:
        return
    if benchmark.manifest_path.exists() and benchmark.manifest().files.get(PARAGRAPHS) == checksum:
        return
    raise BenchmarkError(
        f"{benchmark.path} holds labels of other paragraphs, which are never written over; use another --out"
    )


def _too_few(report: MixReport, options: MixOptions) -> str:
    reasons = [f"{reason} ({count:,})" for reason, count in Counter(report.dropped).most_common(4)]
    why = f"left out: {', '.join(reasons)}" if reasons else "nothing was left out, the source is that small"
    sources = f"{report.rows:,} science rows and {report.documents:,} narrative documents"
    if not report.made:
        limits = f"{options.min_words} to {options.max_words} words"
        return f"no paragraph of {limits} can be made from {sources}; {why}"
    return (
        f"only {report.made:,} of {report.asked:,} paragraphs can be made from {sources}; {why};"
        " ask for fewer with --size, or take what there is with --allow-fewer"
    )


def _command(source: str, options: MixOptions, split: str, files: dict[str, Path], allow_fewer: bool) -> str:
    """The command without what leaves the bytes alone: the same build has the same manifest anywhere."""
    words = ["annotate", "build-dataset", "--source", source]
    for option, path in files.items():
        words += [option, path.as_posix()]
    words += ["--split", split, "--size", str(options.size), "--seed", str(options.seed)]
    words += ["--min-words", str(options.min_words), "--max-words", str(options.max_words)]
    return shlex.join(words + ["--allow-fewer"] * allow_fewer)
