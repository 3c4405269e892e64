"""Options that several commands share, as one argument each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from annotate.online import DEFAULT_URL
from annotate.online.limits import DEFAULT_LIMITS
from annotate.options import ConcurrencyOption, MaxCostOption
from evaluate.endpoint import ServerKind
from evaluate.robustness.options import Options as RobustnessOptions
from evaluate.robustness.options import Probe
from evaluate.tasks.task import Answer, Target
from heat.projection import Aggregation
from heat.units import Unit

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
UnitOption = Annotated[
    Unit, typer.Option(help="What is scored. A unit other than a word is gold if it holds a gold word.")
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
class ProbeOptions:
    """What is disturbed, how much, and who rewrites."""

    probe: Annotated[Probe, typer.Option(help="What is disturbed.")] = "all"
    radius: Annotated[
        float, typer.Option(min=0, help="Noise over the root mean square of the embeddings.")
    ] = RobustnessOptions().radius
    draws: Annotated[int, typer.Option(min=2, help="Noisy copies of each kind.")] = RobustnessOptions().draws
    paraphraser: Annotated[
        list[str] | None,
        typer.Option(help="sample, rules, openai:MODEL; repeat for several. Default: sample and rules."),
    ] = None

    @property
    def chosen(self) -> RobustnessOptions:
        """The same as the evaluation takes them."""
        options = RobustnessOptions(radius=self.radius, draws=self.draws)
        if not self.paraphraser:
            return options
        return options.model_copy(update={"paraphrasers": tuple(dict.fromkeys(self.paraphraser))})


@dataclass(frozen=True)
class EndpointOptions:
    """Where openai: paraphrasers are, and how much may be asked of them."""

    base_url: Annotated[
        str,
        typer.Option(envvar="OPENAI_BASE_URL", help="Endpoint of openai: paraphrasers, up to and with /v1."),
    ] = DEFAULT_URL
    concurrency: ConcurrencyOption = DEFAULT_LIMITS.concurrency
    max_cost: MaxCostOption = None


@dataclass(frozen=True)
class ServerOptions:
    """Which server is asked for log-probabilities, and how much."""

    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Address of the server, up to and with /v1. The key is OPENAI_API_KEY's.", show_default=False
        ),
    ] = None
    server: Annotated[
        ServerKind,
        typer.Option(
            help="Which kind it is. openai: completions with echo (also vLLM's); vllm: "
            "prompt_logprobs; llama.cpp: its own server. The last two take token ids, so nothing is tokenised anew."
        ),
    ] = "openai"
    ledger: Annotated[
        Path | None,
        typer.Option(
            help="File of every request and answer; what it holds is not asked again. Default: "
            "endpoint-ledger.jsonl, in the results folder if there is one."
        ),
    ] = None
    concurrency: ConcurrencyOption = DEFAULT_LIMITS.concurrency
    max_cost: MaxCostOption = None


@dataclass(frozen=True)
class EndpointPromptOptions:
    """What a server's model is asked to explain."""

    prompt: Annotated[
        str | None, typer.Argument(help="The prompt; '-' reads it from standard input.", show_default=False)
    ] = None
    target: Annotated[
        str | None, typer.Option(help="What to explain. Default: what the model says next.")
    ] = None
    prompt_file: Annotated[
        str | None, typer.Option(help="Read the prompt from this UTF-8 file, less one newline at its end.")
    ] = None
    max_targets: Annotated[
        int | None,
        typer.Option(min=1, help="Explain the first N tokens of the target, or of what the model says."),
    ] = None
    foil: Annotated[
        str | None, typer.Option(help="What might have been said instead: explain the target against it.")
    ] = None


@dataclass(frozen=True)
class TimingOptions:
    """What is timed, and how often."""

    length: Annotated[
        list[int] | None,
        typer.Option(
            min=8, help="Tokens of the text, answer token included; repeat for several. Default: 64, 256."
        ),
    ] = None
    random_weights: Annotated[
        int | None,
        typer.Option(min=8, help="Use random weights of the model's shape, with a context of N tokens."),
    ] = None
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each method, by turns.")] = 3
    budget: Annotated[
        float, typer.Option(min=0.0, help="Leave a method out where a run would take more seconds.")
    ] = 60.0


@dataclass(frozen=True)
class HardwareOptions:
    """What a model is planned on."""

    memory: Annotated[str, typer.Option(help="Memory of one GPU, as 80GB or 40GiB.")] = "80GB"
    gpus: Annotated[int, typer.Option(min=1, help="GPUs that may share one copy of the model.")] = 8
    flops: Annotated[
        float | None, typer.Option(help="Operations a second that a GPU sustains. Default: 400e12 (H100).")
    ] = None
    flops_float32: Annotated[
        float | None, typer.Option(help="The same in float32, for second derivatives. Default: 40e12.")
    ] = None
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Load the model and time it here; needs its weights.")
    ] = False


@dataclass(frozen=True)
class WorkOptions:
    """What work is planned."""

    tokens: Annotated[int, typer.Option(min=1, help="Length of a prompt in tokens.")] = 300
    targets: Annotated[int, typer.Option(min=1, help="Target tokens of a prompt.")] = 1
    examples: Annotated[int, typer.Option(min=1, help="Number of prompts.")] = 1000
    method: Annotated[
        list[str] | None, typer.Option(help="Method; repeat for several. Default: the forms of HEAT.")
    ] = None
    dtype: Annotated[
        str | None, typer.Option(help="Dtype of the weights. Default: bfloat16, or the model's own.")
    ] = None
    quantization: Annotated[Literal["4bit", "8bit"] | None, typer.Option(help="Quantize the weights.")] = None


@dataclass(frozen=True)
class OutputOptions:
    """Where results go, and what is printed."""

    out: Annotated[Path, typer.Option(help="Results folder; finished work in it is not computed again.")] = (
        Path("results")
    )
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no notes.")] = False

    @property
    def silent(self) -> bool:
        """Whether nothing but the result is printed."""
        return self.json or self.quiet
