"""What the command lines share: one-line errors, progress with an estimate, output for people or machines."""

from __future__ import annotations

import errno
import io
import json
import shlex
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotate.outside import printable, whole_characters

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

INTERRUPTED = 130
_NO_MEMORY = "there is not enough memory; end other programs, or raise the limit (ulimit -v)"
_OF_MEMORY = ("out of memory", "allocate memory", "failed to map segment", "can't start new thread")
_INTERRUPTED = "interrupted; finished work is kept, re-run the command to resume"
_FULL = "; finished work is kept: make room, then re-run the command"


def run(app: typer.Typer, errors: tuple[type[Exception], ...]) -> None:
    """Run a command line; the process ends with its exit code.

    An expected error is one line on stderr and exit code 1, or the error's own ``exit_code``; a wrong command line
    exits 2, Ctrl-C and SIGTERM, which `docker stop` and Slurm send, exit 130. ``--debug`` anywhere on the command line
    prints the traceback before that line.

    Args:
        app: The Typer application.
        errors: The exceptions whose text is written for people.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack a character that an annotator used
            stream.reconfigure(errors="backslashreplace")
    try:
        command_of(app)()
    except KeyboardInterrupt:
        print(_INTERRUPTED, file=sys.stderr)
        sys.exit(INTERRUPTED)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what Typer makes of Ctrl-C, without a word
            print(_INTERRUPTED, file=sys.stderr)
        raise
    except Exception as error:
        expected = isinstance(error, (*errors, OSError))
        if not expected and not _lacks_memory(error):
            raise
        if debug:
            print(printable(traceback.format_exc()), end="", file=sys.stderr)
        print(f"error: {printable(describe(error) if expected else _NO_MEMORY)}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))


def command_of(app: typer.Typer) -> Callable[..., object]:
    """The command line of a Typer app, with `--debug` in the help of each of its commands.

    `run` acts on `--debug` wherever it stands, so no command takes it.
    """
    from typer.main import get_command

    holder = typer.Typer(add_completion=False)

    @holder.command()
    def _(
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    ) -> None: ...

    option = get_command(holder).params[0]
    option.expose_value = False
    commands = [get_command(app)]
    root = commands[0]
    for command in commands:
        command.params.append(option)
        commands += getattr(command, "commands", {}).values()
    return root


def _lacks_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory, also where libraries are loaded."""
    text = str(error).lower()
    said = isinstance(error, (ImportError, RuntimeError)) and any(phrase in text for phrase in _OF_MEMORY)
    return said or isinstance(error, MemoryError)


def describe(error: Exception) -> str:
    """One line for a person: an error's own sentence, or what the system said and where."""
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return f"{error.strerror}{place}" + (_FULL if full else "")
    return " ".join(str(error).split())


def progress(quiet: bool) -> Progress:
    """Progress on stderr: bars with a count and an ETA, a line now and then where that is no terminal."""
    from annotate.progress import make_progress

    return make_progress(quiet)


def print_json(value: object) -> None:
    """Print ``value`` to stdout as JSON, and nothing else; escaped where the terminal lacks a character."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, allow_nan=False)
    print(printable(text))


def command_line() -> str:
    """The command being run, as it can be typed again but for bytes that are no UTF-8."""
    return whole_characters(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
