"""The Batch API against a fake of it: submit, die, come back, collect; nothing lost, nothing paid twice."""

from __future__ import annotations

import json
import math
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.annotated import make_benchmark, make_paragraphs
from fakes.command_line import annotate, files

from annotate.annotators import make_annotator
from annotate.batch.collect import collect
from annotate.batch.submit import status, submit
from annotate.benchmark import Benchmark
from annotate.errors import IncompleteError, LabelError
from annotate.labelling.label import label_benchmark
from annotate.labelling.reparse import reparse
from annotate.ledger.ledger import Attempt, Ledger, read_ledger
from annotate.ledger.questions import Selection
from annotate.online.transport import Endpoint
from annotate.protocol import Annotator
from tests.fakes import openai_server
from tests.fakes.openai_server import FakeOpenAI

COUNT = 12


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(answer=truthful) as server:
        yield server


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    return make_benchmark(tmp_path / "curated", make_paragraphs(COUNT))


def truthful(body: dict[str, Any]) -> str:
    """Marks a word that stands once in every paragraph."""
    return json.dumps({"spans": [{"quote": "plum", "occurrence": 1, "before": "the"}]})


def gpt(fake: FakeOpenAI, options: str = "") -> Annotator:
    return make_annotator(f"openai:gpt-4o{options}", endpoint=Endpoint(fake.url))


def rows(benchmark: Benchmark) -> list[Attempt]:
    return read_ledger(benchmark.ledger).rows


def finish(benchmark: Benchmark) -> list[Any]:
    """Collect until every batch has ended; the fake moves on by one state a look."""
    for _ in range(3):
        states = collect(benchmark)
    assert not states
    return rows(benchmark)


def statuses(benchmark: Benchmark) -> dict[str, int]:
    reparse(benchmark)
    labels = next(benchmark.labels_dir.glob("openai*.jsonl")).read_text().splitlines()
    return dict(Counter(json.loads(line)["status"] for line in labels))


class TestWhole:
    def test_submit_status_collect(self, benchmark, fake) -> None:
        done = submit(benchmark, [gpt(fake)])
        (state,) = done.states
        assert (state.requests, state.batch_id, state.status) == (COUNT, "batch_0", "validating")
        assert rows(benchmark) == []
        assert [state.status for state in status(benchmark)] == ["in_progress"]
        (state,) = collect(benchmark)
        assert (state.status, state.done, state.failed, state.unanswered) == ("completed", COUNT, 0, 0)
        assert statuses(benchmark) == {"ok": COUNT}
        assert status(benchmark) == []

    def test_the_ledger_is_the_servers_own_bill_at_half_the_price(self, benchmark, fake) -> None:
        submit(benchmark, [gpt(fake)])
        attempts = finish(benchmark)
        bill = fake.bill()
        for name, tokens in bill.items():
            assert sum(getattr(row.usage, name) for row in attempts) == tokens
        fresh = bill["input_tokens"] - bill["cached_tokens"]
        online = (2.5 * fresh + 1.25 * bill["cached_tokens"] + 10 * bill["output_tokens"]) / 1e6
        assert math.isclose(sum(row.cost_usd or 0 for row in attempts), online / 2)
        assert {row.batch_id for row in attempts} == {"batch_0"}
        assert {row.model for row in attempts} == {"gpt-4o-2026-01-01"}

    def test_the_labels_are_those_of_an_online_run(self, benchmark, fake, tmp_path) -> None:
        submit(benchmark, [gpt(fake)])
        finish(benchmark)
        reparse(benchmark)
        other = make_benchmark(tmp_path / "online", make_paragraphs(COUNT))
        label_benchmark(other, [gpt(fake)])
        (batch,), (online,) = benchmark.labels_dir.glob("*.jsonl"), other.labels_dir.glob("*.jsonl")
        assert batch.read_bytes() == online.read_bytes()
        assert benchmark.gold_path.read_bytes() == other.gold_path.read_bytes()

    def test_a_second_collect_changes_no_byte(self, benchmark, fake) -> None:
        submit(benchmark, [gpt(fake)])
        finish(benchmark)
        before = files(benchmark.path)
        assert collect(benchmark) == []
        assert submit(benchmark, [gpt(fake)]).states == ()
        assert files(benchmark.path) == before

    def test_shards(self, benchmark, fake) -> None:
        done = submit(benchmark, [gpt(fake), gpt(fake, ",temperature=1")], most_lines=5)
        assert [state.requests for state in done.states] == [5, 5, 2, 5, 5, 2]
        assert len({state.batch_id for state in done.states}) == 6
        attempts = finish(benchmark)
        assert len(attempts) == 2 * COUNT
        assert set(fake.succeeded().values()) == {1}

    def test_repeats_and_copies_of_a_text(self, tmp_path, fake) -> None:
        paragraphs = make_paragraphs(3)
        paragraphs.append(paragraphs[0].model_copy(update={"id": "copy"}))
        benchmark = make_benchmark(tmp_path / "copies", paragraphs)
        (state,) = submit(benchmark, [gpt(fake)], Selection(repeats=2)).states
        assert state.requests == 6
        finish(benchmark)
        assert statuses(benchmark) == {"ok": 8}


