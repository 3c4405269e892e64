"""Live pages for tests: in a thread on a tiny model, and in a process of its own that may be killed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from heat.model import LanguageModel
from heat.serve.history import History
from heat.serve.server import create_app, listen, make_server
from heat.serve.session import Session

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "token-of-the-tests"
PROMPT = "The gate is made of iron. What is the gate made of?"


def asked(*methods: str, **fields: Any) -> dict[str, Any]:
    """A request as the page sends it."""
    chosen = [{"name": name, "options": {}} for name in methods or ("kl-only",)]
    return {"prompt": PROMPT, "max_targets": 2, "methods": chosen, **fields}


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until something is true; what it was."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it never was"
        time.sleep(0.02)
    return found


class Serving:
    """A session served from a thread of this process.

    Args:
        lm: The model.
        folder: The history.
    """

    def __init__(self, lm: LanguageModel, folder: Path, port: int = 0) -> None:
        self.history = History(folder)
        self.session = Session(lm, self.history, restart="heat serve --again")
        self.session.worker.start()
        self._listener = listen(port)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/{TOKEN}/"
        self._server = make_server(create_app(self.session, TOKEN, self.port))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})
        self._thread.start()
        until(lambda: self._server.started)

    def stop(self) -> None:
        self._server.force_exit = self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        self.session.worker.stop()
        self.history.close()

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str | None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send one request with the headers given (`None` leaves a usual one out) and read the answer."""
        own = f"127.0.0.1:{self.port}"
        usual = {"Host": own, "Origin": f"http://{own}", "Content-Type": "application/json"}
        given = usual | {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        if body is not None and "Transfer-Encoding" not in given:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        if body is not None:
            connection.send(body)
        response, content = connection.getresponse(), b""
        with contextlib.suppress(ConnectionResetError):  # who refuses before the body came may hang up on it
            content = response.read()
        connection.close()
        return response, content

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """What the page would get from an address of the interface."""
        sent = None if body is None else json.dumps(body).encode()
        response, content = self.ask(method, f"/{TOKEN}/api/{path}", sent)
        assert response.status == 200, content
        return json.loads(content)

    def submit(self, request: dict[str, Any], key: str = "") -> str:
        name = key or f"key-{time.monotonic_ns()}"
        return str(self.json("POST", "runs", {"key": name, "request": request})["id"])

    def status(self, run: str) -> str:
        return self.session.worker.runs.get(run).status

    def finished(self, run: str) -> str:
        """How a run ended."""
        until(lambda: self.status(run) not in ("queued", "running"))
        return self.status(run)


class ServingProcess:
    """The command `heat serve` on the embedded reader, as a user starts it.

    Args:
        history: The history.
        options: More options of the command.
    """

    def __init__(self, history: Path, *options: str) -> None:
        self.history = history
        self.options = options
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "heat.cli", "serve", "--history", str(self.history), "--no-browser"]
        command += ["--token", TOKEN, "--port", str(self.port), *self.options]
        self.process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("loading")
        found = re.search(r"http://\S+", self.process.stdout.readline())
        assert found is not None
        self.url = found[0]
        self.port = int(self.url.split(":")[2].split("/")[0])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def interrupt(self) -> str:
        """Press Ctrl-C; what was printed then."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=60)[0]


@contextlib.contextmanager
def serving(lm: LanguageModel, folder: Path, port: int = 0) -> Iterator[Serving]:
    """A session that is stopped at the end."""
    running = Serving(lm, folder, port)
    try:
        yield running
    finally:
        running.stop()
