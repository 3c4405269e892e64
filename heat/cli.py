"""The command `heat`: explain one answer, list the methods, unpack a model file."""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heat.console import run
from heat.errors import ConfigError
from heat.fitting.cli import app as fitting

if TYPE_CHECKING:
    from heat.attribution import Attribution
    from heat.encoding import Encoded
    from heat.files import Messages
    from heat.method import Method
    from heat.model import LanguageModel

app = typer.Typer(
    help="Which words of a prompt made a language model say what it said? HEAT and its baselines.",
    epilog='Example: heat explain "Tom has a pizza and a knife. He cuts a" --target " slice"',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(fitting, name="fit")

Model = Annotated[
    str | None, typer.Option(help="Model folder, GGUF file or hub name. Default: the embedded reader.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@app.command(
    epilog='Example: heat explain "The vault is copper. The gate is made of iron. '
    'Question: What is the gate made of? Answer:" --method heat --html page.html'
)
def explain(
    prompt: Annotated[
        str | None, typer.Argument(help="The prompt; '-' reads it from standard input.", show_default=False)
    ] = None,
    target: Annotated[str | None, typer.Option(help="What to explain. Default: the next token.")] = None,
    prompt_file: Annotated[
        str | None, typer.Option(help="Read the prompt from this UTF-8 file, less one newline at its end.")
    ] = None,
    chat: Annotated[
        str | None,
        typer.Option(help='Read chat messages from this JSON file: [{"role": "user", "content": "..."}].'),
    ] = None,
    max_targets: Annotated[
        int | None,
        typer.Option(min=1, help="Explain the first N tokens of the target, or of what the model says."),
    ] = None,
    foil: Annotated[
        str | None, typer.Option(help="What might have been said instead: explain the target against it.")
    ] = None,
    model: Model = None,
    method: Annotated[str, typer.Option(help="Method; see `heat methods`.")] = "heat",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Option of the method, as name=value; may be repeated.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=(1 << 63) - 1, help="Seed of whatever the method draws.")
    ] = 0,
    dtype: Annotated[str | None, typer.Option(help="Dtype, for example float32.")] = None,
    device: Annotated[str | None, typer.Option(help="For example cuda:0, or auto. Default: CPU.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write a picture to this file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Save the attribution to this .safetensors file.")] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what it will cost after two seconds of timing; compute nothing."),
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="How many words to list.")] = 10,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the top words only, one a line.")] = False,
) -> None:
    """Colour the words of a prompt by how much each made the model say the target."""
    config = dict(_option(text) for text in set_ or [])
    if sum(source is not None for source in (prompt, prompt_file, chat)) != 1:
        raise typer.BadParameter("give a prompt, or --prompt-file FILE, or --chat FILE, and only one of them")
    outputs = [path for path in (out, html, png) if path is not None]
    from heat.files import check_writable

    for path in outputs:
        check_writable(path)
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise ConfigError("two of --out, --html and --png name the same file; give each its own")
    asked = _prompt(prompt, prompt_file, chat)
    from heat.api import attribute, check_precision, check_seed
    from heat.encoding import check_generated, encode
    from heat.model import load
    from heat.registry import build

    chosen = build(method, config)
    # What is out of reach is refused before anything is loaded.
    check_precision(chosen, dtype)
    check_seed(seed)
    if target is None:
        check_generated(max_targets)
    lm = load(model, dtype=dtype, device=device)
    encoded = encode(lm, asked, target, foil=foil, max_targets=max_targets)
    if plan:
        _show_plan(lm, encoded, chosen, as_json=as_json)
        return
    attribution = attribute(lm, encoded, None, chosen, seed=seed)
    if out is not None:
        attribution.save(out)
    _write_pictures(attribution, html, png)
    if as_json:
        _print_json(attribution.to_json())
    else:
        _show(attribution, top, outputs, quiet=quiet)


@app.command(epilog="Example: heat methods --json")
def methods(as_json: Json = False) -> None:
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

    table = Table(box=None)
    table.add_column("method", no_wrap=True)
    table.add_column("cost", justify="right")
    table.add_column("needs", no_wrap=True)
    table.add_column("what it is")
    table.add_column("source")
    for name, method in registered().items():
        needs = "\n".join(method.needs) or "nothing"
        table.add_row(name, f"{method().cost(100, 1):g}", needs, method.summary, method.source)
    Console().print(table)
    print("cost: forward passes for one target after 100 tokens with the default options; backward counts 1")


@app.command(epilog="Example: heat convert model.gguf models/mine")
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
    run(app)


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


def _option(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"--set {text} is not name=value, for example --set n_steps=20")
    return name.strip().replace("-", "_"), value.strip()


def _prompt(prompt: str | None, prompt_file: str | None, chat: str | None) -> "str | Messages":
    from heat.files import read_chat, read_prompt

    if chat is not None:
        return read_chat(chat)
    if prompt is None or prompt == "-":
        return read_prompt(prompt_file or "-")
    return prompt


def _write_pictures(attribution: "Attribution", html: Path | None, png: Path | None) -> None:
    from heat.files import write_whole

    if html is not None:
        from heat.show.page import page

        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
        write_whole(html, page(attribution, command).encode())
    if png is not None:
        from heat.show.picture import picture

        write_whole(png, picture(attribution))


def _print_json(text: str, indent: int | None = None) -> None:
    """JSON, with escapes where the terminal cannot show a character."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text), indent=indent)
    print(text)


def _show(attribution: "Attribution", top: int, outputs: list[Path], *, quiet: bool) -> None:
    from rich.console import Console

    from heat.show.display import show
    from heat.show.words import read, visible

    if quiet:
        reading = read(attribution)
        for index in reading.strongest(top):
            print(visible(reading.prompt[index].text))
        return
    show(attribution, top, Console(highlight=False))
    for path in outputs:
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