class TestCutShort:
    @pytest.mark.parametrize("end", ["expired", "cancelled"])
    def test_what_was_done_is_kept_and_the_rest_asked_again(self, benchmark, fake, end) -> None:
        fake.batch = end
        submit(benchmark, [gpt(fake)])
        collect(benchmark)
        (state,) = collect(benchmark)
        assert (state.status, state.done, state.failed, state.unanswered) == (end, 6, 0, 6)
        assert len(rows(benchmark)) == 6
        assert statuses(benchmark) == {"ok": 6, "missing": 6}
        fake.batch = "completed"
        (state,) = submit(benchmark, [gpt(fake)]).states
        assert state.requests == 6
        finish(benchmark)
        assert statuses(benchmark) == {"ok": COUNT}
        assert fake.succeeded() == dict.fromkeys(fake.succeeded(), 1)
        assert len(fake.succeeded()) == COUNT

    def test_the_rest_may_be_asked_online(self, benchmark, fake) -> None:
        fake.batch = "expired"
        submit(benchmark, [gpt(fake)])
        finish(benchmark)
        label_benchmark(benchmark, [gpt(fake)])
        assert sorted(Counter(fake.succeeded().values()).items()) == [(1, COUNT)]
        assert Counter(row.batch_id for row in rows(benchmark)) == {"batch_0": 6, "": 6}

    def test_no_output_file(self, benchmark, fake) -> None:
        fake.batch = "all_failed"
        submit(benchmark, [gpt(fake)])
        collect(benchmark)
        (state,) = collect(benchmark)
        assert fake.batches["batch_0"]["output_file_id"] is None
        assert (state.status, state.done, state.failed, state.unanswered) == ("completed", 0, COUNT, 0)
        assert {(row.status, row.http) for row in rows(benchmark)} == {("error", 500)}
        fake.batch = "completed"
        submit(benchmark, [gpt(fake)])
        finish(benchmark)
        assert statuses(benchmark) == {"ok": COUNT}
        assert [row.attempt for row in rows(benchmark)] == [1] * COUNT + [2] * COUNT

    def test_some_requests_fail(self, benchmark, fake) -> None:
        fake.plan = ["429", "ok", "refusal", "ok", "500", "schema"]
        submit(benchmark, [gpt(fake)])
        collect(benchmark)
        (state,) = collect(benchmark)
        assert (state.done, state.failed) == (10, 2)
        assert Counter(row.status for row in rows(benchmark)) == {"ok": 9, "error": 2, "refused": 1}
        (state,) = submit(benchmark, [gpt(fake)]).states
        assert state.requests == 3  # the two that failed, and the one whose answer had not the right form
        finish(benchmark)
        assert statuses(benchmark) == {"ok": 11, "refused": 1}

    def test_a_file_the_server_does_not_take_is_named(self, benchmark, fake) -> None:
        fake.batch = "failed"
        submit(benchmark, [gpt(fake)])
        collect(benchmark)
        (state,) = collect(benchmark)
        assert state.status == "failed"
        assert state.detail == "line 2 (p00001): duplicate_custom_id: custom_id is not unique"
        assert state.unanswered == COUNT
        assert rows(benchmark) == []
        fake.batch = "completed"
        assert submit(benchmark, [gpt(fake)]).states[0].requests == COUNT


