import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotate.errors import SourceError, UnknownNameError
from annotate.sources import SOURCES, open_source
from annotate.sources.local import LocalSource

NARRATIVES = [
    {
        "document": {
            "id": name,
            "kind": "movie",
            "url": "u",
            "text": "the whole story",
            "summary": {"text": f" Summary {name}. Ends. ", "title": f"T{name}", "url": "wiki"},
        },
        "question": {"text": "Who?"},
        "answers": [{"text": "x"}],
    }
    for name in ("a", "a", "b")
]
SCIENCE = [
    {"question": "What?", "correct_answer": "iron", "support": "It is iron. ", "distractor1": "x"},
    {"question": "Why?", "correct_answer": "gold", "support": None, "distractor1": "x"},
]


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_json(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    write_parquet(tmp_path / "n.parquet", NARRATIVES)
    write_jsonl(tmp_path / "s.jsonl", SCIENCE)
    return tmp_path / "n.parquet", tmp_path / "s.jsonl"


@pytest.mark.parametrize(
    ("suffix", "write"), [("parquet", write_parquet), ("jsonl", write_jsonl), ("json", write_json)]
)
def test_every_format_gives_the_same_passages(
    tmp_path: Path, suffix: str, write: Callable[[Path, list[dict[str, Any]]], None]
) -> None:
    narrativeqa, sciq = tmp_path / f"n.{suffix}", tmp_path / f"s.{suffix}"
    write(narrativeqa, NARRATIVES)
    write(sciq, SCIENCE)
    found = LocalSource(narrativeqa, sciq).passages("test", 1, 0)
    assert [(n.document_id, n.row, n.title, n.text, n.url) for n in found.narratives] == [
        ("a", 0, "Ta", "Summary a. Ends.", "wiki"),
        ("b", 2, "Tb", "Summary b. Ends.", "wiki"),
    ]
    assert [(s.question, s.answer, s.support, s.row) for s in found.science] == [
        ("What?", "iron", "It is iron.", 0),
        ("Why?", "gold", "", 1),
    ]
    assert found.science[0].support_evidence is None
    assert found.drops == {"narrative: another question about a document already read": 1}


def test_a_folder_is_read_in_order_and_by_split(tmp_path: Path) -> None:
    data = tmp_path / "nqa" / "data"
    data.mkdir(parents=True)
    write_parquet(data / "test-00001-of-00002.parquet", NARRATIVES[2:])
    write_parquet(data / "test-00000-of-00002.parquet", NARRATIVES[:2])
    write_parquet(data / "train-00000-of-00001.parquet", SCIENCE)
    write_jsonl(tmp_path / "s.jsonl", SCIENCE)
    source = LocalSource(tmp_path / "nqa", tmp_path / "s.jsonl")
    assert [(n.document_id, n.row) for n in source.passages("test", 1, 0).narratives] == [("a", 0), ("b", 2)]
    assert [Path(name).name for name in source.inputs("test")] == [
        "test-00000-of-00002.parquet",
        "test-00001-of-00002.parquet",
        "s.jsonl",
    ]
    with pytest.raises(SourceError, match="no file of the split 'validation'"):
        source.inputs("validation")


def test_a_saved_dataset_is_read(tmp_path: Path, files: tuple[Path, Path]) -> None:
    from datasets import Dataset, DatasetDict

    Dataset.from_list(SCIENCE).save_to_disk(str(tmp_path / "sciq"))
    DatasetDict({"test": Dataset.from_list(NARRATIVES)}).save_to_disk(str(tmp_path / "nqa"))
    source = LocalSource(tmp_path / "nqa", tmp_path / "sciq")
    expected = LocalSource(*files).passages("test", 1, 0)
    assert source.passages("test", 1, 0) == expected
    assert source.inputs("test")
    with pytest.raises(SourceError, match="no split 'train'; found test"):
        source.passages("train", 1, 0)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_missing_column_is_named_with_those_found(
    tmp_path: Path, files: tuple[Path, Path], suffix: str
) -> None:
    wrong = tmp_path / f"wrong.{suffix}"
    write = write_parquet if suffix == "parquet" else write_jsonl
    write(wrong, [{"question": "q", "answer": "a", "support": "s"}])
    with pytest.raises(
        SourceError, match=r"'correct_answer' is missing; columns found: question, answer, support"
    ):
        LocalSource(files[0], wrong).passages("test", 1, 0)
    write(wrong, [{"document": {"id": "1", "summary": {"title": "t"}}}])
    with pytest.raises(SourceError, match=r"'document.summary.text' is missing; .*document.summary.title"):
        LocalSource(wrong, files[1]).passages("test", 1, 0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.jsonl", b"", "s.jsonl is empty"),
        ("s.parquet", b"", "s.parquet is empty"),
        ("s.jsonl", b"\n\n", "s.jsonl holds no rows"),
        ("s.json", b"[]", "s.json holds no rows"),
        ("s.jsonl", b'{"question": "caf\xe9"}\n', r"not UTF-8 \(byte 17\)"),
        ("s.jsonl", b'{"question": "x", "corr', "line 1 is not JSON"),
        ("s.jsonl", b"3\n", "line 1 holds int, not a JSON object"),
        ("s.jsonl", b'{"question": 3}\n', "column 'question' holds int, not text"),
        ("s.parquet", b"PAR1 no", "cannot be read as parquet"),
        ("s.csv", b"a,b\n", r"is not one of \.parquet, \.jsonl, \.json"),
    ],
)
def test_bad_files_say_what_is_wrong(
    tmp_path: Path, files: tuple[Path, Path], name: str, content: bytes, message: str
) -> None:
    bad = tmp_path / "bad" / name
    bad.parent.mkdir()
    bad.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        LocalSource(files[0], bad).passages("test", 1, 0)


