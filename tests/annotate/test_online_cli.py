"""`annotate label` with a model, as a user runs it: faults, kill -9, Ctrl-C, money, bad input, and the key."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes.annotated import make_benchmark, make_paragraphs
from fakes.command_line import wait_for_lines
from fakes.openai_server import FakeOpenAI, random_plan
from fakes.raw_server import RawServer
from fakes.server_profiles import (
    CUTTING,
    LLAMA_CPP,
    LLAMA_CPP_512,
    LLAMA_CPP_PYTHON,
    LLAMA_CPP_PYTHON_512,
    TRANSFORMERS,
)
from fakes.small_disk import fill, small_disk
from fakes.truthful import chosen_words

from annotate.benchmark import Benchmark
from annotate.cli import main
from annotate.files import read_records
from annotate.label_files import labels_file
from annotate.ledger.ledger import read_ledger
from annotate.schema import Label

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-test-fedcba9876543210"
FAULTS = (
    *("429:0.02", "429", "500", "drop", "html", "badjson"),
    *("schema", "refusal", "filter", "length", "empty", "duplicate", "wrong"),
)
STATUSES = {"ok", "refused", "filtered", "truncated", "invalid_output", "unresolved", "error"}


def arguments(benchmark: Benchmark, url: str, *options: str) -> list[str]:
    chosen = () if "--annotator" in options else ("--annotator", "openai:gpt-4o")
    return ["label", "--benchmark", str(benchmark.path), *chosen, "--base-url", url, *options]


def start(benchmark: Benchmark, url: str, *options: str) -> subprocess.Popen[str]:
    """The command in a process of its own, to be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "annotate.cli", *arguments(benchmark, url, *options)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that works in the background has its children ignore Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture
def label(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """The command in this process; returns its exit code and what it printed on stdout and stderr."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "200")

    def run(benchmark: Benchmark, url: str, *options: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["annotate", *arguments(benchmark, url, *options)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


def labels(benchmark: Benchmark, name: str = "openai:gpt-4o,host=127.0.0.1") -> list[Label]:
    return read_records(labels_file(benchmark.labels_dir, name), Label)


def billed(benchmark: Benchmark) -> dict[str, int]:
    usages = [row.usage.model_dump() for row in read_ledger(benchmark.ledger).rows if row.usage]
    return {name: sum(usage[name] for usage in usages) for name in usages[0]}


@pytest.fixture
def benchmark(tmp_path) -> Benchmark:
    return make_benchmark(tmp_path / "b", make_paragraphs(60))


def test_under_faults_everything_ends_in_a_label_or_a_named_status_and_is_paid_once(benchmark, label) -> None:
    with FakeOpenAI(random_plan(0.2, faults=FAULTS), key=KEY) as fake:
        models = ("--annotator", "openai:gpt-4o", "--annotator", "openai:gpt-5")
        code, out, err = label(benchmark, fake.url, *models, "--concurrency", "16")
        bill, succeeded, log = fake.bill(), fake.succeeded(), fake.log
    assert code == 0, err
    for name in ("openai:gpt-4o,host=127.0.0.1", "openai:gpt-5,host=127.0.0.1"):
        found = labels(benchmark, name)
        assert len(found) == 60
        assert {row.status for row in found} <= STATUSES
        assert sum(row.status == "ok" for row in found) > 45
    assert set(succeeded.values()) == {1}
    assert bill == billed(benchmark)
    assert len(read_ledger(benchmark.ledger).rows) == len(log)
    assert sum(entry.fault != "ok" for entry in log) > 0.1 * len(log)
    assert "answered by gpt-4o-2026-01-01" in out
    assert "gpt-5 is shut down on 2026-12-11" in err
    assert {row.model for row in labels(benchmark) if row.status == "ok"} == {"gpt-4o-2026-01-01"}


def test_killed_again_and_again_the_labels_are_those_of_an_unbroken_run(tmp_path, label) -> None:
    paragraphs = make_paragraphs(80)
    whole, broken = (make_benchmark(tmp_path / name, paragraphs) for name in ("whole", "broken"))
    plan = random_plan(0.2, seed=1, faults=FAULTS)
    with FakeOpenAI(plan, key=KEY) as fake:
        assert label(whole, fake.url)[0] == 0
    rng, kills = random.Random(0), 0
    with FakeOpenAI(plan, key=KEY, latency=0.01) as fake:
        for lines in sorted(rng.sample(range(5, 75), 3)):
            process = start(broken, fake.url, "--concurrency", "4")
            wait_for_lines(process, broken.ledger, lines)
            process.kill()
            process.communicate()
            kills += 1
        code, _, err = label(broken, fake.url, "--concurrency", "4")
        succeeded, log = fake.succeeded(), list(fake.log)
    assert code == 0, err
    assert labels(broken) == labels(whole)
    lost = sum(count - 1 for count in succeeded.values())
    assert lost <= 4 * kills
    assert len(log) - len(read_ledger(broken.ledger).rows) <= 4 * kills


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_lets_what_is_in_flight_come_in(benchmark, label, number) -> None:
    # Slow enough that something is in flight when the signal comes, on a busy machine too.
    with FakeOpenAI(latency=0.3) as fake:
        process = start(benchmark, fake.url, "--concurrency", "4")
        wait_for_lines(process, benchmark.ledger, 8)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 3
        assert "interrupted" in err.splitlines()[-1]
        assert "answers in flight; Ctrl-C again gives them up" in err
        answered = [row.paragraph_id for row in read_ledger(benchmark.ledger).rows if row.status == "ok"]
        assert 8 <= len(answered) < 60
        assert sum(row.status == "ok" for row in labels(benchmark)) == len(answered)
        assert label(benchmark, fake.url)[0] == 0
        # A busy machine may make a request twice, but no paragraph is answered twice.
        answered = [row.paragraph_id for row in read_ledger(benchmark.ledger).rows if row.status == "ok"]
        assert len(answered) == len(set(answered)) == 60


def test_a_second_ctrl_c_gives_up_what_is_in_flight(benchmark, label) -> None:
    with FakeOpenAI(lambda digest, attempt: "slow:20") as fake:
        process = start(benchmark, fake.url)
        deadline = time.monotonic() + 30
        while not fake.attempts:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        began = time.monotonic()
        while process.poll() is None and time.monotonic() < began + 15:  # a busy machine makes one of two
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        _, err = process.communicate(timeout=1)
    # One more while the interpreter ends meets no handler any longer; a shell calls that 130 too.
    assert process.returncode in (130, -signal.SIGINT)
    assert err.splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in err


def test_the_key_is_in_no_byte_written_or_shown(benchmark, label) -> None:
    shown = ""
    with FakeOpenAI(key=KEY, answer=lambda body: f"your key is {KEY}") as fake:
        shown += "".join(label(benchmark, fake.url, "--limit", "3")[1:])
        assert len(fake.log) == 6
    with FakeOpenAI(key="another") as fake:
        shown += "".join(start(benchmark, fake.url, "--fresh", "--debug").communicate(timeout=30))
    assert "AuthenticationError" in shown or "is not accepted" in shown
    assert KEY not in shown
    written = [path for path in benchmark.path.rglob("*") if path.is_file()]
    assert "[key]" in benchmark.ledger.read_text()
    assert not any(KEY.encode() in path.read_bytes() for path in written)


def changed(**message: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Every answer with other fields in its message; a function makes the new content of the old."""

    def edit(body: dict[str, Any]) -> dict[str, Any]:
        old = body["choices"][0]["message"]
        new = {key: value(old["content"]) if callable(value) else value for key, value in message.items()}
        return body | {"choices": [body["choices"][0] | {"message": old | new}]}

    return edit


class TestWhatOtherServersSend:
    @pytest.mark.parametrize(
        "content",
        [
            lambda said: f"<think>\\n{{maybe}} {{}}\n</think>\n\n{said}",
            lambda said: f"Sure!\n```JSON\n{said}\n```\nDone.",
            lambda said: [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": said}],
        ],
    )
    def test_is_read_and_paid_once(self, benchmark, label, content) -> None:
        with FakeOpenAI(edit=changed(content=content)) as fake:
            code, _, err = label(benchmark, fake.url, "--annotator", "openai:m,structured=none")
            assert len(fake.log) == 60
        assert code == 0, err
        found = labels(benchmark, "openai:m,structured=none,host=127.0.0.1")
        assert {row.status for row in found} == {"ok"}
        meant = [tuple(chosen_words(paragraph.text, "m")) for paragraph in benchmark.paragraphs()]
        assert [row.words for row in found] == meant

    def test_half_a_surrogate_pair_neither_crashes_nor_is_paid_again(self, benchmark, label) -> None:
        answers = [
            changed(content=None, refusal="I cannot \ud83d help"),
            changed(content="\ud83d"),
            changed(content=lambda said: said.replace('"quote": "', '"quote": "\ud83d', 1)),
        ]
        with FakeOpenAI(edit=lambda body: answers[int(body["id"][-1], 16) % 3](body)) as fake:
            for _ in range(2):
                code, _, err = label(benchmark, fake.url)
                assert (code, "Traceback" in err) == (0, False), err
                asked = len(fake.log)
            assert label(benchmark, fake.url)[0] == 0
            assert len(fake.log) == asked
        statuses = Counter(row.status for row in labels(benchmark))
        assert set(statuses) == {"refused", "invalid_output", "ok", "unresolved"} - (
            {"unresolved"} - set(statuses)
        )

    def test_an_answer_the_server_gave_up_on_is_asked_again(self, benchmark, label) -> None:
        broken = iter([True] * 7)

        def edit(body: dict[str, Any]) -> dict[str, Any]:
            if not next(broken, False):
                return body
            return body | {"choices": [body["choices"][0] | {"finish_reason": "error"}]}

        with FakeOpenAI(edit=edit) as fake:
            code, _, err = label(benchmark, fake.url)
            assert len(fake.log) == 67
        assert code == 0, err
        assert Counter(row.status for row in labels(benchmark)) == {"ok": 60}
        assert Counter(row.status for row in read_ledger(benchmark.ledger).rows) == {"ok": 60, "error": 7}

    def test_tokens_that_nobody_counts_cost_an_unknown_sum(
        self, benchmark, label, monkeypatch, capsys
    ) -> None:
        with FakeOpenAI(edit=lambda body: body | {"usage": None}) as fake:
            code, out, _ = label(benchmark, fake.url)
            assert code == 0
            assert "cost not known" in out
            assert "$" not in out
            assert (
                json.loads(label(benchmark, fake.url, "--fresh", "--json")[1])["annotators"][0]["spent"][
                    "cost_usd"
                ]
                is None
            )
        monkeypatch.setattr("sys.argv", ["annotate", "cost", "--benchmark", str(benchmark.path)])
        with pytest.raises(SystemExit):
            main()
        assert "paid: not known (online not known" in capsys.readouterr().out


class TestRealServers:
    """The fake as the servers that were asked for docs/annotators.md: what they do otherwise than OpenAI."""

    @pytest.mark.parametrize("profile", [LLAMA_CPP, LLAMA_CPP_PYTHON])
    def test_llama_cpp_keeps_to_a_schema(self, benchmark, label, profile) -> None:
        option = ",structured=schema" if profile is LLAMA_CPP_PYTHON else ""
        spec = f"openai:smollm2{option}"
        with FakeOpenAI(profile=profile) as fake:
            code, out, err = label(benchmark, fake.url, "--annotator", spec)
            bill = fake.bill()
        assert code == 0, err
        found = labels(benchmark, f"{spec},host=127.0.0.1")
        assert {row.status for row in found} == {"ok"}
        assert {name: billed(benchmark)[name] for name in ("input_tokens", "output_tokens")} == {
            name: bill[name] for name in ("input_tokens", "output_tokens")
        }
        model = "smollm2" if option else "/models/smollm2.gguf"
        assert f"cost not known; answered by {model}." in out
        assert "does not list smollm2 among its models (/models/smollm2.gguf)" in err

    def test_a_schema_in_openais_form_that_llama_cpp_python_refuses_ends_the_run(
        self, benchmark, label
    ) -> None:
        with FakeOpenAI(profile=LLAMA_CPP_PYTHON) as fake:
            code, _, err = label(benchmark, fake.url, "--annotator", "openai:smollm2", "--quiet")
            assert len(fake.log) <= 8  # and is not tried again, though its status is 500
        assert (code, err.count("\n")) == (5, 1)
        assert "structured=schema" in err

    @pytest.mark.parametrize("profile", [LLAMA_CPP_512, LLAMA_CPP_PYTHON_512])
    def test_a_window_too_small_is_said_once_a_paragraph(self, benchmark, label, profile) -> None:
        spec = "openai:smollm2,structured=schema"
        with FakeOpenAI(profile=profile) as fake:
            code, _, err = label(benchmark, fake.url, "--annotator", spec, "--limit", "3", "--quiet")
            assert len(fake.log) == 3
        assert (code, err.count("\n")) == (1, 1)
        assert "longer than the window of smollm2" in err

    def test_transformers_serve_ignores_the_schema(self, benchmark, label) -> None:
        spec = "openai:models/smollm2"
        with FakeOpenAI(profile=TRANSFORMERS) as fake:
            code, _, err = label(benchmark, fake.url, "--annotator", spec, "--limit", "2", "--quiet")
            assert len(fake.log) == 4  # each is asked once more, with what is wrong
        assert (code, err.count("\n")) == (1, 1)
        assert "2 invalid_output" in err
        assert "the server did not keep to the schema" in err

    def test_transformers_serve_answers_where_nothing_is_enforced(self, benchmark, label) -> None:
        spec = "openai:models/smollm2,structured=none"
        with FakeOpenAI(profile=TRANSFORMERS) as fake:
            code, out, _ = label(benchmark, fake.url, "--annotator", spec, "--limit", "5")
        assert code == 0
        assert "answered by models/smollm2@main" in out

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ("openai:gpt-4o", "gpt-4o cannot be used here"),
            ("openai:models/smollm2,effort=low", ""),
        ],
    )
    def test_transformers_serve_has_one_model(self, benchmark, label, spec, said) -> None:
        with FakeOpenAI(profile=TRANSFORMERS, answer=lambda body: '{"spans": []}') as fake:
            code, _, err = label(benchmark, fake.url, "--annotator", spec, "--limit", "2", "--quiet")
        if said:
            assert (code, err.count("\n")) == (5, 1)
            assert said in err
            assert "Server is pinned to 'models/smollm2'" in err
        else:
            assert "cannot be used here" not in err

    def test_a_prompt_cut_in_silence_is_no_answer(self, benchmark, label) -> None:
        spec = "openai:llama3:8b"
        with FakeOpenAI(profile=CUTTING) as fake:
            code, _, err = label(benchmark, fake.url, "--annotator", spec, "--limit", "3", "--quiet")
            bill = fake.bill()
            assert len(fake.log) == 3
        assert (code, err.count("\n")) == (1, 1)
        assert "the server cut the prompt: it counted 256 tokens where" in err
        rows = read_ledger(benchmark.ledger).rows
        assert {(row.status, row.code) for row in rows} == {("error", "prompt_cut")}
        assert billed(benchmark)["input_tokens"] == bill["input_tokens"]  # it was billed all the same
        with FakeOpenAI() as fake:  # a larger window, and the same command finishes
            assert label(benchmark, fake.url, "--annotator", spec, "--limit", "3")[0] == 0
            assert len(fake.log) == 3

    def test_a_server_that_changes_its_model_is_told_of(self, benchmark, label) -> None:
        models = iter(["m-1"] * 3 + ["m-2"] * 3)
        with FakeOpenAI(edit=lambda body: body | {"model": next(models)}) as fake:
            code, out, _ = label(
                benchmark, fake.url, "--annotator", "openai:m", "--limit", "6", "--concurrency", "1"
            )
        assert code == 0
        assert "answered by m-1, m-2." in out
        assert "the server changed its model" in out
        found = Counter(row.model for row in labels(benchmark, "openai:m,host=127.0.0.1"))
        assert (found["m-1"], found["m-2"]) == (3, 3)

    @pytest.mark.parametrize("quoted", [False, True])
    @pytest.mark.parametrize("zero", ["\u0660", "\u0966", "\uff10"])
    def test_numbers_in_the_digits_of_another_script(self, benchmark, label, zero, quoted) -> None:
        def foreign(said: str) -> str:
            digits = re.compile(r'(?<="i": )\d+')
            turned = digits.sub(
                lambda match: "".join(chr(ord(zero) + int(digit)) for digit in match[0]), said
            )
            return re.sub(r'(?<="i": )(\w+)', r'"\1"', turned) if quoted else turned

        with FakeOpenAI(edit=changed(content=foreign)) as fake:
            code, _, err = label(benchmark, fake.url, "--annotator", "openai:m,format=indexed")
            assert len(fake.log) == 60
        assert code == 0, err
        found = labels(benchmark, "openai:m,format=indexed,host=127.0.0.1")
        meant = [tuple(chosen_words(paragraph.text, "m")) for paragraph in benchmark.paragraphs()]
        assert [row.words for row in found] == meant

    def test_an_address_without_v1(self, benchmark, label) -> None:
        reply = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n"
        with RawServer(lambda: [reply, b'{"detail":"Not Found"}']) as server:
            code, _, err = label(benchmark, server.url, "--limit", "1", "--quiet")
        assert (code, err.count("\n")) == (5, 1)
        assert "check --base-url, which mostly ends in /v1" in err


