"""Labelling: what is asked again and what is not, labels from the ledger alone, gold at the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from fakes.annotated import make_benchmark, make_label, make_paragraph, make_paragraphs
from hypothesis import given
from hypothesis import strategies as st

from annotate.annotators import make_annotator
from annotate.annotators.offline import answer_words, read_words
from annotate.errors import BenchmarkError, LabelError, UnknownNameError
from annotate.files import read_records, write_records
from annotate.gold import settle
from annotate.label_files import file_stem, labels_file, read_labels, slug, write_labels
from annotate.labelling.collect import collect
from annotate.labelling.label import label_benchmark, summarize
from annotate.labelling.tables import describe_kept
from annotate.ledger.derive import derive
from annotate.ledger.ledger import Ledger, read_ledger
from annotate.ledger.questions import Questions, Selection
from annotate.manifest import write_manifest
from annotate.protocol import Reading, Request, Response
from annotate.schema import Gold, Label, LabelSpan, Paragraph, text_hash

PARAGRAPHS = make_paragraphs(6)


@dataclass
class Scripted:
    """Answers by a script of statuses per paragraph, the last one for ever; marks word 1."""

    script: dict[str, list[str]] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    name: str = "scripted"
    deterministic: bool = False

    def request(self, paragraph: Paragraph, repeat: int, earlier: Sequence[Response]) -> Request | None:
        return None if earlier else Request({"text": paragraph.text_sha256}, repeat)

    def annotate(self, paragraph: Paragraph, request: Request) -> Response:
        self.asked.append((paragraph.id, request.repeat))
        script = self.script.get(paragraph.id, ["ok"])
        status = script.pop(0) if len(script) > 1 else script[0]
        return answer_words([1]) if status == "ok" else Response(status=status, detail="as scripted")

    def read(self, paragraph: Paragraph, answers: Sequence[Response]) -> Reading:
        return read_words(paragraph, answers)


@dataclass
class Asking(Scripted):
    """Has one follow-up: a first answer that cannot be placed is asked about once more."""

    name: str = "asking"

    def request(self, paragraph: Paragraph, repeat: int, earlier: Sequence[Response]) -> Request | None:
        if len(earlier) == 2 or (earlier and earlier[0].status not in ("ok", "truncated")):
            return None
        return Request({"text": paragraph.text_sha256, "after": [r.raw for r in earlier]}, repeat)

    def read(self, paragraph: Paragraph, answers: Sequence[Response]) -> Reading:
        if len(answers) == 2 and answers[1].status == "ok":
            return Reading("ok", (LabelSpan(words=(2,), quote="x", rung="exact"),))
        return Reading("unresolved", (LabelSpan(words=(3,), quote="x", rung="fuzzy"),), "not placed")


def run(annotator, path, paragraphs=PARAGRAPHS, **options) -> list[Label]:
    with Ledger(path) as ledger:
        collect(Questions(paragraphs, **options), annotator, ledger)
        return derive(paragraphs, annotator, ledger.attempts)


class TestCollect:
    def test_an_answered_request_is_never_made_again(self, tmp_path) -> None:
        annotator = Scripted()
        first = run(annotator, tmp_path / "l.jsonl")
        again = run(annotator, tmp_path / "l.jsonl")
        assert len(annotator.asked) == 6
        assert first == again
        assert [label.words for label in first] == [(1,)] * 6

    def test_errors_are_asked_again_on_the_next_run_only(self, tmp_path) -> None:
        annotator = Scripted({"p00002": ["error", "ok"], "p00003": ["refused"]})
        first = run(annotator, tmp_path / "l.jsonl")
        assert [label.status for label in first] == ["ok", "ok", "error", "refused", "ok", "ok"]
        assert first[2].words == ()
        assert first[2].detail == "as scripted"
        annotator.asked.clear()
        second = run(annotator, tmp_path / "l.jsonl")
        assert annotator.asked == [("p00002", 0)]  # a refusal is an answer
        assert [label.status for label in second] == ["ok", "ok", "ok", "refused", "ok", "ok"]
        rows = read_ledger(tmp_path / "l.jsonl").rows
        assert [(row.paragraph_id, row.attempt) for row in rows[6:]] == [("p00002", 2)]

    def test_a_deterministic_failure_is_not_asked_again(self, tmp_path) -> None:
        annotator = Scripted({"p00002": ["error", "ok"]}, deterministic=True)
        run(annotator, tmp_path / "l.jsonl")
        assert run(annotator, tmp_path / "l.jsonl")[2].status == "error"
        assert len(annotator.asked) == 6

    def test_fresh_asks_all_and_keeps_the_old(self, tmp_path) -> None:
        annotator = Scripted()
        run(annotator, tmp_path / "l.jsonl")
        run(annotator, tmp_path / "l.jsonl", fresh=True)
        assert len(annotator.asked) == 12
        assert [row.attempt for row in read_ledger(tmp_path / "l.jsonl").rows] == [1] * 6 + [2] * 6

    def test_repeats_are_requests_of_their_own(self, tmp_path) -> None:
        annotator = Scripted()
        labels = run(annotator, tmp_path / "l.jsonl", repeats=2)
        assert annotator.asked[:3] == [("p00000", 0), ("p00000", 1), ("p00001", 0)]
        assert [(label.paragraph_id, label.repeat) for label in labels[:3]] == annotator.asked[:3]
        fewer = run(annotator, tmp_path / "l.jsonl", repeats=1)
        assert fewer == labels  # what was recorded stays in the labels

    def test_missing_is_not_recorded(self, tmp_path) -> None:
        labels = run(Scripted({"p00001": ["missing"]}), tmp_path / "l.jsonl")
        assert labels[1].status == "missing"
        assert len(read_ledger(tmp_path / "l.jsonl").rows) == 5

    def test_two_paragraphs_of_one_text_are_asked_about_once(self, tmp_path) -> None:
        twins = [PARAGRAPHS[0], PARAGRAPHS[0].model_copy(update={"id": "twin"})]
        annotator = Scripted()
        labels = run(annotator, tmp_path / "l.jsonl", twins)
        assert len(annotator.asked) == 1
        assert [label.paragraph_id for label in labels] == ["p00000", "twin"]
        assert [label.words for label in labels] == [(1,), (1,)]

    @pytest.mark.parametrize(("deterministic", "syncs"), [(False, 6), (True, 0)])
    def test_what_costs_money_is_synced_before_more_is_spent(
        self, tmp_path, monkeypatch, deterministic, syncs
    ) -> None:
        synced: list[int] = []
        with Ledger(tmp_path / "l.jsonl") as ledger:
            monkeypatch.setattr(os, "fsync", synced.append)
            collect(Questions(PARAGRAPHS), Scripted(deterministic=deterministic), ledger)
            assert len(synced) == syncs
        assert len(synced) == syncs + 1  # and once more at the end

    def test_an_exception_keeps_what_was_answered(self, tmp_path) -> None:
        @dataclass
        class Failing(Scripted):
            def annotate(self, paragraph: Paragraph, request: Request) -> Response:
                if paragraph.id == "p00003":
                    raise LabelError("quota used up")
                return super().annotate(paragraph, request)

        with pytest.raises(LabelError, match="quota"):
            run(Failing(), tmp_path / "l.jsonl")
        annotator = Scripted()
        run(annotator, tmp_path / "l.jsonl")
        assert [paragraph_id for paragraph_id, _ in annotator.asked] == ["p00003", "p00004", "p00005"]


class TestConversation:
    """A follow-up request is found again in the ledger, and only the request that failed is made again."""

    def test_follow_up_is_derived_from_the_ledger(self, tmp_path) -> None:
        annotator = Asking()
        labels = run(annotator, tmp_path / "l.jsonl", PARAGRAPHS[:1])
        assert len(annotator.asked) == 2
        assert labels[0].words == (2,)
        assert run(annotator, tmp_path / "l.jsonl", PARAGRAPHS[:1]) == labels
        assert len(annotator.asked) == 2

    def test_a_failed_follow_up_alone_is_asked_again(self, tmp_path) -> None:
        annotator = Asking({"p00000": ["ok", "error", "ok"]})
        first = run(annotator, tmp_path / "l.jsonl", PARAGRAPHS[:1])
        assert (first[0].status, first[0].words, len(first[0].spans)) == ("unresolved", (), 1)
        assert len(annotator.asked) == 2
        second = run(annotator, tmp_path / "l.jsonl", PARAGRAPHS[:1])
        assert len(annotator.asked) == 3
        assert second[0].status == "ok"

    def test_a_failure_with_a_follow_up_goes_on_from_it(self, tmp_path) -> None:
        path = tmp_path / "l.jsonl"
        annotator = Asking({"p00000": ["truncated", "ok"]})
        assert run(annotator, path, PARAGRAPHS[:1])[0].status == "ok"
        data = path.read_bytes()
        path.write_bytes(data[: data.index(b"\n") + 1])  # killed after the first answer
        annotator.script["p00000"] = ["ok"]
        assert run(annotator, path, PARAGRAPHS[:1])[0].status == "ok"
        assert len(annotator.asked) == 3
        assert path.read_bytes() == data


class TestFiles:
    def test_file_stems_can_be_read(self) -> None:
        assert file_stem("overlap") == "overlap"
        assert file_stem("mock:noise=0.1,seed=0") == "mock-noise=0.1,seed=0"
        assert file_stem("openai:org/gpt-5.2") == "openai-org%2Fgpt-5.2"

    @given(st.lists(st.text("aAé李王-:/.~%=, \x1b", max_size=60), min_size=2, max_size=20, unique=True))
    def test_every_name_has_a_file_stem_of_its_own(self, names) -> None:
        stems = [file_stem(name) for name in names]
        assert len(set(stems)) == len(names)
        assert all(len(f".{stem}.manifest.json.12345678.part") < 256 for stem in stems)
        assert not any("/" in stem or stem.startswith(".") for stem in stems)

    @pytest.mark.parametrize("pair", [("human:李", "human:王"), ("human:a/b", "human:a-b")])
    def test_names_that_shared_a_file_have_their_own(self, tmp_path, pair) -> None:
        for name in pair:
            write_labels(tmp_path, name, [make_label(p, name, [1]) for p in PARAGRAPHS])
        assert sorted(read_labels(tmp_path, PARAGRAPHS)) == sorted(pair)

    @pytest.mark.parametrize("pair", [("human:李", "human:王"), ("human:a/b", "human:a-b")])
    def test_files_by_former_names_are_read_and_none_is_lost(self, tmp_path, pair) -> None:
        for name, file in zip(
            pair, (slug(pair[0]), f"{slug(pair[1])}-{text_hash(pair[1])[:8]}"), strict=True
        ):
            write_records(tmp_path / f"{file}.jsonl", [make_label(p, name, [1]) for p in PARAGRAPHS])
        for _ in range(2):
            for name in reversed(pair):
                write_labels(tmp_path, name, [make_label(p, name, [2]) for p in PARAGRAPHS])
        labels = read_labels(tmp_path, PARAGRAPHS)
        assert {name: len(rows) for name, rows in labels.items()} == dict.fromkeys(pair, 6)
        assert {label.words for rows in labels.values() for label in rows} == {(2,)}

    def test_a_torn_file_by_a_former_name_is_known_by_its_manifest(self, tmp_path) -> None:
        old = tmp_path / "human-.jsonl"
        write_records(old, [])
        write_manifest(old.with_suffix(".manifest.json"), "", 0, {"annotator": "human:李"}, [], [], {})
        old.write_bytes(b'{"schema')
        write_labels(tmp_path, "human:李", [make_label(PARAGRAPHS[0], "human:李", [1])])
        assert list(read_labels(tmp_path, PARAGRAPHS)) == ["human:李"]

    def test_round_trip_and_choice(self, tmp_path) -> None:
        for name in ("b", "a"):
            write_labels(tmp_path, name, [make_label(p, name, [1]) for p in PARAGRAPHS])
        assert list(read_labels(tmp_path, PARAGRAPHS)) == ["a", "b"]
        assert list(read_labels(tmp_path, PARAGRAPHS, ["b", "a"])) == ["b", "a"]
        with pytest.raises(UnknownNameError, match="a, b"):
            read_labels(tmp_path, PARAGRAPHS, ["c"])

    def test_no_labels(self, tmp_path) -> None:
        with pytest.raises(LabelError, match="annotate label"):
            read_labels(tmp_path / "labels", PARAGRAPHS)

    def test_labels_of_another_benchmark(self, tmp_path) -> None:
        write_labels(tmp_path, "a", [make_label(PARAGRAPHS[5], "a")])
        with pytest.raises(LabelError, match=r"a\.jsonl belongs to another benchmark: record 1 is of p00005"):
            read_labels(tmp_path, PARAGRAPHS[:3])

    def test_a_word_out_of_range(self, tmp_path) -> None:
        write_labels(tmp_path, "a", [make_label(PARAGRAPHS[0], "a", [999])])
        with pytest.raises(LabelError, match="names a missing word"):
            read_labels(tmp_path, PARAGRAPHS)

    def test_a_torn_last_line_is_refused(self, tmp_path) -> None:
        write_labels(tmp_path, "a", [make_label(p, "a", [1]) for p in PARAGRAPHS])
        path = labels_file(tmp_path, "a")
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(BenchmarkError, match="is torn: it ends within a line; annotate reparse makes it"):
            read_labels(tmp_path, PARAGRAPHS)


class TestBenchmark:
    def test_default_annotators_leave_labels_gold_and_manifests(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        done = label_benchmark(benchmark, [make_annotator("overlap"), make_annotator("clause")], command="x")
        assert [summary.statuses for summary in done.summaries] == [{"ok": 6}, {"ok": 6}]
        assert all(0 < (summary.marked_share or 0) < 0.5 for summary in done.summaries)
        gold = read_records(benchmark.gold_path, Gold)
        assert {row.rule for row in gold} == {"intersection"}
        assert {word.origin for row in gold for word in row.words} == {"agreed"}
        assert sorted(path.name for path in benchmark.labels_dir.iterdir()) == [
            "clause.jsonl", "clause.manifest.json", "overlap.jsonl", "overlap.manifest.json",
        ]  # fmt: skip

    def test_one_annotator_makes_single_gold(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        label_benchmark(benchmark, [make_annotator("overlap")])
        gold = read_records(benchmark.gold_path, Gold)
        assert {word.origin for row in gold for word in row.words} == {"single"}

    def test_another_annotator_leaves_the_gold_as_it_is(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        label_benchmark(benchmark, [make_annotator("overlap"), make_annotator("clause")])
        before = benchmark.gold_path.read_bytes()
        done = label_benchmark(benchmark, [Scripted()])
        assert (done.gold, done.kept_annotators) == (None, ("overlap", "clause"))
        assert describe_kept(done).startswith(
            "gold: left as it was (intersection of overlap, clause); annotate adj"
        )
        done = label_benchmark(benchmark, [make_annotator("overlap"), Scripted()])
        assert done.gold is None
        assert benchmark.gold_path.read_bytes() == before

    def test_gold_grows_with_the_labels_it_rests_on(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        annotators = [make_annotator("overlap"), make_annotator("clause")]
        label_benchmark(benchmark, annotators, Selection(limit=2))
        before = benchmark.gold_path.read_bytes()
        done = label_benchmark(benchmark, annotators[1:])
        assert done.gold is not None
        assert done.gold.annotators == ("overlap", "clause")
        assert done.changed == 0
        assert benchmark.gold_path.read_bytes().startswith(before)
        label_benchmark(benchmark, annotators[:1])
        assert {row.annotators for row in read_records(benchmark.gold_path, Gold)} == {("overlap", "clause")}

    def test_gold_words_that_change_are_counted(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        label_benchmark(benchmark, [make_annotator("overlap")])
        gold = read_records(benchmark.gold_path, Gold)
        write_records(benchmark.gold_path, [gold[0].model_copy(update={"words": ()}), *gold[1:]])
        assert label_benchmark(benchmark, [make_annotator("overlap")]).changed == 1

    @pytest.mark.parametrize("rule", ["union", "intersection"])
    def test_chosen_gold_is_left_alone(self, tmp_path, rule) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        annotators = [make_annotator("overlap"), make_annotator("clause")]
        label_benchmark(benchmark, annotators)
        settle(benchmark, rule)
        before = benchmark.gold_path.read_bytes()
        done = label_benchmark(benchmark, [make_annotator("overlap")])
        assert (done.gold, done.kept_rule) == (None, rule)
        assert benchmark.gold_path.read_bytes() == before

    def test_limit_labels_the_first_and_the_rest_are_missing(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        done = label_benchmark(benchmark, [make_annotator("overlap")], Selection(limit=2))
        assert done.summaries[0].statuses == {"missing": 4, "ok": 2}
        assert done.gold is not None
        assert len(done.gold.gold) == 2
        assert done.gold.unsettled == ("p00002", "p00003", "p00004", "p00005")
        full = label_benchmark(benchmark, [make_annotator("overlap")])
        assert (full.summaries[0].asked, full.summaries[0].reused) == (4, 2)
        again = label_benchmark(benchmark, [make_annotator("overlap")], Selection(limit=1))
        assert again.summaries[0].statuses == {"ok": 6}

    def test_a_ledger_of_another_benchmark_is_refused(self, tmp_path) -> None:
        other = make_benchmark(
            tmp_path / "other", [p.model_copy(update={"id": f"x{p.id}"}) for p in PARAGRAPHS]
        )
        label_benchmark(other, [make_annotator("overlap")])
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        benchmark.ledger.write_bytes(other.ledger.read_bytes())
        with pytest.raises(LabelError, match=r"ledger\.jsonl belongs to another benchmark.*not in this"):
            label_benchmark(benchmark, [make_annotator("overlap")])
        edited = other.ledger.read_text().replace("xp0", "p0").replace(PARAGRAPHS[1].text_sha256, "0" * 64)
        benchmark.ledger.write_text(edited)
        with pytest.raises(LabelError, match="record 2 is of p00001, with another text"):
            label_benchmark(benchmark, [make_annotator("overlap")])
        assert benchmark.ledger.read_text() == edited
        assert not benchmark.labels_dir.exists()

    def test_an_annotator_that_labels_nothing_is_an_error_with_its_reason(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        with pytest.raises(LabelError, match=r"scripted labelled no paragraph \(6 refused\): as scripted"):
            label_benchmark(benchmark, [Scripted({p.id: ["refused"] for p in PARAGRAPHS})])
        assert len(read_ledger(benchmark.ledger).rows) == 6

    def test_the_same_annotator_twice(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        with pytest.raises(LabelError, match="named twice"):
            label_benchmark(benchmark, [Scripted(), Scripted()])

    def test_progress_is_told(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        told: list[object] = []

        def track(name: str, total: int):
            told.append((name, total))
            return lambda done, note: told.append(done)

        label_benchmark(benchmark, [Scripted()], Selection(repeats=2), track=track)
        assert told == [("scripted", 12), *range(1, 13)]

    def test_a_broken_ledger_line_is_named(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        benchmark.ledger.write_text("{}\n")
        with pytest.raises(BenchmarkError, match=r"ledger\.jsonl line 1"):
            label_benchmark(benchmark, [Scripted()])


def test_punctuation_is_no_part_of_the_marked_share() -> None:
    paragraph = make_paragraph("p", "Rain, falls.", "Why?", "x", narrative="One.")
    assert paragraph.word_texts() == ["One", ".", "Rain", ",", "falls", ".", "Why", "?"]
    for words, share in (([1, 2, 3], 1 / 4), ([1, 3], 0.0)):
        assert summarize([paragraph], [make_label(paragraph, "a", words)], "a", 1, 0).marked_share == share
