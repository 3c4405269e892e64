"""What the three commands have in common: `--debug`, one line for an error, one exit code."""

import importlib

import pytest
from fakes.commands import runner
from typer.main import get_command

FAILING = {
    "annotate": ["adjudicate", "--benchmark", "nowhere"],
    "heat": ["explain", "Tom has a pizza.", "--method", "nonsense"],
    "evaluate": ["report", "nowhere"],
}
CONSOLES = {"annotate": "annotate.console", "heat": "heat.console", "evaluate": "annotate.console"}


@pytest.mark.parametrize("command", FAILING)
def test_the_traceback_is_shown_with_debug_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    run = runner(command, importlib.import_module(f"{command}.cli").main, monkeypatch, capsys)
    arguments = FAILING[command]
    code, _, plain = run(*arguments)
    assert code == 1
    assert plain.startswith("error: ")
    assert plain.count("\n") == 1
    for where in range(len(arguments) + 1):
        code, _, shown = run(*arguments[:where], "--debug", *arguments[where:])
        assert code == 1
        assert shown.startswith("Traceback (most recent call last)")
        assert shown.endswith(plain)


@pytest.mark.parametrize("command", FAILING)
def test_debug_is_the_last_option_of_every_command(command: str) -> None:
    console = importlib.import_module(CONSOLES[command])
    commands = [console.command_of(importlib.import_module(f"{command}.cli").app)]
    for one in commands:
        commands += getattr(one, "commands", {}).values()
        assert one.params[-1].opts == ["--debug"]
        assert one.params[-1].help == "Show the traceback of an error."
        assert sum("--debug" in option.opts for option in one.params) == 1
    assert len(commands) > 3


@pytest.mark.parametrize("command", FAILING)
def test_debug_is_typed_once(command: str) -> None:
    commands = [get_command(importlib.import_module(f"{command}.cli").app)]
    for one in commands:
        commands += getattr(one, "commands", {}).values()
        assert not any("--debug" in option.opts for option in one.params)