class TestWaiting:
    def test_is_not_submitted_again(self, benchmark, fake) -> None:
        submit(benchmark, [gpt(fake)], Selection(limit=5))
        again = submit(benchmark, [gpt(fake)])
        assert (again.held, [state.requests for state in again.states]) == (5, [7])
        third = submit(benchmark, [gpt(fake)])
        assert (third.held, third.states) == (COUNT, ())

    def test_is_not_asked_online(self, benchmark, fake) -> None:
        submit(benchmark, [gpt(fake)], Selection(limit=5))
        label_benchmark(benchmark, [gpt(fake)])
        assert sum(fake.succeeded().values()) == 7
        finish(benchmark)
        assert statuses(benchmark) == {"ok": COUNT}
        assert set(fake.succeeded().values()) == {1}

    def test_another_annotator_is_asked(self, benchmark, fake) -> None:
        submit(benchmark, [gpt(fake)])
        assert submit(benchmark, [gpt(fake, ",temperature=1")]).held == 0

    def test_quotes_that_could_not_be_placed_go_in_the_next_submit(self, benchmark, fake) -> None:
        def careless(body: dict[str, Any]) -> str:
            return truthful(body).replace("plum", "quagga")

        fake.answer = careless
        submit(benchmark, [gpt(fake)])
        finish(benchmark)
        assert statuses(benchmark) == {"unresolved": COUNT}
        fake.answer = truthful
        (state,) = submit(benchmark, [gpt(fake)]).states
        assert state.requests == COUNT
        finish(benchmark)
        assert statuses(benchmark) == {"ok": COUNT}
        assert submit(benchmark, [gpt(fake)]).states == ()


def output_of(fake: FakeOpenAI, benchmark: Benchmark) -> str:
    """Let the only batch end; the name of its output file."""
    status(benchmark)
    status(benchmark)
    return str(fake.batches["batch_0"]["output_file_id"])


class TestOddFiles:
    def test_lines_that_are_none_are_named_and_asked_again(self, benchmark, fake) -> None:
        submit(benchmark, [gpt(fake)])
        name = output_of(fake, benchmark)
        lines = fake.files[name].splitlines(keepends=True)
        stranger = lines[0].replace(b'"custom_id": "p', b'"custom_id": "q')
        fake.files[name] = b"".join([b"{\n", stranger, *lines[2:], lines[2]])
        (state,) = collect(benchmark)
        assert (state.done, state.unanswered) == (10, 2)
        assert f"{state.shard}.output.jsonl line 1 is no answer" in state.detail
        assert "output.jsonl line 2 answers q" in state.detail
        assert "line 13 answers p" in state.detail
        assert "a second time" in state.detail
        assert submit(benchmark, [gpt(fake)]).states[0].requests == 2

    def test_an_output_that_is_not_there_yet(self, benchmark, fake, monkeypatch) -> None:
        submit(benchmark, [gpt(fake)])
        output_of(fake, benchmark)
        monkeypatch.setitem(openai_server.ERRORS, "soon", (403, "forbidden", "Not yet.", None))
        monkeypatch.setattr(openai_server._Handler, "_file", lambda self, path: self._error("soon"))
        with pytest.raises(IncompleteError, match="does not hand out the file file-1 yet"):
            collect(benchmark)
        monkeypatch.undo()
        assert len(finish(benchmark)) == COUNT

    def test_an_output_that_is_gone_frees_its_requests(self, benchmark, fake) -> None:
        submit(benchmark, [gpt(fake)])
        del fake.files[output_of(fake, benchmark)]
        (state,) = collect(benchmark)
        assert (state.done, state.unanswered) == (0, COUNT)
        assert state.detail == "the server no longer has the file of output"

    def test_what_came_back_is_kept_as_it_came(self, benchmark, fake) -> None:
        submit(benchmark, [gpt(fake)])
        name = output_of(fake, benchmark)
        (state,) = collect(benchmark)
        (path,) = (benchmark.path / "batches").iterdir()
        assert path.name == f"{state.shard}.output.jsonl"
        assert path.read_bytes() == fake.files[name]


