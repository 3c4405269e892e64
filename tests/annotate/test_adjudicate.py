"""Gold: which words each rule takes, where each word came from, what is left without gold."""

from __future__ import annotations

import json

import pytest
from fakes.annotated import make_benchmark, make_label, make_paragraphs

from annotate.errors import BenchmarkError, LabelError, UnknownNameError
from annotate.files import append_record, read_records
from annotate.gold import adjudicate, settle
from annotate.label_files import write_labels
from annotate.review.log import Review, read_reviews
from annotate.schema import Gold, Manifest

PARAGRAPHS = make_paragraphs(3)
ONE, TWO, THREE = PARAGRAPHS
LABELS = {
    "A": [make_label(ONE, "A", [1, 2]), make_label(TWO, "A", [5]), make_label(THREE, "A", status="refused")],
    "B": [make_label(ONE, "B", [2, 3]), *(make_label(p, "B", status="error") for p in (TWO, THREE))],
}


def origins(gold: Gold) -> dict[int, str]:
    return {word.index: word.origin for word in gold.words}


class TestRules:
    def test_intersection(self) -> None:
        settled = adjudicate(PARAGRAPHS, LABELS, "intersection")
        assert [origins(row) for row in settled.gold] == [{2: "agreed"}, {5: "single"}]
        assert [row.annotators for row in settled.gold] == [("A", "B"), ("A",)]
        assert settled.unsettled == (THREE.id,)

    def test_union(self) -> None:
        settled = adjudicate(PARAGRAPHS, LABELS, "union")
        assert [origins(row) for row in settled.gold] == [
            {1: "union", 2: "agreed", 3: "union"},
            {5: "single"},
        ]

    def test_an_empty_intersection_is_gold_without_words(self) -> None:
        labels = {"A": [make_label(ONE, "A", [1])], "B": [make_label(ONE, "B", [2])]}
        settled = adjudicate([ONE], labels)
        assert [origins(row) for row in settled.gold] == [{}]
        assert settled.unsettled == ()

    def test_three_annotators(self) -> None:
        labels = {
            name: [make_label(ONE, name, marks)]
            for name, marks in {"A": [1, 2], "B": [2, 3], "C": [2]}.items()
        }
        assert origins(adjudicate([ONE], labels, "intersection").gold[0]) == {2: "agreed"}
        assert origins(adjudicate([ONE], labels, "union").gold[0]) == {1: "union", 2: "agreed", 3: "union"}

    def test_evidence(self) -> None:
        told = [ONE.model_copy(update={"evidence": (4, 0)}), TWO]
        settled = adjudicate(told, LABELS, "evidence")
        assert [origins(row) for row in settled.gold] == [{0: "constructed", 4: "constructed"}]
        assert settled.gold[0].annotators == ()
        assert settled.unsettled == (TWO.id,)

    def test_evidence_on_real_text(self) -> None:
        with pytest.raises(LabelError, match="real text has none"):
            adjudicate(PARAGRAPHS, {}, "evidence")

    def test_reviewed(self) -> None:
        reviews = {ONE.id: review(ONE, [2, 3, 4])}
        settled = adjudicate(PARAGRAPHS, LABELS, "reviewed", reviews)
        assert [origins(row) for row in settled.gold] == [{2: "agreed", 3: "adjudicated", 4: "adjudicated"}]
        assert settled.gold[0].annotators == ("A", "B", "human-reviewed:reviewer")
        assert settled.unsettled == (TWO.id, THREE.id)

    def test_a_review_of_one_label_is_adjudicated(self) -> None:
        settled = adjudicate([TWO], LABELS, "reviewed", {TWO.id: review(TWO, [5])})
        assert origins(settled.gold[0]) == {5: "adjudicated"}

    def test_reviewed_without_reviews(self) -> None:
        with pytest.raises(LabelError, match="no paragraph has a finished review"):
            adjudicate(PARAGRAPHS, LABELS, "reviewed", {})

    def test_no_usable_label(self) -> None:
        with pytest.raises(LabelError, match="run annotate label"):
            adjudicate([THREE], LABELS)

    def test_unknown_rule_lists_the_rules(self) -> None:
        with pytest.raises(UnknownNameError, match="intersection, majority, union, evidence, reviewed"):
            adjudicate(PARAGRAPHS, LABELS, "plurality")

    def test_repeats_do_not_vote(self) -> None:
        labels = {"A": [make_label(ONE, "A", [1]), make_label(ONE, "A", [2], repeat=1)]}
        assert origins(adjudicate([ONE], labels).gold[0]) == {1: "single"}


