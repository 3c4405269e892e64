"""The poster as data: every printed figure is there, and every cell names things that exist."""

import re
from pathlib import Path

import pytest

import heat
from evaluate.reproduce.evidence import METRICS
from evaluate.reproduce.models import plan_model
from evaluate.reproduce.poster import BEST_BASELINE, SLOWEST_BASELINE, Above, Faster, load_models, load_poster

POSTER = Path(__file__).resolve().parents[3] / "shared" / "poster.md"


def test_sections_four_to_nine_are_there_in_order() -> None:
    assert [table.section for table in load_poster()] == [4, 5, 6, 7, 8, 9]


def test_every_figure_of_the_poster_is_a_cell() -> None:
    if not POSTER.is_file():
        pytest.skip("needs ../shared/poster.md")
    text = POSTER.read_text("utf-8")
    body = text[text.index("4. DATASETS") : text.index("10. CONCLUSIONS")]
    body = "\n".join(line for line in body.splitlines() if not re.match(r"\d\. |Example \d|\d\. [A-Z]", line))
    cells = " ".join(
        f"{cell.row} {cell.column} {cell.printed}" for table in load_poster() for cell in table.cell
    )
    wanted = set(re.findall(r"\d+(?:[.,]\d+)*", body))
    assert wanted - set(re.findall(r"\d+(?:[.,]\d+)*", cells)) <= {"1,000", "000"}


def test_cells_name_methods_and_metrics_that_exist() -> None:
    known = {*heat.methods(), BEST_BASELINE, SLOWEST_BASELINE, "baselines"}
    metrics = {metric.name for metric in METRICS} | {"comprehensiveness_variation"}
    for check in (cell.check for table in load_poster() for cell in table.cell):
        if isinstance(check, Above):
            assert {check.shows, check.better, *check.than} <= known
            assert check.metric in metrics
        if isinstance(check, Faster):
            assert {check.shows, check.faster, check.than} <= known


def test_a_claim_stands_with_every_cell_that_is_compared() -> None:
    for table in load_poster():
        for cell in table.cell:
            assert bool(cell.claim) == (cell.check.kind in {"above", "faster", "negative", "words"})


def test_the_models_are_those_published_and_their_plans_add_up() -> None:
    assumed, models = load_models()
    plans = {model.name: plan_model(model, assumed) for model in models}  # counts the weights
    assert list(plans) == ["GPT-J 6B", "Phi-3-Medium 14B", "LLaMA-3.1 70B", "Qwen2.5 3B"]
    big = plans["LLaMA-3.1 70B"]
    assert big.weights == 2 * 70_553_706_496
    # bfloat16 weights and their float32 copy for the curvature, and the graph of the second derivative.
    assert 6 * 70_553_706_496 < big.peak < 12 * 70_553_706_496
    assert (big.cards - 1) * 80e9 < big.peak <= big.cards * 80e9
    assert plans["Qwen2.5 3B"].hours < plans["GPT-J 6B"].hours < big.hours
    wrong = models[0].model_copy(update={"parameters": 1})
    with pytest.raises(ValueError, match="1 weights, and its configuration builds 6050882784"):
        plan_model(wrong, assumed)
