"""The history survives what a server may die of, and tells what it held."""

import json
import os
import stat
import time

import pytest
import torch
from fakes.attributions import made
from fakes.serving import asked

from heat.answers import Answer, AnswerToken
from heat.encoding import Encoded
from heat.serve.history import LOG, Asked, Attributed, Ended, History, HistoryError, KeptAnswer
from heat.serve.runs import NoSuchRunError, Runs
from heat.serve.wire import ExplainRequest

ATTRIBUTION = made("iron gate", [(0, 4), (4, 9)], [[1.5, 0.0]])
ANSWER = Answer(
    Encoded(ATTRIBUTION.token_ids, 1, "iron gate", ATTRIBUTION.offsets),
    (AnswerToken(7, " gate", -0.7, -1.4, 0.25, depends=True),),
    "gate",
    0.1,
    ((0, 4),),
    ended=True,
)


def ask(run: str = "r1", key: str = "key-of-r1") -> Asked:
    request = ExplainRequest.model_validate_json(json.dumps(asked("heat", "kl-only")))
    return Asked(run=run, time=time.time(), key=key, request=request, model="m", revision="1")


def test_what_is_written_is_read_again(tmp_path) -> None:
    with History(tmp_path / "h") as history:
        history.add(ask())
        kept = history.keep("r1", 1, ATTRIBUTION, notes=("a note",), answer=KeptAnswer.of(ANSWER))
        history.add(Ended(run="r1", time=1.0, status="done"))
    with History(tmp_path / "h") as again:
        first, second, third = again.events
        assert isinstance(first, Asked)
        assert first.request.methods[1].name == "kl-only"
        assert second == kept
        assert second.notes == ("a note",)
        assert second.answer is not None
        assert second.answer.restored(ATTRIBUTION) == ANSWER
        assert isinstance(third, Ended)
        assert torch.equal(again.attribution(kept).scores, ATTRIBUTION.scores)
    run = Runs(again.events).get("r1")
    assert (run.status, list(run.results)) == ("done", [1])


def test_a_line_is_on_the_disk_before_the_call_returns(tmp_path, monkeypatch) -> None:
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(real(handle)))
    with History(tmp_path) as history:
        history.add(ask())
        assert len(synced) == 1
        assert (tmp_path / LOG).read_bytes().endswith(b"\n")


def test_only_its_owner_reads_it(tmp_path) -> None:
    with History(tmp_path / "h"):
        assert stat.S_IMODE((tmp_path / "h").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "h" / LOG).stat().st_mode) == 0o600


def test_a_torn_line_is_cut_and_the_next_begins_anew(tmp_path) -> None:
    with History(tmp_path) as history:
        history.add(ask())
    whole = (tmp_path / LOG).read_bytes()
    (tmp_path / LOG).write_bytes(whole + b'{"schema_version":1,"run":"r2"')
    with History(tmp_path) as history:
        assert len(history.events) == 1
        history.add(Ended(run="r1", time=1.0, status="cancelled"))
    with History(tmp_path) as history:
        assert len(history.events) == 2


def test_a_second_server_is_refused_and_the_lock_ends_with_the_first(tmp_path) -> None:
    with History(tmp_path), pytest.raises(HistoryError, match="another heat serve writes to"):
        History(tmp_path)
    History(tmp_path).close()


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"event":"asked"}\n', b'{"event":"other"}\n'])
def test_a_strange_line_is_named(tmp_path, line) -> None:
    (tmp_path / LOG).write_bytes(line)
    with pytest.raises(HistoryError, match=r"line 1 of .* cannot be read"):
        History(tmp_path)
    (tmp_path / LOG).unlink()
    History(tmp_path).close()  # and the lock was given up


def test_a_full_disk_leaves_the_log_whole(tmp_path, monkeypatch) -> None:
    with History(tmp_path) as history:
        history.add(ask())
        before = (tmp_path / LOG).read_bytes()

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as error:
            history.add(ask("r2", "key-of-r2"))
        assert error.value.filename == str(tmp_path / LOG)
        assert (tmp_path / LOG).read_bytes() == before


@pytest.mark.parametrize("damage", ["gone", "garbage"])
def test_a_lost_attribution_is_one_sentence(tmp_path, damage) -> None:
    with History(tmp_path) as history:
        kept = history.keep("r1", 0, ATTRIBUTION)
        file = tmp_path / "attributions" / kept.file
        file.unlink() if damage == "gone" else file.write_bytes(b"x")
        with pytest.raises(HistoryError, match="this part of the history cannot be read"):
            history.attribution(kept)


def test_a_name_in_the_log_leads_nowhere_else(tmp_path) -> None:
    (tmp_path / "secret").write_text("x")
    with History(tmp_path / "h") as history:
        strange = Attributed(run="r1", time=1.0, index=0, file="../../secret")
        with pytest.raises(HistoryError, match="there is no saved attribution"):
            history.attribution(strange)


def test_a_run_without_an_end_was_interrupted(tmp_path) -> None:
    attributed = Attributed(run="r1", time=1.0, index=0, file="r1-0.safetensors")
    runs = Runs([ask(), attributed, ask("r2", "key-of-r2"), Ended(run="gone", time=1.0, status="done")])
    assert [runs.get(name).status for name in ("r1", "r2")] == ["interrupted", "interrupted"]
    assert list(runs.get("r1").results) == [0]
    with pytest.raises(NoSuchRunError):
        runs.get("gone")


def test_since_tells_what_changed_and_who_waits() -> None:
    runs = Runs()
    for name in ("r1", "r2", "r3"):
        runs.take(ask(name, f"key-of-{name}"))
    first = runs.since(-1)
    assert [(run["id"], run["ahead"]) for run in first["runs"]] == [("r1", 0), ("r2", 1), ("r3", 2)]
    runs.change("r1", status="running", fraction=0.25)
    second = runs.since(first["version"])
    assert {run["id"]: run["ahead"] for run in second["runs"]} == {"r1": 0, "r2": 0, "r3": 1}
    runs.take(Ended(run="r1", time=1.0, status="done"))
    third = runs.since(second["version"])
    assert [run["status"] for run in third["runs"] if run["id"] == "r1"] == ["done"]
    assert runs.since(third["version"])["runs"] == []
