"""Errors at the command line."""

import sys

import pytest
import typer

from annotate.console import run


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_too_little_memory_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["annotate"])
    with pytest.raises(SystemExit) as ended:
        run(app, ())
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: there is not enough memory; ")


def test_other_errors_are_not_about_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(sys, "argv", ["annotate"])
    with pytest.raises(RuntimeError, match="something else"):
        run(app, ())