def test_missing_files_and_empty_folders(tmp_path: Path, files: tuple[Path, Path]) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        LocalSource(files[0], tmp_path / "none.parquet").inputs("test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no"):
        LocalSource(files[0], tmp_path / "empty").inputs("test")


def test_sources_by_name(files: tuple[Path, Path]) -> None:
    assert {name: open_source(name).name for name in SOURCES} == {"sample": "sample", "hub": "hub"}
    assert open_source("local", *files).name == "local"
    with pytest.raises(UnknownNameError, match="no source is called 'x'; there are: sample, hub, local"):
        open_source("x")
    with pytest.raises(SourceError, match="give both --narrativeqa PATH and --sciq PATH"):
        open_source("local", files[0])
    with pytest.raises(SourceError, match="the source sample reads no files"):
        open_source("sample", *files)


def test_the_sample_world_gives_enough_and_knows_its_splits() -> None:
    found = open_source("sample").passages("test", 30, 1)
    assert len(found.science) > 30
    assert all(row.support_evidence for row in found.science)
    with pytest.raises(SourceError, match="no split 'dev'; there are: train, test"):
        open_source("sample").passages("dev", 30, 1)


class FakeApi:
    def dataset_info(self, name: str, timeout: float) -> Any:
        return type("Info", (), {"sha": f"sha of {name}"})


def test_the_hub_is_streamed_at_the_revision_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, **options: Any) -> Iterator[dict[str, Any]]:
        asked.append((name, options))
        return iter(NARRATIVES if "narrativeqa" in name else SCIENCE)

    monkeypatch.setattr("huggingface_hub.HfApi", FakeApi)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    source = open_source("hub")
    assert source.inputs("validation") == {
        "deepmind/narrativeqa": "sha of deepmind/narrativeqa",
        "allenai/sciq": "sha of allenai/sciq",
    }
    found = source.passages("validation", 1, 0)
    assert [n.document_id for n in found.narratives] == ["a", "b"]
    assert {(n.source, n.split) for n in found.narratives} == {("hub", "validation")}
    assert "the whole story" not in repr(found)
    revision = "sha of deepmind/narrativeqa"
    assert asked[0] == (
        "deepmind/narrativeqa",
        {"split": "validation", "revision": revision, "streaming": True},
    )


def test_no_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline:
        def dataset_info(self, name: str, timeout: float) -> Any:
            raise ConnectionError("Name or service not known")

    def broken(*_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        yield NARRATIVES[0]
        raise ConnectionError("reset by peer")

    advice = "download its files and give --narrativeqa PATH --sciq PATH, or use --source sample"
    monkeypatch.setattr("huggingface_hub.HfApi", Offline)
    with pytest.raises(
        SourceError, match=rf"narrativeqa cannot be read .*Name or service not known.*{advice}"
    ):
        open_source("hub").inputs("test")
    monkeypatch.setattr("huggingface_hub.HfApi", FakeApi)
    monkeypatch.setattr("datasets.load_dataset", broken)
    with pytest.raises(SourceError, match=rf"reset by peer.*{advice}"):
        open_source("hub").passages("test", 1, 0)


def test_real_files(shared: Path) -> None:
    data = shared / "data"
    found = LocalSource(data / "narrativeqa/test.parquet", data / "sciq/test.parquet").passages("test", 1, 0)
    assert (len(found.narratives), len(found.science)) == (355, 1000)
    assert found.drops == {"narrative: another question about a document already read": 10_557 - 355}
    assert sum(bool(row.support) for row in found.science) == 884


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("n.jsonl", gzip.compress(b"{}", mtime=0), r"n\.jsonl is compressed by gzip; unpack it first"),
        ("n.jsonl", b"GGUF\x03\x00", r"n\.jsonl is a GGUF model, not a data set"),
        ("n.parquet", b"GGUF\x03\x00", r"n\.parquet is a GGUF model, not a data set"),
        ("n.jsonl", b"PAR1\x00", r"n\.jsonl is a Parquet file; let its name end in \.parquet"),
        ("n.parquet", b'{"a": 1}', r"n\.parquet is no Parquet file, whatever its name says"),
    ],
)
def test_a_file_of_another_kind_is_called_by_it(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    write_jsonl(tmp_path / "s.jsonl", SCIENCE)
    with pytest.raises(SourceError, match=said):
        LocalSource(tmp_path / name, tmp_path / "s.jsonl").passages("train", 1, 0)


def test_flat_columns_are_read_like_nested_ones(tmp_path: Path) -> None:
    flat = [
        {f"document.{key}": value for key, value in row["document"].items() if key != "summary"}
        | {f"document.summary.{key}": value for key, value in row["document"]["summary"].items()}
        for row in NARRATIVES
    ]
    write_parquet(tmp_path / "n.parquet", NARRATIVES)
    write_parquet(tmp_path / "flat.parquet", flat)
    write_jsonl(tmp_path / "s.jsonl", SCIENCE)
    nested, read = (
        LocalSource(tmp_path / f"{name}.parquet", tmp_path / "s.jsonl").passages("train", 1, 0)
        for name in ("n", "flat")
    )
    assert nested == read
