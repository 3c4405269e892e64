"""The `evaluate` command: score attribution methods, compare them, report."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotate.console import command_line, print_json, progress, run
from annotate.errors import AnnotateError
from evaluate.errors import EvaluateError
from evaluate.faithfulness.options import Erasure, MetricGroup, Options
from evaluate.options import (
    AnswerOptions,
    BenchmarkOption,
    EndpointOptions,
    EndpointPromptOptions,
    EngineOptions,
    HardwareOptions,
    ModelOptions,
    OutputOptions,
    ProbeOptions,
    PromptOption,
    SeedOption,
    ServerOptions,
    SourceOption,
    TaskOptions,
    TimingOptions,
    UnitOption,
    WorkOptions,
)
from evaluate.reader.cli import app as reader
from evaluate.tasks.task import Target
from heat.bundles import bundled
from heat.errors import HeatError
from heat.options import MethodOptions
from heat.options import OutputOptions as ExplainOutput

if TYPE_CHECKING:
    from rich.progress import TaskID
    from rich.table import Table

    from evaluate.endpoint.plan import RequestPlan
    from evaluate.endpoint.server import EndpointServer
    from evaluate.engine import Engine
    from evaluate.metrics.metric import Metric
    from evaluate.pipeline.records import Evaluation
    from evaluate.pipeline.run import RunConfig
    from evaluate.planning.run_plan import MethodPlan
    from evaluate.tasks.task import Task
    from heat import LanguageModel, Method

# A report, with PyTorch, SciPy and Matplotlib, takes 2.1 GiB on two cores.
ADDRESS_SPACE = 3 << 30

app = typer.Typer(
    name="evaluate",
    help="Score attribution methods and compare them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

app.add_typer(reader, name="reader")

MethodOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Method; repeat for several; all: every one that costs at most ten times integrated gradients. "
        "Default: heat. random is always beside them."
    ),
]
GoldOption = Annotated[
    str,
    typer.Option(
        help="auto: gold.jsonl if it is there, else the intersection of the labels. gold: gold.jsonl. "
        "intersection, majority, union, evidence, reviewed: settle now by that rule."
    ),
]
OutOption = Annotated[Path, typer.Option(help="Results folder; finished work in it is not computed again.")]
HtmlOption = Annotated[Path | None, typer.Option(help="Also write the report to this file.")]
PlanOption = Annotated[
    bool, typer.Option("--plan", help="Say what it will cost after two seconds of timing; compute nothing.")
]
EraseOption = Annotated[
    Erasure,
    typer.Option(help="What stands for a token that is taken away. RISE and MAS always pad, as published."),
]
WithoutOption = Annotated[
    list[MetricGroup] | None,
    typer.Option(
        help="Leave out a group of metrics; repeat for several. Comprehensiveness, sufficiency and drop@k, the cheap "
        "ones, are always there."
    ),
]
StepsOption = Annotated[
    int,
    typer.Option(min=2, help="Steps of insertion, deletion, RISE and MAS; a pass each, three times over."),
]
RandomDrawsOption = Annotated[
    int, typer.Option(min=1, help="Random scores beside which the soft metrics are set, once a text.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress, no notes.")]


@app.callback(epilog="Example: evaluate alignment --method heat --limit 50")
def root() -> None:
    """Score attribution methods and compare them."""


@app.command(
    "alignment",
    epilog="\b\nExamples:\n"
    "  evaluate alignment\n"
    "  evaluate alignment --method heat --method integrated-gradients --limit 50\n"
    "  evaluate alignment --method all --benchmark real --model MODEL --out real-results",
)
@bundled
def alignment_command(
    task: TaskOptions = TaskOptions(),
    gold: GoldOption = "auto",
    method: MethodOption = None,
    model: ModelOptions = ModelOptions(),
    answers: AnswerOptions = AnswerOptions(),
    unit: UnitOption = "word",
    engine: EngineOptions = EngineOptions(),
    html: HtmlOption = None,
    plan: PlanOption = False,
    output: OutputOptions = OutputOptions(),
) -> None:
    """Score attribution methods against the gold words of a benchmark.

    Prints AUPRC, AUROC, F1 at the number of gold words and DSA, each with a 95 percent
    interval, beside chance; the files hold the other metrics and all comparisons.
    """
    from dataclasses import replace

    from evaluate.alignment.run import alignment
    from evaluate.metrics.alignment import METRICS

    opened = _opened(task, gold, model, method, output.silent, engine, answers)
    with opened as (examples, worker, names), _bars(output.silent) as on_progress:
        if plan:
            _plan(examples, worker.lm, names, task.target, as_json=output.json)
            return
        result = alignment(
            replace(examples, unit=unit),
            worker,
            names,
            _run_config(task, answers, engine, output, command_line()),
            on_progress=on_progress,
        )
    if html is not None:
        from evaluate.report import write_report

        write_report(output.out, html, command=command_line())
    _show(result, METRICS, output)
    if html is not None:
        _speaker(output.silent)(f"report: {html}")


@app.command(
    "faithfulness",
    epilog="\b\nExamples:\n"
    "  evaluate faithfulness --method all --limit 100\n"
    "  evaluate faithfulness --method heat --erase attention\n"
    "  evaluate faithfulness --method all --without reagent --without infidelity --steps 10 --random-draws 1\n"
    "  evaluate faithfulness --benchmark tellmewhy --source test.jsonl --model MODEL",
)
@bundled
def faithfulness_command(
    task: TaskOptions = TaskOptions(),
    method: MethodOption = None,
    model: ModelOptions = ModelOptions(),
    answers: AnswerOptions = AnswerOptions(),
    erase: EraseOption = "delete",
    without: WithoutOption = None,
    steps: StepsOption = 20,
    random_draws: RandomDrawsOption = 10,
    engine: EngineOptions = EngineOptions(),
    plan: PlanOption = False,
    output: OutputOptions = OutputOptions(),
) -> None:
    """Score attribution methods by what the model says without the tokens they name.

    Prints comprehensiveness, sufficiency, Soft-NC and Soft-NS, each with a 95 percent interval;
    the files hold insertion, deletion, RISE, MAS, infidelity and the others. Attributions that
    `evaluate alignment` left in the results folder are used again. No gold is needed.
    """
    from evaluate.faithfulness.run import faithfulness
    from evaluate.metrics.faithfulness import METRICS

    opened = _opened(task, "none", model, method, output.silent, engine, answers)
    with opened as (examples, worker, names), _bars(output.silent) as on_progress:
        if plan:
            _plan(examples, worker.lm, names, task.target, as_json=output.json)
            return
        result = faithfulness(
            examples,
            worker,
            names,
            _run_config(task, answers, engine, output, command_line()),
            options=Options(
                erase=erase,
                without=tuple(without or ()),
                steps=steps,
                random_draws=random_draws,
            ),
            on_progress=on_progress,
        )
    _show(result, METRICS, output)


@app.command(
    "robustness",
    epilog="\b\nExamples:\n"
    "  evaluate robustness --probe perturbation --limit 20\n"
    "  evaluate robustness --method all --limit 50 --plan\n"
    "  evaluate robustness --probe paraphrase --benchmark tellmewhy --source test.jsonl --model MODEL",
)
@bundled
def robustness_command(
    task: TaskOptions = TaskOptions(),
    gold: GoldOption = "auto",
    method: MethodOption = None,
    model: ModelOptions = ModelOptions(),
    answers: AnswerOptions = AnswerOptions(),
    probes: ProbeOptions = ProbeOptions(),
    engine: EngineOptions = EngineOptions(),
    endpoint: EndpointOptions = EndpointOptions(),
    plan: PlanOption = False,
    output: OutputOptions = OutputOptions(),
) -> None:
    """Score attribution methods by how far their scores move when little else does.

    perturbation: noise on the embeddings, and edits that keep the meaning. paraphrase: the same in
    other words. decoding: the answer drawn otherwise. Attributions of the undisturbed texts that other
    evaluations left in the results folder are used again.
    """
    from annotate.online.limits import Budget, Limits
    from annotate.online.transport import Endpoint
    from evaluate.robustness.llm import Asking, spent
    from evaluate.robustness.plan import robustness_plan
    from evaluate.robustness.run import metrics_of, robustness

    chosen = probes.chosen
    needs_gold = probes.probe in ("decoding", "all")
    kind = gold if needs_gold else "none"
    opened = _opened(task, kind, model, method, output.silent, engine, answers)
    with opened as (examples, worker, names), _bars(output.silent) as on_progress:
        # Beside random, which always moves, the control that never does.
        names = list(dict.fromkeys([*names, "constant"]))
        if plan:
            rows = robustness_plan(worker.lm, examples, names, task.target, probes.probe, chosen)
            _print_plan(rows, as_json=output.json)
            return
        results = robustness(
            examples,
            worker,
            names,
            _run_config(task, answers, engine, output, command_line()),
            probe=probes.probe,
            options=chosen,
            asking=Asking(
                Endpoint(endpoint.base_url),
                Limits(endpoint.concurrency, max_cost=endpoint.max_cost),
                Budget(endpoint.max_cost),
                on_progress,
            ),
            on_progress=on_progress,
        )
    for line in spent(output.out):
        _speaker(output.silent)(line)
    if output.json:
        print_json({result.kind: result.as_json() for result in results})
        return
    for result in results:
        _show(result, metrics_of(result), output)


@app.command("ablation", epilog="Example: evaluate ablation --limit 100")
@bundled
def ablation_command(
    task: TaskOptions = TaskOptions(),
    gold: GoldOption = "auto",
    model: ModelOptions = ModelOptions(),
    answers: AnswerOptions = AnswerOptions(),
    erase: EraseOption = "delete",
    engine: EngineOptions = EngineOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Take HEAT apart: the poster's six rows, with Soft-NC, Soft-NS and DSA."""
    from evaluate.ablation import ablation, ablation_table
    from evaluate.metrics.alignment import METRICS
    from evaluate.pipeline.table import notes

    opened = _opened(task, gold, model, ["heat"], output.silent, engine, answers)
    with opened as (examples, worker, _), _bars(output.silent) as on_progress:
        result, aligned, _ = ablation(
            examples,
            worker,
            _run_config(task, answers, engine, output, command_line()),
            options=Options(erase=erase),
            on_progress=on_progress,
        )
    if output.json:
        print_json(result.model_dump(mode="json"))
        return
    _print(ablation_table(result), [] if output.quiet else notes(aligned, METRICS)[:2])
    _speaker(output.quiet)(f"results in {output.out}")


