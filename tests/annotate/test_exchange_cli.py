"""agreement, export and import as commands: files written, JSON alone on stdout, one line for an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.annotated import make_benchmark, make_label, make_paragraphs
from typer.testing import CliRunner

from annotate.benchmark import Benchmark
from annotate.cli import app
from annotate.errors import LabelError
from annotate.label_files import read_labels, write_labels

RUNNER = CliRunner()


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    paragraphs = make_paragraphs(40)
    made = make_benchmark(tmp_path / "b", paragraphs)
    for number, name in enumerate(("clause", "human:ada", "openai:m")):
        labels = [
            make_label(p, name, [0, 1 + (number + n) % 3], repeat=repeat)
            for n, p in enumerate(paragraphs)
            for repeat in range(2)
        ]
        write_labels(made.labels_dir, name, labels)
    return made


def run(*arguments: object) -> str:
    done = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_agreement_prints_groups_and_writes_three_files_and_a_manifest(benchmark: Benchmark) -> None:
    out = run("agreement", "--benchmark", benchmark.path, "--bootstrap", 200)
    for part in (
        "pairs side by side",
        "person / model",
        "all 3 together",
        "test-retest",
        "For a paper: Three",
    ):
        assert part in out
    figures = json.loads((benchmark.path / "agreement.json").read_text())
    assert figures["paper"] in (benchmark.path / "agreement.md").read_text()
    assert " ".join(figures["paper"].split()) in " ".join(out.split())
    manifest = json.loads((benchmark.path / "agreement.manifest.json").read_text())
    assert sorted(manifest["files"]) == ["agreement.csv", "agreement.json", "agreement.md"]
    assert manifest["report"]["paper"] == figures["paper"]


def test_agreement_json_is_what_the_file_holds(benchmark: Benchmark) -> None:
    out = run("agreement", "--benchmark", benchmark.path, "--bootstrap", 200, "--json", "--quiet")
    assert json.loads(out) == json.loads((benchmark.path / "agreement.json").read_text())


def test_agreement_does_not_write_the_table_over_the_figures(benchmark: Benchmark) -> None:
    done = RUNNER.invoke(app, ["agreement", "--benchmark", str(benchmark.path), "--out", "x.json"])
    assert isinstance(done.exception, LabelError)
    assert "let it end in .csv" in str(done.exception)


def test_out_and_in(benchmark: Benchmark, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.json"
    out = run("export", "--format", "label-studio", "--out", tasks, "--benchmark", benchmark.path, "--json")
    assert json.loads(out)["files"] == [str(tasks), str(tasks.with_suffix(".xml"))]
    exported = json.loads(tasks.read_text())
    for task in exported:
        task["annotations"] = [{"result": task["predictions"][0]["result"]}]
    tasks.write_text(json.dumps(exported))
    given = (
        "import",
        "--format",
        "label-studio",
        "--annotator",
        "human:bob",
        tasks,
        "--benchmark",
        benchmark.path,
    )
    assert "human:bob: 40 new, 0 known before; labels: 40 ok." in run(*given)
    assert json.loads(run(*given, "--json"))["known"] == 40
    figures = json.loads(
        run(
            "agreement",
            "--benchmark",
            benchmark.path,
            "--annotator",
            "human:bob",
            "--annotator",
            "clause",
            "--json",
        )
    )
    assert figures["pairs"][0]["f1"]["value"] == 1.0


LABELLED = [
    {"input": "Rain falls.", "important_words": ["Rain"]},
    {"input": "Snow melts.", "important_words": []},
]


@pytest.mark.parametrize("name", ["human:rose", "human:a", "import:x", "human:[bold]b[/bold]"])
def test_names_are_shown_as_they_are(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "w.jsonl"
    file.write_text("\n".join(map(json.dumps, LABELLED)) + "\n")
    for annotator in (name, "clause-like:" + name):
        scheme = annotator if annotator == name else f"import:{annotator}"
        done = RUNNER.invoke(
            app,
            [
                "import",
                "--format",
                "word-list",
                "--annotator",
                scheme,
                "--benchmark",
                str(tmp_path / "b"),
                str(file),
            ],
        )
        assert done.stdout.startswith(f"{scheme}: 2 new, 0 known before")
    assert name in run("agreement", "--benchmark", tmp_path / "b", "--bootstrap", 100)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_word_list_may_begin_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "w.jsonl"
    file.write_text("\n".join(map(json.dumps, LABELLED)) + "\n", encoding=encoding)
    out = run(
        "import", "--format", "word-list", "--annotator", "import:y", "--benchmark", tmp_path / "b", file
    )
    assert "labels: 2 ok" in out
    assert Benchmark(tmp_path / "b").paragraphs()[0].text == "Rain falls."


def test_names_that_look_alike_are_one_and_others_have_files_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "w.jsonl"
    file.write_text("\n".join(map(json.dumps, LABELLED)) + "\n")
    for name in (
        "human:jos\u00e9",
        "human:jose\u0301",
        "human:jos\u00e8",
        "human:王",
        "human:李",
        "human:王",
    ):
        run("import", "--format", "word-list", "--annotator", name, "--benchmark", tmp_path / "b", file)
    folder = Benchmark(tmp_path / "b").labels_dir
    found = read_labels(folder, Benchmark(tmp_path / "b").paragraphs())
    assert sorted(found) == sorted(["human:jos\u00e9", "human:jos\u00e8", "human:王", "human:李"])
    assert {len(labels) for labels in found.values()} == {2}
    assert len(list(folder.glob("*.manifest.json"))) == 4
    chosen = read_labels(folder, Benchmark(tmp_path / "b").paragraphs(), ["human:jose\u0301"])
    assert list(chosen) == ["human:jos\u00e9"]
