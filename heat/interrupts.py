"""Ctrl-C while modules are imported ends the process: a library turns it into another error, or goes on."""

import os
import signal
from types import FrameType

_SAID = b"interrupted\n"
_CODE = 130
_IMPORTING = "<frozen importlib._bootstrap>"


def end_imports_at_once() -> None:
    """Let SIGINT and SIGTERM end the process in the middle of an import, and raise `KeyboardInterrupt` elsewhere.

    Where SIGINT is ignored (`nohup`, a script's background job) it stays so. For the main thread of a command.
    """
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            os.write(2, _SAID)  # `print` may be at work already
            os._exit(_CODE)
        frame = frame.f_back
    raise KeyboardInterrupt