class TestStops:
    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            ("quota", "quota"),
            ("402", "Insufficient Balance"),
            ("auth", "OPENAI_API_KEY"),
            ("model", "gpt-4o cannot be used here"),
            ("unsupported", "openai.toml line"),
            ("unstructured", "structured=none"),
        ],
    )
    def test_what_no_request_will_pass_ends_the_run_with_its_state_kept(
        self, benchmark, fault, said, label
    ) -> None:
        with FakeOpenAI(["ok"] * 5 + [fault] * 100) as fake:
            code, _, err = label(benchmark, fake.url, "--concurrency", "2", "--quiet")
            assert len(fake.log) <= 7
        assert code == 5
        assert err.count("\n") == 1
        assert said in err
        assert "5 of 60 are labelled" in err
        assert Counter(row.status for row in labels(benchmark))["ok"] == 5
        with FakeOpenAI() as fake:
            assert label(benchmark, fake.url)[0] == 0
            assert len(fake.log) == 55

    def test_no_money_no_request(self, benchmark, label) -> None:
        with FakeOpenAI() as fake:
            code, _, err = label(benchmark, fake.url, "--max-cost", "0", "--quiet")
            assert not fake.log
        assert (code, err.count("\n")) == (4, 1)
        assert "--max-cost 0" in err

    def test_money_for_some(self, benchmark, label) -> None:
        with FakeOpenAI() as fake:
            code, _, _ = label(benchmark, fake.url, "--max-cost", "0.1", "--concurrency", "4")
            rows = read_ledger(benchmark.ledger).rows
            assert code == 4
            assert 5 < len(rows) == len(fake.log) < 60
            assert 0.07 < sum(row.cost_usd or 0.0 for row in rows) <= 0.1

    def test_a_limit_on_money_for_a_model_without_a_price(self, benchmark, label) -> None:
        with FakeOpenAI() as fake:
            code, _, err = label(benchmark, fake.url, "--annotator", "openai:llama3", "--max-cost", "1")
        assert code == 1
        assert "price" in err

    def test_requests_given_up_make_the_run_incomplete(self, benchmark, label) -> None:
        unlucky: list[str] = []

        def plan(digest: str, attempt: int) -> str:
            unlucky[:] = unlucky or [digest]
            return "500" if digest in unlucky and attempt <= 2 else "ok"

        with FakeOpenAI(plan) as fake:
            code, out, err = label(benchmark, fake.url, "--max-attempts", "2", "--limit", "20")
            assert code == 3
            assert "1 got no answer" in err
            assert "1 error" in out
            assert label(benchmark, fake.url, "--limit", "20")[0] == 0
            assert len(fake.log) == 22

    def test_no_key(self, benchmark, label, monkeypatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY")
        code, _, err = label(benchmark, "https://api.openai.com/v1")
        assert code == 5
        assert "OPENAI_API_KEY" in err

    def test_a_key_over_http_to_another_machine_is_warned_of(self, benchmark, label) -> None:
        url = "http://models.example/v1"
        _, _, err = label(benchmark, url, "--dry-run")
        assert "note: the key goes to models.example over http as it is" in err
        assert "the key goes" not in label(benchmark, "http://127.0.0.1:9/v1", "--dry-run")[2]
        assert "the key goes" not in label(benchmark, "https://models.example/v1", "--dry-run")[2]

    def test_a_server_cannot_steer_the_terminal(self, benchmark, label) -> None:
        body = json.dumps({"error": {"message": "\x1b]0;owned\x07 \x9b31m", "code": "x"}}).encode()
        with RawServer(lambda: [b"HTTP/1.1 401 No\r\nConnection: close\r\n\r\n", body]) as server:
            code, out, err = label(benchmark, server.url, "--limit", "1")
        assert code == 5
        assert "\\u001b]0;owned" in err
        assert not {"\x1b", "\x07", "\x9b"} & set(out + err)

    def test_nobody_at_the_address(self, benchmark, label) -> None:
        code, _, err = label(benchmark, "http://127.0.0.1:9/v1")
        assert code == 5
        assert "cannot connect" in err

    def test_two_writers(self, benchmark, label) -> None:
        with FakeOpenAI(latency=0.2) as fake:
            process = start(benchmark, fake.url, "--concurrency", "1")
            wait_for_lines(process, benchmark.ledger, 1)
            code, _, err = label(benchmark, fake.url)
            process.kill()
            process.communicate()
        assert code == 1
        assert "another process is writing" in err

    @pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
    def test_a_read_only_folder(self, benchmark, label) -> None:
        benchmark.path.chmod(0o500)
        with FakeOpenAI() as fake:
            code, _, err = label(benchmark, fake.url)
            assert not fake.log
        benchmark.path.chmod(0o700)
        assert code == 1
        assert "Permission denied" in err


def test_a_full_disk_keeps_what_is_written_and_the_rest_is_asked_when_there_is_room(tmp_path, label) -> None:
    with small_disk(tmp_path / "disk") as disk, FakeOpenAI() as fake:
        benchmark = make_benchmark(disk / "b", make_paragraphs(60))
        filler = fill(disk, free=10)
        for _ in range(2):
            code, _, err = label(benchmark, fake.url, "--concurrency", "4")
            assert code == 1
            assert err.splitlines()[-1].startswith("error: No space left on device (")
            assert err.splitlines()[-1].endswith("finished work is kept: make room, then re-run the command")
        kept = len(read_ledger(benchmark.ledger).rows)
        assert 0 < kept < 60
        filler.unlink()
        assert label(benchmark, fake.url, "--concurrency", "4")[0] == 0
        answered = [row.paragraph_id for row in read_ledger(benchmark.ledger).rows if row.status == "ok"]
        assert len(answered) == len(set(answered)) == 60
        assert {row.status for row in labels(benchmark)} == {"ok"}


def test_a_prompt_longer_than_the_window_costs_that_paragraph_alone(benchmark, label) -> None:
    with FakeOpenAI(["ok", "window"]) as fake:
        code, _, _ = label(benchmark, fake.url, "--limit", "5", "--concurrency", "1")
    assert code == 0
    assert Counter(row.status for row in labels(benchmark)) == {"ok": 4, "error": 1, "missing": 55}
    assert "longer than the window" in " ".join(row.detail for row in labels(benchmark))


def test_answers_to_another_version_of_the_prompt_are_left_aside_and_counted(benchmark, label) -> None:
    with FakeOpenAI() as fake:
        label(benchmark, fake.url, "--limit", "5")
        rows = [json.loads(line) for line in benchmark.ledger.read_text().splitlines()]
        old = [row | {"prompt_sha256": "0" * 64, "request_sha256": "1" * 64} for row in rows]
        benchmark.ledger.write_text("".join(json.dumps(row) + "\n" for row in old))
        code, out, _ = label(benchmark, fake.url, "--limit", "5")
    assert code == 0
    assert "5 attempts in the ledger were made with another version of the prompt" in out
    assert len(fake.log) == 10


def test_the_result_as_json(benchmark, label) -> None:
    with FakeOpenAI(["500"]) as fake:
        _, out, err = label(benchmark, fake.url, "--limit", "2", "--json")
    (summary,) = json.loads(out)["annotators"]
    assert summary["asked"] == 3
    assert summary["spent"]["retries"] == 1
    assert summary["spent"]["models"] == ["gpt-4o-2026-01-01"]
    assert summary["spent"]["cost_usd"] > 0
    assert "note:" in err


def test_real_paragraphs_through_all_formats(tmp_path, shared, label) -> None:
    from annotate.dataset.build import build_benchmark
    from annotate.dataset.mixing import MixOptions
    from annotate.sources import open_source

    files = [shared / "data" / name / "test.parquet" for name in ("narrativeqa", "sciq")]
    benchmark = Benchmark(tmp_path / "real")
    build_benchmark(open_source("local", *files), MixOptions(size=30), "test", benchmark.path)
    formats = ("quotes", "indexed", "tags")
    specs = [word for form in formats for word in ("--annotator", f"openai:gpt-4o,format={form}")]
    with FakeOpenAI() as fake:
        assert label(benchmark, fake.url, *specs)[0] == 0
    meant = [tuple(chosen_words(paragraph.text, "gpt-4o")) for paragraph in benchmark.paragraphs()]
    for path in sorted(benchmark.labels_dir.glob("*.jsonl")):
        assert [row.words for row in read_records(path, Label)] == meant, path
