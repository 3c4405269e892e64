"""`evaluate plan`."""

import json

import pytest
from typer.testing import CliRunner

from evaluate.cli import app
from evaluate.errors import PlanError
from evaluate.model_plan import parse_bytes, plan_model


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
        app, ["plan", "--model", "llama-3.1-70b", "--memory", "80GB", "--flops", "3e14"]
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

    monkeypatch.setattr("heat.plan.CALIBRATION_SECONDS", 0.0)
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
