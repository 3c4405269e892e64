"""Running a command for people: an expected error is one sentence, and `--debug` shows the whole story."""

import io
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer

INTERRUPTED = 130
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


def run(app: typer.Typer, errors: tuple[type[Exception], ...]) -> None:
    """Run a command line; the process ends with its exit code.

    An expected error is one line on stderr and exit code 1, a wrong command line exits 2, Ctrl-C and SIGTERM exit 130.
    `--debug` anywhere on the command line prints the traceback before that line.

    Args:
        app: The Typer application.
        errors: The exceptions whose text is written for people.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character shows its escape
            stream.reconfigure(errors="backslashreplace")
    try:
        command_of(app)()
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
