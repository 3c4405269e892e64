"""What the command lines share: one-line errors, progress with an estimate, output for people or machines."""

from __future__ import annotations

import errno
import io
import json
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.outside import whole_characters

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

_NO_MEMORY = "there is not enough memory; end other programs, or raise the limit (ulimit -v)"
_OF_MEMORY = ("out of memory", "allocate memory", "failed to map segment", "can't start new thread")
_INTERRUPTED = "interrupted; what was finished is kept, the same command goes on"
_FULL = "; what was finished is kept: make room, then run the same command again"


def run(app: Callable[[], object], errors: tuple[type[Exception], ...]) -> None:
    """Run a Typer app; turn an expected error into one line on stderr and a non-zero exit.

    SIGTERM, which `docker stop` and Slurm send, interrupts like Ctrl-C. ``--debug`` anywhere on the command line shows
    the traceback instead.

    Args:
        app: The Typer application.
        errors: The exceptions whose text is written for people; an ``exit_code`` attribute is honoured.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack a character that an annotator used
            stream.reconfigure(errors="backslashreplace")
    expected: tuple[type[Exception], ...] = (*errors, OSError)
    try:
        app()
    except KeyboardInterrupt:
        print(_INTERRUPTED, file=sys.stderr)
        raise SystemExit(130) from None
    except SystemExit as stop:
        if stop.code == 130:  # what Typer makes of Ctrl-C, without a word
            print(_INTERRUPTED, file=sys.stderr)
        raise
    except expected as error:
        if debug:
            raise
        print(f"error: {describe(error)}", file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 1)) from None
    except (MemoryError, ImportError, RuntimeError) as error:
        if debug or not _lacks_memory(error):
            raise
        print(f"error: {_NO_MEMORY}", file=sys.stderr)
        raise SystemExit(1) from None


def _lacks_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory, also where libraries are loaded."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(each in text for each in _OF_MEMORY)


def describe(error: Exception) -> str:
    """One line for a person: an error's own sentence, or what the system said and where."""
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return f"{error.strerror}{place}" + (_FULL if full else "")
    return " ".join(str(error).split())


def progress(quiet: bool) -> Progress:
    """A progress bar on stderr with a count and an ETA; silent when ``quiet``."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=Console(stderr=True, emoji=False),
        disable=quiet,
    )


def print_json(value: object) -> None:
    """Print ``value`` to stdout as JSON, and nothing else; escaped where the terminal lacks a character."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, allow_nan=False)
    print(text)


def command_line() -> str:
    """The command being run, as it can be typed again but for bytes that are no UTF-8."""
    return whole_characters(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
