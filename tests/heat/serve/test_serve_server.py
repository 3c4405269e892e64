"""The live page's server refuses what does not come from the page, and says why; the command starts and stops."""

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
from fakes.serving import PROMPT, TOKEN, ServingProcess, asked, serving
from fakes.tiny_models import tiny_lm

from heat.attribution import Attribution
from heat.errors import HeatError
from heat.serve import command
from heat.serve.history import LOG, History

pytest.importorskip("starlette", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

MODULES = importlib.import_module("heat.serve.server").MODULES
ROOT = f"/{TOKEN}/"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tiny_lm("llama"), tmp_path_factory.mktemp("serve") / "h") as running:
        yield running


@pytest.fixture
def ask(server):
    return server.ask


def submission(**fields) -> bytes:
    return json.dumps({"key": "key-of-test", "request": asked(**fields)}).encode()


def nothing_asked(server) -> bool:
    return server.session.worker.runs.since(-1)["runs"] == []


def refused(answer, status: int, sentence: str) -> None:
    response, content = answer
    assert response.status == status, content
    assert response.getheader("content-type") == "application/json"
    assert sentence in json.loads(content)["error"]


class TestPage:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("", "text/html"),
            ("serve.css", "text/css"),
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
        for path in (ROOT, f"{ROOT}api/about", f"{ROOT}nothing", "/wrong/"):
            response, _ = ask("GET", path)
            policy = response.getheader("content-security-policy")
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "unsafe" not in policy
            assert response.getheader("x-content-type-options") == "nosniff"
            assert response.getheader("referrer-policy") == "no-referrer"
            assert response.getheader("cache-control") == "no-store"
            assert response.getheader("server") is None

    def test_the_review_page_has_the_same_protections(self) -> None:
        ours = importlib.import_module("heat.serve.guard")
        theirs = importlib.import_module("annotate.review.server")
        assert (ours.HEADERS, ours.HOST) == (theirs.HEADERS, theirs.HOST)

    def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(self, ask) -> None:
        page = ask("GET", ROOT)[1].decode()
        assert "<style" not in page
        assert " style=" not in page
        assert not re.search(r"\son\w+=", page)
        for name in ("", "serve.css", *MODULES):
            text = ask("GET", ROOT + name)[1].decode()
            assert "http:" not in text
            assert "https:" not in text
            assert "innerHTML" not in text

    def test_scripts_import_what_is_served_and_no_two_need_each_other(self) -> None:
        folder = Path(str(files("heat.serve"))) / "static"
        assert sorted(path.name for path in folder.glob("*.js")) == sorted(MODULES)
        needed = {
            name: set(re.findall(r'^import .* from "\./(\S+)";$', (folder / name).read_text(), re.MULTILINE))
            for name in MODULES
        }
        assert set().union(*needed.values()) | {"serve.js"} == set(MODULES)
        TopologicalSorter(needed).prepare()


