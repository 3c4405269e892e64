import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotate.errors import RowsError, UnusableRowError
from annotate.rationales.rows import Row, Rows, convert, file_rows, list_of, text_of

ROWS: list[dict[str, Any]] = [
    {"text": "Zoë ran, far.", "spans": [[0, 3], [4, 7]]},
    {"text": "א\nb 👍🏽", "spans": []},
]


def write(path: Path) -> Path:
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n\n" for row in ROWS), "utf-8-sig")
        case ".json":
            path.write_text(json.dumps(ROWS), "utf-8")
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(ROWS), path)
        case ".csv":
            cells = [f'"{row["text"]}","{row["spans"]}"' for row in ROWS]
            path.write_text("\n".join(["text,spans", *cells]), "utf-8-sig")
    return path


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("r.jsonl", ["line 1", "line 3"]),
        ("r.json", ["row 1", "row 2"]),
        ("r.parquet", ["row 1", "row 2"]),
        ("r.csv", ["row 1", "row 2"]),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, places: list[str]) -> None:
    rows = file_rows(write(tmp_path / name))
    assert rows.source.startswith(f"{tmp_path / name} sha256:")
    found = list(rows.read())
    assert [row.place for row in found] == places
    assert [text_of(row, "text") for row in found] == [row["text"] for row in ROWS]
    assert [list_of(row, "spans") for row in found] == [row["spans"] for row in ROWS]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("r.jsonl", b'{"text": "a"}\n{"te\n[1]\n\xff\n{}', ["", "not JSON", "not a JSON object", "not UTF-8", ""]),
        ("r.jsonl", b'{"text": "a"}\n{"text": "to', ["", "not JSON"]),
        ("r.jsonl", b"[" * 100_000 + b"\n9" + b"9" * 5_000, ["not JSON", "not JSON"]),
        ("r.json", b'[{"text": "a"}, 3]', ["", "not a JSON object"]),
        ("r.csv", b"text\na\nb,c\n\xe9\n", ["", "more cells than the header", "not UTF-8"]),
    ],
)  # fmt: skip
def test_a_bad_row_is_told_and_reading_goes_on(
    tmp_path: Path, name: str, content: bytes, expected: list[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert [row.problem for row in file_rows(tmp_path / name).read()] == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.jsonl", b"", "is empty; name a file that holds rows"),
        ("r.json", b"{}", "holds one object, not a list of objects"),
        ("r.json", b'[{"a": 1}', "is not JSON .*belongs into a .jsonl file"),
        ("r.json", b'["\xff"]', r"is not UTF-8 \(byte 2\)"),
        ("r.parquet", b"PAR1 no", "cannot be read as parquet"),
        ("r.csv", b"text\n" + b"x" * 200_000, "is not CSV near line"),
        ("r.xml", b"<a/>", r"is no .jsonl, .json, .csv, .parquet file"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RowsError, match=message):
        list(file_rows(tmp_path / name).read())


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RowsError, match="does not exist; --source takes sample, hub, or the path of a file"):
        file_rows(tmp_path / "none.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(RowsError, match=r"is no .jsonl, .* file"):
        file_rows(tmp_path / "folder.jsonl")


@pytest.mark.parametrize(
    ("values", "read", "reason"),
    [
        ({}, text_of, "field 'x' is missing"),
        ({"x": None}, text_of, "field 'x' is missing"),
        ({"x": 3}, text_of, "field 'x' holds int, not text"),
        ({"x": " \n"}, text_of, "field 'x' is empty"),
        ({"x": "a\ud800"}, text_of, "field 'x' is not Unicode text"),
        ({}, list_of, "field 'x' is missing"),
        ({"x": "[1"}, list_of, "field 'x' holds text, not a list"),
        ({"x": "3"}, list_of, "field 'x' holds int, not a list"),
        ({"x": {}}, list_of, "field 'x' holds dict, not a list"),
    ],
)
def test_fields_that_do_not_hold_what_they_should(
    values: dict[str, Any], read: Callable[[Row, str], Any], reason: str
) -> None:
    with pytest.raises(UnusableRowError) as caught:
        read(Row(1, "row 1", values), "x")
    assert str(caught.value) == reason


def test_rows_left_out_are_named_by_reason() -> None:
    found = [Row(n, f"line {n}", {"x": x}) for n, x in enumerate([3, "a", "", 4, "b"], start=1)]
    rows = Rows("made", lambda: found)
    made, left_out = convert("t", rows, lambda row: text_of(row, "x"), "x (text)")
    assert made == ("a", "b")
    assert left_out == {
        "field 'x' holds int, not text": ("line 1", "line 4"),
        "field 'x' is empty": ("line 3",),
    }
    made, left_out = convert("t", rows, lambda row: text_of(row, "x"), "x (text)", limit=1)
    assert (made, left_out) == (("a",), {"field 'x' holds int, not text": ("line 1",)})


def test_no_usable_row_is_an_error_with_an_example() -> None:
    found = [Row(1, "line 1", {}), Row(2, "line 2", {}, "not JSON"), Row(3, "line 3", {})]
    rows = Rows("made", lambda: found)
    with pytest.raises(RowsError) as caught:
        convert("t", rows, lambda row: text_of(row, "x"), "x (text)")
    assert str(caught.value) == (
        "no row of made can be used: field 'x' is missing (2, such as line 1); not JSON (1, such as line 2);"
        " for t a row holds: x (text)"
    )
    with pytest.raises(RowsError, match=r"made holds no rows; for t a row holds: x \(text\)"):
        convert("t", Rows("made", list), lambda row: text_of(row, "x"), "x (text)")