@app.command("sanity", epilog="Example: evaluate sanity --method all --limit 5")
@bundled
def sanity_command(
    task: TaskOptions = TaskOptions(limit=5),
    method: MethodOption = None,
    model: ModelOptions = ModelOptions(),
    engine: EngineOptions = EngineOptions(),
    out: Annotated[
        Path | None, typer.Option(help="Results folder to leave sanity.json in, for the report.")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check that methods look at the model, repeat themselves, and add up where they promise to.

    For each method: rank correlation with the scores of a model whose weights were shuffled
    (near 0 for a method that explains the model), whether a second run gives the same
    scores, and how far the scores are from adding up.
    """
    from evaluate.sanity import sanity, sanity_table, write_sanity

    opened = _opened(task, "none", model, method, json or quiet, engine)
    with opened as (examples, worker, names), _bars(quiet or json) as on_progress:
        rows = sanity(examples, worker, names, seed=task.seed, target=task.target, on_progress=on_progress)
    if out is not None:
        write_sanity(rows, out, command_line())
    if json:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    _print(sanity_table(rows), [])


@app.command(
    "explain",
    epilog="\b\nExamples:\n"
    "  evaluate explain --endpoint http://127.0.0.1:8000/v1 --model smollm2 --server vllm \\\n"
    "    'The fern absorbs the copper. What absorbs the copper? Answer:'\n"
    "  evaluate explain --endpoint URL --model NAME --method owen --method kl-top-k --plan PROMPT",
)
@bundled
def explain_command(
    prompt: EndpointPromptOptions = EndpointPromptOptions(),
    server: ServerOptions = ServerOptions(),
    model: Annotated[
        str | None, typer.Option(help="The model's name at the endpoint.", show_default=False)
    ] = None,
    method: MethodOptions = MethodOptions(),
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say how many requests it takes and what they cost; compute nothing."),
    ] = False,
    output: ExplainOutput = ExplainOutput(),
) -> None:
    """Explain a prompt by a model behind an endpoint, as `heat explain` does by one on this machine.

    For methods that need the target's log-probabilities alone; tokens are deleted. Every answer
    is kept in a ledger, and a command that was stopped goes on where it was. Default: occlusion.
    """
    if sum(source is not None for source in (prompt.prompt, prompt.prompt_file)) != 1:
        raise typer.BadParameter("give a prompt, or --prompt-file FILE, and only one of them")
    if server.endpoint is None or model is None:
        raise typer.BadParameter(
            "give --endpoint URL and --model NAME; for a model on this machine: heat explain"
        )
    from heat.endpoint.attribute import attribute, through_endpoint
    from heat.endpoint.text import encode
    from heat.files import read_prompt
    from heat.registry import configured
    from heat.show.explained import as_json, check_files, print_all, saved_paths, write_pictures

    names = method.method or ["occlusion"]
    check_files(output, names)
    # What an endpoint cannot do is refused before anything is asked.
    methods = [through_endpoint(one) for one in configured(names, method.chosen_settings)]
    if prompt.prompt is None or prompt.prompt == "-":
        text = read_prompt(prompt.prompt_file or "-")
    else:
        text = prompt.prompt
    silent = output.as_json or output.quiet
    say = _speaker(silent)
    with _asked(server, model, None, silent) as asked:
        encoded = encode(asked, text, prompt.target, foil=prompt.foil, max_targets=prompt.max_targets)
        if plan:
            from evaluate.endpoint.plan import request_plans

            _print_requests(request_plans(encoded, methods, model), as_json=output.as_json)
            return
        attributions = [attribute(asked, encoded, one, seed=method.seed) for one in methods]
    for line in _endpoint_notes(asked, methods):
        say(f"note: {line}")
    for path, attribution in zip(saved_paths(output.out, names), attributions, strict=False):
        attribution.save(path)
    shown = [one.without_first() if output.skip_first else one for one in attributions]
    write_pictures(shown, output, None, command_line(), group=False)
    if output.as_json:
        typer.echo(as_json(attributions, output, None))
    else:
        print_all(shown, output, names, None, group=False)


@app.command(
    "efficiency",
    epilog="\b\nExamples:\n"
    "  evaluate efficiency --method heat --method integrated-gradients --length 64 --length 256\n"
    "  evaluate efficiency --length 512 --length 2048 --random-weights 2048 --plot cost.svg",
)
@bundled
def efficiency_command(
    benchmark: BenchmarkOption = None,
    source: SourceOption = "sample",
    method: Annotated[
        list[str] | None,
        typer.Option(help="Method; repeat for several. Default: all, every form of HEAT and every baseline."),
    ] = None,
    model: ModelOptions = ModelOptions(),
    timing: TimingOptions = TimingOptions(),
    seed: SeedOption = 0,
    plot: Annotated[Path | None, typer.Option(help="Also draw it: .svg, .png or .pdf.")] = None,
    output: OutputOptions = OutputOptions(),
) -> None:
    """Measure seconds, passes and memory of methods on texts of several lengths.

    Everything is a ratio to one forward pass over the same text, timed beside it.
    """
    from evaluate.efficiency.prompts import with_random_weights
    from evaluate.efficiency.run import efficiency
    from evaluate.efficiency.table import check_picture, notes, terminal_table
    from evaluate.efficiency.table import plot as draw

    if plot is not None:
        check_picture(plot)
    methods = method or ["all"]
    asked = TaskOptions(benchmark=benchmark, source=source, seed=seed, prompt="plain")
    opened = _opened(asked, "none", model, methods, output.silent)
    with opened as (examples, worker, names), _bars(output.silent) as on_progress:
        lm = worker.lm
        if timing.random_weights is not None:
            lm = with_random_weights(lm, timing.random_weights, seed=seed)
        result = efficiency(
            examples,
            lm,
            names,
            timing.length or [64, 256],
            out=output.out,
            repeats=timing.repeats,
            budget=timing.budget,
            seed=seed,
            command=command_line(),
            on_progress=on_progress,
        )
    if plot is not None:
        draw(result, plot)
    if output.json:
        print_json(result.model_dump(mode="json"))
        return
    _print(terminal_table(result), [] if output.quiet else notes(result))
    _speaker(output.quiet)(f"results in {output.out} (efficiency.json, .csv, .md)")


@app.command(
    "reproduce",
    epilog="\b\nExamples:\n"
    "  evaluate reproduce --quick\n"
    "  evaluate reproduce --model MODEL --rows longra=questions-words.txt --out MODEL-results",
)
@bundled
def reproduce_command(
    benchmark: BenchmarkOption = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=WHERE, the rows of longra, tellmewhy or wikibio: sample, hub, or a file. Default: sample."
        ),
    ] = None,
    model: ModelOptions = ModelOptions(),
    prompt: PromptOption = "auto",
    small: Annotated[
        bool, typer.Option("--quick", help="A few examples and the main methods, in minutes.")
    ] = False,
    seed: SeedOption = 0,
    engine: EngineOptions = EngineOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Set the poster's tables beside what comes out here, cell by cell.

    Runs alignment, faithfulness, ablation and efficiency as far as this machine can, and says of
    every printed figure whether ours agrees in direction, disagrees, or why neither.
    """
    from evaluate.reproduce.others import other_tasks
    from evaluate.reproduce.page import terminal_table
    from evaluate.reproduce.run import reproduce
    from evaluate.reproduce.scope import FULL, QUICK
    from evaluate.tasks.asking import asks, put

    others = other_tasks(rows or [], seed=seed)
    asked = TaskOptions(benchmark=benchmark, seed=seed, prompt=prompt)
    opened = _opened(asked, "auto", model, ["heat"], output.silent, engine)
    with opened as (examples, worker, _), _bars(output.silent) as on_progress:
        others = {
            name: put(other, worker, prompt if asks(other) else "auto") for name, other in others.items()
        }
        result = reproduce(
            examples,
            others,
            worker,
            QUICK if small else FULL,
            out=output.out,
            quick=small,
            seed=seed,
            command=command_line(),
            on_progress=on_progress,
        )
    if output.json:
        print_json(result.model_dump(mode="json"))
        return
    _print(terminal_table(result), [] if output.quiet else result.remarks)
    _speaker(output.quiet)(f"page: {output.out / 'reproduce.html'} (also .md, .json)")


@app.command("merge", epilog="Example: evaluate merge --out whole part-1 part-2 part-3")
def merge_command(
    parts: Annotated[list[Path], typer.Argument(help="Results folders of parts, as --shard leaves them.")],
    out: OutOption = Path("results"),
    json: JsonOption = False,
) -> None:
    """Put the work of several results folders into one.

    The commands that made the parts, without --shard and with this --out, then find all of it done
    and only average and compare.
    """
    from evaluate.pipeline.shards import merge

    merged = merge(out, parts)
    if json:
        print_json(asdict(merged))
        return
    typer.echo(
        f"new in {out}: {merged.items} examples, {merged.attributions} attributions, {merged.scores} rows of scores, "
        f"{merged.answers} answers; "
        "next: the parts' command without --shard"
    )


@app.command(epilog="Example: evaluate methods --tokens 300")
def methods(
    tokens: Annotated[int, typer.Option(min=1, help="Length of the prompt that costs are given for.")] = 100,
    json: JsonOption = False,
) -> None:
    """List all methods with what they cost and need.

    Cost is in forward passes over the prompt, for one target; a backward pass counts 1.
    """
    from evaluate.planning.methods import method_rows, methods_table

    rows = method_rows(tokens)
    if json:
        print_json([asdict(row) for row in rows])
        return
    _print(methods_table(rows, tokens), [], ["needs", "kind", "signed"])


@app.command(
    name="plan",
    epilog="\b\nExamples:\n"
    "  evaluate plan --model llama-3.1-70b --memory 80GB --gpus 8\n"
    "  evaluate plan --model ./my-model --tokens 2000 --calibrate\n"
    "  evaluate plan --model config.json --method heat-windowed --tokens 100000 --flops 350e12",
)
@bundled
def plan_of_model(
    model: Annotated[
        str,
        typer.Option(
            help="config.json, model folder, .gguf file, hub name, or gpt-j-6b, phi-3-medium-14b, llama-3.1-70b, "
            "qwen2.5-3b."
        ),
    ],
    hardware: HardwareOptions = HardwareOptions(),
    work: WorkOptions = WorkOptions(),
    json: JsonOption = False,
) -> None:
    """Say what a model will cost in memory and time, and which form of HEAT fits.

    Needs the model's config alone, and no weights.
    """
    from evaluate.planning.model_plan import model_plan_notes, model_plan_table, plan_model

    model_plan = plan_model(
        model,
        memory=hardware.memory,
        gpus=hardware.gpus,
        n_tokens=work.tokens,
        n_targets=work.targets,
        examples=work.examples,
        methods=work.method or [],
        dtype=work.dtype,
        quantization=work.quantization,
        flops=hardware.flops,
        flops_float32=hardware.flops_float32,
        measure=hardware.calibrate,
    )
    if json:
        print_json(model_plan.as_json())
        return
    _print(model_plan_table(model_plan), model_plan_notes(model_plan))


@app.command(
    epilog="\b\nExamples:\n"
    "  evaluate report results --html report.html\n"
    "  evaluate report first second --html comparison.html"
)
def report(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folder; two to compare them. Default: results.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Where to write it. Default: report.html, or comparison.html, in the last folder."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for figures and tables. Default: report, or comparison, in the last folder."
        ),
    ] = None,
) -> None:
    """Write one self-contained HTML page on a finished run, or on two, and print its path.

    Beside it, figures as SVG and PNG and tables as CSV. With two folders: the differences
    of the second from the first on the examples that both scored, with intervals.
    """
    from evaluate.report import write_comparison, write_report

    folders = results or [Path("results")]
    if len(folders) > 2:
        raise typer.BadParameter(f"one folder or two to compare, not {len(folders)}")
    if len(folders) == 2:
        typer.echo(write_comparison(folders[0], folders[1], html, out, command_line()))
    else:
        typer.echo(write_report(folders[0], html, out, command_line()))