class TestAttacks:
    @pytest.mark.parametrize(
        "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"]
    )
    def test_another_origin(self, ask, server, origin) -> None:
        refused(ask("POST", f"{ROOT}api/runs", submission(), Origin=origin), 403, "not come from the page")
        refused(ask("GET", f"{ROOT}api/state", Origin=origin), 403, "not come from the page")
        assert nothing_asked(server)

    def test_a_form_without_origin(self, ask, server) -> None:
        refused(ask("POST", f"{ROOT}api/runs", submission(), Origin=None), 403, "not come from")
        for path in ("api/runs", "api/plan", "api/runs/x/cancel"):
            refused(
                ask("POST", ROOT + path, submission(), Content_Type="text/plain"), 415, "application/json"
            )
        assert nothing_asked(server)

    @pytest.mark.parametrize(
        "path", ["/", "/api/state", "/wrong/", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/", "//", "/%C3%A9/", "/%FF/"]
    )
    def test_a_missing_or_wrong_token(self, ask, path) -> None:
        refused(ask("GET", path), 403, "lacks the token")

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1", "evil.example:80", "localhost:1", "", None]
    )
    def test_a_name_pointed_at_this_machine(self, ask, server, host) -> None:
        for origin in (None, f"http://{host}"):  # as a page of that name would ask
            response, content = ask("GET", ROOT, Host=host, Origin=origin)
            assert response.status in (400, 403)  # the server itself refuses a request without a Host
            assert b"<html" not in content
            sent = ask("POST", f"{ROOT}api/runs", submission(), Host=host, Origin=origin)
            assert sent[0].status in (400, 403)
        assert nothing_asked(server)

    @pytest.mark.parametrize(
        "name",
        [
            "../server.py",
            "..%2Fserver.py",
            "%2e%2e/%2e%2e/pyproject.toml",
            "....//server.py",
            "/etc/passwd",
            "%2Fetc%2Fpasswd",
            "static/serve.js",
            "serve.js%00.html",
            "serve.html",
            "..\\server.py",
            "serve.js/",
            "api/runs/..%2F..%2Fetc%2Fpasswd",
            "api/runs/%2Fetc%2Fpasswd/0",
            "api/runs/../0/json",
            "api/runs/history.jsonl/0/json",
            "api/runs/nobody",
            "api/nothing",
        ],
    )
    def test_path_traversal(self, ask, name) -> None:
        response, content = ask("GET", ROOT + name)
        assert response.status == 404
        assert json.loads(content)["error"] in (
            "there is nothing at this address",
            "the history holds no such run",
        )

    def test_an_oversized_body(self, ask, server) -> None:
        big = submission(prompt="x" * 1_100_000)
        for path in ("api/runs", "api/plan"):
            refused(ask("POST", ROOT + path, big), 413, "longer than 1024 KiB")
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        answer = ask("POST", f"{ROOT}api/runs", chunk * 17, Transfer_Encoding="chunked")
        refused(answer, 413, "longer than 1024 KiB")
        assert nothing_asked(server)

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"key": NaN}', b'{"key": "x"}']
    )
    def test_malformed_json(self, ask, body) -> None:
        refused(ask("POST", f"{ROOT}api/runs", body), 400, "cannot be read")
        refused(ask("POST", f"{ROOT}api/plan", body), 400, "cannot be read")

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"methods": []}, "request.methods"),
            ({"methods": [{"name": "kl-only", "options": {}}] * 7}, "request.methods"),
            ({"methods": [{"name": "nonsense", "options": {}}]}, "there is no method 'nonsense'"),
            ({"methods": [{"name": "heat", "options": {"n_probes": 3}}]}, "n_probes"),
            ({"methods": [{"name": "heat", "options": {"n_probes": "9" * 100}}]}, "n_probes"),
            ({"max_targets": 0}, "max_targets"),
            ({"max_targets": 2000}, "max_targets"),
            ({"max_targets": True}, "max_targets"),
            ({"seed": -1}, "seed"),
            ({"prompt": None}, "a prompt or chat messages"),
            ({"messages": [{"role": "user", "content": "Hi"}]}, "a prompt or chat messages"),
            ({"messages": [{"role": "user"}], "prompt": None}, "messages.0.content"),
            ({"prompt": "\ud800"}, "cannot be read"),
            ({"more": 1}, "more"),
        ],
    )
    def test_what_does_not_fit(self, ask, server, fields, sentence) -> None:
        refused(ask("POST", f"{ROOT}api/runs", submission(**fields)), 400, sentence)
        assert nothing_asked(server)

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("api/state?since=x", 400),
            ("api/state?since=" + "9" * 5000, 400),
            ("api/runs/nobody/x", 400),
            ("api/runs/nobody/0", 404),
            ("nothing", 404),
        ],
    )
    def test_wrong_addresses(self, ask, path, status) -> None:
        refused(ask("GET", ROOT + path), status, " ")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "api/runs"),
            ("POST", "api/state"),
            ("GET", "api/plan"),
            ("DELETE", "api/runs"),
            ("PUT", ""),
        ],
    )
    def test_wrong_methods(self, ask, method, path) -> None:
        refused(ask(method, ROOT + path), 405, "does not take that method")

    def test_only_the_loopback_is_bound(self, server) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.2", server.port))  # free, as the server has 127.0.0.1 alone