class TestKilled:
    @pytest.mark.parametrize("moment", ["_upload", "_create_batch"])
    def test_while_submitting(self, benchmark, fake, monkeypatch, moment) -> None:
        """Killed when the server has done its part and before the answer is there."""
        victim: list[int] = []
        served = getattr(openai_server._Handler, moment)

        def kill_first(self: Any, data: Any) -> None:
            respond, self._send = self._send, lambda *arguments: None
            served(self, data)
            self._send = respond
            os.kill(victim[0], signal.SIGKILL)
            self.close_connection = True

        monkeypatch.setattr(openai_server._Handler, moment, kill_first)
        process = start_submit(benchmark, fake)
        victim.append(process.pid)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        monkeypatch.undo()
        (state,) = status(benchmark)
        assert (state.status, state.batch_id) == ("unknown", "")
        done = submit(benchmark, [gpt(fake)])
        assert [state.requests for state in done.states] == [COUNT]
        assert len(fake.batches) == 1
        finish(benchmark)
        assert statuses(benchmark) == {"ok": COUNT}
        assert set(fake.succeeded().values()) == {1}
        assert len(list((benchmark.path / "batches").iterdir())) == 1  # the input that was left is gone

    @pytest.mark.parametrize("written", [0, 1, 5, COUNT])
    def test_while_collecting(self, benchmark, fake, monkeypatch, written) -> None:
        submit(benchmark, [gpt(fake)])
        output_of(fake, benchmark)
        append = Ledger.append
        left = [written]

        def dying(self: Ledger, row: Attempt) -> None:
            if not left[0]:
                raise OSError("died")
            left[0] -= 1
            append(self, row)

        monkeypatch.setattr(Ledger, "append", dying)
        if written == COUNT:
            monkeypatch.setattr("annotate.ledger.batches.append_record", dying)
        with pytest.raises(OSError, match="died"):
            collect(benchmark)
        monkeypatch.undo()
        (state,) = collect(benchmark)
        assert state.done == COUNT
        assert len({row.request_sha256 for row in rows(benchmark)}) == len(rows(benchmark)) == COUNT

    def test_a_torn_note_is_cut_off(self, benchmark, fake) -> None:
        submit(benchmark, [gpt(fake)])
        log = benchmark.path / "batches.jsonl"
        log.write_bytes(log.read_bytes()[:-9])  # the server knows the batch, the note of it is torn
        assert submit(benchmark, [gpt(fake)]).held == COUNT
        assert len(fake.batches) == 1
        assert len(finish(benchmark)) == COUNT


def start_submit(benchmark: Benchmark, fake: FakeOpenAI) -> Any:
    from test_label_cli import start

    asking = ("--annotator", "openai:gpt-4o", "--base-url", fake.url)
    return start(benchmark.path.parent, "label", "--batch", "submit", *asking)