@contextmanager
def _opened(
    options: TaskOptions,
    gold: str,
    model: ModelOptions,
    method: Sequence[str] | None,
    silent: bool,
    engine: EngineOptions = EngineOptions(),
    answers: AnswerOptions = AnswerOptions(),
) -> Iterator[tuple[Task, Engine, list[str]]]:
    """Benchmark, engine and methods, wrong names reported before anything is loaded that takes long."""
    from dataclasses import replace

    from evaluate.tasks.asking import check_choice, put
    from evaluate.tasks.catalog import load_task

    benchmark = options.benchmark
    if benchmark is None:
        benchmark = "./curated" if Path("curated").exists() else "curated"
    say = _speaker(silent)
    check_choice(options.prompt)
    task = load_task(benchmark, source=options.source, gold=gold, limit=options.limit, seed=options.seed)
    if engine.shard is not None:
        from evaluate.pipeline.shards import shard_of

        task = shard_of(task, engine.shard)
    say(f"benchmark: {task.name}, {len(task.examples)} examples from {task.source}")
    from evaluate.engine.choose import open_engine
    from evaluate.pipeline.runner import chosen_methods, settings_on, without_obstacle
    from heat.api import check_precision
    from heat.registry import methods

    names = chosen_methods(method or ["heat"])
    for name in names:
        check_precision(methods()[name], model.dtype)
    with open_engine(model, engine) as worker:
        names = without_obstacle(names, worker, named=[] if method is None else method)
        settings = settings_on(worker)
        say(f"model: {settings.model} (revision {settings.revision}, {settings.dtype})")
        task = replace(
            put(task, worker, options.prompt),
            answer=answers.answer,
            aggregation=answers.aggregation,
            contrast=task.contrast if options.foil is None else options.foil,
        )
        say(f"prompt: {task.prompt}")
        yield task, worker, names


