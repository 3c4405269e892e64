"""Options that several commands share, as one argument each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from evaluate.tasks.task import Answer, Target
from heat.projection import Aggregation

BenchmarkOption = Annotated[
    str | None,
    typer.Option(
        help="Benchmark folder, or a named one; see docs/tasks.md. "
        "Default: ./curated if it is there, else the one that ships."
    ),
]
SourceOption = Annotated[
    str,
    typer.Option(
        help="Where a named benchmark's rows come from: sample, hub, or a file or folder in its format."
    ),
]
SeedOption = Annotated[
    int, typer.Option(min=0, max=(1 << 63) - 1, help="Seed of the methods and of all statistics.")
]
PromptOption = Annotated[
    str,
    typer.Option(
        help="How the text is put to the model: plain, qa, few-shot, chat, or a TOML file. "
        "auto: chat where the tokenizer has a template and something is asked, else plain."
    ),
]


@dataclass(frozen=True)
class ModelOptions:
    """How the model is loaded; see `heat.load`."""

    model: Annotated[
        str | None,
        typer.Option(help="Folder, .gguf file or hub name of a causal model. Default: the embedded reader."),
    ] = None
    dtype: Annotated[
        str | None,
        typer.Option(help="Dtype of the weights: float32, bfloat16. Default: the model's own."),
    ] = None
    device_map: Annotated[
        str | None,
        typer.Option(help="Where the model is put: cpu, cuda, or auto for all there are. Default: cpu."),
    ] = None
    quantization: Annotated[
        Literal["4bit", "8bit"] | None, typer.Option(help="Quantize the weights (extra quantization).")
    ] = None
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub model.")] = None
    offline: Annotated[
        bool, typer.Option("--offline", help="Take a hub model from what was fetched before.")
    ] = False
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run model code that comes with the checkpoint.")
    ] = False


@dataclass(frozen=True)
class TaskOptions:
    """Which examples are put to the model, and how."""

    benchmark: BenchmarkOption = None
    source: SourceOption = "sample"
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N examples only.")] = None
    seed: SeedOption = 0
    target: Annotated[
        Target | None,
        typer.Option(
            help="Attribute the first target token, or all of them. Default: as the benchmark has it (first for most)."
        ),
    ] = None
    prompt: PromptOption = "auto"
    foil: Annotated[
        bool | None,
        typer.Option(
            "--foil/--no-foil",
            help="Explain the target against what might have been said instead. "
            "Default: as the benchmark has it (blimp-evidence does).",
        ),
    ] = None


@dataclass(frozen=True)
class AnswerOptions:
    """Which answer is explained, which examples count, and how token scores become word scores."""

    answer: Annotated[
        Answer, typer.Option(help="Explain the benchmark's answer, or what the model itself says.")
    ] = "gold"
    aggregation: Annotated[Aggregation, typer.Option(help="How a word's score is made of its tokens'.")] = (
        "mean"
    )
    only_correct: Annotated[
        bool | None,
        typer.Option(
            "--only-correct/--also-wrong",
            help="Leave out what the model answers wrong. Default: as the benchmark has it (longra leaves it out).",
        ),
    ] = None
    single_token: Annotated[
        bool | None,
        typer.Option(
            "--single-token/--any-target",
            help="Leave out targets of several tokens. Default: as the benchmark has it (longra leaves them out).",
        ),
    ] = None


@dataclass(frozen=True)
class EngineOptions:
    """Where the work is done, and which part of it."""

    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Work here, or on the workers of a Ray cluster (extra ray)."),
    ] = "local"
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join. Default: start one on this machine.")
    ] = None
    num_workers: Annotated[int, typer.Option(min=1, help="Ray workers; each holds the model once.")] = 2
    cpus_per_worker: Annotated[int, typer.Option(min=1, help="Cores of a Ray worker.")] = 1
    gpus_per_worker: Annotated[float, typer.Option(min=0, help="GPUs of a Ray worker.")] = 0.0
    resources: Annotated[
        list[str] | None,
        typer.Option(help="Custom resource of a Ray worker, as NAME=AMOUNT; may be repeated."),
    ] = None
    shard: Annotated[
        str | None,
        typer.Option(help="I/N: do the I-th of N parts, in a folder of its own; see evaluate merge."),
    ] = None
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what broke in an earlier run.")
    ] = False


@dataclass(frozen=True)
class OutputOptions:
    """Where results go, and what is printed."""

    out: Annotated[Path, typer.Option(help="Results folder; finished work in it is not computed again.")] = (
        Path("results")
    )
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no notes.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False

    @property
    def silent(self) -> bool:
        """Whether nothing but the result is printed."""
        return self.json or self.quiet
