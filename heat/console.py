"""Running a command for people: an expected error is one sentence, and `--debug` shows the whole story."""

import io
import signal
import sys
import traceback
from collections.abc import Callable

from heat.errors import HeatError

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


def run(app: Callable[[list[str]], object]) -> None:
    """Run a command line; the process ends with its exit code.

    An expected error prints one line to stderr and exits 1, a wrong command line exits 2, Ctrl-C and SIGTERM exit 130.
    `--debug` anywhere on the command line shows the traceback as well.

    Args:
        app: The Typer application.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character shows its escape
            stream.reconfigure(errors="backslashreplace")
    try:
        app(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what Typer makes of Ctrl-C, without a word
            print("interrupted", file=sys.stderr)
        raise
    except (HeatError, OSError) as error:
        if debug:
            traceback.print_exc()
        print(f"error: {describe(error)}", file=sys.stderr)
        sys.exit(1)
    except (MemoryError, ImportError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        if debug:
            traceback.print_exc()
        print(f"error: {_NO_MEMORY}", file=sys.stderr)
        sys.exit(1)


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory, also where libraries are loaded.

    Args:
        error: Any error.

    Returns:
        Whether it does.
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in text for phrase in _OF_MEMORY)


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
