"""README and docs tell the truth: examples run, command lines exist, links lead somewhere, the site builds."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fakes.commands import runner
from typer.main import get_command

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
COMMANDS = ("annotate", "heat", "evaluate")
# Their Python is run: it takes the model that ships, and little time.
RUN = [README, ROOT / "docs" / "quickstart.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words of each command line of ours in the page's code blocks; those with gaps (`...`) are left out."""
    typed = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if not typed and not re.match(rf"    ({'|'.join(COMMANDS)}) ", line):
            continue
        typed += line.removeprefix("    ") + "\n"
        if typed.endswith("\\\n"):
            typed = typed.removesuffix("\\\n") + " "
            continue
        try:
            words = shlex.split(typed, comments=True)
        except ValueError:  # a quotation that the next line goes on with
            continue
        typed = ""
        if "..." not in words and "&&" not in words:
            yield words


@pytest.mark.parametrize("page", RUN, ids=relative)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("heat.registry._REGISTERED", dict(registered()))  # what a page registers goes with it
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    assert code, "the page has no example; take it out of this test"
    names: dict[str, Any] = {"__name__": "page"}
    monkeypatch.setitem(sys.modules, "page", type(sys)("page"))
    exec(compile(code, relative(page), "exec"), names)


def registered() -> dict[str, Any]:
    heat = importlib.import_module("heat")
    return dict(heat.methods())


@pytest.mark.parametrize("page", [README, *PAGES], ids=relative)
def test_command_lines_can_be_parsed(page: Path) -> None:
    """Commands and options exist and take such values; nothing is run."""
    for words in command_lines(page):
        command: Any = get_command(importlib.import_module(f"{words[0]}.cli").app)
        rest, context = words[1:], None
        try:
            while hasattr(command, "commands") and rest:
                context = command.make_context(words[0], rest[:1], parent=context, resilient_parsing=True)
                assert rest[0] in command.commands, f"{relative(page)}: {shlex.join(words)}"
                command, rest = command.commands[rest[0]], rest[1:]
            command.make_context(words[0], list(rest), parent=context)
        except Exception as error:
            if type(error).__name__ == "Exit":  # --help
                continue
            raise AssertionError(f"{relative(page)}: {shlex.join(words)}: {error}") from error


def test_the_commands_of_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that need no model, data or key beside what ships, in order and in one folder, on fewer texts."""
    monkeypatch.chdir(tmp_path)
    ran = []
    for words in command_lines(README):
        if {"--model", "--annotator", "review", "serve", "robustness"} & set(words):  # the last takes minutes
            continue
        if {"import", "people"} & set(words):  # of a set that people marked
            continue
        if words[1:2] == ["build-dataset"]:
            words += ["--size", "30"]
        if words[0] == "evaluate" and words[1] != "report":
            words = [*words, "--limit", "2"]
        name = words[0]
        run = runner(name, importlib.import_module(f"{name}.cli").main, monkeypatch, capsys)
        code, _, err = run(*words[1:])
        assert code == 0, (words, err)
        ran.append(" ".join(words[:2]))
    assert {"heat explain", "heat methods", "annotate label", "evaluate alignment", "evaluate report"} <= set(
        ran
    )
    assert (tmp_path / "results" / "report.html").exists()


def test_readme_is_short_and_in_order() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 120
    heads = [line for line in lines if line.startswith("## ")]
    assert heads == [
        "## Install",
        "## Five lines of Python",
        "## One prompt",
        "## Which method can be trusted",
        "## Labels",
        "## Documentation",
    ]
    assert any("![" in line for line in lines[: lines.index("## Install")])


@pytest.mark.parametrize("page", [README, ROOT / "CONTRIBUTING.md", *PAGES], ids=relative)
def test_links_lead_to_files(page: Path) -> None:
    """Anchors, and whether a page is part of the site, are checked where the site is built."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{relative(page)} links to {target}, which is not there"


@pytest.mark.skipif(
    not find_spec("mkdocs_material") and not find_spec("material"), reason="the extra docs is not installed"
)
def test_the_site_builds_without_a_warning_and_loads_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    for page in tmp_path.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)\b[^>]*\bsrc=\"?([^\s\">]+)", html)
        loaded += re.findall(r"<link\b(?![^>]*rel=\"?canonical)[^>]*\bhref=\"?([^\s\">]+)", html)
        assert not [url for url in loaded if re.match(r"(https?:)?//", url)], page
    assert "attribute_batch" in (tmp_path / "reference" / "heat.html").read_text(encoding="utf-8")


def test_the_reference_has_every_public_name_of_heat() -> None:
    page = (ROOT / "docs" / "reference" / "heat.md").read_text(encoding="utf-8")
    heat = importlib.import_module("heat")
    assert set(heat.__all__) - set(re.findall(r"^::: heat\.(\w+)$", page, re.MULTILINE)) <= {"HeatError"}
