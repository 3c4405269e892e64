"""One lock and one appender for everything that one process at a time may write."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from annotate.errors import LabelError
from annotate.exclusive import locked
from annotate.files import append_lines

BUSY = LabelError("somebody else writes")


def test_the_lock_keeps_others_out_until_it_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with locked(path, BUSY) as handle:
        os.write(handle, b"one\n")
        with pytest.raises(LabelError, match="somebody else writes"), locked(path, BUSY):
            pass
        assert path.read_bytes() == b"one\n"
    with locked(path, BUSY) as handle:
        os.write(handle, b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "log"
    code = (
        "import sys; from pathlib import Path; from annotate.exclusive import locked\n"
        "with locked(Path(sys.argv[1]), ValueError()):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(LabelError), locked(path, BUSY):
        pass
    process.kill()
    process.communicate()
    with locked(path, BUSY):
        pass


def test_lines_that_cannot_be_synced_are_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    append_lines(path, ["one"])

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as stop:
        append_lines(path, ["two", "three"])
    assert stop.value.filename == str(path)
    assert path.read_bytes() == b"one\n"