class TestRuns:
    @pytest.fixture(scope="class")
    def done(self, server):
        run = server.submit(
            asked("heat", "kl-only", prompt=f"<b>{PROMPT}</b>", target=" iron"), "key-of-done"
        )
        assert server.finished(run) == "done"
        return run

    def test_state_tells_each_change_once(self, server, done) -> None:
        first = server.json("GET", "state")
        assert [run["id"] for run in first["runs"]] == [done]
        again = server.json("GET", f"state?boot={first['boot']}&since={first['version']}")
        assert again["runs"] == []
        other = server.json("GET", f"state?boot=another&since={first['version']}")
        assert [run["status"] for run in other["runs"]] == ["done"]

    def test_the_same_key_gives_the_same_run(self, server, done) -> None:
        assert server.submit(asked("heat"), "key-of-done") == done

    def test_files_to_take_along(self, ask, done) -> None:
        kinds = {"html": b"<!DOCTYPE html>", "json": b'{"command"', "png": b"\x89PNG"}
        for kind, beginning in kinds.items():
            response, content = ask("GET", of(kind, [{"run": done, "index": 0}, {"run": done, "index": 1}]))
            assert response.status == 200
            assert content.startswith(beginning)
            # A page with a prompt in it is never shown in the origin that may ask the server.
            assert response.getheader("content-disposition") == f'attachment; filename="heat-{done}.{kind}"'
            assert response.getheader("x-content-type-options") == "nosniff"
        refused(ask("GET", of("exe", [{"run": done, "index": 0}])), 404, "html, json, png")
        refused(ask("GET", of("json", [{"run": done, "index": 5}])), 404, "no result")
        refused(ask("GET", of("json", [{"run": "../../etc/passwd", "index": 0}])), 404, "no such run")

    def test_the_command_in_the_page_makes_the_same(self, ask, done) -> None:
        page = ask("GET", of("html", [{"run": done, "index": 1}]))[1].decode()
        assert "&lt;b&gt;" in page
        assert "<b>" not in page
        assert "--method kl-only" in page
        assert "&#39;--answer= iron&#39;" in page

    def test_recombined_files(self, server, ask, done) -> None:
        layer = server.json("GET", f"runs/{done}/0")
        parts = layer["combinations"]["SI"] | {"options": {"beta": 0.2}}
        content = json.loads(ask("GET", of("json", [{"run": done, "index": 0, "parts": parts}]))[1])
        found = Attribution.from_json(json.dumps(content["attributions"][0]))
        assert (found.method, found.config["beta"]) == ("no-gate", 0.2)
        for odd in ({"method": "owen"}, {"method": "heat", "options": {"n_probes": 99}}):
            assert ask("GET", of("json", [{"run": done, "index": 0, "parts": odd}]))[0].status == 400

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "?of=x",
            "?of=[]",
            '?of={"items":[]}',
            '?of={"items":[{"run":"x","index":-1}]}',
            '?of={"items":[{"run":"x","index":0}],"unit":"book"}',
            '?of={"items":[{"run":"x","index":0}],"path":"/etc/passwd"}',
        ],
    )
    def test_downloads_of_something_else(self, ask, query) -> None:
        path = urllib.request.quote(query, safe="?=")
        refused(ask("GET", f"{ROOT}api/download/json{path}"), 400, "cannot be read")

    def test_what_methods_share_is_sent_once(self, server, done) -> None:
        text, layers = (
            server.json("GET", f"runs/{done}/text"),
            [server.json("GET", f"runs/{done}/{n}") for n in (0, 1)],
        )
        assert "pieces" in text["units"]["word"]
        assert [layer["method"] for layer in layers] == ["heat", "kl-only"]
        assert not {"units", "answer"} & set(layers[0])


def of(kind: str, items: list[dict]) -> str:
    """The address of a download."""
    return f"{ROOT}api/download/{kind}?of={urllib.request.quote(json.dumps({'items': items}))}"


class TestCommand:
    def test_starts_and_stops(self, tmp_path) -> None:
        running = ServingProcess(tmp_path / "h")
        with socket.create_connection(("127.0.0.1", running.port), timeout=5):
            urllib.request.urlopen(running.url, timeout=30).close()  # it serves, and a connection is open
            printed = running.interrupt()
        assert running.process.returncode == 0
        assert f"stopped; the history is in {tmp_path / 'h'}" in printed
        assert (tmp_path / "h" / LOG).read_bytes() == b""

    def test_a_second_writer_is_told_in_one_line(self, tmp_path) -> None:
        with History(tmp_path / "h"):
            answer = subprocess.run(
                [sys.executable, "-m", "heat.cli", "serve", "--history", str(tmp_path / "h"), "--no-browser"],
                capture_output=True,
                text=True,
                timeout=120,
            )
        assert answer.returncode == 1
        assert answer.stderr.startswith("error: another heat serve writes to")
        assert len(answer.stderr.splitlines()) == 1

    @pytest.mark.parametrize("token", ["short", "a/../../../../../b", "x" * 201])
    def test_tokens(self, tmp_path, token) -> None:
        with pytest.raises(HeatError, match="--token must have"):
            command.serve(history=tmp_path / "h", token=token, browser=False)

    def test_a_taken_port(self, tmp_path) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as other,
            pytest.raises(HeatError, match="cannot be had"),
        ):
            command.serve(history=tmp_path / "h", browser=False, port=other.getsockname()[1])

    def test_no_such_model(self, tmp_path) -> None:
        with pytest.raises(HeatError, match="nowhere"):
            command.serve(str(tmp_path / "nowhere"), history=tmp_path / "h", browser=False, tell=len)

    def test_without_the_extra(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        monkeypatch.delitem(sys.modules, "heat.serve.server")
        monkeypatch.delattr("heat.serve.server")
        with pytest.raises(HeatError, match=r"needs uvicorn: pip install 'heat-alignment\[serve\]'"):
            command.serve(history=tmp_path / "h", browser=False)

    def test_help_needs_neither_torch_nor_starlette(self) -> None:
        code = "import sys, heat.cli; assert not {'torch', 'starlette', 'uvicorn'} & set(sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
