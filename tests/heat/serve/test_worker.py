"""The queue: one run at a time, in order; cancelled between two blocks; everything on the disk before it is shown."""

import json
import threading

import pytest
import torch
from fakes.serving import PROMPT, asked, until
from fakes.tiny_models import tiny_lm

import heat
from heat.errors import ConfigError, UnknownMethodError
from heat.serve import worker as module
from heat.serve.explain import explain
from heat.serve.history import History
from heat.serve.planning import Planner
from heat.serve.runs import NoSuchRunError
from heat.serve.wire import ExplainRequest
from heat.serve.worker import BusyError, Worker

LM = tiny_lm("llama")


def request(*methods: str, **fields) -> ExplainRequest:
    return ExplainRequest.model_validate_json(json.dumps(asked(*methods, **fields)))


# Thousands of products, each of which can be stopped.
SLOW = {"methods": [{"name": "hessian-only", "options": {"n_probes": "20000"}}], "max_targets": 1}


@pytest.fixture
def history(tmp_path):
    with History(tmp_path / "h") as opened:
        yield opened


@pytest.fixture
def worker(history):
    made = Worker(LM, history, threading.Lock())
    yield made
    made.stop()


def over(worker: Worker, run: str) -> str:
    until(lambda: worker.runs.get(run).status not in ("queued", "running"))
    return worker.runs.get(run).status


def test_what_is_found_is_what_attribute_finds(worker, history) -> None:
    worker.start()
    run = worker.submit(request("heat", "kl-only", target=" iron", seed=3, threshold=None), "key-1234").id
    assert over(worker, run) == "done"
    for index, name in enumerate(("heat", "kl-only")):
        found = history.attribution(worker.runs.get(run).results[index])
        expected = heat.attribute(LM, PROMPT, " iron", name, seed=3, max_targets=2)
        assert torch.equal(found.scores, expected.scores)
        assert found.method == name


def test_options_and_the_models_own_answer(worker, history) -> None:
    worker.start()
    chosen = [{"name": "heat", "options": {"n_probes": " 3 ", "beta": "0.25"}}]
    run = worker.submit(request(methods=chosen, max_targets=3, threshold=None), "key-1234").id
    assert over(worker, run) == "done"
    found = history.attribution(worker.runs.get(run).results[0])
    assert (found.config["n_probes"], found.config["beta"]) == (3, 0.25)
    assert found.target_span[1] - found.target_span[0] == 3


