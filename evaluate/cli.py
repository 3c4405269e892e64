"""The `evaluate` command: score attributions against gold words and report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotate.console import command_line, print_json, progress, run
from annotate.errors import AnnotateError
from evaluate.errors import EvaluateError
from evaluate.prompt import Target
from evaluate.reader.cli import app as reader
from heat.errors import HeatError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from annotate.benchmark import Benchmark
    from evaluate.alignment import AlignmentResult
    from heat import LanguageModel

app = typer.Typer(
    name="evaluate",
    help="Score attribution methods against gold words.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

app.add_typer(reader, name="reader")


@app.callback(epilog="Example: evaluate alignment --method heat --limit 50")
def root() -> None:
    """Score attribution methods against gold words."""


@app.command(
    epilog="\b\nExamples:\n"
    "  evaluate alignment\n"
    "  evaluate alignment --method heat --method integrated-gradients --limit 50\n"
    "  evaluate alignment --method all --benchmark real --model MODEL --out real-results"
)
def alignment(
    benchmark: Annotated[
        Path | None,
        typer.Option(help="Benchmark folder. Default: ./curated if it is there, else the one that ships."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Method; repeat for several; all: every one. Default: heat."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or hub name of a causal model. Default: the embedded reader.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first so many paragraphs only.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the methods and of the bootstrap.")] = 0,
    target: Annotated[
        Target, typer.Option(help="Attribute the first answer token, or all of them.")
    ] = "first",
    gold: Annotated[
        str,
        typer.Option(
            help="auto: gold.jsonl if it is there, else the intersection of the labels. gold: gold.jsonl. "
            "intersection, union, evidence, reviewed: settle now by that rule."
        ),
    ] = "auto",
    out: Annotated[
        Path, typer.Option(help="Results folder; finished work in it is not computed again.")
    ] = Path("results"),
    html: Annotated[Path | None, typer.Option(help="Also write the report to this file.")] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what it will cost after two seconds of timing; compute nothing."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no notes.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Score attribution methods against the gold words of a benchmark.

    Prints AUPRC, AUROC, F1 at the number of gold words and DSA, each with a 95 percent
    interval, beside chance.
    """
    chosen = _benchmark(benchmark)
    say = _speaker(json or quiet)
    say(f"benchmark: {chosen.path}")
    import heat
    from evaluate.alignment import alignment as align
    from evaluate.runner import chosen_methods

    names = chosen_methods(method or ["heat"])
    lm = heat.load(model)
    say(f"model: {lm.name} (revision {lm.revision}, {str(lm.dtype).removeprefix('torch.')})")
    if plan:
        _plan(chosen, lm, names, target, limit, as_json=json)
        return
    with _bars(quiet or json) as on_progress:
        result = align(
            chosen,
            lm,
            names,
            out=out,
            target=target,
            gold=gold,
            limit=limit,
            seed=seed,
            command=command_line(),
            on_progress=on_progress,
        )
    if html is not None:
        from evaluate.report import write_report

        write_report(out, html)
    if json:
        print_json(result.as_json())
        return
    _print_table(result, quiet)
    say(f"{result.computed} computed, {result.reused} reused; results in {out}")
    if html is not None:
        say(f"report: {html}")


@app.command(epilog="Example: evaluate report results --html report.html")
def report(
    results: Annotated[Path, typer.Argument(help="Results folder of `evaluate alignment`.")] = Path(
        "results"
    ),
    html: Annotated[
        Path | None, typer.Option(help="Where to write it. Default: report.html in the folder.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Write one self-contained HTML page on a finished run and print its path."""
    from evaluate.report import write_report

    typer.echo(write_report(results, html or results / "report.html"))


def _benchmark(folder: Path | None) -> Benchmark:
    """The benchmark named, else ``./curated`` if it exists, else the one that ships."""
    from annotate.benchmark import open_benchmark, prebuilt

    if folder is None and not Path("curated").exists():
        return prebuilt()
    return open_benchmark(folder)


def _plan(
    chosen: Benchmark,
    lm: LanguageModel,
    names: list[str],
    target: Target,
    limit: int | None,
    *,
    as_json: bool,
) -> None:
    from evaluate.plan import plan, plan_table

    rows = plan(lm, chosen.paragraphs()[:limit], names, target)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 100).print(plan_table(rows))


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


def _print_table(result: AlignmentResult, quiet: bool) -> None:
    from rich.console import Console

    from evaluate.table import alignment_table, notes

    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(alignment_table(result))
    if not quiet:
        for line in notes(result):
            console.print(line, style="dim", markup=False, highlight=False)


def main() -> None:
    """Entry point of the console script."""
    run(app, (EvaluateError, AnnotateError, HeatError))


if __name__ == "__main__":
    main()
