"""The command `heat`: explain one answer, serve a page, list the methods, learn for one, unpack a model file."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heat.again import command_line
from heat.bundles import OnceCommand, bundled
from heat.console import run
from heat.errors import ConfigError, EmptyTargetError, HeatError
from heat.fitting.cli import app as fitting
from heat.options import JsonOption, MethodOptions, ModelOptions, OutputOptions, PromptOptions
from heat.serve.cli import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heat.answers import Answer
    from heat.attribution import Attribution
    from heat.cost.plan import Plan
    from heat.encoding import Encoded
    from heat.files import Messages
    from heat.method import Method
    from heat.model import LanguageModel

# What PyTorch takes with the embedded reader is 1.2 GiB on two cores.
ADDRESS_SPACE = 2 << 30
# Columns that the list of methods takes whole.
WIDE = 140

# What the embedded reader answers rightly; of two sentences, or other words, it does not.
EXAMPLE = (
    '"The fern absorbs the copper. The moss absorbs the iron. The reed absorbs the zinc. '
    'What does the moss absorb? Answer:"'
)

app = typer.Typer(
    help="Which words of a prompt made a language model say what it said? HEAT and its baselines.",
    epilog=f"Example: heat explain {EXAMPLE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(fitting, name="fit")
app.command(cls=OnceCommand, epilog="Example: heat serve --model models/smollm2")(bundled(serve))


@app.command(
    cls=OnceCommand,
    epilog=f"Example: heat explain {EXAMPLE} --method heat --html page.html",
)
@bundled
def explain(
    prompt: PromptOptions = PromptOptions(),
    model: ModelOptions = ModelOptions(),
    method: MethodOptions = MethodOptions(),
    output: OutputOptions = OutputOptions(),
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what it will cost after two seconds of timing; compute nothing."),
    ] = False,
) -> None:
    """Colour the words of a prompt by how much each made the model say the target."""
    if sum(source is not None for source in (prompt.prompt, prompt.prompt_file, prompt.chat)) != 1:
        raise typer.BadParameter("give a prompt, or --prompt-file FILE, or --chat FILE, and only one of them")
    _check_answer(prompt)
    from heat.show.explained import as_json, check_files, print_all, print_json, saved_paths, write_pictures

    names = method.method or ["heat"]
    check_files(output, names)
    text = _read_prompt(prompt)
    from heat.api import check_precision, check_seed
    from heat.comparison import attribute_each
    from heat.encoding import check_generated, encode
    from heat.model import load
    from heat.registry import configured

    methods = configured(names, method.chosen_settings)
    # What is out of reach is refused before anything is loaded.
    for chosen in methods:
        check_precision(chosen, model.dtype)
    check_seed(method.seed)
    if prompt.target is None:
        check_generated(prompt.max_targets)
    lm = load(model.model, dtype=model.dtype, device=model.device)
    answer = None if prompt.answer is None else _answer(lm, text, prompt, method.seed)
    if answer is None:
        foil = prompt.foil[0] if prompt.foil else None
        encoded = encode(lm, text, prompt.target, foil=foil, max_targets=prompt.max_targets)
    else:
        encoded = answer.encoded
    if plan:
        _show_plans(lm, encoded, methods, as_json=output.as_json)
        return
    attributions = attribute_each(lm, encoded, None, methods, seed=method.seed) if encoded.wanted else []
    if not (output.as_json or output.quiet):
        for line in _advice(lm, text, prompt, encoded, methods, attributions):
            print(f"note: {line}", file=sys.stderr)
    for path, attribution in zip(saved_paths(output.out, names), attributions, strict=False):
        attribution.save(path)
    shown = [one.without_first() if output.skip_first else one for one in attributions]
    if shown:
        read = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
        command = command_line(prompt, model, method, output, read=read)
        write_pictures(shown, output, answer, command, group=prompt.group)
    if output.as_json:
        print_json(as_json(attributions, output, answer))
    else:
        print_all(shown, output, names, answer, group=prompt.group)
    if output.files and not shown:
        raise EmptyTargetError(
            "no token of the answer depends on the text, so no file was written; lower --threshold to explain it "
            "all the same"
        )


@app.command(epilog="Example: heat methods --json")
def methods(as_json: JsonOption = False) -> None:
    """List every attribution method with what it needs, what it costs and where it comes from."""
    from heat.registry import methods as registered
    from heat.show.explained import print_json

    if as_json:
        rows = [
            {
                "name": name,
                "summary": method.summary,
                "needs": list(method.needs),
                "signed": method.signed,
                "forward_equivalents_at_100_tokens": method().cost(100, 1),
                "options": method().config(),
                "source": method.source,
            }
            for name, method in registered().items()
        ]
        print_json(json.dumps(rows, indent=2, ensure_ascii=False), indent=2)
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    table.add_column("cost", justify="right", no_wrap=True)
    table.add_column("what it is")
    if wide:
        table.add_column("needs", no_wrap=True)
        table.add_column("source")
    for name, method in registered().items():
        beside = (", ".join(method.needs) or "nothing", method.source) if wide else ()
        table.add_row(name, f"{method().cost(100, 1):,.0f}", method.summary, *beside)
    console.print(table)
    if not wide:
        print(f"needs and source of each: --json, or a terminal of {WIDE} columns")
    print("cost: forward passes for one target after 100 tokens with the default options; backward counts 1")


@app.command(cls=OnceCommand, epilog="Example: heat convert model.gguf models/mine")
def convert(
    file: Annotated[Path, typer.Argument(help="The GGUF file.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="The model folder to come.", show_default=False)],
    dtype: Annotated[str, typer.Option(help="Dtype of the weights.")] = "float32",
) -> None:
    """Unpack a GGUF file into an ordinary model folder, which loads in seconds (extra gguf)."""
    from heat.loading.convert import convert as converted

    revision = converted(file, folder, dtype=dtype)
    print(f"wrote {folder} (revision {revision})")


def main() -> None:
    """Entry point of the console script."""
    run(app, (HeatError,), address_space=ADDRESS_SPACE)


def _check_answer(prompt: PromptOptions) -> None:
    """Options that ask for one thing in two ways, or for nothing."""
    if prompt.answer is None:
        given = {
            "--context": prompt.context is not None,
            "--threshold": prompt.threshold is not None,
            "--temperature": prompt.temperature is not None,
            "--group": prompt.group,
        }
        if any(given.values()):
            name = next(name for name, there in given.items() if there)
            raise typer.BadParameter(f"{name} is about a whole answer; add --answer model, or --answer TEXT")
        if len(prompt.foil or ()) > 1:
            raise typer.BadParameter("--foil is given several times; give one, or explain a whole --answer")
    elif prompt.target is not None:
        raise typer.BadParameter("give --target or --answer, not both")
    elif prompt.temperature is not None and prompt.answer != "model":
        raise typer.BadParameter("--temperature is about what the model says; use it with --answer model")


def _answer(lm: "LanguageModel", text: "str | Messages", prompt: PromptOptions, seed: int) -> "Answer":
    from heat.answers import LONGEST, THRESHOLD, answer

    foils: dict[int, str | int] = {}
    for foil in prompt.foil or ():
        number, separator, instead = foil.partition("=")
        if not separator or not number.strip().isdecimal() or int(number) < 1:
            raise ConfigError(
                f"--foil {foil} does not name a token of the answer; for its third: --foil '3= copper'"
            )
        foils[int(number) - 1] = instead
    given = prompt.answer != "model"
    return answer(
        lm,
        text,
        prompt.answer if given else None,
        context=prompt.context,
        foils=foils,
        threshold=THRESHOLD if prompt.threshold is None else prompt.threshold,
        max_tokens=prompt.max_targets or LONGEST,
        temperature=prompt.temperature,
        seed=seed,
    )


def _advice(
    lm: "LanguageModel",
    text: "str | Messages",
    prompt: PromptOptions,
    encoded: "Encoded",
    methods: "list[Method]",
    attributions: "list[Attribution]",
) -> "Iterator[str]":
    from heat.advice import of_completeness, of_text

    foil = prompt.foil[0] if prompt.foil and prompt.answer is None else None
    following = prompt.target if prompt.answer in (None, "model") else prompt.answer
    yield from of_text(lm, text, following, foil, encoded)
    for method, attribution in zip(methods, attributions, strict=False):
        yield from of_completeness(lm, encoded, method, attribution)


def _show_plans(lm: "LanguageModel", encoded: "Encoded", methods: "list[Method]", *, as_json: bool) -> None:
    from heat.cost.plan import calibrate
    from heat.cost.plan import plan as planned

    speed = calibrate(lm, encoded)
    estimates = [planned(lm, encoded, method, speed) for method in methods]
    if as_json:
        rows = [asdict(estimate) for estimate in estimates]
        print(json.dumps(rows[0] if len(rows) == 1 else rows, indent=2))
        return
    for estimate in estimates:
        _show_plan(estimate)


def _show_plan(estimate: "Plan") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    table.add_column("part")
    table.add_column("forward-equivalents", justify="right")
    table.add_column("seconds, about", justify="right")
    for part, cost in estimate.forward_equivalents.items():
        table.add_row(part, f"{cost:,.1f}", f"{estimate.seconds[part]:,.2f}")
    total, seconds = sum(estimate.forward_equivalents.values()), sum(estimate.seconds.values())
    table.add_row("all", f"{total:,.1f}", f"{seconds:,.2f}")
    Console().print(table)
    print(
        f"{estimate.method} on {estimate.n_tokens} tokens for {estimate.n_targets} target tokens; "
        f"memory about {estimate.peak_bytes / 2**30:.2f} GiB at the peak; nothing was computed yet"
    )


def _read_prompt(options: PromptOptions) -> "str | Messages":
    from heat.files import read_chat, read_prompt

    if options.chat is not None:
        return read_chat(options.chat)
    if options.prompt is None or options.prompt == "-":
        return read_prompt(options.prompt_file or "-")
    return options.prompt


if __name__ == "__main__":
    main()
