"""`evaluate reader`: train the embedded reader and measure what it can do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from annotate.console import command_line, print_json, progress

app = typer.Typer(
    help="Train and measure the embedded reader.",
    epilog="Example: evaluate reader measure",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


@app.command(epilog="Example: evaluate reader train --out my-reader --most 500 --finish 100")
def train(
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
    most: Annotated[
        int | None,
        typer.Option(min=1, help="Steps after which the last level begins. Default: the recipe's."),
    ] = None,
    finish: Annotated[
        int | None, typer.Option(min=1, help="Steps at the last level. Default: the recipe's.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and corpus.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Train the reader on the sample world and write it with its recipe and log."""
    from evaluate.reader.train import Progress, Recipe, train_reader

    recipe = Recipe(seed=seed, threads=threads, most=most or Recipe.most, finish=finish or Recipe.finish)
    with progress(quiet) as bar:
        task = bar.add_task("training", total=recipe.most + recipe.finish)

        def report(now: Progress) -> None:
            place = f"level {now.level + 1}/{len(recipe.levels)}"
            state = f"{place}, answers {now.accuracy:.2f} right, loss {now.answer_loss:.2f}"
            bar.update(task, completed=now.step, description=state)

        train_reader(recipe, out, command_line(), report)
    print(out)


@app.command(epilog="Example: evaluate reader measure --model my-reader --card")
def measure(
    model: Annotated[Path | None, typer.Option(help="Reader's folder. Default: the one that ships.")] = None,
    size: Annotated[int, typer.Option(min=1, help="Paragraphs per measure.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the paragraphs.")] = 0,
    card: Annotated[bool, typer.Option("--card", help="Write the model card into the folder.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
) -> None:
    """Measure accuracy on unseen pairs, on unseen patterns, and under swapped evidence."""
    import heat
    from annotate.files import shipped
    from evaluate.reader.card import write_card
    from evaluate.reader.measure import measure_reader

    folder = model or shipped("reader")
    lm = heat.load(folder)
    proportions = measure_reader(lm, size, seed)
    if card:
        write_card(folder, proportions, command_line(), lm.model.num_parameters())
    if json_:
        print_json({"model": lm.name, "revision": lm.revision, "measures": [p.row() for p in proportions]})
        return
    for p in proportions:
        print(
            f"{p.value:.3f}  [{p.low:.3f}, {p.high:.3f}]  {p.hits}/{p.n}  {p.name} (asked for {p.wanted:.2f})"
        )
