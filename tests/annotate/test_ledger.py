"""The ledger: nothing written is lost, nothing torn is read, one writer at a time."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from fakes.annotated import make_paragraphs
from hypothesis import given
from hypothesis import strategies as st

from annotate.errors import BenchmarkError, LabelError
from annotate.ledger.ledger import Attempt, Ledger, read_ledger
from annotate.protocol import Usage

PARAGRAPH = make_paragraphs(1)[0]


def attempt(number: int = 1, sha: str = "a", status: str = "ok", raw: str = "{}", **more) -> Attempt:
    return Attempt(
        schema_version=1,
        request_sha256=sha,
        annotator="overlap",
        paragraph_id=PARAGRAPH.id,
        text_sha256=PARAGRAPH.text_sha256,
        repeat=0,
        attempt=number,
        status=status,
        raw=raw,
        **more,
    )


def write(path: Path, rows: list[Attempt]) -> None:
    with Ledger(path) as ledger:
        for row in rows:
            ledger.append(row)


class TestRoundTrip:
    def test_a_full_row_comes_back(self, tmp_path) -> None:
        row = attempt(
            raw='{"text": "line\\nbreak \\u0000 😀"}\u2028',
            model="m-2026-01-01",
            http=200,
            code="",
            request_id="req_1",
            fingerprint="fp",
            batch_id="b1",
            usage=Usage(input_tokens=700, cached_tokens=512, output_tokens=90, reasoning_tokens=64),
            cost_usd=0.0125,
            asked_at="2026-01-01T00:00:00Z",
            latency_s=1.5,
        )
        write(tmp_path / "ledger.jsonl", [row])
        assert read_ledger(tmp_path / "ledger.jsonl").rows == [row]

    def test_an_offline_row_has_no_clock(self, tmp_path) -> None:
        write(tmp_path / "ledger.jsonl", [attempt()])
        line = (tmp_path / "ledger.jsonl").read_text()
        assert line.count("\n") == 1
        assert "asked_at" not in line
        assert "latency_s" not in line
        assert '"schema_version":1' in line

    def test_no_file_is_an_empty_ledger(self, tmp_path) -> None:
        assert read_ledger(tmp_path / "none.jsonl").rows == []

    def test_appends_to_what_is_there(self, tmp_path) -> None:
        path = tmp_path / "ledger.jsonl"
        write(path, [attempt(1)])
        write(path, [attempt(2)])
        assert [row.attempt for row in read_ledger(path).rows] == [1, 2]


class TestAnswers:
    def test_last_answer_wins_over_later_failure(self, tmp_path) -> None:
        path = tmp_path / "ledger.jsonl"
        write(
            path,
            [
                attempt(1, status="error"),
                attempt(2, raw="first"),
                attempt(3, raw="second"),
                attempt(4, status="refused"),
            ],
        )
        attempts = read_ledger(path)
        found = attempts.answer("overlap", "a")
        assert found is not None
        assert found.raw == "second"
        assert attempts.count("overlap", "a") == 4

    def test_last_failure_when_there_is_no_answer(self, tmp_path) -> None:
        write(tmp_path / "l.jsonl", [attempt(1, status="error"), attempt(2, status="refused")])
        found = read_ledger(tmp_path / "l.jsonl").answer("overlap", "a")
        assert found is not None
        assert found.status == "refused"

    def test_never_asked_and_other_annotators(self, tmp_path) -> None:
        write(tmp_path / "l.jsonl", [attempt()])
        attempts = read_ledger(tmp_path / "l.jsonl")
        assert attempts.answer("overlap", "b") is None
        assert attempts.answer("clause", "a") is None
        assert attempts.count("clause", "a") == 0


class TestTornTail:
    @given(
        raws=st.lists(st.text(max_size=30), min_size=1, max_size=5),
        cut=st.integers(min_value=0),
    )
    def test_any_cut_loses_only_the_line_it_tears(self, tmp_path_factory, raws, cut) -> None:
        folder = tmp_path_factory.mktemp("torn")
        rows = [attempt(n, raw=raw) for n, raw in enumerate(raws, start=1)]
        whole = folder / "whole.jsonl"
        write(whole, rows)
        data = whole.read_bytes()
        torn = folder / "torn.jsonl"
        torn.write_bytes(data[: cut % (len(data) + 1)])
        kept = torn.read_bytes().count(b"\n")
        assert read_ledger(torn).rows == rows[:kept]
        write(torn, rows[kept:])
        assert torn.read_bytes() == data

    def test_a_broken_line_in_the_middle_is_named(self, tmp_path) -> None:
        path = tmp_path / "l.jsonl"
        write(path, [attempt(1), attempt(2)])
        lines = path.read_text().splitlines()
        path.write_text(f"{lines[0]}\nrubbish\n{lines[1]}\n")
        with pytest.raises(BenchmarkError, match="line 2 is no attempt record: "):
            Ledger(path)
        with Ledger(tmp_path / "other.jsonl"):
            pass  # the failed open above has let go of its handle and lock
        path.write_text(f"{lines[0]}\n")
        write(path, [attempt(2)])

    def test_an_unknown_field_is_refused(self, tmp_path) -> None:
        path = tmp_path / "l.jsonl"
        path.write_text(attempt().model_dump_json(exclude_defaults=True)[:-1] + ',"new":1}\n')
        with pytest.raises(BenchmarkError, match="new"):
            read_ledger(path)


class TestOneWriter:
    def test_a_second_writer_is_refused_and_the_first_goes_on(self, tmp_path) -> None:
        path = tmp_path / "ledger.jsonl"
        with Ledger(path) as first:
            first.append(attempt(1))
            with pytest.raises(LabelError, match=r"another process is writing to .*ledger\.jsonl"):
                Ledger(path)
            first.append(attempt(2))
        write(path, [attempt(3)])
        assert len(read_ledger(path).rows) == 3

    def test_a_second_writer_cuts_nothing(self, tmp_path) -> None:
        path = tmp_path / "ledger.jsonl"
        with Ledger(path):
            with path.open("ab") as stream:
                stream.write(b'{"half')  # as if the first writer were in the middle of a line
            with pytest.raises(LabelError):
                Ledger(path)
            assert path.read_bytes() == b'{"half'


class TestFullDisk:
    def test_a_half_written_line_is_taken_back(self, tmp_path, monkeypatch) -> None:
        path = tmp_path / "ledger.jsonl"
        real, calls = os.write, []

        def full(handle: int, data: bytes) -> int:
            calls.append(handle)
            if len(calls) == 1:
                return real(handle, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with Ledger(path) as ledger:
            ledger.append(attempt(1))
            before = path.read_bytes()
            monkeypatch.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space left") as caught:
                ledger.append(attempt(2))
            assert caught.value.filename == str(path)
            assert path.read_bytes() == before
            assert len(ledger.attempts.rows) == 1
            monkeypatch.undo()
            ledger.append(attempt(2))
        assert len(read_ledger(path).rows) == 2

    def test_a_failed_sync_is_told(self, tmp_path, monkeypatch) -> None:
        def full(handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        ledger = Ledger(tmp_path / "ledger.jsonl")
        ledger.append(attempt(1))
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            ledger.close()
        monkeypatch.undo()
        write(tmp_path / "ledger.jsonl", [attempt(2)])  # the lock is free again

    def test_a_short_write_is_finished(self, tmp_path, monkeypatch) -> None:
        real = os.write
        monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))
        write(tmp_path / "ledger.jsonl", [attempt(1), attempt(2)])
        assert [row.attempt for row in read_ledger(tmp_path / "ledger.jsonl").rows] == [1, 2]
