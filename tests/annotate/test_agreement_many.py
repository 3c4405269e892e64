"""Three and more annotators, segments, retest and baseline: against hand computation, statsmodels and krippendorff."""

from __future__ import annotations

import random
from collections.abc import Sequence

import krippendorff
import numpy as np
import pytest
from fakes.annotated import make_label, make_paragraph, make_paragraphs
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, f1_score
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as oracle_fleiss

from annotate.agreement import Agreement, agreement
from annotate.agreement.coefficients import fleiss_kappa, krippendorff_alpha, negative_agreement
from annotate.agreement.files import agreement_markdown
from annotate.agreement.sentence import group, paragraph
from annotate.agreement.tables import agreement_tables
from annotate.annotators.overlap import OVERLAP
from annotate.errors import LabelError
from annotate.kinds import kind_of
from annotate.ledger.provenance import Provenance
from annotate.schema import Gold, GoldWord, Label, Paragraph, Role
from annotate.words import is_content

NAMES = ("human:ada", "openai:m", "overlap")


def content(paragraph: Paragraph) -> list[int]:
    return [i for i, text in enumerate(paragraph.word_texts()) if is_content(text)]


def drawn(
    seed: int, size: int = 8, missing: float = 0.0
) -> tuple[list[Paragraph], dict[str, list[Label]], np.ndarray]:
    """Paragraphs, labels of three annotators, and the marks as a matrix (annotators, words), NaN where missing."""
    rng = random.Random(seed)
    paragraphs = make_paragraphs(size)
    labels: dict[str, list[Label]] = {name: [] for name in NAMES}
    columns: list[list[float]] = []
    for each in paragraphs:
        words = content(each)
        truth = {i for i in words if rng.random() < 0.3}
        marked: list[list[float]] = []
        for name in NAMES:
            if rng.random() < missing:
                labels[name].append(make_label(each, name, status="refused"))
                marked.append([np.nan] * len(words))
                continue
            own = [i for i in words if (i in truth) != (rng.random() < 0.2)]
            labels[name].append(make_label(each, name, own))
            marked.append([float(i in own) for i in words])
        columns += [list(column) for column in zip(*marked, strict=True)]
    return paragraphs, labels, np.array(columns).T


def measured(
    paragraphs: Sequence[Paragraph], labels: dict[str, list[Label]], replicates: int = 100
) -> Agreement:
    return agreement(paragraphs, labels, bootstrap=replicates)


class TestFleiss:
    def test_by_hand(self) -> None:
        # Three raters, four words with 0, 1, 2, 3 marks: agreement per word 1, 1/3, 1/3, 1, mean 2/3; half of
        # all judgements are marks, so chance is 1/2; (2/3 - 1/2) / (1 - 1/2) = 1/3.
        assert fleiss_kappa(np.array([[1.0, 1, 1, 1]]))[0] == pytest.approx(1 / 3)

    @pytest.mark.parametrize("seed", range(5))
    def test_against_statsmodels(self, seed: int) -> None:
        paragraphs, labels, matrix = drawn(seed)
        many = measured(paragraphs, labels).many
        assert many is not None
        table, _ = aggregate_raters(matrix.T.astype(int))
        assert many.figures.fleiss_kappa.value == pytest.approx(oracle_fleiss(table, method="fleiss"))
        assert many.figures.complete_words == matrix.shape[1]

    @pytest.mark.parametrize("seed", range(3))
    def test_only_paragraphs_that_all_labelled(self, seed: int) -> None:
        paragraphs, labels, matrix = drawn(seed, size=12, missing=0.2)
        many = measured(paragraphs, labels).many
        complete = matrix[:, ~np.isnan(matrix).any(axis=0)]
        assert many is not None
        table, _ = aggregate_raters(complete.T.astype(int))
        assert many.figures.fleiss_kappa.value == pytest.approx(oracle_fleiss(table, method="fleiss"))
        assert many.figures.complete_words == complete.shape[1]

    def test_undefined_where_all_marks_are_equal(self) -> None:
        assert np.isnan(fleiss_kappa(np.array([[7.0, 0, 0, 0], [0, 0, 0, 7], [0, 0, 0, 0]]))).all()


