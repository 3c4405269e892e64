import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from annotate.cli import app, main

ROOT = Path(__file__).resolve().parents[2]
runner = CliRunner()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command as the console script runs it; its exit status."""
    monkeypatch.setattr(sys, "argv", ["annotate", "build-dataset", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_flags_make_2000_paragraphs_of_the_sample_world() -> None:
    begun = time.process_time()
    result = runner.invoke(app, ["build-dataset"])
    assert result.exit_code == 0
    assert time.process_time() - begun < 10
    assert "2,000 paragraphs of" in result.stdout
    assert "why rows were dropped" in result.stdout
    lines = Path("curated/paragraphs.jsonl").read_text().splitlines()
    assert len({json.loads(line)["text"] for line in lines}) == 2000
    report = json.loads(Path("curated/manifest.json").read_text())["report"]
    assert (report["supports_reused"], report["segments_reused"]) == (0, 0)
    assert {file.name for file in Path("curated").iterdir()} == {
        "paragraphs.jsonl",
        "manifest.json",
        "README.md",
    }


def test_json_is_alone_on_stdout_and_the_second_run_says_so() -> None:
    first = runner.invoke(app, ["build-dataset", "--size", "5", "--out", "b", "--json"])
    again = runner.invoke(app, ["build-dataset", "--size", "5", "--out", "b", "--json"])
    assert json.loads(first.stdout) | {"already_there": True} == json.loads(again.stdout)
    assert json.loads(first.stdout)["report"]["made"] == 5
    assert first.stderr == ""
    assert runner.invoke(app, ["build-dataset", "--size", "5", "--out", "b", "--quiet"]).output == ""
    assert (
        "already there and whole" in runner.invoke(app, ["build-dataset", "--size", "5", "--out", "b"]).stdout
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "moon"], "error: no source is called 'moon'; there are: sample, hub, local"),
        (["--narrativeqa", "none.parquet", "--sciq", "none.parquet"], "error: none.parquet does not exist"),
        (["--sciq", "none.parquet"], "error: the source local reads two inputs"),
        (["--split", "dev"], "error: the sample world has no split 'dev'"),
        (["--min-words", "5", "--max-words", "9"], "error: no paragraph of 5 to 9 words can be made"),
    ],
)
def test_an_error_is_one_line_and_writes_nothing(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    empty_folder: Path,
) -> None:
    assert run(monkeypatch, "--size", "5", *arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].startswith(message)
    assert "Traceback" not in printed.err
    assert list(empty_folder.iterdir()) == []


def test_fewer_than_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_folder: Path
) -> None:
    summary = " ".join(
        f"Person{i} walks to the old house{i} beside the quiet lake{i} again." for i in range(6)
    )
    narrative = {"document": {"id": "a", "summary": {"text": summary}}}
    row = {"question": "What is it?", "correct_answer": "iron", "support": "The grey metal here is iron ore."}
    Path("n.jsonl").write_text(json.dumps(narrative) + "\n")
    Path("s.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (row, row | {"support": ""})))
    arguments = ["--narrativeqa", "n.jsonl", "--sciq", "s.jsonl", "--size", "9", "--out", "few"]
    assert run(monkeypatch, *arguments) == 1
    printed = capsys.readouterr().err
    assert "of 9 paragraphs can be made" in printed
    assert "science: support is empty (1)" in printed
    assert "--allow-fewer" in printed
    assert not Path("few").exists()
    assert run(monkeypatch, *arguments, "--allow-fewer") == 0
    manifest = json.loads(Path("few/manifest.json").read_text())
    assert 1 <= manifest["report"]["made"] < 9
    assert manifest["command"].endswith("--allow-fewer")


def test_a_full_disk_leaves_no_half_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run(monkeypatch, "--size", "5") == 1
    assert "error: No space left on device (curated/paragraphs.jsonl); " in capsys.readouterr().err
    assert list(Path("curated").iterdir()) == []


def test_600_real_paragraphs(shared: Path) -> None:
    data = shared / "data"
    files = [
        "--narrativeqa",
        str(data / "narrativeqa/test.parquet"),
        "--sciq",
        str(data / "sciq/test.parquet"),
    ]
    result = runner.invoke(app, ["build-dataset", *files, "--size", "600", "--out", "real", "--json"])
    report = json.loads(result.stdout)["report"]
    assert (report["made"], report["supports_reused"], report["segments_reused"]) == (600, 0, 0)
    assert report["dropped"]["science: support is empty"] == 116
    rows = [json.loads(line) for line in Path("real/paragraphs.jsonl").read_text().splitlines()]
    assert len({row["text"] for row in rows}) == 600
    assert all(row["evidence"] is None for row in rows)
    for row in rows:
        parts = {s["role"]: row["text"][s["start"] : s["end"]] for s in row["segments"]}
        assert row["answer"] in parts["support"]
        assert row["answer"].casefold() not in parts["narrative"].casefold().split()


def test_help_has_an_example_and_starts_fast() -> None:
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "annotate.cli", "build-dataset", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert time.perf_counter() - begun < 5
    assert "annotate build-dataset --narrativeqa" in done.stdout
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "transformers", "pandas", "scipy", "datasets", "pyarrow"}


@pytest.mark.parametrize("name", ["README.md", "paragraphs.jsonl", "manifest.json"])
def test_a_file_of_the_user_is_left_unless_forced(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine").mkdir()
    theirs = Path("mine", name)
    theirs.write_text("{}")
    assert run(monkeypatch, "--size", "5", "--out", "mine") == 1
    assert capsys.readouterr().err.startswith("error: mine")
    assert [file.name for file in Path("mine").iterdir()] == [name]
    assert theirs.read_text() == "{}"
    assert run(monkeypatch, "--size", "5", "--out", "mine", "--force") == 0
    assert theirs.read_text() != "{}"


def test_a_killed_build_is_built_again() -> None:
    runner.invoke(app, ["build-dataset", "--size", "5", "--out", "b"])
    Path("b/manifest.json").unlink()
    assert runner.invoke(app, ["build-dataset", "--size", "5", "--out", "b"]).exit_code == 0