def _plan(task: Task, lm: LanguageModel, names: list[str], target: Target | None, *, as_json: bool) -> None:
    from evaluate.planning.run_plan import plan

    rows = plan(lm, task.examples, names, task.target(target), contrast=task.contrast)
    _print_plan(rows, as_json=as_json)


def _print_plan(rows: Sequence[MethodPlan], *, as_json: bool) -> None:
    from evaluate.planning.run_plan import plan_table

    if as_json:
        print_json([asdict(row) for row in rows])
        return
    _print(plan_table(rows), [], ["of these"])


@contextmanager
def _asked(options: ServerOptions, model: str, folder: Path | None, silent: bool) -> Iterator[EndpointServer]:
    """The server that is asked, its ledger open."""
    from datetime import date

    from annotate.online.limits import Limits
    from annotate.online.transport import Endpoint
    from evaluate.endpoint.server import LEDGER, EndpointServer

    ledger = options.ledger or (folder or Path()) / LEDGER
    limits = Limits(options.concurrency, max_cost=options.max_cost)
    endpoint = Endpoint(str(options.endpoint))
    with (
        _bars(silent) as on_progress,
        EndpointServer(model, endpoint, options.server, ledger, limits, on_progress=on_progress) as server,
    ):
        for line in server.who.warnings(date.today()):
            print(f"warning: {line}", file=sys.stderr)
        yield server


