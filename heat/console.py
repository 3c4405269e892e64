"""Running a command for people: an expected error is one sentence, and `--debug` shows the whole story."""

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from heat.errors import OutOfMemoryError

INTERRUPTED = 130
_BYTES_PER_CORE = 64 << 20
_NO_MEMORY = (
    "there is not enough memory; end other programs, raise the limit (ulimit -v), or use a smaller model, prompt or "
    "dtype"
)
_OF_MEMORY = (
    "out of memory",
    "allocate memory",  # can't, cannot
    "failed to map segment",
    "can't start new thread",
)


def run(app: typer.Typer, errors: tuple[type[Exception], ...], *, address_space: int = 0) -> None:
    """Run a command line; the process ends with its exit code.

    An expected error is one line on stderr and exit code 1, a wrong command line exits 2, Ctrl-C and SIGTERM exit 130.
    `--debug` anywhere on the command line prints the traceback before that line.

    Args:
        app: The Typer application.
        errors: The exceptions whose text is written for people.
        address_space: Bytes of address space that the libraries of its commands take, but for what they take for each
            core. A command is refused under a lower limit (`ulimit -v`), in which they would hang or crash.
    """
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character shows its escape
            stream.reconfigure(errors="backslashreplace")
    try:
        command_of(app, address_space)()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what Typer makes of Ctrl-C, without a word
            print("interrupted", file=sys.stderr)
        raise
    except Exception as error:
        expected = isinstance(error, (*errors, OSError))
        if not expected and not lacks_memory(error):
            raise
        if debug:
            traceback.print_exc()
        print(f"error: {describe(error) if expected else _NO_MEMORY}", file=sys.stderr)
        sys.exit(1)


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


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory, also where libraries are loaded.

    Args:
        error: Any error.

    Returns:
        Whether it does.
    """
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
    """One line for a person.

    Args:
        error: An expected error.

    Returns:
        Its own sentence, or what the system said and about which file.
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: '{error.filename}'" if error.filename else error.strerror
    return " ".join(str(error).split())