class TestAlpha:
    def test_by_hand(self) -> None:
        # Words rated 01, 11, 00 by two: o = 1·1/1 = 1; three zeros, three ones; 1 - 5·1/9.
        assert krippendorff_alpha(np.array([[1.0, 3, 3]]))[0] == pytest.approx(1 - 5 / 9)

    @settings(max_examples=30, deadline=None)
    @given(st.integers(min_value=0, max_value=10_000), st.sampled_from([0.0, 0.25, 0.5]))
    def test_against_krippendorff(self, seed: int, missing: float) -> None:
        paragraphs, labels, matrix = drawn(seed, size=6, missing=missing)
        try:
            many = measured(paragraphs, labels).many
        except LabelError:  # no paragraph has two labels
            return
        assert many is not None
        expected = krippendorff.alpha(matrix, level_of_measurement="nominal")
        assert many.figures.alpha.value == pytest.approx(expected)

    def test_undefined_where_all_marks_are_equal(self) -> None:
        assert np.isnan(krippendorff_alpha(np.array([[0.0, 9, 0], [0.0, 0, 9]]))).all()

    def test_interval_against_an_explicit_bootstrap_of_paragraphs(self) -> None:
        paragraphs, labels, matrix = drawn(1, size=20)
        many = measured(paragraphs, labels, replicates=4_000).many
        assert many is not None
        sizes = [len(content(each)) for each in paragraphs]
        parts = np.split(matrix, np.cumsum(sizes)[:-1], axis=1)
        rng = np.random.default_rng(7)
        alphas = [
            krippendorff.alpha(
                np.hstack([parts[i] for i in rng.integers(20, size=20)]), level_of_measurement="nominal"
            )
            for _ in range(600)
        ]
        low, high = np.quantile(alphas, [0.025, 0.975])
        assert many.figures.alpha.low == pytest.approx(low, abs=0.02)
        assert many.figures.alpha.high == pytest.approx(high, abs=0.02)


class TestMany:
    def test_counts(self) -> None:
        paragraphs = make_paragraphs(4)
        labels = {name: [make_label(p, name, content(p)[:2]) for p in paragraphs] for name in NAMES}
        labels[NAMES[0]] = labels[NAMES[0]][:3]  # the fourth: two labels
        labels[NAMES[1]] = labels[NAMES[1]][:2]  # the third: two; the fourth: one
        many = measured(paragraphs, labels).many
        assert many is not None
        assert (many.complete, many.rated, many.rated_unique) == (2, 3, 3)

    def test_two_have_none(self) -> None:
        paragraphs, labels, _ = drawn(0)
        assert measured(paragraphs, {name: labels[name] for name in NAMES[:2]}).many is None

    def test_pairs_without_a_common_paragraph_are_named(self) -> None:
        paragraphs = make_paragraphs(2)
        a = [make_label(paragraphs[0], "a", [0])]
        b = [make_label(paragraphs[1], "b", [0])]
        c = [make_label(p, "c", [0]) for p in paragraphs]
        result = measured(paragraphs, {"a": a, "b": b, "c": c})
        assert result.apart == (("a", "b"),)
        assert [pair.annotators for pair in result.pairs] == [("a", "c"), ("b", "c")]
        assert result.many is not None
        assert result.many.figures.fleiss_kappa.reason == "no paragraph was labelled by all"

    def test_segments(self) -> None:
        paragraphs, labels, _ = drawn(4)
        result = measured(paragraphs, labels)
        assert result.many is not None
        roles: tuple[Role, ...] = ("narrative", "support", "question")
        assert tuple(result.many.segments) == roles
        for role in roles:
            matrix = np.array(
                [
                    [
                        float(i in set(label.words))
                        for p, label in zip(paragraphs, labels[name], strict=True)
                        for i in content(p)
                        if i in p.words_in(role)
                    ]
                    for name in NAMES
                ]
            )
            assert result.many.segments[role].alpha.value == pytest.approx(
                krippendorff.alpha(matrix, level_of_measurement="nominal")
            )
            figures = result.pairs[0].segments[role]
            assert figures.words == matrix.shape[1]
            assert figures.f1.value == pytest.approx(f1_score(matrix[0], matrix[1]))
            assert figures.kappa.value == pytest.approx(cohen_kappa_score(matrix[0], matrix[1]))
            assert figures.negative_agreement.value == pytest.approx(f1_score(1 - matrix[0], 1 - matrix[1]))
            assert figures.marked_share[1].value == pytest.approx(matrix[1].mean())
            assert figures.marked_share[1].low < figures.marked_share[1].value < figures.marked_share[1].high

    def test_segments_add_up(self) -> None:
        paragraphs, labels, _ = drawn(5)
        for pair in measured(paragraphs, labels).pairs:
            assert sum(figures.words for figures in pair.segments.values()) == pair.words


class TestNegative:
    def test_by_hand(self) -> None:
        assert negative_agreement(np.array([[3.0, 1, 1, 7]]))[0] == pytest.approx(14 / 16)
        assert np.isnan(negative_agreement(np.array([[3.0, 0, 0, 0]])))[0]


class TestRetest:
    def test_every_two_repetitions_are_pooled(self) -> None:
        each = make_paragraph(
            "p", "one two three four.", "q?", "x", narrative=""
        )  # with "q" five eligible words
        marked = ([0, 1], [0, 2], [0, 1, 2])
        rows = [make_label(each, "openai:m", words, repeat=n) for n, words in enumerate(marked)]
        result = measured([each], {"openai:m": rows})
        (retest,) = result.retests
        # 01: n11 1, n10 1, n01 1. 02: 2, 0, 1. 12: 2, 0, 1. Sum 5, 1, 3: 10 / 14.
        assert (retest.repetitions, retest.comparisons, retest.unique) == (3, 3, 1)
        assert retest.figures.f1.value == pytest.approx(10 / 14)
        assert retest.figures.words == 15
        assert result.pairs == ()

    def test_a_failed_repetition_is_not_compared(self) -> None:
        each = make_paragraphs(1)[0]
        rows = [make_label(each, "a", [0]), make_label(each, "a", status="error", repeat=1)]
        with pytest.raises(LabelError, match="asked again"):
            measured([each], {"a": rows})

    def test_no_repetition_no_retest(self) -> None:
        paragraphs, labels, _ = drawn(0)
        assert measured(paragraphs, labels).retests == ()