def test_only_tokens_that_depend_on_the_text_are_explained(worker, history) -> None:
    answer = heat.answer(LM, PROMPT, " iron gate made of copper", threshold=0.0)
    divergences = sorted(token.divergence for token in answer.tokens)
    middle = divergences[len(divergences) // 2]
    worker.start()
    fields = {"target": " iron gate made of copper", "max_targets": 64}
    some, none = (
        worker.submit(request("heat", threshold=threshold, **fields), f"key-{threshold}").id
        for threshold in (middle, 900.0)
    )
    assert [over(worker, run) for run in (some, none)] == ["done", "done"]
    line = worker.runs.get(some).results[0]
    found = history.attribution(line)
    expected = answer.at_threshold(middle)
    assert 0 < len(expected.depending) < len(expected.tokens)
    assert found.explained == expected.depending
    assert torch.equal(found.scores, heat.attribute(LM, expected.encoded, None, "heat").scores)
    assert line.answer is not None
    assert line.answer.restored(found) == expected
    without = worker.runs.get(none).results[0]
    assert "no token of the answer depends on the text by 900 nats or more" in without.notes[0]
    assert history.attribution(without).explained is None


def test_a_token_is_contrasted_beside_what_depends_on_the_text(worker, history) -> None:
    said = " iron gate made of copper"
    divergences = sorted(token.divergence for token in heat.answer(LM, PROMPT, said).tokens)
    threshold = divergences[len(divergences) // 2]
    worker.start()
    fields = {"target": said, "max_targets": 64, "foil": " copper", "threshold": threshold}
    run = worker.submit(request("heat", foil_at=1, **fields), "key-of-token").id
    assert over(worker, run) == "done"
    expected = heat.answer(LM, PROMPT, said, foils={0: " copper"}, threshold=threshold)
    line = worker.runs.get(run).results[0]
    found = history.attribution(line)
    assert torch.equal(found.scores, heat.attribute(LM, expected.encoded, None, "heat").scores)
    assert (found.foil_ids, found.explained) == (expected.encoded.foil_ids, expected.encoded.explained)
    assert line.answer is not None
    assert line.answer.restored(found) == expected
    assert [bool(text) for text in line.foils] == [foil >= 0 for foil in expected.encoded.foil_ids or ()]


def test_a_foil_for_all_of_the_answer_leaves_the_divergences(worker, history) -> None:
    worker.start()
    fields = {"target": " iron", "foil": " zinc", "max_targets": 64, "threshold": 0.5}
    run = worker.submit(request("heat", **fields), "key-of-foil").id
    assert over(worker, run) == "done", worker.runs.get(run).error
    line = worker.runs.get(run).results[0]
    expected = heat.attribute(LM, PROMPT, " iron", "heat", foil=" zinc")
    assert torch.equal(history.attribution(line).scores, expected.scores)
    assert history.attribution(line).explained is None
    assert line.answer is not None
    assert line.answer.tokens[0].divergence == pytest.approx(
        heat.answer(LM, PROMPT, " iron").tokens[0].divergence
    )
    assert line.foils == ("z",)  # the foil's first token, as the target has one


def test_a_second_request_waits_and_runs_after_the_first(worker) -> None:
    slow = worker.submit(request(**SLOW), "key-slow").id
    quick = worker.submit(request(), "key-quick").id
    worker.start()
    until(lambda: worker.runs.get(slow).fraction > 0)
    assert worker.runs.get(quick).status == "queued"
    worker.cancel(slow)
    assert over(worker, slow) == "cancelled"
    assert over(worker, quick) == "done"


def test_cancel_in_the_queue_and_of_what_is_over(worker, history) -> None:
    first, second = (worker.submit(request(), f"key-{n}-of-2").id for n in range(2))
    worker.cancel(second)
    assert worker.runs.get(second).status == "cancelled"
    worker.start()
    assert over(worker, first) == "done"
    worker.cancel(first)
    assert worker.runs.get(first).status == "done"
    assert worker.runs.get(second).results == {}
    with pytest.raises(NoSuchRunError):
        worker.cancel("../../etc/passwd")


def test_cancel_keeps_what_was_found_and_the_model_as_it_was(worker, history) -> None:
    before = heat.attribute(LM, PROMPT, " iron", "heat").scores
    worker.start()
    both = [{"name": "kl-only", "options": {}}, *SLOW["methods"]]
    run = worker.submit(request(methods=both, max_targets=1), "key-1234").id
    until(lambda: worker.runs.get(run).results and worker.runs.get(run).phase.endswith("2 of 2"))
    worker.cancel(run)
    assert over(worker, run) == "cancelled"
    assert list(worker.runs.get(run).results) == [0]
    assert history.attribution(worker.runs.get(run).results[0]).method == "kl-only"
    assert not any(block._forward_hooks for block in LM.model.modules())
    assert torch.equal(heat.attribute(LM, PROMPT, " iron", "heat").scores, before)


def test_a_failure_is_a_sentence_and_the_next_runs(worker) -> None:
    worker.start()
    long = worker.submit(request(prompt="iron " * 80), "key-long").id
    assert over(worker, long) == "failed"
    assert "takes 64" in worker.runs.get(long).error
    assert over(worker, worker.submit(request(), "key-next").id) == "done"


def test_what_nobody_expected_is_a_sentence_too(worker, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(module, "explain", broken)
    worker.start()
    run = worker.submit(request(), "key-1234").id
    assert over(worker, run) == "failed"
    assert worker.runs.get(run).error == "ZeroDivisionError: division by zero"


def test_a_full_disk_fails_the_run_and_is_told(worker, history, monkeypatch) -> None:
    run = worker.submit(request(), "key-1234").id

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "h")

    monkeypatch.setattr(history, "keep", full)
    monkeypatch.setattr(history, "add", full)
    worker.start()
    assert over(worker, run) == "failed"
    assert "No space left on device" in worker.runs.get(run).error


def test_the_same_key_is_run_once(worker) -> None:
    assert worker.submit(request(), "key-1234").id == worker.submit(request(), "key-1234").id
    assert len(worker.runs.since(-1)["runs"]) == 1


def test_stopping_leaves_the_run_interrupted_and_its_key_known(tmp_path) -> None:
    with History(tmp_path / "h") as first:
        worker = Worker(LM, first, threading.Lock())
        slow = worker.submit(request(**SLOW), "key-slow").id
        waiting = worker.submit(request(), "key-wait").id
        worker.start()
        until(lambda: worker.runs.get(slow).fraction > 0)
        worker.stop()
    with History(tmp_path / "h") as again:
        later = Worker(LM, again, threading.Lock())
        assert [later.runs.get(run).status for run in (slow, waiting)] == ["interrupted"] * 2
        assert later.submit(request(), "key-wait").id == waiting


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"methods": [{"name": "nonsense", "options": {}}]}, UnknownMethodError),
        ({"methods": [{"name": "heat", "options": {"n_probes": "many"}}]}, ConfigError),
        ({"methods": [{"name": "heat", "options": {"strange": "1"}}]}, ConfigError),
        ({"methods": [{"name": "heat"}, {"name": "heat", "options": {"beta": "0.5"}}]}, ConfigError),
    ],
)
def test_what_cannot_be_used_is_refused_before_it_is_noted(worker, fields, error) -> None:
    with pytest.raises(error):
        worker.submit(request(**fields), "key-1234")
    assert worker.runs.since(-1)["runs"] == []


