"""`evaluate plan`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evaluate.cli import app
from evaluate.errors import PlanError
from evaluate.planning.model_plan import parse_bytes, plan_model


@pytest.mark.parametrize(
    ("text", "size"),
    [("80GB", 80 * 10**9), ("40GiB", 40 * 2**30), ("1.5 tb", 15 * 10**11), ("24g", 24 * 10**9), ("512", 512)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "80 apples", "-1GB", "GB", "0GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="80GB"):
        parse_bytes(text)


@pytest.mark.parametrize("model", ["gpt-j-6b", "phi-3-medium-14b", "llama-3.1-70b", "qwen2.5-3b"])
def test_each_model_of_the_poster_is_planned_without_weights(model: str) -> None:
    done = CliRunner().invoke(app, ["plan", "--model", model, "--gpus", "16", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["variants"][0]["method"] == "heat"
    assert found["cheapest"]["fits"]
    assert found["cheapest"]["device_seconds"] <= min(row["device_seconds"] for row in found["variants"])
    for row in found["variants"]:
        assert row["peak_bytes"] > 0
        assert row["seconds"] > 0


def test_the_table_names_components_and_the_cheapest() -> None:
    done = CliRunner().invoke(
        app,
        ["plan", "--model", "llama-3.1-70b", "--memory", "80GB", "--flops", "3e14"],
        env={"COLUMNS": "160"},
    )
    assert done.exit_code == 0, done.output
    for expected in ("weights", "KV cache", "70,553,706,496", "cheapest that fits", "hours"):
        assert expected in done.stdout


def test_nothing_fits() -> None:
    done = CliRunner().invoke(app, ["plan", "--model", "llama-3.1-70b", "--memory", "8GB", "--gpus", "1"])
    assert done.exit_code == 0, done.output
    assert "no form of HEAT fits" in done.stdout


def test_twice_the_speed_is_half_the_time_and_twice_the_gpus_no_more_time() -> None:
    slow, fast = (plan_model("qwen2.5-3b", flops=flops, flops_float32=flops) for flops in (1e14, 2e14))
    for one, other in zip(slow.variants, fast.variants, strict=True):
        assert one.seconds == pytest.approx(2 * other.seconds)


def test_calibration_times_the_model_that_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    from heat.shipped import shipped

    monkeypatch.setattr("heat.cost.plan.CALIBRATION_SECONDS", 0.0)
    found = plan_model(str(shipped("reader")), n_tokens=64, measure=True, memory="4GB")
    assert found.rate.single > 0
    assert found.variants[0].dtype == "float32"
    assert found.cheapest is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "no-such-folder/config.json"],
        ["--model", "qwen2.5-3b", "--memory", "much"],
        ["--model", "qwen2.5-3b", "--dtype", "int7"],
        ["--model", "qwen2.5-3b", "--flops", "-1"],
        ["--model", "qwen2.5-3b", "--flops", "1e12", "--calibrate"],
        ["--model", "qwen2.5-3b", "--method", "no-such"],
    ],
)
def test_bad_input_is_an_error_of_ours(arguments: list[str]) -> None:
    from annotate.errors import AnnotateError
    from evaluate.errors import EvaluateError
    from heat.errors import HeatError

    done = CliRunner().invoke(app, ["plan", *arguments])
    assert isinstance(done.exception, (EvaluateError, HeatError, AnnotateError)), done.output


@pytest.fixture
def config_of(tmp_path: Path) -> Callable[..., str]:
    def written(family: str, **options: Any) -> str:
        from transformers import CONFIG_MAPPING

        CONFIG_MAPPING[family](**options).save_pretrained(tmp_path / family)
        return str(tmp_path / family)

    return written


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("mamba", {}),
        ("qwen3_next", {"num_experts": 8}),
        ("jamba", {"num_experts": 2, "num_hidden_layers": 8}),
        ("lfm2", {"num_hidden_layers": 2, "layer_types": ["conv", "full_attention"]}),
    ],
)
def test_heat_is_not_recommended_where_it_is_refused(
    config_of: Callable[..., str], family: str, options: dict[str, Any]
) -> None:
    done = CliRunner().invoke(app, ["plan", "--model", config_of(family, **options), "--gpus", "1"])
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "cheapest that fits" not in said
    assert "HEAT cannot run: as a model of this family" in said
    fitting = "no-gate (1), kl-only (1), integrated-gradients (1), occlusion (1)"
    assert f"HEAT is refused; methods that fit, and on how many GPUs: {fitting}" in said


def test_heat_is_recommended_where_it_runs(config_of: Callable[..., str]) -> None:
    options = {"num_local_experts": 4, "num_hidden_layers": 4}
    found = plan_model(config_of("gpt_oss", **options), memory="80GB")
    assert found.refused == ""
    assert found.cheapest is not None
    assert found.as_json()["others_that_fit"] == []


def test_experts_are_named_and_held_whole(config_of: Callable[..., str]) -> None:
    done = CliRunner().invoke(app, ["plan", "--model", config_of("mixtral"), "--memory", "80GB"])
    said = " ".join(done.stdout.split())
    assert "46,702,792,704 weights (of which a token passes through 12,879,925,248" in said
    assert "is 7.59 TFLOPs" in said
    whole = plan_model(config_of("mixtral")).variants[0].fullest.components["weights"]
    assert whole == 2 * 46_702_792_704