class TestBaseline:
    def test_the_rule_against_every_other(self) -> None:
        paragraphs = make_paragraphs(5)
        rule = {p.id: sorted(OVERLAP.mark(p)) for p in paragraphs}
        labels = {
            "a": [make_label(p, "a", rule[p.id]) for p in paragraphs],
            "b": [make_label(p, "b", content(p)) for p in paragraphs],
            "overlap": [make_label(p, "overlap", rule[p.id]) for p in paragraphs],
        }
        found = {each.annotator: each for each in measured(paragraphs, labels).baselines}
        assert list(found) == ["a", "b"]
        assert found["a"].figures.f1.value == 1.0
        marked, words = sum(map(len, rule.values())), sum(len(content(p)) for p in paragraphs)
        assert found["b"].figures.f1.value == pytest.approx(2 * marked / (marked + words))


class TestWhoIsWho:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("human", "person"),
            ("human:ada", "person"),
            ("openai:gpt-4o", "model"),
            ("replay:openai:gpt-4o", "model"),
            ("overlap", "rule"),
            ("mock:noise=0.1,seed=0", "rule"),
            ("import:released", "other"),
        ],
    )
    def test_kind(self, name: str, kind: str) -> None:
        assert kind_of(name) == kind

    def test_people_come_first(self) -> None:
        assert group(("model", "person")) == group(("person", "model")) == "person / model"

    def test_annotators(self) -> None:
        paragraphs, labels, matrix = drawn(2, missing=0.2)
        labels["openai:m"] = [row.model_copy(update={"model": "m-2026"}) for row in labels["openai:m"]]
        summaries = measured(paragraphs, labels).annotators
        assert [each.kind for each in summaries] == ["person", "model", "rule"]
        assert summaries[1].models == ("m-2026",)
        for each, row in zip(summaries, matrix, strict=True):
            assert each.marked_share.value == pytest.approx(np.nanmean(row))
            assert sum(each.statuses.values()) == len(paragraphs)


class TestText:
    def test_the_paragraph_tells_all_that_was_measured(self) -> None:
        paragraphs, labels, _ = drawn(3, size=10, missing=0.1)
        again = [row.model_copy(update={"repeat": 1}) for row in labels["openai:m"]]
        labels["openai:m"] = [
            row.model_copy(update={"model": "m-2026"}) for row in labels["openai:m"]
        ] + again
        known = Provenance(
            annotator="openai:m",
            attempts=20,
            models=("m-2026",),
            prompts=("0123456789abcdef",),
            first="2026-11-01",
            last="2026-11-03",
            cost_usd=None,
        )
        words = tuple(GoldWord(index=i, origin="agreed" if i else "adjudicated") for i in range(4))
        gold = Gold(
            paragraph_id="p00000",
            text_sha256=paragraphs[0].text_sha256,
            rule="reviewed",
            annotators=NAMES,
            words=words,
        )
        result = measured(paragraphs, labels)
        text = paragraph(result, {"openai:m": known}, [gold])
        assert "\n" not in text
        assert "openai:m, a model, answered as m-2026, 2026-11-01 to 2026-11-03, prompt 0123456789ab" in text
        assert "Three annotators (human:ada, a person;" in text
        assert "refused" in text
        assert f"pooled word F1 {result.pairs[0].f1.value:.3f} [{result.pairs[0].f1.low:.3f}" in text
        assert "Fleiss' kappa" in text
        assert "Test-retest F1: openai:m 1.000" in text
        assert "lexical-overlap rule against human:ada" in text
        assert "4 words in 1 paragraphs, 75.0% agreed, 25.0% adjudicated." in text
        assert text.index("person / model") < text.index("model / rule")

    def test_markdown_and_terminal_show_groups_segments_ceiling_and_floor(self) -> None:
        paragraphs, labels, _ = drawn(3)
        labels["overlap"] += [row.model_copy(update={"repeat": 1}) for row in labels["overlap"]]
        result = measured(paragraphs, labels)
        text = agreement_markdown(result, "The text.")
        for part in (
            "The text.",
            "| person / model |",
            "| narrative |",
            "| test-retest | overlap |",
            "All 3 together",
        ):
            assert part in text
        titles = [getattr(shown, "title", "") for shown in agreement_tables(result)]
        assert {"annotators", "pairs side by side", "all 3 together", "test-retest"} <= set(titles)

    def test_the_result_is_json(self) -> None:
        paragraphs, labels, _ = drawn(6, missing=0.3)
        result = measured(paragraphs, labels)
        assert Agreement.model_validate_json(result.model_dump_json()) == result
