"""A review server of its own process, as a user starts it, that tests may kill and start again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from annotate.review.log import Review, read_log

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "token-of-the-tests"


class Reviewing:
    """The command `annotate review` on a benchmark.

    Args:
        benchmark: The benchmark.
        options: More options of the command.
    """

    def __init__(self, benchmark, *options: str) -> None:
        self.benchmark = benchmark
        self.options = options
        self.port = 0
        self.start()

    def start(self, token: str = TOKEN) -> None:
        command = [sys.executable, "-m", "annotate.cli", "review", "--benchmark", str(self.benchmark.path)]
        command += ["--no-browser", "--token", token, "--port", str(self.port), *self.options]
        self.process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
        )
        self.url = re.search(r"http://\S+", self.process.stdout.readline())[0]
        self.port = int(self.url.split(":")[2].split("/")[0])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def interrupt(self) -> str:
        """Press Ctrl-C; what was printed then."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=10)[0]

    def reviews(self) -> list[Review]:
        """What is in the log now."""
        return read_log(self.benchmark.reviews, self.benchmark.paragraphs())
