"""Agreement: numbers against hand computation, scikit-learn and statsmodels; missing is never empty."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence

import numpy as np
import pytest
from fakes.annotated import make_label, make_paragraph, make_paragraphs
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, f1_score, jaccard_score
from statsmodels.stats.inter_rater import cohens_kappa

from annotate.agreement import Agreement, Estimate, PairAgreement, agreement
from annotate.agreement.files import COLUMNS, agreement_csv
from annotate.agreement.intervals import resample
from annotate.agreement.tables import describe_pair, pair_table
from annotate.errors import LabelError
from annotate.schema import Label, Paragraph
from annotate.words import is_content


def words(count: int, identifier: str) -> Paragraph:
    """A paragraph of ``count`` eligible words and two marks of punctuation."""
    letters = " ".join(f"{identifier}{n}" for n in range(count - 1))
    return make_paragraph(identifier, f"{letters}.", "q?", "x", narrative="")


FOUR = words(4, "a"), words(4, "b"), words(4, "c")


def pair(
    paragraphs: Sequence[Paragraph], first: Sequence[Label], second: Sequence[Label], bootstrap: int = 200
) -> PairAgreement:
    return agreement(paragraphs, {"A": first, "B": second}, bootstrap=bootstrap).pairs[0]


def content(paragraph: Paragraph) -> list[int]:
    return [i for i, text in enumerate(paragraph.word_texts()) if is_content(text)]


def labels(annotator: str, paragraphs: Sequence[Paragraph], marks: Sequence[Sequence[int]]) -> list[Label]:
    """Labels by position among the eligible words."""
    return [
        make_label(p, annotator, [content(p)[i] for i in mark])
        for p, mark in zip(paragraphs, marks, strict=True)
    ]


def drawn(seed: int, size: int = 12) -> tuple[list[Paragraph], list[list[int]], list[list[int]]]:
    rng = random.Random(seed)
    paragraphs = [words(rng.randint(3, 15), f"{chr(97 + n)}x") for n in range(size)]
    first = [[i for i in range(len(content(p))) if rng.random() < 0.3] for p in paragraphs]
    second = [
        [i for i in range(len(content(p))) if (i in mark) != (rng.random() < 0.15)]
        for p, mark in zip(paragraphs, first, strict=True)
    ]
    return paragraphs, first, second


class TestByHand:
    # Three paragraphs of 4 words.       n11 n10 n01 n00
    #   A marks 0 1,   B marks 0 1        2   0   0   2    F1 1
    #   A marks 0,     B marks 0 2        1   0   1   2    F1 2/3
    #   A marks 3,     B marks nothing    0   1   0   3    F1 0
    # Sum                                 3   1   1   7    of 12
    result = pair(
        FOUR,
        labels("A", FOUR, [[0, 1], [0], [3]]),
        labels("B", FOUR, [[0, 1], [0, 2], []]),
    )

    def test_pooled(self) -> None:
        assert self.result.words == 12
        assert self.result.f1.value == pytest.approx(6 / 8)  # 2*3 / (2*3 + 1 + 1)
        assert self.result.iou.value == pytest.approx(3 / 5)  # 3 / (3 + 1 + 1)

    def test_kappa(self) -> None:
        # po = 10/12; both mark 4 of 12, so pe = (4*4 + 8*8) / 144 = 80/144; (120/144 - 80/144) / (64/144)
        assert self.result.kappa.value == pytest.approx(40 / 64)

    def test_macro(self) -> None:
        assert self.result.macro_f1.value == pytest.approx((1 + 2 / 3 + 0) / 3)

    def test_marked_share_and_identity(self) -> None:
        # The shares are equal, so 1 - kappa = (1 - F1) / (1 - p) is exact: 24/64 = (2/8) / (1 - p), p = 1/3.
        assert self.result.marked_share == (pytest.approx(1 / 3), pytest.approx(1 / 3))
        assert self.result.implied_share == pytest.approx(1 / 3)

    def test_identical(self) -> None:
        assert self.result.identical == 1

    def test_nothing_is_missing(self) -> None:
        assert self.result.missing == ({}, {})
        assert self.result.worst_case_f1 == pytest.approx(6 / 8)

    def test_few_clusters_are_told(self) -> None:
        assert self.result.few_clusters


class TestOracles:
    @pytest.mark.parametrize("seed", range(5))
    def test_pooled_figures(self, seed: int) -> None:
        paragraphs, first, second = drawn(seed)
        result = pair(paragraphs, labels("A", paragraphs, first), labels("B", paragraphs, second))
        a = np.concatenate(
            [np.isin(range(len(content(p))), m) for p, m in zip(paragraphs, first, strict=True)]
        )
        b = np.concatenate(
            [np.isin(range(len(content(p))), m) for p, m in zip(paragraphs, second, strict=True)]
        )
        table = np.histogram2d(a, b, bins=2)[0]
        assert result.f1.value == pytest.approx(f1_score(a, b))
        assert result.iou.value == pytest.approx(jaccard_score(a, b))
        assert result.kappa.value == pytest.approx(cohen_kappa_score(a, b))
        assert result.kappa.value == pytest.approx(cohens_kappa(table).kappa)
        assert result.marked_share == (pytest.approx(a.mean()), pytest.approx(b.mean()))

    @pytest.mark.parametrize("seed", range(3))
    def test_macro(self, seed: int) -> None:
        paragraphs, first, second = drawn(seed)
        scores = [
            f1_score(np.isin(range(30), a), np.isin(range(30), b), zero_division=1.0)
            for a, b in zip(first, second, strict=True)
        ]
        result = pair(paragraphs, labels("A", paragraphs, first), labels("B", paragraphs, second))
        assert result.macro_f1.value == pytest.approx(np.mean(scores))

    def test_no_replicate_is_drawn_twice(self) -> None:
        # Of 30 paragraphs hardly two of 1,200 draws are the same, and none is but by chance.
        table = 2.0 ** np.arange(30)[:, None]
        found = resample({"a": table}, 1_200, seed=0)["a"]
        assert len(np.unique(found.replicates)) == 1_200
        assert found.total.tolist() == [[2.0**30 - 1]]

    def test_interval_against_an_explicit_bootstrap_of_paragraphs(self) -> None:
        paragraphs, first, second = drawn(3, size=25)
        result = pair(
            paragraphs, labels("A", paragraphs, first), labels("B", paragraphs, second), bootstrap=20_000
        )
        rng = np.random.default_rng(99)
        counts = np.array(
            [[len({*a} & {*b}), len({*a} ^ {*b})] for a, b in zip(first, second, strict=True)], dtype=float
        )
        sums = counts[rng.integers(25, size=(20_000, 25))].sum(axis=1)
        low, high = np.quantile(2 * sums[:, 0] / (2 * sums[:, 0] + sums[:, 1]), [0.025, 0.975])
        assert result.f1.low == pytest.approx(low, abs=0.01)
        assert result.f1.high == pytest.approx(high, abs=0.01)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(min_value=0))
    def test_f1_and_kappa_are_one_number_where_shares_are_equal(self, seed: int) -> None:
        paragraphs, first, _ = drawn(seed % 10_000)
        second = [[(i + 1) % len(content(p)) for i in m] for p, m in zip(paragraphs, first, strict=True)]
        result = pair(paragraphs, labels("A", paragraphs, first), labels("B", paragraphs, second), 100)
        if result.implied_share is not None:
            assert result.implied_share == pytest.approx(result.marked_share[0])

    @settings(max_examples=40, deadline=None)
    @given(st.integers(min_value=0, max_value=10_000))
    def test_symmetric_and_bounded(self, seed: int) -> None:
        paragraphs, first, second = drawn(seed)
        a, b = labels("A", paragraphs, first), labels("B", paragraphs, second)
        one, other = pair(paragraphs, a, b, 100), pair(paragraphs, b, a, 100)
        assert one.f1 == other.f1
        assert one.kappa == other.kappa
        assert one.macro_f1 == other.macro_f1
        if one.f1.value is not None:
            assert 0 <= one.f1.value <= 1
            assert one.worst_case_f1 == pytest.approx(one.f1.value)
            assert one.iou.value == pytest.approx(one.f1.value / (2 - one.f1.value))


class TestMissing:
    def test_a_failure_is_counted_and_left_out(self) -> None:
        a = labels("A", FOUR, [[0, 1], [0], [3]])
        b = [*labels("B", FOUR[:1], [[0, 1]]), make_label(FOUR[1], "B", status="refused")]  # third: no label
        result = pair(FOUR, a, b)
        assert (result.paragraphs, result.valid, result.words) == (3, 1, 4)
        assert result.missing == ({}, {"refused": 1, "missing": 1})
        assert result.f1.value == 1.0
        # Worst case: the 8 words of the two lost paragraphs all disagree, 2*2 / (2*2 + 8).
        assert result.worst_case_f1 == pytest.approx(4 / 12)

    def test_worst_case_is_a_bound(self) -> None:
        paragraphs, first, second = drawn(1)
        a, b = labels("A", paragraphs, first), labels("B", paragraphs, second)
        full = pair(paragraphs, a, b)
        lost = [make_label(label_of, "B", status="error") for label_of in paragraphs[:3]] + b[3:]
        worst = pair(paragraphs, a, lost).worst_case_f1
        assert worst is not None
        assert full.f1.value is not None
        assert worst <= full.f1.value

    def test_a_failure_is_not_an_empty_label(self) -> None:
        a = labels("A", FOUR, [[0], [0], [0]])
        empty = labels("B", FOUR, [[0], [0], []])
        failed = [*empty[:2], make_label(FOUR[2], "B", status="error")]
        assert pair(FOUR, a, failed).f1.value == 1.0
        assert pair(FOUR, a, empty).f1.value == pytest.approx(0.8)

    def test_no_common_paragraph(self) -> None:
        a = [make_label(FOUR[0], "A", [0]), make_label(FOUR[1], "A", status="error")]
        b = [make_label(FOUR[0], "B", status="error"), make_label(FOUR[1], "B", [0])]
        with pytest.raises(LabelError, match="A and B share no paragraph"):
            pair(FOUR, a, b)

    def test_fewer_than_two_annotators(self) -> None:
        with pytest.raises(LabelError, match="two annotators, there are those of: A"):
            agreement(FOUR, {"A": labels("A", FOUR, [[], [], []])})
        with pytest.raises(LabelError, match="none"):
            agreement(FOUR, {})

    def test_repeats_beyond_the_first_are_not_compared(self) -> None:
        a = labels("A", FOUR, [[0], [0], [0]])
        b = [*a, *(make_label(p, "A", [1], repeat=1) for p in FOUR)]
        assert pair(FOUR, a, b).f1.value == 1.0


class TestEdges:
    def test_both_empty_counts_one_in_the_mean_and_is_left_out_of_the_variant(self) -> None:
        result = pair(FOUR, labels("A", FOUR, [[], [0], [0]]), labels("B", FOUR, [[], [0], [1]]))
        assert result.macro_f1.value == pytest.approx(2 / 3)  # (1 + 1 + 0) / 3
        assert result.macro_f1_without_empty.value == pytest.approx(1 / 2)  # (1 + 0) / 2

    def test_nothing_marked_is_undefined_with_a_reason(self) -> None:
        none = labels("A", FOUR, [[], [], []])
        result = pair(FOUR, none, none)
        for estimate in (result.f1, result.iou, result.kappa, result.macro_f1_without_empty):
            assert estimate.value is None
            assert estimate.reason
        assert result.macro_f1.value == 1.0
        assert (result.implied_share, result.worst_case_f1) == (None, None)
        assert result.model_dump_json()

    def test_everything_marked_by_both_has_no_kappa(self) -> None:
        everything = labels("A", FOUR, [[0, 1, 2, 3]] * 3)
        result = pair(FOUR, everything, everything)
        assert result.f1.value == 1.0
        assert result.kappa == Estimate(
            value=None, reason="both mark every word, or none: chance alone would agree"
        )

    def test_a_constant_label_against_another_has_kappa_zero(self) -> None:
        result = pair(FOUR, labels("A", FOUR, [[], [], []]), labels("B", FOUR, [[0], [1], []]))
        assert result.kappa.value == 0.0
        assert result.f1.value == 0.0

    def test_punctuation_does_not_count(self) -> None:
        marks = [make_label(p, "B", range(len(p.words))) for p in FOUR]
        result = pair(FOUR, labels("A", FOUR, [[0, 1, 2, 3]] * 3), marks)
        assert result.words == 12
        assert result.f1.value == 1.0

    def test_equal_texts_are_one_cluster(self) -> None:
        twins = [FOUR[0].model_copy(update={"id": f"t{n}"}) for n in range(40)]
        a = [make_label(p, "A", [0, 1]) for p in twins]
        b = [make_label(p, "B", [0, 2]) for p in twins]
        result = pair(twins, a, b)
        assert (result.paragraphs, result.unique, result.valid_unique) == (40, 1, 1)
        assert result.few_clusters
        assert (result.f1.low, result.f1.value, result.f1.high) == (0.5, 0.5, 0.5)

    def test_repeated_rows_do_not_narrow_the_interval(self) -> None:
        paragraphs, first, second = drawn(5, size=30)
        a, b = labels("A", paragraphs, first), labels("B", paragraphs, second)
        copies = [p.model_copy(update={"id": f"{p.id}-{n}"}) for n in range(10) for p in paragraphs]
        many = [
            [
                label.model_copy(update={"paragraph_id": f"{label.paragraph_id}-{n}"})
                for n in range(10)
                for label in rows
            ]
            for rows in (a, b)
        ]
        once, often = pair(paragraphs, a, b, 1000), pair(copies, many[0], many[1], 1000)
        assert once.f1 == often.f1

    def test_seed(self) -> None:
        paragraphs, first, second = drawn(2)
        both = {"A": labels("A", paragraphs, first), "B": labels("B", paragraphs, second)}
        one = agreement(paragraphs, both, bootstrap=200, seed=1)
        assert one == agreement(paragraphs, both, bootstrap=200, seed=1)
        assert one.pairs[0].f1 != agreement(paragraphs, both, bootstrap=200, seed=2).pairs[0].f1

    def test_every_pair_in_order(self) -> None:
        three = {name: labels(name, FOUR, [[0], [1], [2]]) for name in "ABC"}
        result = agreement(FOUR, three, bootstrap=100)
        assert [pair.annotators for pair in result.pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
        assert Agreement.model_validate_json(result.model_dump_json()) == result


class TestOutput:
    def test_csv_has_a_row_a_paragraph_and_no_counts_where_a_label_is_missing(self) -> None:
        a = labels("A", FOUR, [[0, 1], [0], [3]])
        b = [*labels("B", FOUR[:2], [[0, 1], [0, 2]]), make_label(FOUR[2], "B", status="filtered")]
        text = agreement_csv(agreement(FOUR, {"A": a, "B": b}, bootstrap=100))
        rows = list(csv.DictReader(io.StringIO(text)))
        assert tuple(rows[0]) == COLUMNS
        assert [row["paragraph_id"] for row in rows] == ["a", "b", "c"]
        assert (rows[1]["both"], rows[1]["first_only"], rows[1]["second_only"]) == ("1", "0", "1")
        assert float(rows[1]["f1"]) == pytest.approx(2 / 3)
        assert (rows[2]["second_status"], rows[2]["both"], rows[2]["f1"]) == ("filtered", "", "")

    def test_sentences_tell_what_is_missing_and_whether_figures_fit(self) -> None:
        paragraphs = make_paragraphs(3)
        a = [make_label(p, "overlap", content(p)) for p in paragraphs]
        b = [make_label(p, "openai:m", content(p)[:2]) for p in paragraphs[:2]]
        result = agreement(paragraphs, {"overlap": a, "openai:m": b}, bootstrap=100).pairs[0]
        text = "\n".join(describe_pair(result))
        assert "both labelled 2" in text
        assert "Not labelled by openai:m: 1 missing." in text
        assert "Offline annotators, rules and neither models nor people: overlap." in text
        assert "do not fit" in text
        assert pair_table(result).row_count == 9
