"""The rules of verdicts, on figures made by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.reproduce.verdict import (
    Verdict,
    all_of,
    not_comparable,
    not_run,
    of_difference,
    of_ratios,
    of_share,
)
from evaluate.statistics.intervals import Interval


def interval(mean: float | None, low: float | None, high: float | None) -> Interval:
    return Interval(mean=mean, low=low, high=high, n=9, undefined=0)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.1, 0.3, "agrees in direction"),
        (-0.3, -0.1, "disagrees"),
        (-0.1, 0.3, "not comparable"),
        (0.0, 0.3, "not comparable"),
        (0.0, 0.0, "not comparable"),
    ],
)
def test_a_difference_counts_where_its_interval_is_on_one_side(low: float, high: float, word: str) -> None:
    assert of_difference(interval((low + high) / 2, low, high)).word == word


def test_reasons_say_what_was_seen() -> None:
    assert "same figures" in of_difference(interval(0.0, 0.0, 0.0)).why
    assert "holds 0" in of_difference(interval(0.1, -0.1, 0.3)).why
    assert "too few texts" in of_difference(interval(0.1, None, None), "heat and reagent").why
    assert "heat and reagent" in of_difference(interval(0.2, 0.1, 0.3), "heat and reagent").why
    five = interval(0.2, 0.1, 0.3).model_copy(update={"n": 5})
    assert "too few texts, n = 5" in of_difference(five).why
    six = five.model_copy(update={"n": 6})
    assert of_difference(six).word == "agrees in direction"
    assert str(not_run("a GPU")) == "not run: a GPU"


@given(st.floats(-5, 5), st.floats(0, 5))
def test_turning_the_claim_turns_the_verdict(low: float, width: float) -> None:
    there = of_difference(interval(low + width / 2, low, low + width)).word
    back = of_difference(interval(-low - width / 2, -low - width, -low)).word
    turned = {"agrees in direction": "disagrees", "disagrees": "agrees in direction"}
    assert back == turned.get(there, there)


@pytest.mark.parametrize(
    ("ratios", "word"),
    [
        ([0.5, 0.9], "agrees in direction"),
        ([1.1, 3.0], "disagrees"),
        ([0.9, 1.1], "not comparable"),
        ([0.9], "not comparable"),
        ([1.9], "not comparable"),
        ([0.4], "agrees in direction"),
        ([2.1], "disagrees"),
    ],
)
def test_faster_is_faster_in_every_turn(ratios: list[float], word: str) -> None:
    assert of_ratios(ratios).word == word


def test_one_that_disagrees_undoes_a_claim_about_all() -> None:
    good, bad = Verdict(word="agrees in direction"), Verdict(word="disagrees", why="x")
    assert all_of([good, bad, not_run("y")]) == bad
    assert all_of([good, not_comparable("z")]).word == "not comparable"
    assert all_of([good, not_comparable("z"), not_run("y")]).word == "not run"
    assert all_of([good, good]) == good


def test_most_is_more_than_half() -> None:
    assert of_share(2, 4, "are below 0").word == "disagrees"
    assert of_share(3, 4, "are below 0") == Verdict(word="agrees in direction", why="3 of 4 are below 0")
