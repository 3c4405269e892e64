"""The first moments of the three commands, and too little address space, in processes of their own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

import annotate.console
import heat.console
import heat.errors
from heat.loading.weights import unreadable

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("annotate", "heat", "evaluate")
WORK = {
    "annotate": ["agreement"],
    "heat": ["methods"],
    "evaluate": ["methods"],
}


def heed_interrupts() -> None:
    """Take SIGINT as a command at a terminal does; what a shell put into the background inherits it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def started(code: str, *arguments: str, **options) -> subprocess.Popen[str]:
    options.setdefault("preexec_fn", heed_interrupts)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_the_console_script_is_the_light_start(command: str) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts[command] == f"{command}.__main__:main"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("module", ["typer", "{command}.cli"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_modules_are_imported_is_one_line(
    command: str, module: str, number: signal.Signals
) -> None:
    # The interrupt comes as a module begins to be imported, and its exception is swallowed as some libraries do.
    code = f"""
import signal, sys
class Interrupting:
    def find_spec(self, name, *rest):
        if name == {module.format(command=command)!r}:
            try:
                signal.raise_signal({int(number)})
            except BaseException:
                pass
sys.meta_path.insert(0, Interrupting())
sys.argv = [{command!r}, "--help"]
from {command}.__main__ import main
main()
"""
    out, err = (process := started(code)).communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("interrupted")
    assert err.count("\n") == 1
    assert not out


@pytest.mark.parametrize("package", ["annotate", "heat"])
def test_an_interrupt_elsewhere_is_an_exception_and_an_ignored_one_stays_ignored(package: str) -> None:
    code = f"""
import signal
from {package}.interrupts import end_imports_at_once
end_imports_at_once()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("raised")
signal.signal(signal.SIGINT, signal.SIG_IGN)
end_imports_at_once()
signal.raise_signal(signal.SIGINT)
print("ignored")
"""
    out, err = started(code).communicate(timeout=60)
    assert (out, err) == ("raised\nignored\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_too_little_address_space_is_one_line_and_help_is_there(command: str) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    code = f"from {command}.__main__ import main; main()"
    out, err = (process := started(code, *WORK[command], preexec_fn=limit)).communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("error: the address space is limited to 0.39 GiB (ulimit -v), and the libraries")
    assert err.count("\n") == 1
    assert not out
    for arguments in (["--help"], [*WORK[command], "--help"]):
        out, err = (process := started(code, *arguments, preexec_fn=limit)).communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert "Usage" in out


@pytest.mark.parametrize("console", [annotate.console, heat.console])
def test_what_is_needed_grows_with_the_cores(console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    needed = (1 << 30) + 8 * (64 << 20)
    limits = iter([needed, needed - 1, resource.RLIM_INFINITY])
    monkeypatch.setattr(resource, "getrlimit", lambda _: (next(limits), resource.RLIM_INFINITY))
    console.check_address_space(1 << 30)
    with pytest.raises(console.OutOfMemoryError, match=r"limited to 1\.50 GiB .* take 1\.50 GiB; raise"):
        console.check_address_space(1 << 30)
    console.check_address_space(1 << 30)


@pytest.mark.parametrize("console", [annotate.console, heat.console])
def test_commands_in_groups_are_checked_too(console, monkeypatch: pytest.MonkeyPatch) -> None:
    app, inner = typer.Typer(), typer.Typer()
    ran = []

    @inner.command()
    def one() -> None:
        ran.append(1)

    @inner.command()
    def two() -> None: ...

    app.add_typer(inner, name="inner")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 20, 1 << 20))
    with pytest.raises(console.OutOfMemoryError):
        console.command_of(app, 1 << 30)(["inner", "one"], standalone_mode=False)
    assert not ran


@pytest.mark.parametrize(
    "text", ["can't start new thread", "unable to mmap 6943928 bytes from file <model.safetensors>"]
)
def test_a_model_that_finds_no_address_space_is_not_called_wrong(text: str) -> None:
    said = unreadable("models/mine", RuntimeError(text))
    assert isinstance(said, heat.errors.OutOfMemoryError)
    assert unreadable("models/mine", RuntimeError("the size of tensor a must match")) is None
