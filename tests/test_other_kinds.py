"""A file of another kind than its name says is called what it is, wherever a path is taken."""

import gzip
import importlib
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes.annotated import make_benchmark, make_paragraphs
from fakes.commands import runner

from heat.files import read_prompt

COMMANDS = [
    "annotate build-dataset --narrativeqa {} --sciq {} --out new",
    "annotate import {} --format word-list --annotator import:x --benchmark new",
    "annotate import {} --format label-studio --annotator human:me --benchmark bm",
    "annotate label --benchmark bm --annotator replay:{}",
    "heat explain --prompt-file {}",
    "heat explain --chat {}",
    "heat fit at2 --texts {}",
    "evaluate alignment --benchmark longra --source {} --out new",
    "evaluate alignment --benchmark bm --gold evidence --prompt {} --out new",
]
FOLDERS = [
    ("annotate agreement --benchmark {}", "is a file, and a benchmark is a folder"),
    (
        "evaluate alignment --benchmark curated --source {} --out new",
        "is a file, and a benchmark is a folder",
    ),
    ("evaluate alignment --benchmark {} --out new", "is a file; name the benchmark whose rows it holds"),
    ("evaluate report {}", "is a file, and results are a folder"),
    ("heat explain Tom --model {}", "is a file and no GGUF model"),
    ("evaluate plan --model {}", "is a file and holds no config"),
]
KINDS = {"gzip": "gzip", "zip": "zip archive", "gguf": "model", "parquet": "parquet"}


def write(kind: str, path: Path) -> None:
    row = b'{"text": "The gate is iron.", "important_words": ["iron"]}\n'
    if kind == "gzip":
        path.write_bytes(gzip.compress(row))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("rows.jsonl", row)
    elif kind == "gguf":
        path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(64))
    else:
        pq.write_table(pa.table({"text": ["The gate is iron."]}), path)


def said(
    command: str, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    make_benchmark(path.parent / "bm", make_paragraphs(3))
    monkeypatch.chdir(path.parent)
    name, *arguments = command.replace("{}", path.name).split()
    code, out, err = runner(name, importlib.import_module(f"{name}.cli").main, monkeypatch, capsys)(
        *arguments
    )
    lines = [line for line in err.splitlines() if not line.startswith(("benchmark:", "model:"))]
    assert code == 1
    assert not out
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert path.name in lines[0]
    return lines[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_another_kind_is_called_what_it_is(
    command: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(kind, tmp_path / "rows.jsonl")
    assert KINDS[kind] in said(command, tmp_path / "rows.jsonl", monkeypatch, capsys).lower()


@pytest.mark.parametrize(("command", "sentence"), FOLDERS)
def test_a_file_where_a_folder_or_model_is_meant(
    command: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("gzip", tmp_path / "rows.jsonl")
    assert sentence in said(command, tmp_path / "rows.jsonl", monkeypatch, capsys)


@pytest.mark.parametrize("text", ["GGUF is a format of llama.cpp.", "PAR1 begins a Parquet file.", "PK"])
def test_a_text_may_begin_with_the_letters_of_a_signature(text: str, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text(text)
    assert read_prompt(str(tmp_path / "prompt.txt")) == text
