"""The queue: order, filters, what the modes hide, and people as annotators."""

from __future__ import annotations

import json

import pytest
from fakes.annotated import make_benchmark, make_label, make_paragraph, make_paragraphs
from test_review_log import make_review

from annotate.agreement import agreement
from annotate.errors import LabelError, UnknownNameError
from annotate.files import append_record
from annotate.label_files import write_labels
from annotate.review.labels import read_labels_and_reviews, review_labels
from annotate.review.log import Decision, ReviewLog, read_reviews, replay
from annotate.review.queue import build_queue
from annotate.review.session import Session
from annotate.review.wire import WireError, check_words, read_change, sheet
from annotate.schema import Label, LabelSpan

PARAGRAPHS = make_paragraphs(5)
MARKS = {
    # F1:        1      0.5         0       both empty  B failed
    "A": [[12, 13], [12, 13, 14], [12], [], [12]],
    "B": [[12, 13], [13], [14], [], None],
}
LABELS = {
    name: [
        make_label(paragraph, name, words or (), "ok" if words is not None else "refused")
        for paragraph, words in zip(PARAGRAPHS, marks, strict=True)
    ]
    for name, marks in MARKS.items()
}


class TestOrder:
    def test_most_disputed_first(self) -> None:
        queue = build_queue(PARAGRAPHS, LABELS)
        assert [(item.index, item.disagreement) for item in queue] == [
            (2, 1),
            (4, 1),
            (1, 0.5),
            (0, 0),
            (3, 0),
        ]
        assert {item.index: item.start for item in queue} == {0: (12, 13), 1: (13,), 2: (), 3: (), 4: (12,)}

    def test_punctuation_is_no_dispute(self) -> None:
        (one, *_) = PARAGRAPHS
        stop = one.word_texts().index(".")
        labels = {"A": [make_label(one, "A", [1, stop])], "B": [make_label(one, "B", [1])]}
        assert build_queue([one], labels)[0].disagreement == 0

    def test_one_annotator(self) -> None:
        queue = build_queue(PARAGRAPHS, {"B": LABELS["B"]})
        assert [item.index for item in queue] == [4, 0, 1, 2, 3]
        assert queue[1].start == (12, 13)

    def test_three_at_once_are_refused(self) -> None:
        with pytest.raises(LabelError, match="one or two"):
            build_queue(PARAGRAPHS, {name: [] for name in "ABC"})

    def test_audit_shows_nothing_and_is_a_random_sample(self) -> None:
        many = make_paragraphs(200)
        queue = build_queue(many, LABELS, "audit", seed=3)
        assert all(item.sides == () and item.start == () for item in queue)
        order = [item.index for item in queue]
        assert sorted(order) == list(range(200)) != order
        assert order == [item.index for item in build_queue(many, {}, "audit", seed=3)]
        assert order != [item.index for item in build_queue(many, {}, "audit", seed=4)]

    def test_blind_swaps_about_half_by_seed(self) -> None:
        many = make_paragraphs(200)
        labels = {name: [make_label(p, name, [1]) for p in many] for name in ("first", "second")}

        def swapped(seed: int) -> list[bool]:
            return [item.sides[0].annotator == "second" for item in build_queue(many, labels, "blind", seed)]

        assert swapped(1) == swapped(1) != swapped(2)
        assert 70 < sum(swapped(1)) < 130
        assert not any(item.sides[0].annotator == "second" for item in build_queue(many, labels))


class TestFilters:
    def test_of_decisions(self) -> None:
        item = build_queue(PARAGRAPHS, LABELS)[0]
        assert item.filters(Decision(())) == ["all", "pending"]
        assert item.filters(Decision((), done=True, flag=True)) == ["all", "done", "flagged"]

    def test_unresolved_quotes(self) -> None:
        one, two, three = PARAGRAPHS[:3]
        span = LabelSpan(words=(1,), quote="lost", rung="ambiguous")
        sure = LabelSpan(words=(1,), quote="lost", rung="exact")
        labels = [
            make_label(one, "A", [1]).model_copy(update={"spans": (span,)}),
            make_label(two, "A", [1]).model_copy(update={"spans": (sure,)}),
            make_label(three, "A", status="unresolved"),
        ]
        shown = {
            item.index: "unresolved" in item.filters(Decision(()))
            for item in build_queue([one, two, three], {"A": labels})
        }
        assert shown == {0: True, 1: False, 2: True}


def make_session(tmp_path, labels=LABELS, **options) -> Session:
    log = ReviewLog(tmp_path / "reviews.jsonl", PARAGRAPHS)
    return Session(PARAGRAPHS, labels, log, **({"mode": "review", "reviewer": "mira"} | options))


