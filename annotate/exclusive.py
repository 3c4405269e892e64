"""Files that one process at a time may write: the lock, and a log of lines on top of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from annotate.files import append_whole, repair_tail


@contextlib.contextmanager
def locked(path: Path, busy: Exception) -> Iterator[int]:
    """Hold the lock of a file for this process alone; it ends with the process, however that ends.

    Args:
        path: The file, made if missing.
        busy: Raised where another process holds the lock.

    Yields:
        The file's descriptor, open for reading and appending.

    Raises:
        OSError: The file cannot be opened for writing.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield handle
    finally:
        os.close(handle)


class ExclusiveLog(ABC):
    """A log of lines opened for appending by this process alone; a context manager.

    A line is written whole or, when the disk is full, taken back. It survives the death of the process at once
    and the death of the machine after :meth:`sync`.

    Args:
        path: The file, made if missing; a torn last line is cut off.
        busy: Raised where another process holds its lock.

    Raises:
        OSError: The file cannot be opened for writing.
    """

    def __init__(self, path: Path, busy: Exception) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        with contextlib.ExitStack() as stack:
            self._handle = stack.enter_context(locked(path, busy))
            repair_tail(path)
            self._load()
            self._lock = stack.pop_all()

    @abstractmethod
    def _load(self) -> None:
        """Read what the file holds; called once, under the lock."""

    def _write(self, line: str, *, sync: bool) -> None:
        append_whole(self._handle, self.path, [line], sync=sync)

    def sync(self) -> None:
        """Wait until every line written is on the disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Sync, then give up the lock, also where the disk fails."""
        with self._lock:
            self.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
