"""Keys under which results lie do not change by accident: what people have computed is found again."""

from pathlib import Path

import pytest
from fakes.golden import check_golden

import heat
from annotate.benchmark import open_benchmark
from evaluate.alignment.run import alignment
from evaluate.faithfulness.options import Options
from evaluate.faithfulness.run import faithfulness
from evaluate.pipeline.run import RunConfig
from evaluate.pipeline.runner import default_config
from evaluate.pipeline.store import Settings, Store, attribution_key, item_key
from evaluate.robustness.options import DecodingSetting
from evaluate.robustness.options import Options as Disturbance
from evaluate.robustness.run import robustness
from evaluate.tasks.curated import curated
from evaluate.tasks.task import Example

SHIPPED = Path(__file__).parents[2] / "data" / "benchmark"
METHODS = ["gradient-norm", "random"]


def test_keys_of_items_and_attributions_are_as_they_were() -> None:
    example = Example(id="e", prompt="Tom saw a dog.", target=" Rex", words=((0, 3), (10, 13)), foil=" Tim")
    settings = Settings(model="m", revision="r", dtype="float32", seed=3)
    against_foil = settings.model_copy(update={"contrast": True})
    names = [name for name in heat.methods() if not name.startswith("test-")]
    check_golden(
        "keys",
        {
            "item": item_key(example, settings),
            "attributions": {
                name: attribution_key(example, settings, name, default_config(name)) for name in names
            },
            "against the foil": attribution_key(example, against_foil, "heat", default_config("heat")),
        },
    )


def test_keys_of_scores_are_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The folder is given as a user gives it: a benchmark's path is in no key.
    lm, task = heat.load(), curated(open_benchmark(SHIPPED), limit=3)
    out = tmp_path / "out"
    alignment(task, lm, METHODS, RunConfig(out))
    faithfulness(task, lm, METHODS, RunConfig(out), options=Options(retentions=(0.5,), subsets=2, steps=2))
    disturbance = Disturbance(
        draws=2, settings=(DecodingSetting(name="cold", temperature=0.01, seed=1),), answer_tokens=2
    )
    robustness(task, lm, METHODS, RunConfig(out), options=disturbance)
    with Store(out) as store:
        check_golden(
            "scores",
            {
                "items": sorted(store.items),
                "scores": {
                    f"{row.kind} {row.method} {row.example_id}": [row.attribution, key]
                    for key, row in store.scores.items()
                },
            },
        )
