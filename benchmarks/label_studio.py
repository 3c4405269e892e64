"""Labels through Label Studio itself and back: what a person there leaves alone, changes, clears and skips.

    python3 -m venv ls && ls/bin/pip install label-studio==1.23.2
    python benchmarks/label_studio.py --label-studio ls/bin/label-studio

Exports 50 paragraphs with the labels of an annotator, many with emoji, combining accents and text from right to left;
starts Label Studio on the loopback with a folder of its own, imports them through its API, edits them there as its page
does, takes its JSON export and imports that. Every paragraph must then hold the words that it was given.
"""

import argparse
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Any

from annotate.benchmark import open_benchmark
from annotate.imports.regions import MARK
from annotate.label_files import read_labels
from annotate.schema import Paragraph
from annotate.words import split_words

ADDED = (
    "",
    "👩🏽‍🚀🎉 said so 😀. ",
    "המורה אמר שהנחושת מוליכה חום. ",
    "قال المعلم إن النحاس 😀 ينقل الحرارة. ",
    "Nai\u0308ve 🇩🇪 cafe\u0301s, e.g. 東京タワー: ",
)
"""What stands before every fifth text: code points beyond the first plane shift what a browser counts."""
LABELLED_BY, PERSON = "import:list", "human:ada"


@dataclass(frozen=True)
class LabelStudio:
    """A running Label Studio.

    Attributes:
        url: Its address.
        token: What its API is asked with.
    """

    url: str
    token: str

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON answer to a request of its API."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error} {error.read().decode()[:500]}") from None


@contextmanager
def running(program: str, folder: Path) -> Iterator[LabelStudio]:
    """Label Studio on a free port of the loopback, which tells nobody that it runs; stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    studio = LabelStudio(f"http://127.0.0.1:{port}", secrets.token_hex(20))
    quiet = {
        "COLLECT_ANALYTICS": "0",
        "LATEST_VERSION_CHECK": "0",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    command = [program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    account = [
        "--username",
        "ada@example.org",
        "--password",
        secrets.token_hex(8),
        "--user-token",
        studio.token,
    ]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--data-dir", str(folder), *account, "--enable-legacy-api-token"],
            env=environ | quiet | {"LABEL_STUDIO_BASE_DATA_DIR": str(folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 900  # its database is made first
        while True:
            try:
                studio.ask("GET", "/api/version")
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(
                        f"Label Studio did not start:\n{(folder / 'server.log').read_text()}"
                    ) from None
                time.sleep(1)
        yield studio
    finally:
        server.terminate()
        server.wait(30)


def annotate(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "annotate", *arguments], check=True, capture_output=True, text=True
    ).stdout


def make(folder: Path, size: int) -> None:
    """A benchmark of texts with everything that offsets break on, and labels of every third word with a letter."""
    annotate("build-dataset", "--size", str(size), "--out", str(folder / "world"), "--quiet")
    rows = []
    for number, paragraph in enumerate(open_benchmark(folder / "world").paragraphs()):
        text = ADDED[number % len(ADDED)] + paragraph.text
        words = [text[start:end] for start, end in split_words(text)]
        marked = words[number % 3 : 3 * (4 + number % 4) : 3] + words[-4:-2]
        rows.append({"input": text, "important_words": marked, "question": paragraph.question})
    (folder / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    annotate(
        *(
            "import",
            "--format",
            "word-list",
            "--annotator",
            LABELLED_BY,
            "--benchmark",
            str(folder / "bench"),
        ),
        str(folder / "words.jsonl"),
    )


def region(paragraph: Paragraph, word: int) -> dict[str, Any]:
    """What Label Studio's page makes of a double click on a word; it counts code points."""
    start, end = paragraph.words[word]
    return {
        "id": secrets.token_urlsafe(8)[:10],
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "origin": "manual",
        "value": {"start": start, "end": end, "text": paragraph.text[start:end], "labels": [MARK]},
    }


def edit(paragraph: Paragraph, predicted: list[dict[str, Any]], kind: int) -> list[dict[str, Any]]:
    """What a person makes of a prediction: accepts it, takes a region away, adds a word, clears it."""
    accepted = [{**each, "origin": "prediction"} for each in predicted]
    if kind == 0:
        return accepted
    if kind == 1:
        return accepted[1:]
    if kind == 2:
        return [*accepted, region(paragraph, len(paragraph.words) - 1)]
    return []


EDITS = ("accepted", "a region removed", "a word added", "cleared", "skipped")


