"""What the command lines share: one-line errors, progress with an estimate, output for people or machines."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import signal
import sys
import traceback
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotate.errors import OutOfMemoryError
from annotate.outside import printable, whole_characters

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

INTERRUPTED = 130
_BYTES_PER_CORE = 64 << 20
_NO_MEMORY = "there is not enough memory; end other programs, or raise the limit (ulimit -v)"
_OF_MEMORY = ("out of memory", "allocate memory", "failed to map segment", "can't start new thread")
_INTERRUPTED = "interrupted; finished work is kept, re-run the command to resume"
_FULL = "; finished work is kept: make room, then re-run the command"


def run(app: typer.Typer, errors: tuple[type[Exception], ...], *, address_space: int = 0) -> None:
    """Run a command line; the process ends with its exit code.

    An expected error is one line on stderr and exit code 1, or the error's own ``exit_code``; a wrong command line
    exits 2, Ctrl-C and SIGTERM, which `docker stop` and Slurm send, exit 130. ``--debug`` anywhere on the command line
    prints the traceback before that line.

    Args:
        app: The Typer application.
        errors: The exceptions whose text is written for people.
        address_space: Bytes of address space that the libraries of its commands take, but for what they take for each
            core. A command is refused under a lower limit (``ulimit -v``), in which they would hang or crash.
    """
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack a character that an annotator used
            stream.reconfigure(errors="backslashreplace")
    try:
        command_of(app, address_space)()
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


def command_of(app: typer.Typer, address_space: int = 0) -> Callable[..., object]:
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
        inner = getattr(command, "commands", {}).values()
        if command.callback is not None and not inner:
            command.callback = _with_room(command.callback, address_space)
        commands += inner
    return root


def _lacks_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory, also where libraries are loaded."""
    text = str(error).lower()
    said = isinstance(error, (ImportError, RuntimeError)) and any(phrase in text for phrase in _OF_MEMORY)
    return said or isinstance(error, MemoryError)


def _with_room(command: Callable[..., Any], address_space: int) -> Callable[..., Any]:
    """A command that is refused where its libraries would find too little address space."""

    @wraps(command)
    def checked(*given: Any, **named: Any) -> Any:
        check_address_space(address_space)
        return command(*given, **named)

    return checked


def check_address_space(needed: int) -> None:
    """Refuse a limit of the address space in which numerical libraries do not end.

    OpenBLAS asks for memory again and again where it gets none, and does not hear Ctrl-C meanwhile.

    Args:
        needed: Bytes that are needed beside 64 MiB (stacks and arenas of threads) for each core.

    Raises:
        OutOfMemoryError: The limit is lower.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    needed += _BYTES_PER_CORE * (os.cpu_count() or 1)
    if limit != resource.RLIM_INFINITY and limit < needed:
        raise OutOfMemoryError(
            f"the address space is limited to {limit / 2**30:.2f} GiB (ulimit -v), and the libraries of this command "
            f"take {needed / 2**30:.2f} GiB; raise the limit, for example with: ulimit -v unlimited"
        )


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
