"""The log of reviews: nothing is lost, nothing written twice, and all state comes from it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.annotated import make_paragraphs
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.errors import LabelError, StaleError
from annotate.files import append_record
from annotate.review.log import (
    Decision,
    History,
    Review,
    ReviewLog,
    last_reviews,
    read_log,
    read_reviews,
    replay,
)

PARAGRAPHS = make_paragraphs(3)
ONE, TWO, _ = PARAGRAPHS


def make_review(paragraph=ONE, words=(1,), **fields) -> Review:
    given = {"seq": 0, "done": False, "action": "toggle"} | fields
    return Review(paragraph_id=paragraph.id, text_sha256=paragraph.text_sha256, words=tuple(words), **given)


class TestReplay:
    def test_walks(self) -> None:
        steps = [
            make_review(words=[1]),
            make_review(words=[1, 2], done=True, action="save"),
            make_review(words=[1], action="undo"),
            make_review(words=[], action="undo"),
            make_review(words=[1], action="redo"),
        ]
        history = replay((), steps)
        assert history.decisions == (Decision(()), Decision((1,)), Decision((1, 2), done=True))
        assert history.position == 1

    def test_a_change_after_undo_cuts_what_was_undone(self) -> None:
        steps = [make_review(words=[1]), make_review(words=[], action="undo"), make_review(words=[7])]
        assert replay((), steps) == History((Decision(()), Decision((7,))), 1)

    def test_an_undo_that_leads_elsewhere_is_a_change(self) -> None:
        history = replay((5,), [make_review(words=[1]), make_review(words=[], action="undo")])
        assert history.current == Decision(())
        assert len(history.decisions) == 3

    def test_undo_at_the_beginning_is_a_change(self) -> None:
        assert replay((), [make_review(words=[3], action="undo")]).current.words == (3,)

    @given(st.lists(st.sampled_from(["undo", "redo", *range(6)]), max_size=40))
    def test_the_log_rebuilds_what_the_page_shows(self, moves) -> None:
        """The page's own model, an editor with two stacks, against the replay of what it sends."""
        undone: list[tuple[int, ...]] = []
        past: list[tuple[int, ...]] = []
        words: tuple[int, ...] = ()
        sent = []
        for move in moves:
            if move == "undo":
                if not past:
                    continue
                undone.append(words)
                words = past.pop()
            elif move == "redo":
                if not undone:
                    continue
                past.append(words)
                words = undone.pop()
            else:
                past.append(words)
                undone.clear()
                words = tuple(sorted({*words} ^ {move}))
            sent.append(make_review(words=words, action=move if isinstance(move, str) else "toggle"))
        history = replay((), sent)
        assert [each.words for each in history.decisions] == [*past, words, *reversed(undone)]
        assert history.position == len(past)


