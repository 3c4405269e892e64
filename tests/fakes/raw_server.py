"""A server on 127.0.0.1 that sends whatever bytes a test wants, as slowly as it wants, and keeps what it got."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self


class RawServer:
    """Reads the head and body of a request, then sends what ``reply`` makes, until the client hangs up.

    Args:
        reply: Makes the pieces of a response, head and all; it may sleep between them.
    """

    def __init__(self, reply: Callable[[], Iterable[bytes]]) -> None:
        self.reply = reply
        self.got: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.got.append(_request(connection))
                for piece in self.reply():
                    connection.sendall(piece)
            except OSError:
                pass  # the client has had enough, which is what is tested

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


def _request(connection: socket.socket) -> bytes:
    """Head and body of a request."""
    stream = connection.makefile("rb")
    lines = list(iter(stream.readline, b"\r\n"))
    lengths = [line for line in lines if line.lower().startswith(b"content-length:")]
    return b"".join(lines) + stream.read(int(lengths[0].partition(b":")[2]) if lengths else 0)
