"""Whether an annotator agrees with people as well as they do with each other: by hand, and against plain loops."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes.annotated import make_benchmark, make_label, make_paragraph
from scipy.stats import ttest_1samp
from sklearn.metrics import cohen_kappa_score, f1_score
from statsmodels.stats.multitest import multipletests
from typer.testing import CliRunner

from annotate.agreement import Agreement, agreement
from annotate.agreement.files import agreement_markdown
from annotate.agreement.sentence import paragraph as paper
from annotate.agreement.tables import agreement_tables
from annotate.cli import app
from annotate.kinds import marked_alone
from annotate.schema import Label, Paragraph
from annotate.words import is_content

TEN = 10


def text_of(identifier: str) -> Paragraph:
    """A paragraph of ten eligible words."""
    letters = " ".join(f"{identifier}{n}" for n in range(TEN - 1))
    return make_paragraph(identifier, letters, "q", "x", narrative="")


def labelled(
    marks: Mapping[str, Sequence[Sequence[int] | None]], paragraphs: Sequence[Paragraph]
) -> dict[str, list[Label]]:
    """Labels by annotator, of each paragraph the words marked; ``None`` where there is no label."""
    return {
        name: [
            make_label(paragraph, name, each)
            for paragraph, each in zip(paragraphs, given, strict=True)
            if each is not None
        ]
        for name, given in marks.items()
    }


def measured(
    marks: Mapping[str, Sequence[Sequence[int] | None]],
    paragraphs: Sequence[Paragraph] = (),
    epsilon: float = 0.1,
    bootstrap: int = 100,
) -> Agreement:
    count = len(next(iter(marks.values())))
    texts = paragraphs or [text_of(f"w{n}x") for n in range(count)]
    assert all(is_content(word) for word in texts[0].word_texts())
    return agreement(texts, labelled(marks, texts), bootstrap=bootstrap, epsilon=epsilon)


def drawn(
    seed: int, people: int, size: int = 45, missing: float = 0.2, noise: float = 0.15
) -> dict[str, list[list[int] | None]]:
    """Marks of a model and of people that share a truth, some of them missing."""
    rng = random.Random(seed)
    truths = [{i for i in range(TEN) if rng.random() < 0.4} for _ in range(size)]
    return {
        name: [
            None
            if rng.random() < missing
            else [i for i in range(TEN) if (i in truth) != (rng.random() < noise)]
            for truth in truths
        ]
        for name in ("openai:m", *(f"human:{n}" for n in range(1, people + 1)))
    }


def f1(one: Sequence[int], other: Sequence[int]) -> float:
    return 2 * len({*one} & {*other}) / (len(one) + len(other)) if one or other else 1.0


class TestDifference:
    def test_by_hand(self) -> None:
        # One text. Of the people, 1 and 2 share one word of two and two (1/2), 1 and 3 none, 2 and 3 one of two and
        # one (2/3): mean (1/2 + 0 + 2/3) / 3 = 7/18. The model has 1/2, 1 and 2/3 with them; every two people come
        # twice, so its mean is (1/2 + 1 + 2/3) / 3 = 13/18.
        result = measured({"human:1": [[0, 1]], "human:2": [[1, 2]], "human:3": [[2]], "openai:m": [[1, 2]]})
        (one,) = result.against_people
        assert one.f1.with_people.value == pytest.approx(13 / 18)
        assert one.f1.among_people.value == pytest.approx(7 / 18)
        assert one.f1.difference.value == pytest.approx(6 / 18)
        assert (one.annotator, one.kind, one.paragraphs, one.unique) == ("openai:m", "model", 1, 1)
        assert one.people == ("human:1", "human:2", "human:3")

    @pytest.mark.parametrize(("seed", "people"), [(0, 2), (1, 3), (2, 5)])
    def test_against_leaving_out_one_person_at_a_time(self, seed: int, people: int) -> None:
        marks = drawn(seed, people)
        (one,) = measured(marks).against_people
        names = [name for name in marks if name != "openai:m"]
        for figures, score in ((one.f1, f1_score), (one.kappa, cohen_kappa_score)):
            differences = []
            for left_out, other in itertools.permutations(names, 2):
                columns: list[list[int]] = [[], [], []]
                for row in zip(marks["openai:m"], marks[left_out], marks[other], strict=True):
                    if all(each is not None for each in row):
                        for column, each in zip(columns, row, strict=True):
                            column += [int(i in (each or ())) for i in range(TEN)]
                model, person, rest = columns
                differences.append(score(rest, model) - score(rest, person))
            assert figures.difference.value == pytest.approx(np.mean(differences))
            assert figures.difference.value == pytest.approx(
                (figures.with_people.value or 0) - (figures.among_people.value or 0)
            )

    def test_interval_against_an_explicit_bootstrap_of_paragraphs(self) -> None:
        marks = drawn(3, 2, missing=0)
        (one,) = measured(marks, bootstrap=20_000).against_people
        rows = []
        for model, first, second in zip(*(marks[name] or [] for name in marks), strict=True):
            assert model is not None
            assert first is not None
            assert second is not None
            pairs = ((model, first), (model, second), (first, second))
            rows.append([n for a, b in pairs for n in (2 * len({*a} & {*b}), len(a) + len(b))])
        sums = np.array(rows, float)[np.random.default_rng(9).integers(45, size=(20_000, 45))].sum(axis=1)
        values = sums[:, ::2] / sums[:, 1::2]
        low, high = np.quantile(values[:, :2].mean(axis=1) - values[:, 2], [0.025, 0.975])
        assert one.f1.difference.low == pytest.approx(low, abs=0.01)
        assert one.f1.difference.high == pytest.approx(high, abs=0.01)

    def test_a_copy_of_a_person_does_as_well_and_an_empty_one_does_not(self) -> None:
        marks = drawn(4, 3, missing=0)
        marks["openai:m"] = marks["human:1"]
        marks["clause"] = [[] for _ in marks["human:1"]]
        same, empty = measured(marks).against_people
        # With 1 itself it agrees fully, with the others as 1 does.
        assert (same.f1.difference.low or 0) > 0
        assert (empty.annotator, empty.f1.with_people.value) == ("clause", 0)
        assert empty.f1.difference.value == pytest.approx(-(empty.f1.among_people.value or 0))


class TestAlternativeTest:
    @pytest.mark.parametrize(("seed", "epsilon"), [(0, 0.1), (1, 0.0), (2, 0.2), (3, 0.1), (4, 0.2)])
    def test_against_plain_loops_scipy_and_statsmodels(self, seed: int, epsilon: float) -> None:
        marks = drawn(seed, 4, size=120, noise=0.1 + 0.05 * seed)
        test = measured(marks, epsilon=epsilon).against_people[0].alternative
        people = [name for name in marks if name != "openai:m"]
        p_values, advantages = [], []
        for left_out in people:
            wins, losses = [], []
            for n, (model, person) in enumerate(zip(marks["openai:m"], marks[left_out], strict=True)):
                others = [
                    given for name in people if name != left_out and (given := marks[name][n]) is not None
                ]
                if model is None or person is None or not others:
                    continue
                own = np.mean([f1(model, other) for other in others])
                theirs = np.mean([f1(person, other) for other in others])
                wins.append(own >= theirs - 1e-9)
                losses.append(theirs >= own - 1e-9)
            differences = np.array(losses, float) - np.array(wins, float)
            p_values.append(float(ttest_1samp(differences, epsilon, alternative="less").pvalue))
            advantages.append(np.mean(wins))
        rejected, adjusted, _, _ = multipletests(p_values, alpha=0.05, method="fdr_by")
        assert [each.p_value for each in test.people] == pytest.approx(p_values)
        assert [each.p_adjusted for each in test.people] == pytest.approx(list(adjusted))
        assert [each.won for each in test.people] == list(rejected)
        assert test.winning_rate == pytest.approx(np.mean(rejected))
        assert test.advantage_probability == pytest.approx(np.mean(advantages))
        assert test.passed is bool(np.mean(rejected) >= 0.5)
        assert test.epsilon == epsilon

    def test_an_annotator_that_always_ties_wins_by_what_it_saves_alone(self) -> None:
        agreed = {name: [[0, 1]] * 30 for name in ("human:1", "human:2", "human:3", "openai:m")}
        test = measured(agreed).against_people[0].alternative
        assert (test.winning_rate, test.advantage_probability, test.passed) == (1, 1, True)
        assert {each.p_value for each in test.people} == {0}
        assert {(each.advantage, each.person_advantage) for each in test.people} == {(1, 1)}
        test = measured(agreed, epsilon=0).against_people[0].alternative
        assert (test.winning_rate, test.advantage_probability, test.passed) == (0, 1, False)

    def test_an_annotator_that_is_always_worse_wins_never(self) -> None:
        marks: dict[str, list[list[int]]] = {f"human:{n}": [[0, 1]] * 30 for n in (1, 2, 3)}
        test = measured(marks | {"overlap": [[5]] * 30}).against_people[0].alternative
        assert (test.winning_rate, test.advantage_probability, test.passed) == (0, 0, False)
        assert {each.p_value for each in test.people} == {1}

    def test_copies_of_a_text_are_no_more_evidence(self) -> None:
        texts = [text_of(f"w{n}x") for n in range(45)]
        marks = drawn(5, 3, missing=0.1)
        once = measured(marks, texts).against_people[0].alternative
        copies = [text.model_copy(update={"id": f"{text.id} {n}"}) for n in range(3) for text in texts]
        thrice = measured({name: given * 3 for name, given in marks.items()}, copies)
        assert thrice.against_people[0].alternative.people == once.people

    def test_it_needs_three_people_with_thirty_texts(self) -> None:
        two = measured(drawn(6, 2, missing=0)).against_people[0].alternative
        assert two.winning_rate is two.passed is None
        assert two.reason.endswith("labelled too; there are 2")
        marks = drawn(7, 4, missing=0)
        marks["human:2"] = [each if n < 29 else None for n, each in enumerate(marks["human:2"])]
        four = measured(marks).against_people[0].alternative
        assert [each.person for each in four.people] == ["human:1", "human:3", "human:4"]
        assert four.untested == {"human:2": 29}
        few = measured(drawn(8, 3, size=20)).against_people[0].alternative
        assert few.reason.endswith("there are none")
        assert set(few.untested) == {"human:1", "human:2", "human:3"}


class TestWhoCounts:
    def test_people_who_saw_marks_and_people_alone(self) -> None:
        assert [
            marked_alone(name) for name in ("human", "human:a", "human-reviewed:a", "openai:m", "import:a")
        ] == [
            True,
            True,
            False,
            False,
            False,
        ]
        marks = {"human:1": [[0]], "human-reviewed:2": [[1]], "openai:m": [[0]], "import:x": [[2]]}
        result = measured(marks)
        assert result.against_people == ()
        shown = [each for each in agreement_tables(result) if isinstance(each, str)]
        assert any(each.startswith("human:1 is the only person: how people agree") for each in shown)
        both = measured(marks | {"human:3": [[0, 1]]})
        assert [(one.annotator, one.people) for one in both.against_people] == [
            ("openai:m", ("human:1", "human:3")),
            ("import:x", ("human:1", "human:3")),
        ]

    def test_people_without_a_common_text_are_not_compared(self) -> None:
        texts = 4
        marks: dict[str, list[list[int] | None]] = {
            "human:1": [[0]] * 2 + [None] * 2,
            "human:2": [None] * 2 + [[0]] * 2,
            "openai:m": [[0]] * texts,
        }
        assert measured(marks).against_people == ()

    def test_what_nobody_marks_is_undefined_and_not_zero(self) -> None:
        nothing: dict[str, list[list[int]]] = {name: [[], []] for name in ("human:1", "human:2", "openai:m")}
        (one,) = measured(nothing).against_people
        assert one.f1.difference.value is None
        assert one.f1.difference.reason == "neither marks any word"


class TestOutput:
    def test_everything_is_told(self) -> None:
        marks = drawn(9, 3, missing=0.1)
        marks["overlap"] = [[9]] * 45
        result = measured(marks)
        shown = agreement_tables(result)
        titles = [each.title for each in shown if not isinstance(each, str)]
        assert titles[2:4] == ["against people", "alternative annotator test, epsilon 0.1"]
        worse = "overlap agrees with people less than they agree with each other: word F1 0."
        for text in ("\n".join(each for each in shown if isinstance(each, str)), paper(result)):
            assert worse in text
        assert (
            "Alternative annotator test (epsilon 0.1, passed from one half on): openai:m winning rate"
            in paper(result)
        )
        page = agreement_markdown(result, "")
        assert "## Against people" in page
        assert "### Alternative annotator test of overlap" in page
        assert "| human:1 | " in page
        two = measured(drawn(6, 2))
        titles = [each.title for each in agreement_tables(two) if not isinstance(each, str)]
        assert "alternative annotator test, epsilon 0.1" not in titles
        assert any(
            each.startswith("The alternative annotator test needs 3 people")
            for each in agreement_tables(two)
            if isinstance(each, str)
        )

    def test_many_pairs_are_not_printed_one_by_one(self) -> None:
        few, many = measured(drawn(0, 3)), measured(drawn(0, 4))
        assert (len(few.pairs), len(many.pairs)) == (6, 10)
        assert sum(getattr(each, "title", "") == "human:1 / human:2" for each in agreement_tables(few)) == 1
        shown = agreement_tables(many)
        assert not any(getattr(each, "title", "") == "human:1 / human:2" for each in shown)
        assert "The 10 pairs are shown one by one in the files, not here." in shown

    def test_the_command(self, tmp_path: Path) -> None:
        texts = [text_of(f"w{n}x") for n in range(45)]
        rows = labelled(drawn(1, 3, missing=0), texts)
        folder = make_benchmark(tmp_path / "b", texts, labels=[row for each in rows.values() for row in each])
        command = ["agreement", "--benchmark", str(folder.path), "--bootstrap", "100", "--json"]
        done = CliRunner().invoke(app, [*command, "--epsilon", "0.2"])
        assert done.exit_code == 0, done.output
        (one,) = json.loads(done.stdout)["against_people"]
        assert one["alternative"]["epsilon"] == 0.2
        assert len(one["alternative"]["people"]) == 3
        assert CliRunner().invoke(app, [*command, "--epsilon", "1.5"]).exit_code == 2