class TestLog:
    def test_numbers_grow_and_survive(self, tmp_path) -> None:
        path = tmp_path / "reviews.jsonl"
        with ReviewLog(path, PARAGRAPHS) as log:
            assert log.append(make_review(ONE), 0).seq == 1
            assert log.append(make_review(TWO), 0).seq == 2
            assert log.append(make_review(ONE, [2]), 1).seq == 3
        with ReviewLog(path, PARAGRAPHS) as log:
            assert log.seq == 3
            assert [review.seq for review in log.of(ONE.id, "reviewer", False)] == [1, 3]
            assert log.append(make_review(TWO, [4]), 2).seq == 4
        assert [review.seq for review in read_log(path, PARAGRAPHS)] == [1, 2, 3, 4]

    def test_stale(self, tmp_path) -> None:
        path = tmp_path / "reviews.jsonl"
        with ReviewLog(path, PARAGRAPHS) as log:
            log.append(make_review(ONE), 0)
            before = path.read_bytes()
            for base in (0, 7):
                with pytest.raises(StaleError, match="changed elsewhere"):
                    log.append(make_review(ONE, [9]), base)
            assert path.read_bytes() == before

    def test_people_and_audits_do_not_stand_in_each_others_way(self, tmp_path) -> None:
        with ReviewLog(tmp_path / "reviews.jsonl", PARAGRAPHS) as log:
            log.append(make_review(ONE), 0)
            log.append(make_review(ONE, reviewer="mira"), 0)
            log.append(make_review(ONE, mode="audit"), 0)
            with pytest.raises(StaleError):
                log.append(make_review(ONE, mode="blind"), 0)

    def test_an_action_sent_twice_is_written_once(self, tmp_path) -> None:
        path = tmp_path / "reviews.jsonl"
        with ReviewLog(path, PARAGRAPHS) as log:
            first = log.append(make_review(ONE, key="k" * 8), 0)
            assert log.append(make_review(ONE, key="k" * 8), 0) == first
        with ReviewLog(path, PARAGRAPHS) as log:
            assert log.append(make_review(ONE, key="k" * 8), 0) == first
        assert len(path.read_text().splitlines()) == 1

    def test_every_action_is_synced_before_it_is_confirmed(self, tmp_path, monkeypatch) -> None:
        path = tmp_path / "reviews.jsonl"
        seen = []
        fsync = os.fsync
        monkeypatch.setattr(os, "fsync", lambda handle: (seen.append(path.read_bytes()), fsync(handle)))
        with ReviewLog(path, PARAGRAPHS) as log:
            log.append(make_review(ONE), 0)
        assert json.loads(seen[0])["seq"] == 1

    def test_one_writer(self, tmp_path) -> None:
        path = tmp_path / "reviews.jsonl"
        with ReviewLog(path, PARAGRAPHS), pytest.raises(LabelError, match="another `annotate review`"):
            ReviewLog(path, PARAGRAPHS)
        ReviewLog(path, PARAGRAPHS).close()

    def test_a_torn_line_is_cut(self, tmp_path) -> None:
        path = tmp_path / "reviews.jsonl"
        append_record(path, make_review(ONE, seq=1))
        path.write_bytes(path.read_bytes() + b'{"seq": 2, "para')
        with ReviewLog(path, PARAGRAPHS) as log:
            assert log.append(make_review(TWO), 0).seq == 2
        assert [review.seq for review in read_log(path, PARAGRAPHS)] == [1, 2]

    def test_a_full_disk_leaves_the_log_as_it_was(self, tmp_path, monkeypatch) -> None:
        path = tmp_path / "reviews.jsonl"

        real, calls = os.write, []

        def half(handle: int, data: bytes) -> int:
            calls.append(handle)
            if len(calls) == 1:
                return real(handle, data[:30])
            raise OSError(errno.ENOSPC, "No space left on device")

        with ReviewLog(path, PARAGRAPHS) as log:
            log.append(make_review(ONE), 0)
            before = path.read_bytes()
            with monkeypatch.context() as patched:
                patched.setattr(os, "write", half)
                with pytest.raises(OSError, match="No space") as caught:
                    log.append(make_review(ONE, [2]), 1)
            assert caught.value.filename == str(path)
            assert path.read_bytes() == before
            assert log.append(make_review(ONE, [2]), 1).seq == 2

    def test_a_killed_process_loses_nothing_it_confirmed_and_frees_the_lock(self, tmp_path) -> None:
        path = tmp_path / "reviews.jsonl"
        code = (
            "import sys; sys.path[:0] = sys.argv[1:4]\n"
            "from pathlib import Path\n"
            "from test_review_log import PARAGRAPHS, ReviewLog, make_review\n"
            "log = ReviewLog(Path(sys.argv[4]), PARAGRAPHS); base = 0\n"
            "while True:\n"
            "    base = log.append(make_review(words=[base % 5]), base).seq\n"
            "    print(base, flush=True)\n"
        )
        here = Path(__file__).parent
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, (here, here.parents[0], here.parents[1])), str(path)],
            stdout=subprocess.PIPE,
        )
        confirmed = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        confirmed += [int(line) for line in process.communicate()[0].splitlines()]
        with ReviewLog(path, PARAGRAPHS) as log:
            assert log.seq >= confirmed[-1]
            assert [review.seq for review in log.of(ONE.id, "reviewer", False)] == [*range(1, log.seq + 1)]

    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 2),
                st.sets(st.integers(0, 9), max_size=4),
                st.sampled_from(["review", "audit"]),
                st.sampled_from(["ada", "bo"]),
                st.booleans(),
            ),
            max_size=15,
        )
    )
    def test_reopening_gives_the_same_state(self, tmp_path_factory, actions) -> None:
        path = tmp_path_factory.mktemp("log") / "reviews.jsonl"
        state: dict[tuple[int, str, bool], Review] = {}
        with ReviewLog(path, PARAGRAPHS) as log:
            for index, words, mode, reviewer, done in actions:
                who = (index, reviewer, mode == "audit")
                review = make_review(
                    PARAGRAPHS[index], sorted(words), mode=mode, reviewer=reviewer, done=done
                )
                state[who] = log.append(review, state[who].seq if who in state else 0)
        with ReviewLog(path, PARAGRAPHS) as again:
            assert again.seq == len(actions)
            for (index, reviewer, audit), review in state.items():
                assert again.of(PARAGRAPHS[index].id, reviewer, audit)[-1] == review
        assert {review.seq for review in last_reviews(read_log(path, PARAGRAPHS))} == {
            review.seq for review in state.values()
        }


class TestGold:
    def test_old_records_are_read(self, tmp_path) -> None:
        path = tmp_path / "reviews.jsonl"
        old = {"schema_version": 1, "seq": 1, "paragraph_id": ONE.id, "text_sha256": ONE.text_sha256}
        path.write_text(json.dumps(old | {"words": [2], "done": True}) + "\n")
        (review,) = read_log(path, PARAGRAPHS)
        assert (review.action, review.reviewer, review.mode) == ("save", "reviewer", "review")
        assert read_reviews(path, PARAGRAPHS)[ONE.id].words == (2,)

    def test_who_decides(self, tmp_path) -> None:
        path = tmp_path / "reviews.jsonl"
        for seq, fields in enumerate(
            [
                {"words": [1], "done": True, "reviewer": "ada"},
                {"words": [2], "done": True, "reviewer": "bo"},
                {"words": [3], "done": True, "mode": "audit", "reviewer": "cy"},
                {"words": [4], "done": False, "reviewer": "bo"},
                {"paragraph": TWO, "words": [5], "done": True, "mode": "audit"},
            ],
            start=1,
        ):
            append_record(path, make_review(seq=seq, **fields))
        decided = {name: review.words for name, review in read_reviews(path, PARAGRAPHS).items()}
        assert decided == {ONE.id: (1,), TWO.id: (5,)}  # bo opened it again; an audit settles no dispute
