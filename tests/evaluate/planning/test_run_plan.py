"""Plans of a run."""

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from annotate.narrow import fit
from evaluate.cli import app
from evaluate.planning.run_plan import MethodPlan, plan, plan_table
from evaluate.tasks.task import Example
from heat import LanguageModel
from heat.cost import shape


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


def test_the_table_has_a_total_and_whole_numbers_at_80_columns() -> None:
    rows = [
        MethodPlan("heat-layer-sampling", 50, {"curvature": 1234.0, "information": 66.0}, 1200.5, 2**30),
        MethodPlan("no-gate", 50, {"parts of heat": 0.0}, 0.0, 0),
    ]
    stream = io.StringIO()
    console = Console(file=stream, width=80)
    table = plan_table(rows)
    assert fit(table, console, ["of these"]) in ([], ["of these"])
    console.print(table)
    total = next(text for text in stream.getvalue().splitlines() if text.startswith("all"))
    assert total.split() == ["all", "1,300", "1,200.5", "1.00"]


def test_the_shape_of_a_model_is_found_once_for_a_plan(
    lm: LanguageModel, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(config: object, name: str) -> shape.Shape:
        calls.append(name)
        return shape_of(config, name)

    shape_of = shape.shape_of
    monkeypatch.setattr("heat.cost.shape.shape_of", counted)
    monkeypatch.setattr("heat.cost.plan.shape_of", counted)
    monkeypatch.setattr("heat.cost.plan.CALIBRATION_SECONDS", 0.0)
    rows = plan(lm, examples, ["kl-only", "gradient-norm"], "first")
    assert calls == [lm.name]
    # What all examples take is what each takes alone.
    alone = [plan(lm, [example], ["kl-only", "gradient-norm"], "first") for example in examples]
    for place, row in enumerate(rows):
        passes = [sum(one[place].forward_equivalents.values()) for one in alone]
        assert sum(row.forward_equivalents.values()) == pytest.approx(sum(passes) / len(passes))
        assert row.peak_bytes == max(one[place].peak_bytes for one in alone)
