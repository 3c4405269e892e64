"""Plans of a run."""

import json

import pytest
from typer.testing import CliRunner

from evaluate.cli import app


def test_a_plan_names_every_part_and_computes_nothing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("heat.cost.plan.CALIBRATION_SECONDS", 0.0)
    arguments = ["alignment", "--method", "heat", "--method", "random", "--limit", "4", "--plan", "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    heat, random = json.loads(done.stdout)
    assert heat["examples"] == 4
    assert set(heat["forward_equivalents"]) == {"log-probability", "transition", "curvature", "information"}
    # Curvature: a gradient (2) and ten products of 2 each.
    assert heat["forward_equivalents"]["curvature"] == 22
    assert heat["seconds"] > random["seconds"] > 0
    assert not (tmp_path / "results").exists()


def test_what_is_read_off_another_method_takes_nothing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("heat.cost.plan.CALIBRATION_SECONDS", 0.0)
    names = ["hessian-only", "heat", "no-gate"]
    arguments = ["alignment", *(word for name in names for word in ("--method", name)), "--limit", "2"]
    done = CliRunner().invoke(app, [*arguments, "--plan", "--json"])
    assert done.exit_code == 0, done.output
    curvature, heat, no_gate, _ = json.loads(done.stdout)
    # HEAT comes after the curvature alone, which therefore is computed by itself.
    assert curvature["seconds"] > 0 < heat["seconds"]
    assert no_gate["forward_equivalents"] == {"parts of heat": 0}
    assert no_gate["seconds"] == 0
