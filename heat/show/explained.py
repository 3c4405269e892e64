"""What `heat explain` writes and prints of attributions, for every command that explains a prompt."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heat.errors import ConfigError
from heat.files import check_writable, write_whole
from heat.options import OutputOptions

if TYPE_CHECKING:
    from heat.answers import Answer
    from heat.attribution import Attribution


def check_files(output: OutputOptions, names: Sequence[str]) -> None:
    """Refuse files that cannot be written, before anything is computed.

    Args:
        output: Where the explanation goes.
        names: The methods.

    Raises:
        ConfigError: Two options name one file.
        HeatError: A file cannot be written.
    """
    for path in [*output.files, *saved_paths(output.out, names)]:
        check_writable(path)
    if len({path.resolve() for path in output.files}) < len(output.files):
        raise ConfigError("two of --out, --html and --png name the same file; give each its own")


def saved_paths(out: Path | None, names: Sequence[str]) -> list[Path]:
    """Where the attributions go: with several methods each to a file that ends with its name."""
    if out is None or len(names) == 1:
        return [] if out is None else [out]
    return [out.with_name(f"{out.stem}.{name}{out.suffix}") for name in names]


def write_pictures(
    attributions: list[Attribution],
    output: OutputOptions,
    answer: Answer | None,
    command: str,
    *,
    group: bool,
) -> None:
    """Write the page and the picture that were asked for.

    Args:
        attributions: One for each method.
        output: Where they go.
        answer: The whole answer that is explained, or None.
        command: The command line that makes them again.
        group: Whether its tokens are explained together.
    """
    if output.html is not None:
        from heat.show.page import page

        content = page(
            attributions[0] if len(attributions) == 1 else attributions,
            command,
            unit=output.unit,
            aggregation=output.aggregation,
            answer=answer,
            group=group,
        )
        write_whole(output.html, content.encode())
    if output.png is not None:
        from heat.show.picture import picture

        write_whole(
            output.png,
            picture(
                attributions[0] if len(attributions) == 1 else attributions,
                unit=output.unit,
                aggregation=output.aggregation,
            ),
        )


def as_json(attributions: list[Attribution], output: OutputOptions, answer: Answer | None) -> str:
    """The explanation as JSON text: one attribution as it is, several with what they have in common."""
    from heat.show.document import document

    if answer is None and len(attributions) == 1:
        return attributions[0].to_json()
    return document(attributions, output.unit, output.aggregation, answer)


def print_json(text: str, indent: int | None = None) -> None:
    """JSON, with escapes where the terminal cannot show a character."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text), indent=indent)
    print(text)


def print_all(
    attributions: list[Attribution],
    output: OutputOptions,
    names: Sequence[str],
    answer: Answer | None,
    *,
    group: bool,
) -> None:
    """Print the words with their scores, and which files were written.

    Args:
        attributions: One for each method.
        output: How, and how many words.
        names: The methods.
        answer: The whole answer that is explained, or None.
        group: Whether its tokens are explained together.
    """
    from rich.console import Console

    from heat.comparison import compare
    from heat.show.answer import show_answer
    from heat.show.display import show
    from heat.show.methods import show_methods
    from heat.show.words import one_line, read

    if output.quiet:
        for place, attribution in enumerate(attributions):
            reading = read(attribution, output.unit, output.aggregation)
            print("\n" if place else "", end="")
            for index in reading.strongest(output.top):
                print(one_line(reading.prompt[index].text))
        return
    console = Console(highlight=False)
    if answer is not None:
        show_answer(answer, attributions, console, output.unit, output.aggregation, words=not group)
    if len(attributions) == 1:
        show(attributions[0], output.top, console, output.unit, output.aggregation)
    elif attributions:
        show_methods(compare(attributions, output.unit, output.aggregation), output.top, console)
    if attributions:
        written = [
            *saved_paths(output.out, names),
            *(path for path in (output.html, output.png) if path is not None),
        ]
        for path in written:
            print(f"wrote {path}")
