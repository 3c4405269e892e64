"""The `annotate` command: build a benchmark, label it, measure agreement, settle the gold."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotate.bundles import bundled
from annotate.console import command_line, print_json, progress, run
from annotate.errors import AnnotateError, LabelError, UnknownNameError
from annotate.online import DEFAULT_URL
from annotate.online.limits import DEFAULT_LIMITS
from annotate.options import (
    AnnotatorsOption,
    BaseUrlOption,
    BatchAction,
    BenchmarkOption,
    BuildOptions,
    ConcurrencyOption,
    DrawOptions,
    EndpointOptions,
    ForceOption,
    JsonOption,
    LengthOptions,
    LimitOptions,
    MaxCostOption,
    OutputOptions,
    PageOptions,
    PassageOptions,
    QuestionOptions,
    TrialOptions,
    ViewOptions,
    WayOptions,
)
from annotate.outside import printable

if TYPE_CHECKING:
    from rich.table import Table

    from annotate.benchmark import Benchmark
    from annotate.ledger.questions import Selection
    from annotate.protocol import Annotator

# Columns of the tables that a narrow terminal can spare, first those that go first. Money is never among them.
SPARE = (
    *("reasoning", "cached", "via", "attempts", "out", "tokens in"),
    *("tokens in: low / likely / high", "tokens out: low / likely / high"),
    *("at last", "not placed at first", "marked", "not ok", "ok"),
)

# NumPy and SciPy take 0.2 GiB on two cores, and PyArrow fails under 0.4.
ADDRESS_SPACE = 1 << 29

app = typer.Typer(
    name="annotate",
    help="Build a benchmark of mixed paragraphs and collect gold word labels for it.",
    epilog="Example: annotate build-dataset && annotate label && annotate agreement",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command(
    epilog="\b\nExamples:\n"
    "  annotate build-dataset\n"
    "  annotate build-dataset --narrativeqa nqa.parquet --sciq sciq.parquet --size 600 --out real\n"
    "  annotate build-dataset --source hub --split validation --out validation"
)
@bundled
def build_dataset(
    passages: PassageOptions = PassageOptions(),
    draw: DrawOptions = DrawOptions(),
    out: Annotated[Path, typer.Option(help="Benchmark folder to make.")] = Path("curated"),
    length: LengthOptions = LengthOptions(),
    accept: BuildOptions = BuildOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Mix narratives and science questions into a benchmark folder.

    Each paragraph is a run of narrative sentences as distractor and a science support that
    holds the answer, then the question. Same seed, same bytes.
    """
    from rich.console import Console

    from annotate.dataset.build import build_benchmark
    from annotate.dataset.mixing import MixOptions
    from annotate.dataset.tables import describe_built, drop_table
    from annotate.sources import open_source

    files = passages.files
    source = open_source(
        passages.source or ("local" if files else "sample"), passages.narrativeqa, passages.sciq
    )
    options = MixOptions(
        size=draw.size, seed=draw.seed, min_words=length.min_words, max_words=length.max_words
    )
    with Console(stderr=True, quiet=output.silent, emoji=False).status(
        f"mixing {draw.size:,} paragraphs from {source.name}"
    ):
        built = build_benchmark(
            source,
            options,
            draw.split,
            out,
            allow_fewer=accept.allow_fewer,
            force=accept.force,
            files=files,
        )
    if output.json:
        print_json(built.as_json())
    elif not output.quiet:
        _print(drop_table(built.report))
        for line in describe_built(built):
            _print(line)


