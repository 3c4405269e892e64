"""A command run in this process."""

import sys
from collections.abc import Callable

import pytest

Run = Callable[..., tuple[int, str, str]]
"""Arguments of the command line to exit code, stdout and stderr."""


def runner(
    name: str, main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Calls a command's entry point with arguments, as the shell would."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run
