"""The review server refuses what does not come from its page, and says why; the command starts and stops cleanly."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import json
import re
import socket
import subprocess
import sys
import urllib.request
from graphlib import TopologicalSorter
from importlib.resources import files
from pathlib import Path

import pytest
from fakes.annotated import make_benchmark, make_label, make_paragraphs
from fakes.reviewing import TOKEN, Reviewing

from annotate.errors import AnnotateError
from annotate.label_files import write_labels
from annotate.review import command
from annotate.review.log import ReviewLog

pytest.importorskip("starlette", reason="the extra [review] is not installed")
pytest.importorskip("uvicorn", reason="the extra [review] is not installed")

MODULES = importlib.import_module("annotate.review.server").MODULES
PARAGRAPHS = make_paragraphs(4)
ROOT = f"/{TOKEN}/"


def make_labelled(folder):
    benchmark = make_benchmark(folder, PARAGRAPHS)
    for name, words in {"A": [12, 13], "B": [13, 14]}.items():
        write_labels(benchmark.labels_dir, name, [make_label(p, name, words) for p in PARAGRAPHS])
    return benchmark


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Reviewing(make_labelled(tmp_path_factory.mktemp("server") / "b"))
    yield running
    running.kill()


@pytest.fixture
def ask(server):
    """Send one request with the headers given (``None`` leaves a usual one out) and read the answer."""

    def send(method: str, path: str, body: bytes | None = None, **headers: str | None):
        own = f"127.0.0.1:{server.port}"
        usual = {"Host": own, "Origin": f"http://{own}", "Content-Type": "application/json"}
        given = usual | {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
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

    return send


@pytest.fixture
def change(ask):
    session = json.loads(ask("GET", f"{ROOT}api/session")[1])["session"]

    def make(**fields) -> bytes:
        usual = {
            "session": session,
            "key": "key-of-test",
            "paragraph": 0,
            "pair": [0, 1],
            "base": 0,
            "action": "toggle",
            "words": [12],
            "done": False,
            "flag": False,
            "note": "",
        }
        return json.dumps(usual | fields).encode()

    return make


def refused(answer, status: int, sentence: str) -> None:
    response, content = answer
    assert response.status == status
    assert response.getheader("content-type") == "application/json"
    assert sentence in json.loads(content)["error"]


class TestPage:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("", "text/html"),
            ("review.css", "text/css"),
            ("icon.svg", "image/svg+xml"),
            *((name, "text/javascript") for name in MODULES),
        ],
    )
    def test_files(self, ask, name, kind) -> None:
        response, content = ask("GET", ROOT + name)
        assert response.status == 200
        assert response.getheader("content-type").split(";")[0] == kind
        assert len(content) > 100

    def test_headers(self, ask) -> None:
        for path in (ROOT, f"{ROOT}api/session", f"{ROOT}nothing", "/wrong/"):
            response, _ = ask("GET", path)
            policy = response.getheader("content-security-policy")
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "unsafe" not in policy
            assert response.getheader("x-content-type-options") == "nosniff"
            assert response.getheader("referrer-policy") == "no-referrer"
            assert response.getheader("cache-control") == "no-store"
            assert response.getheader("server") is None

    def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(self, ask) -> None:
        page = ask("GET", ROOT)[1].decode()
        assert "<style" not in page
        assert " style=" not in page
        assert " on" not in page.replace(" once", "").replace(" one", "").replace(" on this", "").replace(
            " on the", ""
        )
        for name in ("", "review.css", *MODULES):
            text = ask("GET", ROOT + name)[1].decode()
            assert "http:" not in text
            assert "https:" not in text
            assert "innerHTML" not in text

    def test_scripts_import_what_is_served_and_no_two_need_each_other(self) -> None:
        folder = Path(str(files("annotate.review"))) / "static"
        assert sorted(path.name for path in folder.glob("*.js")) == sorted(MODULES)
        needed = {
            name: set(re.findall(r'^import .* from "\./(\S+)";$', (folder / name).read_text(), re.MULTILINE))
            for name in MODULES
        }
        assert set().union(*needed.values()) | {"review.js"} == set(MODULES)
        TopologicalSorter(needed).prepare()


class TestAttacks:
    @pytest.mark.parametrize(
        "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"]
    )
    def test_another_origin(self, ask, change, server, origin) -> None:
        refused(
            ask("POST", f"{ROOT}api/reviews", change(), Origin=origin), 403, "not come from the review page"
        )
        refused(ask("GET", f"{ROOT}api/queue", Origin=origin), 403, "not come from the review page")
        assert server.reviews() == []

    def test_a_form_without_origin(self, ask, change, server) -> None:
        refused(ask("POST", f"{ROOT}api/reviews", change(), Origin=None), 403, "not come from")
        refused(
            ask("POST", f"{ROOT}api/reviews", change(), Content_Type="text/plain"), 415, "application/json"
        )
        assert server.reviews() == []

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/api/queue",
            "/wrong/",
            f"/{TOKEN}x/",
            f"/{TOKEN[:-1]}/",
            "//",
            "/%C3%A9/",
            "/%FF/",
        ],
    )
    def test_a_missing_or_wrong_token(self, ask, path) -> None:
        refused(ask("GET", path), 403, "lacks the token")

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1", "evil.example:80", "localhost:1", "", None]
    )
    def test_a_name_pointed_at_this_machine(self, ask, change, server, host) -> None:
        for origin in (None, f"http://{host}"):  # as a page of that name would ask
            response, content = ask("GET", ROOT, Host=host, Origin=origin)
            assert response.status in (400, 403)  # the server itself refuses a request without a Host
            assert b"<html" not in content
            assert ask("POST", f"{ROOT}api/reviews", change(), Host=host, Origin=origin)[0].status in (
                400,
                403,
            )
        assert server.reviews() == []

    @pytest.mark.parametrize(
        "name",
        [
            "../server.py",
            "..%2Fserver.py",
            "%2e%2e/%2e%2e/pyproject.toml",
            "....//server.py",
            "/etc/passwd",
            "%2Fetc%2Fpasswd",
            "static/review.js",
            "review.js%00.html",
            "review.html",
            "..\\server.py",
            "review.js/",
        ],
    )
    def test_path_traversal(self, ask, name) -> None:
        refused(ask("GET", ROOT + name), 404, "nothing at this address")

    def test_an_oversized_body(self, ask, change, server) -> None:
        refused(ask("POST", f"{ROOT}api/reviews", change(note="x" * 300_000)), 413, "longer than 256 KiB")
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        answer = ask("POST", f"{ROOT}api/reviews", chunk * 5, Transfer_Encoding="chunked")
        refused(answer, 413, "longer than 256 KiB")
        assert server.reviews() == []

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"session": NaN}', b'{"words": [1]}'],
    )
    def test_malformed_json(self, ask, body) -> None:
        refused(ask("POST", f"{ROOT}api/reviews", body), 400, "cannot be read")

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"words": [9999]}, "growing indices from 0 to"),
            ({"words": [3, 2]}, "growing indices"),
            ({"words": ["12"]}, "words.0"),
            ({"words": [1.5]}, "words.0"),
            ({"paragraph": 77}, "there is no paragraph 77; there are 4"),
            ({"paragraph": -1}, "paragraph"),
            ({"pair": [0, 7]}, "no such pair"),
            ({"action": "delete-all"}, "action"),
            ({"note": "x" * 2001}, "note"),
            ({"note": "\ud800"}, "cannot be read"),
            ({"more": 1}, "more"),
        ],
    )
    def test_what_does_not_fit(self, ask, change, server, fields, sentence) -> None:
        refused(ask("POST", f"{ROOT}api/reviews", change(**fields)), 400, sentence)
        assert server.reviews() == []

    def test_a_page_of_another_run(self, ask, change, server) -> None:
        refused(ask("POST", f"{ROOT}api/reviews", change(session="another")), 412, "reload the page")
        assert server.reviews() == []

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("api/paragraphs/x", 400),
            ("api/paragraphs/99", 400),
            ("api/paragraphs/" + "9" * 5000, 400),
            ("api/paragraphs/-1", 400),
            ("api/queue?pair=a", 400),
            ("api/queue?pair=0,5", 400),
            ("api/nothing", 404),
            ("nothing", 404),
        ],
    )
    def test_wrong_addresses(self, ask, path, status) -> None:
        refused(ask("GET", ROOT + path), status, " ")

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "api/reviews"), ("POST", "api/queue"), ("DELETE", "api/reviews"), ("PUT", "")],
    )
    def test_wrong_methods(self, ask, method, path) -> None:
        refused(ask(method, ROOT + path), 405, "does not take that method")

    def test_only_the_loopback_is_bound(self, server) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.2", server.port))  # free, as the server has 127.0.0.1 alone


class TestWriting:
    def test_confirmed_when_in_the_log_and_stale_when_not_the_last(self, ask, change, server) -> None:
        response, content = ask("POST", f"{ROOT}api/reviews", change(key="first-one", note="<b>é 😀"))
        assert response.status == 200
        assert json.loads(content) == {"seq": 1, "filters": ["all", "pending"]}
        (review,) = server.reviews()
        assert (review.words, review.note, review.annotators) == ((12,), "<b>é 😀", ("A", "B"))
        again = ask("POST", f"{ROOT}api/reviews", change(key="first-one", note="<b>é 😀"))
        assert json.loads(again[1])["seq"] == 1
        refused(ask("POST", f"{ROOT}api/reviews", change(key="other-one")), 409, "changed elsewhere")
        assert len(server.reviews()) == 1
        shown = json.loads(ask("GET", f"{ROOT}api/paragraphs/0")[1])
        assert (shown["seq"], shown["history"][shown["position"]]["words"]) == (1, [12])


class TestCommand:
    def test_starts_and_stops(self, tmp_path) -> None:
        running = Reviewing(make_labelled(tmp_path / "b"))
        with socket.create_connection(("127.0.0.1", running.port), timeout=5):
            urllib.request.urlopen(running.url, timeout=30).close()  # it serves, and a connection is open
            printed = running.interrupt()
        assert running.process.returncode == 0
        assert "stopped; 0 of 4 paragraphs done" in printed

    def test_a_second_writer_is_told_in_one_line(self, tmp_path) -> None:
        benchmark = make_labelled(tmp_path / "b")
        with ReviewLog(benchmark.reviews, PARAGRAPHS):
            answer = subprocess.run(
                [sys.executable, "-m", "annotate.cli", "review", "--benchmark", str(benchmark.path)],
                capture_output=True,
                text=True,
                timeout=30,
            )
        assert answer.returncode == 1
        assert answer.stderr.startswith("error: another `annotate review` is writing")
        assert len(answer.stderr.splitlines()) == 1

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"shown": "nice"}, "no filter is called 'nice'"),
            ({"annotators": ["nobody"]}, "nobody"),
            ({"mode": "audit", "annotators": ["A"]}, "an audit shows no marks"),
            ({"token": "short"}, "--token must have"),
            ({"token": "a/../../../../../b"}, "--token must have"),
            ({"reviewer": " "}, "--reviewer must be"),
            ({"reviewer": "a\nb"}, "--reviewer must be"),
        ],
    )
    def test_refusals(self, tmp_path, options, sentence) -> None:
        with pytest.raises(AnnotateError, match=re.escape(sentence)):
            command.review(make_labelled(tmp_path / "b"), browser=False, **options)

    def test_a_taken_port(self, tmp_path) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as other,
            pytest.raises(AnnotateError, match="cannot be had"),
        ):
            command.review(make_labelled(tmp_path / "b"), browser=False, port=other.getsockname()[1])

    def test_blind_needs_two(self, tmp_path) -> None:
        benchmark = make_labelled(tmp_path / "b")
        write_labels(benchmark.labels_dir, "C", [make_label(PARAGRAPHS[0], "C", [1])])
        with pytest.raises(AnnotateError, match="name two by --annotator, of: A, B, C"):
            command.review(benchmark, mode="blind", browser=False)

    def test_without_the_extra(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "annotate.review.server", None)
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        monkeypatch.delitem(sys.modules, "annotate.review.server")
        with pytest.raises(AnnotateError, match=r"needs uvicorn: pip install 'heat-alignment\[review\]'"):
            command.review(make_labelled(tmp_path / "b"), browser=False)
