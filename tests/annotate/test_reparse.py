"""Labels made again from the ledger alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.annotated import make_benchmark, make_paragraphs
from fakes.command_line import annotate, files

import annotate.annotators as registry
from annotate.annotators import make_annotator
from annotate.annotators.offline import answer_words, paragraph_request, read_words
from annotate.benchmark import Benchmark
from annotate.errors import LabelError
from annotate.gold import settle
from annotate.labelling.label import label_benchmark
from annotate.labelling.reparse import LabelChanges, reparse
from annotate.ledger.questions import Selection
from annotate.protocol import Reading

NOISY = "mock:noise=0.2,seed=0,fail=0.3"


@dataclass
class Changing:
    """Marks words 0 and 5. A release may come to read only the first, or to ask with another prompt."""

    spans_read: int = 2
    prompt: int = 1
    name: str = "changing"
    deterministic: bool = True

    def request(self, paragraph, repeat, earlier):
        return None if earlier else paragraph_request(paragraph, repeat, self.name, self.prompt)

    def annotate(self, paragraph, request):
        return answer_words([0, 5])

    def read(self, paragraph, answers):
        if not self.spans_read:
            return Reading("unresolved", detail="cannot be placed")
        return Reading("ok", read_words(paragraph, answers).spans[: self.spans_read])


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    return make_benchmark(tmp_path / "curated", make_paragraphs(12))


@pytest.fixture
def changing(monkeypatch) -> Changing:
    annotator = Changing()
    monkeypatch.setitem(registry._BUILDERS, "changing", lambda options, seed: annotator)
    return annotator


class TestAgain:
    def test_lost_and_torn_labels_come_back_to_the_byte(self, benchmark) -> None:
        annotators = [make_annotator("clause"), make_annotator(NOISY)]
        label_benchmark(benchmark, annotators, Selection(repeats=2))
        before = files(benchmark.path)
        (benchmark.labels_dir / "clause.jsonl").unlink()
        noisy = next(benchmark.labels_dir.glob("mock*.jsonl"))
        noisy.write_bytes(noisy.read_bytes()[:-20])
        done = reparse(benchmark)
        assert files(benchmark.path) == before
        assert done.gold == "settled"
        clause, mock = done.annotators
        assert (clause.annotator, clause.new, clause.changed, clause.unread) == ("clause", 24, 0, 0)
        assert (mock.annotator, mock.new) == (NOISY, 24)

    def test_replayed_answers_need_no_replayed_file(self, benchmark, tmp_path) -> None:
        label_benchmark(benchmark, [make_annotator("clause")])
        old = benchmark.ledger.rename(tmp_path / "old.jsonl")
        label_benchmark(benchmark, [make_annotator(f"replay:{old}")])
        old.unlink()
        before = files(benchmark.path)
        assert reparse(benchmark).annotators[0].annotator == "replay:clause"
        assert files(benchmark.path) == before

    def test_what_a_new_reading_changes_is_told(self, benchmark, changing) -> None:
        changing.spans_read = 0
        with pytest.raises(LabelError, match="labelled no paragraph"):
            label_benchmark(benchmark, [changing])
        changing.spans_read = 2
        assert reparse(benchmark).annotators == (
            LabelChanges(
                annotator="changing",
                statuses={"ok": 12},
                new=0,
                gone=0,
                changed=12,
                moves={"unresolved > ok": 12},
                words_added=24,
                words_removed=0,
                unread=0,
            ),
        )
        changing.spans_read = 1
        reread = reparse(benchmark).annotators[0]
        assert (reread.changed, reread.moves, reread.words_added, reread.words_removed) == (12, {}, 0, 12)


class TestGold:
    def test_is_settled_again_from_the_same_annotators(self, benchmark, changing) -> None:
        label_benchmark(benchmark, [make_annotator("clause")])
        label_benchmark(benchmark, [changing])
        settle(benchmark, annotators=["changing"], chosen=False)
        assert reparse(benchmark).gold == "settled"
        changing.spans_read = 1
        reparse(benchmark)
        rows = [json.loads(line) for line in benchmark.gold_path.read_text().splitlines()]
        assert {tuple(row["annotators"]) for row in rows} == {("changing",)}
        assert {tuple(word["index"] for word in row["words"]) for row in rows} == {(0,)}

    def test_that_someone_chose_stays(self, benchmark, changing) -> None:
        label_benchmark(benchmark, [changing])
        settle(benchmark, "union")
        before = benchmark.gold_path.read_bytes()
        changing.spans_read = 1
        assert reparse(benchmark).gold == "kept"
        assert benchmark.gold_path.read_bytes() == before

    def test_that_is_lost_comes_back(self, benchmark, changing) -> None:
        label_benchmark(benchmark, [changing])
        before = files(benchmark.path)
        benchmark.gold_path.unlink()
        assert reparse(benchmark).gold == "settled"
        assert files(benchmark.path) == before

    def test_there_is_none_where_nothing_is_labelled(self, benchmark, changing) -> None:
        label_benchmark(benchmark, [changing])
        benchmark.gold_path.unlink()
        changing.spans_read = 0
        assert reparse(benchmark).gold == "none"
        assert not benchmark.gold_path.exists()


class TestOtherPrompt:
    def test_labels_are_never_replaced_by_missing_ones(self, benchmark, changing) -> None:
        label_benchmark(benchmark, [make_annotator("clause"), changing])
        before = files(benchmark.path)
        changing.prompt = 2
        with pytest.raises(LabelError, match="none of the 12 requests of changing in the ledger"):
            reparse(benchmark)
        assert files(benchmark.path) == before

    def test_some_of_another_version_are_counted(self, benchmark, changing) -> None:
        label_benchmark(benchmark, [changing])
        changing.prompt = 2
        label_benchmark(benchmark, [changing], Selection(limit=5))
        reread = reparse(benchmark).annotators[0]
        assert (reread.statuses, reread.unread) == ({"missing": 7, "ok": 5}, 12)


class TestCommand:
    def test_table_and_json(self, benchmark) -> None:
        annotate(benchmark.path.parent, "label", "--quiet")
        (benchmark.labels_dir / "clause.jsonl").unlink()
        done = annotate(benchmark.path.parent, "reparse", "--quiet")
        assert done.returncode == 0
        assert "gold: settled anew" in done.stdout
        done = annotate(benchmark.path.parent, "reparse", "--json")
        assert [reread["annotator"] for reread in json.loads(done.stdout)["annotators"]] == [
            *("clause", "overlap")
        ]

    def test_no_ledger(self, benchmark) -> None:
        done = annotate(benchmark.path.parent, "reparse")
        assert done.returncode == 1
        assert done.stderr.startswith("error: there is no ledger curated/ledger.jsonl")
        assert not benchmark.ledger.exists()