def _endpoint_notes(server: EndpointServer, methods: Sequence[Method]) -> Iterator[str]:
    """What must be known of scores that a server's log-probabilities gave."""
    from heat.deletion import ByDeletion

    notes: dict[str, list[str]] = {}
    for method in methods:
        if isinstance(method, ByDeletion) and method.deletion_note:
            notes.setdefault(method.deletion_note, []).append(method.name)
    for note, names in notes.items():
        yield f"{', '.join(names)}: {note}"
    if not server.takes_ids:
        yield "the server takes text alone, so what is left of a prompt is tokenised anew"


def _print_requests(plans: Sequence[RequestPlan], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in plans])
        return
    from rich.table import Table

    table = Table(box=None)
    table.add_column("method")
    for heading in ("requests, at most", "tokens, at most", "US dollars, at most"):
        table.add_column(heading, justify="right")
    for one in plans:
        dollars = "not known" if one.usd is None else f"{one.usd:,.4f}"
        table.add_row(one.method, f"{one.requests:,}", f"{one.tokens:,}", dollars)
    _print(table, ["the prompt's tokens were asked for, and nothing else yet"])


def _speaker(silent: bool) -> Callable[[str], None]:
    def say(line: str) -> None:
        if not silent:
            typer.echo(line, err=True)

    return say