class TestWire:
    def test_words_and_gaps_give_back_the_text(self) -> None:
        text = "مرحبا بالعالم 😀👍🏽 one\n\ntwo"
        paragraph = make_paragraph("p1", text, "Was  ist\tdas?", "one", narrative="  He said: “no”.")
        item = build_queue([paragraph], {"A": [make_label(paragraph, "A", [0])]})[0]
        shown = sheet(item, replay((), []), 0, "review")
        assert [block["role"] for block in shown["blocks"]] == ["narrative", "support", "question"]
        joined = "".join(
            word + after
            for block in shown["blocks"]
            for word, after in zip(block["words"], block["after"], strict=True)
        )
        assert joined == paragraph.text.lstrip()
        assert [block["first"] for block in shown["blocks"]] == [
            paragraph.words_in(role)[0] for role in ("narrative", "support", "question")
        ]

    def test_no_offset_crosses(self) -> None:
        item = build_queue(PARAGRAPHS, LABELS)[0]
        shown = sheet(item, replay(item.start, []), 0, "review")
        assert set(shown["blocks"][0]) == {"role", "first", "words", "after"}

    def test_blind_sends_no_name(self, tmp_path) -> None:
        labels = {"gpt-secret": LABELS["A"], "other-secret": LABELS["B"]}
        session = make_session(tmp_path, labels, mode="blind")
        sent = json.dumps([session.describe(), session.queue(None), session.sheet(0, None)])
        assert "secret" not in sent

    def test_audit_sends_no_mark(self, tmp_path) -> None:
        session = make_session(tmp_path, mode="audit")
        assert session.sheet(0, None)["sides"] == []
        assert session.sheet(0, None)["history"] == [{"words": (), "flag": False, "done": False, "note": ""}]
        assert {row["disagreement"] for row in session.queue(None)} == {0}

    def test_pairs(self, tmp_path) -> None:
        three = LABELS | {"C": [make_label(p, "C", [1]) for p in PARAGRAPHS]}
        session = make_session(tmp_path, three)
        assert [side["name"] for side in session.sheet(0, (2, 0))["sides"]] == ["C", "A"]
        assert session.queue((0, 2))[-1]["disagreement"] == 1
        for pair in ((0,), (0, 0), (0, 3), (-1, 0), (0, 1, 2), ()):
            with pytest.raises(WireError, match="no such pair"):
                session.sheet(0, pair)

    @pytest.mark.parametrize("words", [(3, 2), (2, 2), (-1,), (9999,), (0, 9999)])
    def test_words_must_be_growing_indices(self, words) -> None:
        with pytest.raises(WireError, match="growing indices"):
            check_words(words, PARAGRAPHS[0])

    def test_undo_survives_a_restart(self, tmp_path) -> None:
        session = make_session(tmp_path)
        change = {
            "session": session.id,
            "paragraph": 1,
            "pair": [0, 1],
            "done": False,
            "flag": False,
            "note": "",
        }
        for number, (action, words) in enumerate([("toggle", [13, 14]), ("clear", []), ("undo", [13, 14])]):
            base = session.sheet(1, None)["seq"]
            message = change | {"key": f"key-{number:05d}", "base": base, "action": action, "words": words}
            session.change(read_change(json.dumps(message).encode()))
        session._log.close()
        again = make_session(tmp_path)
        assert again.id == session.id
        shown = again.sheet(1, None)
        assert [each["words"] for each in shown["history"]] == [(13,), (13, 14), ()]
        assert (shown["position"], shown["seq"]) == (1, 3)


class TestPeopleAsAnnotators:
    def test_names_say_what_they_saw(self) -> None:
        one, two, _, four, _ = PARAGRAPHS
        reviews = [
            make_review(one, [3, 1], seq=1, done=True, mode="audit", reviewer="mira"),
            make_review(one, [1], seq=2, done=True, annotators=("A", "B"), reviewer="mira"),
            make_review(two, [2], seq=3, done=True, mode="blind", annotators=("B", "A"), reviewer="mira"),
            make_review(four, [2], seq=4, done=False, reviewer="mira"),
        ]
        labels = review_labels(reviews)
        assert list(labels) == ["human-reviewed:mira", "human:mira"]
        assert labels["human:mira"] == [
            Label(
                paragraph_id=one.id,
                text_sha256=one.text_sha256,
                annotator="human:mira",
                status="ok",
                words=(1, 3),
                detail="marked without suggestions",
            )
        ]
        assert [label.detail for label in labels["human-reviewed:mira"]] == [
            "decided on the marks of A, B",
            "decided on the marks of B, A, names hidden",
        ]

    def test_agreement_has_one_more_annotator(self, tmp_path) -> None:
        benchmark = make_benchmark(tmp_path / "b", PARAGRAPHS)
        for name, labels in LABELS.items():
            write_labels(benchmark.labels_dir, name, labels)
        assert list(read_labels_and_reviews(benchmark, PARAGRAPHS)) == ["A", "B"]
        append_record(benchmark.reviews, make_review(PARAGRAPHS[0], [12], seq=1, done=True, mode="audit"))
        labels = read_labels_and_reviews(benchmark, PARAGRAPHS)
        assert list(labels) == ["A", "B", "human:reviewer"]
        pairs = {pair.annotators: pair for pair in agreement(PARAGRAPHS, labels, 100).pairs}
        assert pairs["A", "human:reviewer"].f1.value == pytest.approx(2 / 3)
        assert pairs["A", "human:reviewer"].missing == ({}, {"missing": 4})
        assert list(read_labels_and_reviews(benchmark, PARAGRAPHS, ["human:reviewer", "A"])) == [
            "human:reviewer",
            "A",
        ]
        with pytest.raises(UnknownNameError, match="human:reviewer"):
            read_labels_and_reviews(benchmark, PARAGRAPHS, ["human:nobody"])

    def test_gold_of_a_blind_review(self, tmp_path) -> None:
        path = tmp_path / "reviews.jsonl"
        append_record(path, make_review(PARAGRAPHS[0], [12], seq=1, done=True, mode="blind"))
        assert read_reviews(path, PARAGRAPHS)[PARAGRAPHS[0].id].words == (12,)
