"""A tiny training run: it learns something, it reproduces, and its files load."""

import json
from pathlib import Path

import pytest

from evaluate.reader.corpus import Level
from evaluate.reader.train import Progress, Recipe, rate, train_reader

TINY = Recipe(
    batch=4,
    warm_up=2,
    levels=(Level(2, (1, 1), 0.0, 1.0, 0), Level(12, (2, 3), 0.5, 0.5, 2)),
    promote=0.9,
    finish=2,
    most=3,
    vocabulary=400,
    width=16,
    feed_forward=32,
    layers=1,
    heads=2,
    context=256,
    threads=1,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for folder in folders:
        train_reader(TINY, folder, "evaluate reader train")
    return folders


def test_the_same_recipe_gives_the_same_bytes(runs: list[Path]) -> None:
    for name in ("model.safetensors", "tokenizer.json", "log.jsonl", "recipe.json"):
        assert (runs[0] / name).read_bytes() == (runs[1] / name).read_bytes()


def test_files_say_how_they_were_made(runs: list[Path]) -> None:
    recipe = json.loads((runs[0] / "recipe.json").read_text())
    assert recipe["command"] == "evaluate reader train"
    assert recipe["most"] == TINY.most
    last = json.loads((runs[0] / "log.jsonl").read_text().splitlines()[-1])
    # three steps, then the last level is opened by force and lasts two
    assert (last["step"], last["level"]) == (5, 1)


def test_it_loads_as_a_language_model(runs: list[Path]) -> None:
    import heat

    lm = heat.load(runs[0])
    assert lm.context_length == 256
    assert heat.encode(lm, "The fern absorbs the copper.", " copper").n_targets >= 1


def test_loss_falls(tmp_path: Path) -> None:
    seen: list[Progress] = []
    recipe = Recipe(**{**TINY.__dict__, "most": 30, "finish": 30, "batch": 8, "learning_rate": 1e-2})
    train_reader(recipe, tmp_path, "", seen.append)
    assert seen[-1].text_loss < seen[0].text_loss - 1


def test_rate_warms_up_stays_and_falls_to_a_hundredth() -> None:
    recipe = Recipe(learning_rate=1.0, warm_up=10, finish=100)
    assert rate(recipe, 4, None) == pytest.approx(0.5)
    assert rate(recipe, 500, None) == 1.0
    assert rate(recipe, 600, 600) == pytest.approx(1.0)
    assert rate(recipe, 700, 600) == pytest.approx(0.01)