def test_a_full_queue(worker, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_QUEUED", 1)
    worker.submit(request(), "key-1234")
    with pytest.raises(BusyError, match="requests wait already"):
        worker.submit(request(), "key-5678")


def test_progress_grows_to_all_of_it() -> None:
    told: list[tuple[str, float]] = []
    list(explain(LM, request("heat", "kl-only"), lambda phase, share: told.append((phase, share))))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0, abs=0.05)
    assert list(dict.fromkeys(phase for phase, _ in told)) == [
        "the model answers",
        "heat, 1 of 2",
        "kl-only, 2 of 2",
    ]


class TestPlan:
    def test_says_what_the_run_takes(self) -> None:
        planner = Planner(LM, threading.Lock())
        found = planner.plan(request("heat", "kl-only", target=" iron"))
        for planned, name in zip(found["methods"], ("heat", "kl-only"), strict=True):
            ran = heat.attribute(LM, PROMPT, " iron", name, max_targets=2)
            assert sum(planned["passes"].values()) == pytest.approx(ran.forward_equivalents)
            assert planned["seconds"] > 0
        assert (found["tokens"], found["targets"]) == (ran.target_span[0], len(ran.scores))

    def test_plans_the_longest_answer_without_letting_the_model_say_it(self) -> None:
        lock = threading.Lock()
        with lock:
            found = Planner(LM, lock).plan(request(max_targets=5))
        assert found["targets"] == 5
        assert found["methods"][0]["seconds"] is None  # the model is busy, and no pass was timed

    def test_refuses_what_cannot_run(self) -> None:
        with pytest.raises(heat.HeatError, match="takes 64"):
            Planner(LM, threading.Lock()).plan(request(prompt="iron " * 80))

    def test_gives_way_to_a_run(self) -> None:
        lock = threading.Lock()
        asked_for: list[bool] = []

        def awaited() -> bool:
            asked_for.append(True)
            return len(asked_for) > 2

        found = Planner(LM, lock, awaited).plan(request())
        assert len(asked_for) == 3
        assert found["methods"][0]["seconds"] is None
        assert not lock.locked()
        assert not any(block._forward_hooks for block in LM.model.modules())
