import json
import shutil
from pathlib import Path

import pytest

from annotate.benchmark import Benchmark, open_benchmark
from annotate.dataset.build import build_benchmark
from annotate.dataset.mixing import MixOptions
from annotate.errors import AnnotateError, BenchmarkError, TooFewError
from annotate.sources import open_source

SMALL = MixOptions(size=12)


def build(out: Path, options: MixOptions = SMALL, **switches: bool) -> Benchmark:
    return build_benchmark(open_source("sample"), options, "test", out, **switches).benchmark


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("template") / "curated").path


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "curated"))


def test_same_seed_same_bytes_in_any_folder(folder: Path, tmp_path: Path) -> None:
    build(tmp_path / "deep" / "other")
    assert contents(tmp_path / "deep" / "other") == contents(folder)
    build(tmp_path / "seed", SMALL.model_copy(update={"seed": 1}))
    assert contents(tmp_path / "seed")["paragraphs.jsonl"] != contents(folder)["paragraphs.jsonl"]


def test_a_benchmark_opens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = open_benchmark(folder)
    assert len(benchmark.paragraphs()) == 12
    assert all(p.evidence for p in benchmark.paragraphs())
    assert benchmark.manifest().command == (
        "annotate build-dataset --source sample --split test --size 12 --seed 0"
        " --min-words 40 --max-words 140"
    )
    assert set(benchmark.manifest().inputs) == {"data/world/narrative.toml", "data/world/science.toml"}
    monkeypatch.chdir(folder.parent)
    assert open_benchmark().path == Path("curated")


def test_the_same_build_again_changes_nothing(folder: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert build_benchmark(open_source("sample"), SMALL, "test", folder).already_there
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"seed": 1}, "seed 0 there, 1 asked"),
        ({"size": 13}, "size 12 there, 13 asked"),
        ({"max_words": 120}, "max_words 140 there, 120 asked"),
    ],
)
def test_a_folder_of_another_build_is_left_alone(
    folder: Path, change: dict[str, int], difference: str
) -> None:
    before = contents(folder)
    with pytest.raises(BenchmarkError, match=difference):
        build(folder, SMALL.model_copy(update=change))
    assert contents(folder) == before
    assert build(folder, SMALL.model_copy(update=change), force=True).check().files


def test_other_input_data_is_another_build(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["inputs"]["data/world/science.toml"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BenchmarkError, match="other input data"):
        build(folder)


@pytest.mark.parametrize("content", [b"", b'{"half', b"[]", b"\xff"])
def test_a_damaged_manifest(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BenchmarkError, match=r"damaged|schema version None"):
        open_benchmark(folder)


def test_another_schema_version(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 2}))
    for act in (open_benchmark, build):
        with pytest.raises(BenchmarkError, match="has schema version 2, this release reads 1"):
            act(folder)


def test_edited_torn_or_missing_paragraphs(folder: Path) -> None:
    path = folder / "paragraphs.jsonl"
    whole = path.read_bytes()
    for content in (whole[:-10], whole.replace(b"the", b"tha", 1), b""):
        path.write_bytes(content)
        for act in (open_benchmark, build):
            with pytest.raises(BenchmarkError, match="does not match the checksum"):
                act(folder)
    path.unlink()
    with pytest.raises(BenchmarkError, match="is missing"):
        open_benchmark(folder)
    assert build(folder, force=True).paragraphs_path.read_bytes() == whole


def test_no_benchmark_says_what_makes_one(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(BenchmarkError, match=f"annotate build-dataset --out {path}"):
            open_benchmark(path)


def test_labels_are_never_written_over(folder: Path) -> None:
    (folder / "labels").mkdir()
    (folder / "labels" / "a.jsonl").write_text("{}\n")
    before = contents(folder)
    with pytest.raises(BenchmarkError, match="holds labels of other paragraphs"):
        build(folder, SMALL.model_copy(update={"seed": 1}), force=True)
    assert contents(folder) == before
    # The same paragraphs again are safe, also where they were torn.
    (folder / "paragraphs.jsonl").write_bytes(b"torn")
    build(folder, force=True)
    assert contents(folder) == before
    assert (folder / "labels" / "a.jsonl").read_text() == "{}\n"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchmarkError, match="file is a file; name a folder with --out"):
        build(tmp_path / "file")


def test_an_unfinished_build_is_finished(folder: Path) -> None:
    whole = contents(folder)
    (folder / "manifest.json").unlink()
    (folder / "README.md").unlink()
    build(folder)
    assert contents(folder) == whole


def test_too_few_and_impossible_limits_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(AnnotateError, match="--min-words 50 is more than --max-words 40"):
        build(tmp_path / "x", MixOptions(size=5, min_words=50, max_words=40))
    for allow_fewer in (False, True):
        with pytest.raises(TooFewError, match=r"no paragraph of 5 to 9 words .* support too long \(\d+\)"):
            build(tmp_path / "x", MixOptions(size=5, min_words=5, max_words=9), allow_fewer=allow_fewer)
    assert not (tmp_path / "x").exists()
