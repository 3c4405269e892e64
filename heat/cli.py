"""The command `heat`: explain one answer, list the methods."""

import errno
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heat.console import run
from heat.errors import ConfigError

if TYPE_CHECKING:
    from heat.attribution import Attribution

app = typer.Typer(
    help="Which words of a prompt made a language model say what it said? HEAT and its baselines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[str | None, typer.Option(help="Model folder or hub name. Default: the embedded reader.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@app.command(
    epilog='Example: heat explain "The vault is copper. The gate is made of iron. '
    'Question: What is the gate made of? Answer:" --method heat'
)
def explain(
    prompt: Annotated[str, typer.Argument(help="The prompt; '-' reads it from standard input.")],
    target: Annotated[str | None, typer.Option(help="What to explain. Default: the next token.")] = None,
    model: Model = None,
    method: Annotated[str, typer.Option(help="Method; see `heat methods`.")] = "heat",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Option of the method, as name=value; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of whatever the method draws.")] = 0,
    dtype: Annotated[str | None, typer.Option(help="Number format, for example float32.")] = None,
    device: Annotated[str | None, typer.Option(help="For example cuda:0, or auto. Default: CPU.")] = None,
    out: Annotated[Path | None, typer.Option(help="Save the attribution to this .safetensors file.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many words to list.")] = 10,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the top words only, one a line.")] = False,
) -> None:
    """Colour the words of a prompt by how much each made the model say the target."""
    config = dict(_option(text) for text in set_ or [])
    from heat.api import attribute
    from heat.model import load
    from heat.registry import build

    if out is not None and not out.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to save into", str(out.parent))
    chosen = build(method, config)
    text = sys.stdin.read() if prompt == "-" else prompt
    attribution = attribute(load(model, dtype=dtype, device=device), text, target, chosen, seed=seed)
    if out is not None:
        attribution.save(out)
    if as_json:
        print(attribution.to_json())
        return
    _show(attribution, top, quiet=quiet)


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
        print(json.dumps(rows, indent=2, ensure_ascii=False))
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
    print("cost: forward passes for one target after 100 tokens with the default options; backward counts 2")


def main() -> None:
    """Entry point of the console script."""
    run(app)


def _option(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"--set {text} is not name=value, for example --set n_steps=20")
    return name.strip().replace("-", "_"), value.strip()


def _show(attribution: "Attribution", top: int, *, quiet: bool) -> None:
    from rich.console import Console

    from heat.display import coloured, printable, prompt_words, target_text

    words = prompt_words(attribution)
    strongest = sorted(words, key=lambda word: -abs(word.score))[:top]
    if quiet:
        for word in strongest:
            print(printable(word.text))
        return
    console = Console(highlight=False)
    probability = float(attribution.log_probs.sum().exp())
    console.print(coloured(words))
    console.print(
        f"\n-> {printable(target_text(attribution))}   probability {probability:.3g}   "
        f"method {attribution.method}   model {attribution.model}",
        markup=False,
    )
    for word in strongest:
        console.print(f"{word.score:10.4g}  {printable(word.text)}", markup=False)


if __name__ == "__main__":
    main()
