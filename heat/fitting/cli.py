"""The command `heat fit`."""

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from heat.bundles import OnceCommand, bundled
from heat.options import ModelOptions

app = typer.Typer(
    help="Learn what a method needs to know of a model, once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def root() -> None:
    """Learn what a method needs to know of a model, once."""


@dataclass(frozen=True)
class AblationOptions:
    """How texts are ablated."""

    masks: Annotated[int, typer.Option(min=3, help="Random ablations of each text.")] = 32
    sources: Annotated[Literal["words", "sentences"], typer.Option(help="What is taken away together.")] = (
        "words"
    )
    mask: Annotated[
        Literal["zero", "mean", "pad"], typer.Option(help="The embedding in a missing token's place.")
    ] = "zero"
    max_targets: Annotated[
        int | None,
        typer.Option(min=1, help="Take the first N target tokens of a text; of the model's own answer 1."),
    ] = None
    seed: Annotated[int, typer.Option(min=0, max=(1 << 63) - 1, help="Seed of the ablations.")] = 0


@app.command(
    cls=OnceCommand, epilog="Example: heat fit at2 --model models/mine --texts corpus.txt --limit 300"
)
@bundled
def at2(
    texts: Annotated[
        Path,
        typer.Option(
            help="UTF-8 file: JSON Lines with prompt and target (.jsonl), or plain text, one a line, whose last word "
            "is the target.",
            show_default=False,
        ),
    ],
    limit: Annotated[int | None, typer.Option(min=2, help="Read the first N texts only.")] = None,
    model: ModelOptions = ModelOptions(),
    ablation: AblationOptions = AblationOptions(),
    out: Annotated[
        Path | None,
        typer.Option(help="The .safetensors file to write. Default: where the method at2 looks for it."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a file of another fit.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Learn the weights of a model's attention heads for the method at2.

    What was computed is kept beside the file: run the same command again after an interruption.
    """
    began = time.perf_counter()
    from heat.errors import FitError
    from heat.files import check_writable
    from heat.fitting.ablations import Masking
    from heat.fitting.at2 import fit, is_of
    from heat.fitting.head_weights import HeadWeights, stored
    from heat.fitting.texts import read_texts
    from heat.model import load

    corpus = read_texts(texts, limit)
    if out is not None:
        check_writable(out)
    lm = load(model.model, dtype=model.dtype, device=model.device)
    if out is None:
        out = stored(lm)
        out.parent.mkdir(parents=True, exist_ok=True)
    masking = Masking(ablation.masks, ablation.sources, ablation.mask, ablation.seed)
    if out.exists() and not replace:
        if not is_of(HeadWeights.load(out), lm, corpus, masking, ablation.max_targets):
            raise FitError(
                f"'{out}' holds another fit; give --replace to replace it, or name another file (--out)"
            )
        print(f"{out} is there already")
        return
    ablations = out.with_suffix(".ablations")
    with _bar(len(corpus), quiet) as advance:
        fitted = fit(
            lm,
            corpus,
            masking,
            folder=ablations,
            max_targets=ablation.max_targets,
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            on_text=advance,
        )
    fitted.weights.save(out)
    print(
        f"wrote {out}: learned from {fitted.n_texts} texts with {masking.n_masks} ablations of each"
        + (
            f" ({fitted.n_left_out} left out: blank, too long or a single source)"
            if fitted.n_left_out
            else ""
        )
    )
    print(
        f"correlation with ablations on {fitted.n_held_out} texts held out: {fitted.correlation:.3f} "
        f"(equal weights: {fitted.uniform:.3f}); {time.perf_counter() - began:.0f} s; the ablations are kept in "
        f"{ablations}, for a fit with more texts"
    )


@contextmanager
def _bar(total: int, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, as a progress callback."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("ablating texts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, total: bar.update(task, completed=done)
