"""Figures and the numbers in them: against hand-computed values and scikit-learn, and the same bytes each time."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import auc, precision_recall_curve

from evaluate import plots
from evaluate.errors import ReportError
from evaluate.metrics.alignment import METRICS
from evaluate.plots.canvas import as_png, as_svg, singled
from evaluate.plots.cost import _front
from evaluate.results.folder import read_scores
from evaluate.results.summaries import mean_curves, rank_correlations, segment_mass
from evaluate.word_scores import WordScores, read_word_scores

METHODS = ["random", "input-x-gradient", "gradient-norm", "heat"]


@pytest.fixture(scope="module")
def words(finished: Path) -> WordScores:
    return read_word_scores(finished)


@given(st.lists(st.integers(-5, 5), min_size=4, max_size=30), st.integers(1, 3))
def test_the_area_under_a_mean_curve_is_that_of_scikit_learn(values: list[int], n_gold: int) -> None:
    scores = np.array(values, dtype=float)
    gold = np.arange(len(values)) < n_gold
    if (scores == scores[0]).all():
        return
    precision, recall, _ = precision_recall_curve(gold, scores)
    curve = mean_curves({"m": [scores]}, [gold])["m"]
    assert curve.mean() == pytest.approx(auc(recall, precision), abs=0.01)


def test_curves_leave_out_what_is_undefined_and_are_flat_where_nothing_is_said() -> None:
    gold = np.array([True, False, False, False])
    curves = mean_curves(
        {
            "flat": [np.ones(4), np.ones(4)],
            "none": [None, np.ones(4)],
            "top": [np.array([2.0, 1, 1, 1]), None],
        },
        [gold, np.zeros(4, dtype=bool)],
    )
    assert list(curves) == ["flat", "top"]
    assert (curves["flat"] == 0.25).all()
    assert (curves["top"] == 1.0).all()


def test_curves_average_to_the_mean_auprc_of_a_run(words: WordScores) -> None:
    for row in words.result.methods:
        assert words.curves[row.method].mean() == pytest.approx(row.metrics["auprc"].mean, abs=0.01)


def test_mass_counts_what_is_positive_by_segment() -> None:
    roles = [["narrative", "support", "support", "question"], ["narrative", "question"]]
    scores = {"m": [np.array([1.0, 2.0, -9.0, 1.0]), np.array([3.0, 1.0])], "n": [np.array([-1.0] * 4), None]}
    found = segment_mass(scores, roles, ["a", "b"]).set_index(["method", "segment"])
    # (1/4 + 3/4) / 2, (2/4 + 0) / 2, (1/4 + 1/4) / 2.
    assert found.loc["m", "share"].to_dict() == pytest.approx(
        {"narrative": 0.5, "support": 0.25, "question": 0.25}
    )
    assert found.loc["(words)", "share"].to_dict() == pytest.approx(
        {"narrative": 0.375, "support": 0.25, "question": 0.375}
    )
    assert found.loc["n", "share"].isna().all()
    assert found.loc[("m", "narrative"), "share_low"] < 0.5 < found.loc[("m", "narrative"), "share_high"]


def test_correlations_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = ([rng.integers(0, 4, 12).astype(float) for _ in range(3)] for _ in range(2))
    found = rank_correlations({"a": first, "b": second, "c": [np.ones(12), None, first[2]]})
    expected = np.mean([spearmanr(x, y).statistic for x, y in zip(first, second, strict=True)])
    assert found.loc["a", "b"] == found.loc["b", "a"] == pytest.approx(expected)
    assert found.loc["a", "c"] == pytest.approx(1.0)
    assert found.loc["a", "a"] == pytest.approx(1.0)
    assert np.isnan(rank_correlations({"a": first, "c": [np.ones(12)] * 3}).loc["a", "c"])


def test_passes_are_what_the_attributions_took(words: WordScores) -> None:
    assert words.passes["random"] <= words.passes["gradient-norm"] < words.passes["heat"]


def test_components_are_projected_like_the_scores(words: WordScores) -> None:
    parts = words.components("heat", 0)
    assert {"transition", "curvature", "information"} <= set(parts)
    assert {len(each) for each in parts.values()} == {len(words.examples[0].words)}
    assert words.components("random", 0) == {}


def test_examples_without_segments_are_named(words: WordScores) -> None:
    bare = tuple(example.model_copy(update={"segments": ()}) for example in words.examples)
    other = WordScores(words.folder, words.result, bare, words.scores, words.passes)
    with pytest.raises(ReportError, match=r"name no segments.*evaluate alignment -x"):
        plots.segment_mass(other)


def test_roles_of_words_are_those_of_their_segments(words: WordScores) -> None:
    for example in words.examples:
        narrative = tuple(i for i, role in enumerate(example.roles()) if role == "narrative")
        assert narrative == example.distractor
        assert set(example.roles()) == {"narrative", "support", "question"}


def test_a_forest_has_a_whisker_where_the_interval_is(words: WordScores) -> None:
    figure = plots.forest(words.result, METRICS[:2])
    panel = figure.axes[0]
    assert [each.get_text() for each in panel.get_yticklabels()] == [r.method for r in words.result.methods]
    marks = {
        (round(float(x), 9), int(y))
        for line in panel.lines
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    for place, row in enumerate(words.result.methods):
        assert (round(row.metrics["auprc"].mean or 0.0, 9), place) in marks


def test_singled_out_are_heat_the_best_baselines_and_random(words: WordScores) -> None:
    assert singled(words.result)[0] == "heat"
    assert set(singled(words.result)) == set(METHODS)


def test_nothing_cheaper_is_as_good_as_the_front() -> None:
    places = {"a": (1.0, 0.2), "b": (2.0, 0.1), "c": (3.0, 0.5), "d": (3.0, 0.6), "e": (9.0, 0.6)}
    assert _front(places) == ["a", "d"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda words: plots.forest(words.result, METRICS),
        plots.precision_recall,
        plots.segment_mass,
        lambda words: plots.cost(words, METRICS[0]),
        plots.rank_correlation,
        lambda words: plots.strips(words, 3),
    ],
    ids=["forest", "precision_recall", "segment_mass", "cost", "rank_correlation", "strips"],
)
def test_a_figure_is_the_same_bytes_each_time(draw, words: WordScores) -> None:  # type: ignore[no-untyped-def]
    svg = as_svg(draw(words), "made so")
    assert svg == as_svg(draw(words), "made so")
    assert as_png(draw(words), "made so") == as_png(draw(words), "made so")
    assert "made so" in svg
    assert "<dc:date>" not in svg


def test_settings_of_matplotlib_are_left_alone_and_pyplot_is_not_loaded() -> None:
    code = (
        "import sys, matplotlib; names = ('svg.hashsalt', 'font.size', 'text.color', 'svg.fonttype')\n"
        "before = [matplotlib.rcParams[name] for name in names]\n"
        "from evaluate.plots.canvas import as_png, new_figure, style\n"
        "with style(): figure = new_figure(2, 2); figure.subplots()\n"
        "as_png(figure); assert [matplotlib.rcParams[name] for name in names] == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    checkout = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", code], cwd=checkout, check=True)


def test_every_value_is_in_the_frame(words: WordScores) -> None:
    frame = read_scores(words.folder)
    assert len(frame) == len(METHODS) * 5
    means = frame.groupby("method")["dsa"].mean()
    for row in words.result.methods:
        assert means[row.method] == pytest.approx(row.metrics["dsa"].mean)


def test_names_in_the_cost_figure_cover_nothing_and_stay_inside(words: WordScores) -> None:
    """By matplotlib's own measure of what it drew."""
    figure = plots.cost(words, METRICS[0])
    figure.canvas.draw()
    (axes,) = figure.axes
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert set(boxes) >= {"heat", "random"}
    markers = [
        axes.transData.transform((words.passes[row.method], row.metrics["auprc"].mean))
        for row in words.result.methods
    ]
    for name, box in boxes.items():
        assert axes.bbox.x0 <= box.x0 < box.x1 <= axes.bbox.x1
        assert not any(box.contains(*marker) for marker in markers), name
        assert not any(box.overlaps(other) for other_name, other in boxes.items() if other_name != name), name
