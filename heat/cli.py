"""The command `heat`: explain one answer, serve a page, list the methods, learn for one, unpack a model file."""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heat.bundles import OnceCommand, bundled
from heat.console import run
from heat.errors import ConfigError, HeatError
from heat.fitting.cli import app as fitting
from heat.options import JsonOption, MethodOptions, ModelOptions, OutputOptions, PromptOptions
from heat.serve.cli import serve

if TYPE_CHECKING:
    from heat.attribution import Attribution
    from heat.encoding import Encoded
    from heat.files import Messages
    from heat.method import Method
    from heat.model import LanguageModel

# What PyTorch takes with the embedded reader is 1.2 GiB on two cores.
ADDRESS_SPACE = 2 << 30
# Columns that the list of methods takes whole.
WIDE = 140

app = typer.Typer(
    help="Which words of a prompt made a language model say what it said? HEAT and its baselines.",
    epilog='Example: heat explain "The fern absorbs the copper. The moss absorbs the iron. '
    'What does the moss absorb? Answer:"',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(fitting, name="fit")
app.command(cls=OnceCommand, epilog="Example: heat serve --model models/smollm2")(bundled(serve))


@app.command(
    cls=OnceCommand,
    epilog='Example: heat explain "The vault is copper. The gate is made of iron. '
    'Question: What is the gate made of? Answer:" --method heat --html page.html',
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
    config = dict(_setting(text) for text in method.settings or [])
    if sum(source is not None for source in (prompt.prompt, prompt.prompt_file, prompt.chat)) != 1:
        raise typer.BadParameter("give a prompt, or --prompt-file FILE, or --chat FILE, and only one of them")
    from heat.files import check_writable

    for path in output.files:
        check_writable(path)
    if len({path.resolve() for path in output.files}) < len(output.files):
        raise ConfigError("two of --out, --html and --png name the same file; give each its own")
    text = _read_prompt(prompt)
    from heat.api import attribute, check_precision, check_seed
    from heat.encoding import check_generated, encode
    from heat.model import load
    from heat.registry import build

    chosen = build(method.method, config)
    # What is out of reach is refused before anything is loaded.
    check_precision(chosen, model.dtype)
    check_seed(method.seed)
    if prompt.target is None:
        check_generated(prompt.max_targets)
    lm = load(model.model, dtype=model.dtype, device=model.device)
    encoded = encode(lm, text, prompt.target, foil=prompt.foil, max_targets=prompt.max_targets)
    if plan:
        _show_plan(lm, encoded, chosen, as_json=output.as_json)
        return
    attribution = attribute(lm, encoded, None, chosen, seed=method.seed)
    if not (output.as_json or output.quiet):
        from heat.advice import of_completeness, of_text

        for line in [
            *of_text(lm, text, prompt.target, prompt.foil, encoded),
            *of_completeness(lm, encoded, chosen, attribution),
        ]:
            print(f"note: {line}", file=sys.stderr)
    if output.out is not None:
        attribution.save(output.out)
    shown = attribution.without_first() if output.skip_first else attribution
    _write_pictures(shown, output)
    if output.as_json:
        _print_json(attribution.to_json())
    else:
        _show(shown, output)


@app.command(epilog="Example: heat methods --json")
def methods(as_json: JsonOption = False) -> None:
    """List every attribution method with what it needs, what it costs and where it comes from."""
    from heat.registry import methods as registered

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
        _print_json(json.dumps(rows, indent=2, ensure_ascii=False), indent=2)
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


def _show_plan(lm: "LanguageModel", encoded: "Encoded", method: "Method", *, as_json: bool) -> None:
    from heat.cost.plan import calibrate
    from heat.cost.plan import plan as planned

    estimate = planned(lm, encoded, method, calibrate(lm, encoded))
    if as_json:
        print(json.dumps(asdict(estimate), indent=2))
        return
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


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"--set {text} is not name=value, for example --set n_steps=20")
    return name.strip().replace("-", "_"), value.strip()


def _read_prompt(options: PromptOptions) -> "str | Messages":
    from heat.files import read_chat, read_prompt

    if options.chat is not None:
        return read_chat(options.chat)
    if options.prompt is None or options.prompt == "-":
        return read_prompt(options.prompt_file or "-")
    return options.prompt


def _write_pictures(attribution: "Attribution", output: OutputOptions) -> None:
    from heat.files import write_whole

    if output.html is not None:
        from heat.show.page import page

        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
        write_whole(output.html, page(attribution, command).encode())
    if output.png is not None:
        from heat.show.picture import picture

        write_whole(output.png, picture(attribution))


def _print_json(text: str, indent: int | None = None) -> None:
    """JSON, with escapes where the terminal cannot show a character."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text), indent=indent)
    print(text)


def _show(attribution: "Attribution", output: OutputOptions) -> None:
    from rich.console import Console

    from heat.show.display import show
    from heat.show.words import read, visible

    if output.quiet:
        reading = read(attribution)
        for index in reading.strongest(output.top):
            print(visible(reading.prompt[index].text))
        return
    show(attribution, output.top, Console(highlight=False))
    for path in output.files:
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
