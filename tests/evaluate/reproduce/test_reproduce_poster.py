"""The poster as data: every printed figure is there, and every cell names things that exist."""

import re
from pathlib import Path

import pytest

import heat
from evaluate.planning.model_plan import plan_model
from evaluate.reproduce.evidence import METRICS
from evaluate.reproduce.models import MAX_GPUS, METHOD, plan_poster_model
from evaluate.reproduce.poster import BEST_BASELINE, SLOWEST_BASELINE, Above, Faster, load_models, load_poster
from heat.cost.shape import load_config, shape_of

POSTER = Path(__file__).resolve().parents[4] / "shared" / "poster.md"


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
    assumptions, models = load_models()
    for model in models:
        assert shape_of(load_config(model.config), model.config).parameters == model.parameters
    plans = {model.name: plan_poster_model(model, assumptions) for model in models}
    assert list(plans) == ["GPT-J 6B", "Phi-3-Medium 14B", "LLaMA-3.1 70B", "Qwen2.5 3B"]
    big = plans["LLaMA-3.1 70B"]
    assert big.weights == 2 * 70_553_706_496
    # bfloat16 weights and their float32 copy for the curvature, and the graph of the second derivative, on 8 GPUs.
    assert big.cards == 8
    assert 6 * 70_553_706_496 < 8 * big.peak < 12 * 70_553_706_496
    assert plans["Qwen2.5 3B"].hours < plans["GPT-J 6B"].hours < big.hours


@pytest.mark.parametrize(("model", "gpus"), [("gpt-j-6b", 1), ("phi-3-medium-14b", 2), ("qwen2.5-3b", 1)])
def test_the_page_and_evaluate_plan_agree(model: str, gpus: int) -> None:
    assumptions, models = load_models()
    poster = next(entry for entry in models if entry.config == model)
    page = plan_poster_model(poster, assumptions)
    heat_row = plan_model(
        model, gpus=MAX_GPUS, n_tokens=assumptions.prompt_tokens, methods=[METHOD]
    ).variants[0]
    assert page.cards == heat_row.n_devices == gpus
    assert page.peak == heat_row.peak_bytes
    assert page.hours == pytest.approx(heat_row.device_seconds * 2000 / 3600)
