from pathlib import Path

import pytest
from pydantic import BaseModel

from annotate.errors import AnnotateError, BenchmarkError
from annotate.files import (
    append_record,
    append_records,
    canonical_hash,
    file_hash,
    read_records,
    read_whole,
    repair_tail,
    shipped,
    sweep,
    write_atomic,
    write_records,
)
from annotate.schema import Gold


class Row(BaseModel):
    n: int
    text: str = ""


def test_records_come_back(tmp_path: Path) -> None:
    rows = [Row(n=1, text="a\nb\u2028c"), Row(n=2, text="שלום 👩🏽‍🚀 e\u0301")]
    write_records(tmp_path / "deep" / "rows.jsonl", rows)
    assert read_records(tmp_path / "deep" / "rows.jsonl", Row) == rows


def test_a_torn_last_line_is_left_out_and_cut_before_the_next_append(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_record(path, Row(n=1))
    with path.open("ab") as stream:
        stream.write('{"n": 2, "text": "caf\u00e9'.encode()[:-1])
    assert [row.n for row in read_records(path, Row)] == [1]
    repair_tail(path)
    append_record(path, Row(n=3))
    assert [row.n for row in read_records(path, Row)] == [1, 3]


def test_a_batch_is_on_the_disk_before_it_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "log.jsonl"
    synced = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(path.read_bytes()))
    append_records(path, [Row(n=1), Row(n=2)])
    append_record(path, Row(n=3))
    assert [row.n for row in read_records(path, Row)] == [1, 2, 3]
    assert [data.count(b"\n") for data in synced] == [2, 3]


def test_an_append_to_a_full_disk_names_the_file() -> None:
    with pytest.raises(OSError, match="No space") as stop:
        append_record(Path("/dev/full"), Row(n=1))
    assert stop.value.filename == "/dev/full"


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": "x"}\n')
    with pytest.raises(BenchmarkError, match=r"rows\.jsonl line 2 is no row record: n "):
        read_records(path, Row)
    path.write_bytes(b'{"n": 1}\n\xff\n')
    with pytest.raises(BenchmarkError, match=r"line 2 is not UTF-8"):
        read_records(path, Row)
    with pytest.raises(BenchmarkError, match="does not exist"):
        read_records(tmp_path / "none.jsonl", Row)


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "new \ud800")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_write_names_the_file_that_was_wanted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="this is a file, not a folder") as raised:
        write_atomic(tmp_path / "file" / "a.txt", "text")
    assert raised.value.filename == str(tmp_path / "file")
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as raised_too:
        write_atomic(tmp_path / "folder", "text")
    assert raised_too.value.filename == str(tmp_path / "folder")


def test_what_was_written_at_once_may_not_be_torn(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": 2}\n')
    assert read_whole(path, Row, "mend it") == [Row(n=1), Row(n=2)]
    path.write_bytes(b'{"n": 1}\n{"n": ')
    with pytest.raises(BenchmarkError, match=r"rows\.jsonl is torn: it ends within a line; mend it"):
        read_whole(path, Row, "mend it")
    path.write_bytes(b"")
    assert read_whole(path, Row, "mend it") == []


def test_a_record_of_another_schema_version_says_so(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text('{"schema_version": 3, "paragraph_id": "p1"}\n')
    with pytest.raises(BenchmarkError, match="line 1 has schema version 3, which this release does not read"):
        read_records(path, Gold)


def test_sweep_takes_unfinished_files_alone(tmp_path: Path) -> None:
    for name in ("a.txt", ".a.txt.x.part", ".hidden"):
        (tmp_path / name).write_text("")
    sweep(tmp_path)
    sweep(tmp_path / "none")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "a.txt"]


def test_hashes_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # SHA-256 of "abc", FIPS 180-2 appendix B.1.
    assert file_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert canonical_hash({"b": 1, "a": [2]}) == canonical_hash({"a": [2], "b": 1})


def test_shipped_data() -> None:
    assert (shipped("world") / "science.toml").is_file()
    with pytest.raises(AnnotateError, match="install heat-alignment again"):
        shipped("nothing")