class TestRefused:
    def test_annotators_that_take_no_batches(self, benchmark, fake) -> None:
        with pytest.raises(LabelError, match="annotator clause is not asked over the API"):
            submit(benchmark, [make_annotator("clause")])
        local = make_annotator("openai:llama", endpoint=Endpoint(fake.url))
        with pytest.raises(LabelError, match=r"llama takes no batches; .* set batch = true"):
            submit(benchmark, [local])
        assert not fake.files

    def test_a_wrong_key_holds_nothing_back(self, benchmark, fake, monkeypatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-1234")
        fake.key = "sk-right-5678"
        with pytest.raises(LabelError, match=r"127.0.0.1 refuses \(HTTP 401 invalid_api_key"):
            submit(benchmark, [gpt(fake)])
        monkeypatch.setenv("OPENAI_API_KEY", "sk-right-5678")
        submit(benchmark, [gpt(fake)])
        assert len(finish(benchmark)) == COUNT
        written = b"".join(files(benchmark.path).values())
        assert b"sk-wrong" not in written
        assert b"sk-right" not in written

    def test_a_server_that_is_down(self, benchmark, fake) -> None:
        nobody = make_annotator("openai:gpt-4o", endpoint=Endpoint("http://127.0.0.1:9/v1"))
        with pytest.raises(IncompleteError, match=r"the connection to 127.0.0.1 broke"):
            submit(benchmark, [nobody])
        assert status(benchmark) == []  # nothing was made, so nothing waits
        assert list((benchmark.path / "batches").iterdir()) == []

    def test_an_answer_that_is_lost(self, benchmark, fake, monkeypatch) -> None:
        make = openai_server._Handler._create_batch

        def make_and_drop(self: Any, wanted: Any) -> None:
            self._send = lambda *arguments: None
            make(self, wanted)
            self.close_connection = True

        monkeypatch.setattr(openai_server._Handler, "_create_batch", make_and_drop)
        with pytest.raises(IncompleteError, match=r"the connection to 127.0.0.1 broke"):
            submit(benchmark, [gpt(fake)])
        monkeypatch.undo()
        with pytest.raises(IncompleteError, match="12 wait in a batch"):
            label_benchmark(benchmark, [gpt(fake)])
        assert submit(benchmark, [gpt(fake)]).held == COUNT
        assert len(fake.batches) == 1
        assert len(finish(benchmark)) == COUNT
        assert set(fake.succeeded().values()) == {1}

    def test_another_writer(self, benchmark, fake) -> None:
        with Ledger(benchmark.ledger), pytest.raises(LabelError, match="another process is writing"):
            submit(benchmark, [gpt(fake)])

    def test_answers_of_another_benchmark(self, benchmark, fake, tmp_path) -> None:
        submit(benchmark, [gpt(fake)])
        finish(benchmark)
        other = make_benchmark(tmp_path / "other", make_paragraphs(3))
        benchmark.ledger.rename(other.ledger)
        with pytest.raises(LabelError, match="belongs to another benchmark"):
            submit(other, [gpt(fake)])


class TestCommand:
    def label(self, benchmark: Benchmark, fake: FakeOpenAI, *arguments: str) -> Any:
        asking = ("--annotator", "openai:gpt-4o", "--base-url", fake.url)
        return annotate(benchmark.path.parent, "label", *asking, *arguments)

    def test_the_whole_way(self, benchmark, fake) -> None:
        done = self.label(benchmark, fake, "--batch", "submit")
        assert done.returncode == 0, done.stderr
        assert "batch_0" in done.stdout
        assert "validating" in done.stdout
        online = self.label(benchmark, fake, "--quiet")
        assert online.returncode == 3
        assert online.stderr == (
            "error: openai:gpt-4o,host=127.0.0.1: 12 wait in a batch and were not asked again:"
            " annotate label --batch collect\n"
        )
        assert not fake.log
        early = annotate(benchmark.path.parent, "label", "--batch", "collect", "--json")
        assert early.returncode == 3
        assert json.loads(early.stdout)["batches"][0]["status"] == "in_progress"
        assert early.stderr == "error: not all batches have ended; collect again later\n"
        done = annotate(benchmark.path.parent, "label", "--batch", "collect")
        assert done.returncode == 0, done.stderr
        assert "gold: settled anew" in done.stdout
        assert len(benchmark.gold_path.read_bytes().splitlines()) == COUNT
        done = annotate(benchmark.path.parent, "label", "--batch", "status")
        assert (done.returncode, done.stdout) == (0, "no batch\n")

    def test_a_file_that_is_not_taken_is_one_sentence(self, benchmark, fake) -> None:
        fake.batch = "failed"
        submit(benchmark, [gpt(fake)])
        status(benchmark)
        done = annotate(benchmark.path.parent, "label", "--batch", "collect")
        assert done.returncode == 1
        assert done.stderr == (
            "error: the server did not take batch batch_0: line 2 (p00001): duplicate_custom_id:"
            " custom_id is not unique\n"
        )

    def test_a_budget(self, benchmark, fake) -> None:
        done = self.label(benchmark, fake, "--batch", "submit", "--max-cost", "0.01")
        assert done.returncode == 4
        assert "--max-cost 0.01: a batch of 12 requests could cost 0." in done.stderr
        assert not fake.batches
        assert self.label(benchmark, fake, "--batch", "submit", "--max-cost", "5").returncode == 0

    def test_no_key(self, benchmark, monkeypatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        done = annotate(
            benchmark.path.parent, "label", "--batch", "submit", "--annotator", "openai:gpt-4o", "--quiet"
        )
        assert done.returncode == 5
        assert done.stderr.startswith("error: no key for api.openai.com: set the environment variable")
        assert not benchmark.batches.exists()