def expected(paragraph: Paragraph, words: tuple[int, ...], kind: int) -> tuple[int, ...] | None:
    """The words of an edited prediction; None where it was skipped."""
    if kind == 1:
        first = next((i for i, word in enumerate(words) if i and word != words[i - 1] + 1), len(words))
        return words[first:]
    if kind == 2:
        return tuple(sorted({*words, len(paragraph.words) - 1}))
    return (words, (), (), (), None)[kind]


def round_trip(folder: Path, server: AbstractContextManager[LabelStudio], size: int) -> None:
    make(folder, size)
    benchmark = open_benchmark(folder / "bench")
    paragraphs = {paragraph.id: paragraph for paragraph in benchmark.paragraphs()}
    labels = read_labels(benchmark.labels_dir, [*paragraphs.values()])[LABELLED_BY]
    given = {label.paragraph_id: label.words for label in labels}
    tasks = folder / "tasks.json"
    annotate("export", "--format", "label-studio", "--out", str(tasks), "--benchmark", str(benchmark.path))
    kinds: dict[str, int] = {}
    with server as studio:
        print(f"Label Studio {studio.ask('GET', '/api/version')['release']}", flush=True)
        interface = tasks.with_suffix(".xml").read_text()
        project = studio.ask("POST", "/api/projects", {"title": "heat", "label_config": interface})["id"]
        told = studio.ask("POST", f"/api/projects/{project}/import", json.loads(tasks.read_text()))
        print(
            f"imported there: {told['task_count']} tasks, {told['prediction_count']} predictions", flush=True
        )
        rows = studio.ask("GET", f"/api/tasks?project={project}&page_size={size}&fields=all")["tasks"]
        for number, task in enumerate(sorted(rows, key=lambda row: int(row["id"]))):
            identifier = task["data"]["paragraph_id"]
            kinds[identifier] = kind = number // len(ADDED) % len(EDITS)
            result = edit(paragraphs[identifier], task["predictions"][0]["result"], kind)
            body = {"result": result, "was_cancelled": kind == 4, "lead_time": 9.5}
            made = studio.ask("POST", f"/api/tasks/{task['id']}/annotations", body)
            if kind == 3:  # saved once more, with a region, and then cleared again
                again = {"result": [region(paragraphs[identifier], 0)]}
                studio.ask("PATCH", f"/api/annotations/{made['id']}", again)
                studio.ask("PATCH", f"/api/annotations/{made['id']}", {"result": result})
        content = studio.ask("GET", f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")
    (folder / "project.json").write_text(json.dumps(content))
    print(
        annotate(
            *(
                "import",
                "--format",
                "label-studio",
                "--annotator",
                PERSON,
                "--benchmark",
                str(benchmark.path),
            ),
            str(folder / "project.json"),
        ),
        end="",
    )
    compare(paragraphs, given, kinds, folder / "bench")


def compare(
    paragraphs: Mapping[str, Paragraph],
    given: Mapping[str, tuple[int, ...]],
    kinds: Mapping[str, int],
    path: Path,
) -> None:
    """Print how many paragraphs came back as they were left, by what was done to them."""
    labels = read_labels(open_benchmark(path).labels_dir, [*paragraphs.values()])[PERSON]
    equal: Counter[str] = Counter()
    rungs = Counter(span.rung for label in labels for span in label.spans)
    for label in labels:
        kind = kinds[label.paragraph_id]
        wanted = expected(paragraphs[label.paragraph_id], given[label.paragraph_id], kind)
        found = None if label.status == "missing" else label.words
        equal[EDITS[kind]] += found == wanted
    for kind, name in enumerate(EDITS):
        print(f"{name}: {equal[name]} of {list(kinds.values()).count(kind)} paragraphs as they were left")
    print(f"regions by how they were placed: {dict(rungs)}")
    if equal.total() != len(paragraphs):
        raise SystemExit("not everything came back")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--label-studio", default="label-studio", help="its program")
    parser.add_argument("--url", help="of one that runs, asked with the key in LABEL_STUDIO_API_KEY")
    parser.add_argument("--size", type=int, default=50)
    parser.add_argument("--keep", type=Path, help="a folder for all that is written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        (folder / "studio").mkdir(parents=True, exist_ok=True)
        if options.url:
            studio = LabelStudio(options.url.rstrip("/"), environ["LABEL_STUDIO_API_KEY"])
            round_trip(folder, nullcontext(studio), options.size)
        else:
            round_trip(folder, running(options.label_studio, folder / "studio"), options.size)


if __name__ == "__main__":
    main()