@app.command(
    epilog="\b\nExamples:\n"
    "  annotate label\n"
    "  annotate label --annotator overlap --annotator mock:noise=0.1 --limit 50\n"
    "  annotate label --annotator replay:old/ledger.jsonl,annotator=clause\n"
    "  annotate label --annotator openai:gpt-5.2 --dry-run\n"
    "  annotate label --annotator openai:gpt-5.2 --batch submit && annotate label --batch collect"
)
@bundled
def label(
    benchmark: BenchmarkOption = None,
    annotator: Annotated[
        list[str] | None,
        typer.Option(
            help="openai:MODEL, clause, mock, overlap or replay, with options after a colon; repeat for several. "
            "Default: overlap and clause."
        ),
    ] = None,
    questions: QuestionOptions = QuestionOptions(),
    endpoint: EndpointOptions = EndpointOptions(),
    limits: LimitOptions = LimitOptions(),
    way: WayOptions = WayOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Have annotators mark the words that matter, and settle the gold.

    Every answer is written to the ledger first, and what was answered is never
    asked again: re-run the command to resume.
    Exit codes: 0 done, 3 incomplete (run it again), 4 --max-cost reached, 5 refused (quota, key, model).
    """
    from annotate.annotators import DEFAULT_ANNOTATORS, make_annotator
    from annotate.benchmark import command_on, open_benchmark
    from annotate.errors import IncompleteError
    from annotate.labelling.label import describe_held, label_benchmark
    from annotate.labelling.tables import (
        describe_failures,
        describe_gold,
        describe_kept,
        describe_spent,
        label_table,
    )
    from annotate.ledger.questions import Selection
    from annotate.online.transport import Endpoint

    chosen = open_benchmark(benchmark)
    asked_at = Endpoint(endpoint.base_url, endpoint.timeout)
    selection = Selection(questions.limit, questions.repeats, questions.fresh)
    annotators = [make_annotator(spec, questions.seed, asked_at) for spec in annotator or DEFAULT_ANNOTATORS]
    _warn(annotators, output.quiet)
    if way.dry_run:
        _dry_run(chosen, annotators, selection, output.json)
        return
    if way.batch:
        _batch(chosen, way.batch, annotators, selection, limits.max_cost, output.json)
        return
    _warn_unlisted(annotators, output.quiet)
    with _tracked(output.silent) as track:
        done = label_benchmark(
            chosen,
            annotators,
            selection,
            seed=questions.seed,
            command=command_line(),
            limits=limits.limits,
            track=track,
        )
    if output.json:
        print_json(done.as_json() | {"benchmark": str(chosen.path)})
    else:
        _print(label_table(done.summaries))
        for summary in done.summaries:
            failures = describe_failures(summary.annotator, summary.statuses, summary.reasons)
            for line in failures + describe_spent(summary):
                _print(line)
        _print(describe_gold(done.gold) if done.gold else describe_kept(done))
        if done.changed:
            _print(f"The gold words of {done.changed:,} paragraphs were others before this run.")
        _note(output.quiet, f"written to {chosen.path}; next: {command_on('agreement', chosen.path)}")
    if done.unfinished:
        raise IncompleteError(f"{done.unfinished:,} got no answer; re-run the command to ask again")
    if done.held:
        raise IncompleteError(describe_held(done.held))


@app.command(
    epilog="\b\nExamples:\n"
    "  annotate agreement\n"
    "  annotate agreement --benchmark real --annotator overlap --annotator clause --json"
)
@bundled
def agreement(
    benchmark: BenchmarkOption = None,
    annotator: AnnotatorsOption = None,
    bootstrap: Annotated[int, typer.Option(min=100, help="Bootstrap replicates for the intervals.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    epsilon: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Alternative annotator test: how much less often than a person an annotator may be the better one. "
            "Its authors name 0.2 for experts, 0.15 for trained people, 0.1 for crowd workers.",
        ),
    ] = 0.1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV file of paragraphs, with the figures as .json and .md beside it. "
            "Default: agreement.csv in the benchmark folder."
        ),
    ] = None,
    force: ForceOption = False,
    output: OutputOptions = OutputOptions(),
) -> None:
    """Measure how far annotators agree on words, with 95 percent intervals.

    Pairs, all together, by segment, each with itself where it was asked again, and
    each with a rule that looks at shared words only. Where two or more people marked,
    whether models and rules agree with them as well as they do with each other. Paragraphs without two labels
    are counted and left out, never read as empty.
    """
    from annotate.agreement import agreement as measure
    from annotate.agreement.files import agreement_json, paper_sentence, write_agreement
    from annotate.agreement.tables import agreement_tables
    from annotate.benchmark import open_benchmark
    from annotate.review.labels import read_labels_and_reviews

    chosen = open_benchmark(benchmark)
    paragraphs = chosen.paragraphs()
    labels = read_labels_and_reviews(chosen, paragraphs, annotator or ())
    result = measure(paragraphs, labels, bootstrap, seed, epsilon)
    path = out or chosen.path / "agreement.csv"
    sentence = paper_sentence(chosen, result)
    files = write_agreement(chosen, result, sentence, path, command_line(), force=force)
    if output.json:
        print_json(agreement_json(result, sentence))
        return
    for shown in agreement_tables(result):
        _print(shown)
    _print(f"For a paper: {sentence}")
    for line in result.conventions:
        _note(output.quiet, line)
    _note(output.quiet, f"{bootstrap:,} replicates, seed {seed}; written to {', '.join(map(str, files))}")


@app.command(
    epilog="\b\nExamples:\n"
    "  annotate adjudicate --rule union\n"
    "  annotate adjudicate --benchmark real --rule intersection --annotator overlap --annotator clause"
)
@bundled
def adjudicate(
    benchmark: BenchmarkOption = None,
    rule: Annotated[
        str,
        typer.Option(
            help="intersection: words all annotators marked. majority: words more than half marked. "
            "union: words any marked. evidence: words known "
            "by construction. reviewed: words a person decided."
        ),
    ] = "intersection",
    annotator: AnnotatorsOption = None,
    output: OutputOptions = OutputOptions(),
) -> None:
    """Settle which words are gold, by a rule, with the origin of every word."""
    from annotate.benchmark import open_benchmark
    from annotate.gold import settle
    from annotate.labelling.tables import describe_gold

    chosen = open_benchmark(benchmark)
    settled = settle(chosen, rule, annotator or (), command=command_line())
    if output.json:
        print_json(settled.as_json() | {"benchmark": str(chosen.path)})
        return
    _print(describe_gold(settled))
    _note(output.quiet, f"written to {chosen.gold_path}")


@app.command(epilog="\b\nExamples:\n  annotate cost\n  annotate cost --benchmark real --json")
def cost(
    benchmark: BenchmarkOption = None,
    json: JsonOption = False,
) -> None:
    """Sum what the ledger cost: attempts, tokens and dollars.

    An unknown price is counted, never taken for 0.
    """
    from annotate.benchmark import open_benchmark
    from annotate.ledger.ledger import read_existing_ledger, read_ledger
    from annotate.money.cost import cost as measure
    from annotate.money.tables import cost_tables, describe_cost
    from annotate.pilot import pilot_ledger

    chosen = open_benchmark(benchmark)
    beside = measure(read_ledger(pilot_ledger(chosen)).rows)
    read = read_ledger if beside.rows else read_existing_ledger
    measured = measure(read(chosen.ledger).rows)
    if json:
        print_json(measured.model_dump(mode="json") | {"pilot": beside.model_dump(mode="json")})
        return
    for table in cost_tables(measured):
        _print(table)
    for line in describe_cost(measured, beside):
        _print(line)


@app.command(epilog="\b\nExamples:\n  annotate reparse\n  annotate reparse --benchmark real --json")
@bundled
def reparse(
    benchmark: BenchmarkOption = None,
    output: OutputOptions = OutputOptions(),
) -> None:
    """Make all labels again from the ledger: no network, no key, no cost.

    For labels that are torn or lost, and after a release that reads
    answers better.
    """
    from annotate.benchmark import command_on, open_benchmark
    from annotate.labelling.reparse import reparse as make_again
    from annotate.money.tables import describe_reparse, reparse_table

    chosen = open_benchmark(benchmark)
    done = make_again(chosen, command=command_line())
    if output.json:
        print_json(done.as_json() | {"benchmark": str(chosen.path)})
        return
    _print(reparse_table(done))
    for line in describe_reparse(done):
        _print(line)
    _note(output.quiet, f"written to {chosen.path}; next: {command_on('agreement', chosen.path)}")


@app.command(
    epilog="\b\nExamples:\n"
    "  annotate pilot --annotator openai:gpt-5.2\n"
    "  annotate pilot --annotator openai:gpt-5.2 --formats quotes,tags -n 20 --max-cost 1\n"
    "  annotate pilot --annotator openai:gpt-5.2 --benchmark people --people --prompt passage"
)
@bundled
def pilot(
    annotator: Annotated[
        list[str], typer.Option(help="An annotator that takes format=...; repeat for several.")
    ],
    benchmark: BenchmarkOption = None,
    trial: TrialOptions = TrialOptions(),
    base_url: BaseUrlOption = DEFAULT_URL,
    concurrency: ConcurrencyOption = DEFAULT_LIMITS.concurrency,
    max_cost: MaxCostOption = None,
    output: OutputOptions = OutputOptions(),
) -> None:
    """Compare label formats on some paragraphs, each asked about twice.

    With --people each is asked about once, and the best is the one that agrees
    best with the people who labelled the paragraphs. Everything goes to the folder
    pilot of the benchmark; its labels are left alone. Re-run the command to resume.
    """
    from annotate.annotators import make_annotator
    from annotate.benchmark import command_on, open_benchmark
    from annotate.money.tables import describe_pilot, pilot_table
    from annotate.online.limits import Limits
    from annotate.online.transport import Endpoint
    from annotate.pilot import pilot_ledger, run_pilot, with_format, with_prompt
    from annotate.review.labels import people_labels

    chosen = open_benchmark(benchmark)
    endpoint = Endpoint(base_url)
    trials = [
        (name, make_annotator(with_option(spec, name), trial.seed, endpoint))
        for spec in annotator
        for with_option, names in (
            (with_format, trial.formats.split(",") if trial.formats or not trial.prompt else []),
            (with_prompt, trial.prompt or []),
        )
        for name in names
    ]
    _warn([trial_annotator for _, trial_annotator in trials], output.quiet)
    limits = Limits(concurrency=concurrency, max_cost=max_cost)
    with _tracked(output.silent) as track:
        result = run_pilot(
            chosen,
            trials,
            count=trial.paragraphs,
            seed=trial.seed,
            people=people_labels(chosen, chosen.paragraphs()) if trial.people else None,
            limits=limits,
            track=track,
        )
    if output.json:
        print_json(result.model_dump(mode="json"))
        return
    _print(pilot_table(result))
    for line in describe_pilot(result):
        _print(line)
    _note(
        output.quiet,
        f"written to {pilot_ledger(chosen).parent}; next: "
        + command_on(f"label --annotator {result.best or '...,format=...'}", chosen.path),
    )


@app.command(
    epilog="\b\nExamples:\n"
    "  annotate export --format jsonl --out labelled.jsonl\n"
    "  annotate export --format hf --out dataset --benchmark real\n"
    "  annotate export --format label-studio --out tasks.json --annotator clause"
)
@bundled
def export(
    format: Annotated[
        str,
        typer.Option(
            help="jsonl, parquet: one row per paragraph. hf: a Hugging Face dataset folder with card. "
            "label-studio: tasks with the labels as predictions. potato: a project, with the labels of one annotator. "
            "factgenie: its folders data and campaigns."
        ),
    ],
    out: Annotated[Path, typer.Option(help="File to write; for hf, potato and factgenie the folder.")],
    benchmark: BenchmarkOption = None,
    annotator: AnnotatorsOption = None,
    force: ForceOption = False,
    output: OutputOptions = OutputOptions(),
) -> None:
    """Write paragraphs, labels and gold for others to read. Nothing is sent anywhere."""
    from annotate.benchmark import open_benchmark
    from annotate.export import export as write

    files = write(
        open_benchmark(benchmark), format, out, annotator or (), force=force, command=command_line()
    )
    if output.json:
        print_json({"files": [str(file) for file in files]})
    else:
        _print(f"written: {', '.join(str(file) for file in files)}")


@app.command(
    "import",
    epilog="\b\nExamples:\n"
    "  annotate import --format label-studio --annotator human:ada project.json\n"
    "  annotate import --format label-studio --annotator human:bob --completed-by 2 two_people.json\n"
    "  annotate import --format word-list --annotator import:released words.jsonl --benchmark new\n"
    "  annotate import --format expmrc --out people expmrc-squad-dev.json",
)
@bundled
def import_(
    file: Annotated[
        Path, typer.Argument(help="The file of labels; of a public set, Potato or factgenie also a folder.")
    ],
    format: Annotated[
        str,
        typer.Option(
            help="label-studio: annotations exported as JSON. potato: annotation_output, or a user_state.json. "
            "factgenie: a campaign, or a JSONL file of it. word-list: JSONL with input and important_words. "
            "eraser, expmrc, fair-rationales, onestopqa, qed: public sets of texts that people marked, which become a "
            "benchmark; a subset stands after a slash (onestopqa/Ele)."
        ),
    ],
    annotator: Annotated[
        str | None,
        typer.Option(
            help="Whose labels these are: human:NAME, or import:NAME for what a file holds. A public set names its "
            "people itself: human:1, human:2."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Public sets: the benchmark folder to make of the texts and the people's marks."),
    ] = None,
    benchmark: BenchmarkOption = None,
    completed_by: Annotated[
        list[str] | None,
        typer.Option(
            help="Annotation tools: read this person's annotations, by the number, address or name that the tool "
            "has; repeat for several who shared the work. Needed where the file holds several people's."
        ),
    ] = None,
    output: OutputOptions = OutputOptions(),
) -> None:
    """Import labels that were made elsewhere. All of a file, or nothing.

    They go to the ledger, and the labels are made from there. A word list brings
    its own texts: if the benchmark folder does not exist, it is made of them. A
    public set becomes a benchmark of its own, whose annotators are the people.
    """
    from annotate.benchmark import command_on
    from annotate.imports.run import FORMATS, import_labels
    from annotate.labelling.tables import describe_imported, describe_people
    from annotate.rationales.sets import SETS

    if format.partition("/")[0] in SETS:
        from annotate.imports.people import import_people

        if out is None or annotator is not None or benchmark is not None or completed_by:
            raise LabelError(
                f"{format} brings its own texts and people: say where their benchmark goes with --out, and leave"
                " --benchmark, --annotator and --completed-by away"
            )
        people = import_people(format, file, out, command_line())
        if output.json:
            print_json(people.as_json())
            return
        for line in describe_people(people):
            _print(line)
        # One person alone agrees with nobody: first somebody else is asked.
        following = "agreement" if len(people.annotators) > 1 else "label --annotator ..."
        _note(output.quiet, f"written to {out}; next: {command_on(following, out)}")
        return
    if format not in FORMATS:
        raise UnknownNameError("import format", format, [*FORMATS, *SETS])
    if annotator is None:
        raise LabelError(
            f"{format} does not tell whose labels it holds: name them with --annotator human:NAME"
        )
    if out is not None:
        raise LabelError(f"--out is for public sets ({', '.join(SETS)}); name the folder with --benchmark")
    done = import_labels(benchmark, format, file, annotator, command_line(), completed_by or ())
    if output.json:
        print_json(done.as_json())
        return
    for line in describe_imported(done):
        _print(line)
    _note(output.quiet, f"written to {done.benchmark}; next: {command_on('agreement', Path(done.benchmark))}")


@app.command(
    epilog="\b\nExamples:\n"
    "  annotate review\n"
    "  annotate review --benchmark real --annotator overlap --annotator clause --blind --reviewer mira\n"
    "  annotate review --audit --reviewer mira"
)
@bundled
def review(
    benchmark: BenchmarkOption = None,
    annotator: AnnotatorsOption = None,
    view: ViewOptions = ViewOptions(),
    page: PageOptions = PageOptions(),
) -> None:
    """Look at the marks, correct them and decide, on a local page in the browser.

    Every action is appended to reviews.jsonl before the page confirms it.
    """
    from annotate.benchmark import open_benchmark
    from annotate.review.command import review as serve

    if view.blind and view.audit:
        raise typer.BadParameter("--blind and --audit exclude each other")
    serve(
        open_benchmark(benchmark),
        annotator or (),
        mode="audit" if view.audit else "blind" if view.blind else "review",
        shown=view.show,
        reviewer=view.reviewer,
        seed=view.seed,
        port=page.port,
        token=page.token,
        browser=not page.no_browser,
        tell=partial(print, flush=True),
    )


def _dry_run(chosen: Benchmark, annotators: list[Annotator], selection: Selection, json: bool) -> None:
    from datetime import date

    from annotate.money.estimate import dry_run
    from annotate.money.tables import describe_estimate, describe_samples, describe_total, estimate_table

    estimates = dry_run(chosen, annotators, date.today(), selection)
    if json:
        print_json({"annotators": [one.model_dump(mode="json") for one in estimates]})
        return
    for one in estimates:
        for line in describe_estimate(one):
            _print(line)
        if one.efforts and one.requests:
            _print(estimate_table(one))
    for line in describe_total(estimates) + describe_samples(estimates):
        _print(line)


def _batch(
    chosen: Benchmark,
    action: BatchAction,
    annotators: list[Annotator],
    selection: Selection,
    max_cost: float | None,
    json: bool,
) -> None:
    from annotate.batch.collect import collect_labels
    from annotate.batch.submit import status, submit
    from annotate.errors import IncompleteError
    from annotate.money.tables import batch_table, describe_batches, describe_reparse, reparse_table

    printed: list[Table | str] = []
    counts: dict[str, Any] = {}
    if action is BatchAction.SUBMIT:
        done = submit(chosen, annotators, selection, max_cost=max_cost)
        states = list(done.states)
        counts = {"finished": done.finished, "held": done.held}
        printed = [f"{done.finished:,} need no request; {done.held:,} wait in earlier batches"]
    elif action is BatchAction.STATUS:
        states = status(chosen)
    else:
        states, reparsed = collect_labels(chosen, command_line())
        if reparsed:
            counts = reparsed.as_json()
            printed = [reparse_table(reparsed), *describe_reparse(reparsed)]
    if json:
        print_json(counts | {"benchmark": str(chosen.path), "batches": [state.as_json() for state in states]})
    else:
        for line in (batch_table(states) if states else "no batch", *describe_batches(states), *printed):
            _print(line)
        if any(state.failed or state.unanswered for state in states if state.ended):
            _print("what failed or was not done is asked by the next --batch submit, or online")
    if action is BatchAction.COLLECT and not all(state.ended for state in states):
        raise IncompleteError("not all batches have ended; collect again later")
    for state in states:
        if state.status == "failed":
            raise LabelError(f"the server did not take batch {state.batch_id}: {state.detail}")


@contextmanager
def _tracked(silent: bool) -> Iterator[Callable[[str, int], Callable[[int, str], object]]]:
    """Progress bars on stderr; makes one for an annotator and a number of steps, and says how to move it."""
    bars = progress(silent)
    with ExitStack() as shown:

        def track(name: str, total: int) -> Callable[[int, str], object]:
            if not bars.tasks:  # a bar without a task would leave an empty line before an error
                shown.enter_context(bars)
            shown_name = printable(name)
            task = bars.add_task(shown_name, total=total)
            return lambda done, note: bars.update(
                task, completed=done, description=f"{shown_name} {note}".rstrip()
            )

        yield track


def _print(what: Table | str) -> None:
    """Print a table or a sentence; a table loses columns on a narrow terminal, a sentence is left whole."""
    from annotate.narrow import fit, left_out
    from annotate.terminal import Terminal

    console = Terminal(soft_wrap=isinstance(what, str), highlight=False, markup=False, emoji=False)
    dropped = [] if isinstance(what, str) else fit(what, console, SPARE)
    console.print(what)
    if dropped:
        print(left_out(dropped, console), file=sys.stderr)


def _warn(annotators: list[Annotator], quiet: bool) -> None:
    """Say what a person should know before asking, each thing once."""
    from datetime import date

    from annotate.protocol import OnlineAnnotator

    online = [annotator for annotator in annotators if isinstance(annotator, OnlineAnnotator)]
    for warning in dict.fromkeys(line for annotator in online for line in annotator.warnings(date.today())):
        _note(quiet, f"note: {warning}")


def _warn_unlisted(annotators: list[Annotator], quiet: bool) -> None:
    """Say which models their server does not list; asks the servers."""
    from annotate.annotators.openai import OpenAIAnnotator

    for annotator in annotators:
        warning = annotator.unlisted() if isinstance(annotator, OpenAIAnnotator) and not quiet else ""
        if warning:
            _note(quiet, f"note: {warning}")


def _note(quiet: bool, line: str) -> None:
    if not quiet:
        print(printable(line), file=sys.stderr)


def main() -> None:
    """Entry point of the console script."""
    run(app, (AnnotateError,), address_space=ADDRESS_SPACE)


if __name__ == "__main__":
    main()