@contextmanager
def _bars(silent: bool) -> Iterator[Callable[[str, int, int], None]]:
    """One progress bar a method, made when its work begins."""
    bars = progress(silent)
    tasks: dict[str, TaskID] = {}
    with ExitStack() as shown:

        def update(what: str, done: int, total: int) -> None:
            if not tasks:  # bars without a task would leave an empty line before an error
                shown.enter_context(bars)
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield update


def _show(result: Evaluation, metrics: Sequence[Metric], output: OutputOptions) -> None:
    from evaluate.pipeline.table import WARNING, notes, terminal_table

    if output.json:
        print_json(result.as_json())
        return
    shown = [metric.label for metric in metrics if metric.shown]
    lines = notes(result, metrics)
    # A warning is no note: it is said in any case.
    said = [line for line in lines if line.startswith(WARNING)] if output.quiet else lines
    _print(terminal_table(result, metrics), said, ["s/1000", *reversed(shown[1:])])
    _speaker(output.quiet)(
        f"{result.computed} computed, {result.reused} reused; "
        f"results in {output.out} ({result.kind}.json, .csv, .md, .tex)"
    )


def _run_config(
    task: TaskOptions, answers: AnswerOptions, engine: EngineOptions, output: OutputOptions, command: str
) -> RunConfig:
    """How a measure is run, from the options of its command."""
    from evaluate.pipeline.run import RunConfig

    return RunConfig(
        out=output.out,
        target=task.target,
        seed=task.seed,
        only_correct=answers.only_correct,
        single_token=answers.single_token,
        retry_failed=engine.retry_failed,
        command=command,
    )


def _print(table: Table, lines: Sequence[str], spare: Sequence[str] = ()) -> None:
    """Print a table and what must be known to read it.

    Args:
        table: Loses columns where the terminal is too narrow.
        lines: Sentences below it; warnings are loud.
        spare: Headings of the columns that go first.
    """
    from rich.console import Console

    from annotate.narrow import fit, left_out
    from evaluate.pipeline.table import WARNING

    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120)
    dropped = fit(table, console, spare)
    console.print(table)
    for line in (left_out(dropped, console), *lines):
        if line:
            loud = line.startswith(WARNING)
            console.print(line, style="bold red" if loud else "dim", markup=False, highlight=False)


def main() -> None:
    """Entry point of the console script."""
    run(app, (EvaluateError, AnnotateError, HeatError), address_space=ADDRESS_SPACE)


if __name__ == "__main__":
    main()