def review(paragraph, words, seq: int = 1, done: bool = True) -> Review:
    return Review(
        seq=seq, paragraph_id=paragraph.id, text_sha256=paragraph.text_sha256, words=tuple(words), done=done
    )


class TestReviews:
    def test_the_last_one_counts_if_it_is_done(self, tmp_path) -> None:
        path = tmp_path / "reviews.jsonl"
        for row in (
            review(ONE, [1], seq=1),
            review(ONE, [2], seq=3),
            review(ONE, [9], seq=2),
            review(TWO, [1], seq=4),
            review(TWO, [1], seq=5, done=False),
        ):
            append_record(path, row)
        path.write_bytes(path.read_bytes() + b'{"seq": 6, "par')
        reviews = read_reviews(path, PARAGRAPHS)
        assert {name: row.words for name, row in reviews.items()} == {ONE.id: (2,)}

    def test_no_file(self, tmp_path) -> None:
        assert read_reviews(tmp_path / "none.jsonl", PARAGRAPHS) == {}

    def test_refusals(self, tmp_path) -> None:
        path = tmp_path / "reviews.jsonl"
        append_record(path, review(ONE, [999]))
        with pytest.raises(LabelError, match="review 1 names a word"):
            read_reviews(path, PARAGRAPHS)
        with pytest.raises(LabelError, match="another benchmark"):
            read_reviews(path, [TWO])
        path.write_text('{"seq": 1}\n')
        with pytest.raises(BenchmarkError, match="line 1"):
            read_reviews(path, PARAGRAPHS)


class TestSettle:
    def test_writes_gold_and_how_it_came(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        for name, labels in LABELS.items():
            write_labels(benchmark.labels_dir, name, labels)
        settled = settle(benchmark, "union", command="annotate adjudicate --rule union")
        assert tuple(read_records(benchmark.gold_path, Gold)) == settled.gold
        manifest = Manifest.model_validate_json((tmp_path / "b" / "gold.manifest.json").read_bytes())
        assert manifest.config == {"rule": "union", "annotators": ["A", "B"], "chosen": True}
        assert manifest.command == "annotate adjudicate --rule union"
        assert set(manifest.inputs) == {"paragraphs.jsonl", "A.jsonl", "B.jsonl"}
        assert manifest.report["without_gold"] == [THREE.id]

    def test_chosen_annotators_only(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        for name, labels in LABELS.items():
            write_labels(benchmark.labels_dir, name, labels)
        assert [row.indices() for row in settle(benchmark, "intersection", ["B"]).gold] == [[2, 3]]

    def test_reviews_alone_suffice(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        append_record(benchmark.reviews, review(ONE, [1]))
        assert [origins(row) for row in settle(benchmark, "reviewed").gold] == [{1: "adjudicated"}]

    def test_evidence_needs_no_labels(self, tmp_path) -> None:
        told = [paragraph.model_copy(update={"evidence": (0,)}) for paragraph in PARAGRAPHS]
        benchmark = make_benchmark(tmp_path / "b", told)
        assert len(settle(benchmark, "evidence").gold) == 3

    def test_a_failure_leaves_gold_as_it_was(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        benchmark.gold_path.write_text("kept\n")
        for rule in ("evidence", "reviewed", "intersection", "nonsense"):
            with pytest.raises((LabelError, UnknownNameError)):
                settle(benchmark, rule)
        assert benchmark.gold_path.read_text() == "kept\n"

    def test_every_row_is_plain_json(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        for name, labels in LABELS.items():
            write_labels(benchmark.labels_dir, name, labels)
        settle(benchmark, "intersection")
        first = json.loads(benchmark.gold_path.read_text().splitlines()[0])
        assert first["words"] == [{"index": 2, "origin": "agreed"}]
