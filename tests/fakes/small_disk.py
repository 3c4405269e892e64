"""A disk of a few pages, in memory; for root on Linux alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = 4096


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 16 MiB, unmounted at the end; skips the test where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("mounting a small disk takes root on Linux")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, free: int) -> Path:
    """Fill a disk up to ``free`` pages; removing the file that this makes frees it."""
    filler = folder / "filler"
    there = os.statvfs(folder)
    filler.write_bytes(b"x" * ((there.f_bavail * there.f_bsize // PAGE - free) * PAGE))
    return filler
