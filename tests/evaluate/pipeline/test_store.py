"""The store: keys that change with what matters, rows that survive."""

from pathlib import Path

import pytest

from evaluate.alignment.run import alignment_measure
from evaluate.errors import StoreError
from evaluate.pipeline.case import Case
from evaluate.pipeline.store import Item, Score, Settings, Store, Timing, attribution_key, item_key, score_key
from evaluate.tasks.task import Example

SETTINGS = Settings(model="m", revision="r", dtype="float32", seed=0)


def score(key: str) -> Score:
    return Score(
        key=key,
        attribution="a",
        kind="alignment",
        example_id="p",
        method="heat",
        config={},
        values={"auprc": 0.5, "dsa": None},
        status="ok",
    )


def test_rows_come_back(tmp_path: Path) -> None:
    item = Item(key="i", example_id="p", status="ok", correct=True)
    with Store(tmp_path) as store:
        store.add_items([item])
        store.add_scores([score("a"), score("b")])
        store.add_timings([Timing(attribution="a", method="heat", seconds=0.1)])
    with Store(tmp_path) as store:
        assert store.items == {"i": item}
        assert list(store.scores) == ["a", "b"]
        assert store.scores["a"] == score("a")
        assert store.timings["a"].seconds == 0.1


def test_a_torn_last_line_is_cut_off_and_work_goes_on(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.add_scores([score("a"), score("b")])
    whole = (tmp_path / "scores.jsonl").read_bytes()
    (tmp_path / "scores.jsonl").write_bytes(whole[:-7])
    with Store(tmp_path) as store:
        assert list(store.scores) == ["a"]
        store.add_scores([score("b")])
    assert (tmp_path / "scores.jsonl").read_bytes() == whole


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(StoreError, match="another run is writing"), Store(tmp_path):
        pass
    with Store(tmp_path):
        pass


@pytest.mark.parametrize("content", ['{"schema_version": 1}', '{"other": 1}', "not json", "[]", "[" * 50_000])
def test_another_schema_version_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "store.json").write_text(content)
    (tmp_path / "scores.jsonl").write_text("something")
    with pytest.raises(StoreError, match="give another --out"), Store(tmp_path):
        pass
    assert (tmp_path / "scores.jsonl").read_text() == "something"
    (tmp_path / "store.json").unlink()


def test_keys_follow_what_the_result_depends_on(examples: list[Example]) -> None:
    example, other = examples[:2]
    base = attribution_key(example, SETTINGS, "heat", {"n": 1})
    changed = [
        attribution_key(other, SETTINGS, "heat", {"n": 1}),
        attribution_key(example, SETTINGS, "random", {"n": 1}),
        attribution_key(example, SETTINGS, "heat", {"n": 2}),
        *(
            attribution_key(example, SETTINGS.model_copy(update={name: value}), "heat", {"n": 1})
            for name, value in {"revision": "s", "dtype": "x", "seed": 1, "target": "all"}.items()
        ),
        attribution_key(example.model_copy(update={"target": " gold"}), SETTINGS, "heat", {"n": 1}),
    ]
    assert len({base, *changed}) == 1 + len(changed)
    moved = SETTINGS.model_copy(update={"model": "elsewhere"})
    assert attribution_key(example, moved, "heat", {"n": 1}) == base


def test_what_a_model_answers_does_not_depend_on_the_seed(examples: list[Example]) -> None:
    assert item_key(examples[0], SETTINGS) == item_key(examples[0], SETTINGS.model_copy(update={"seed": 1}))


def test_a_prompt_that_brings_its_special_tokens_is_another_text(examples: list[Example]) -> None:
    example = examples[0]
    bare = example.model_copy(update={"special_tokens": not example.special_tokens})
    assert item_key(bare, SETTINGS) != item_key(example, SETTINGS)
    assert attribution_key(bare, SETTINGS, "heat", {}) != attribution_key(example, SETTINGS, "heat", {})


def test_a_foil_counts_where_it_is_contrasted_alone(examples: list[Example]) -> None:
    one, other = (examples[0].model_copy(update={"foil": foil}) for foil in (" gold", " tin"))
    assert item_key(one, SETTINGS) == item_key(other, SETTINGS)
    contrasted = SETTINGS.model_copy(update={"contrast": True})
    assert item_key(one, contrasted) != item_key(other, contrasted)


def test_the_same_prompt_with_other_words_is_another_item(examples: list[Example]) -> None:
    fewer = examples[0].model_copy(update={"words": examples[0].words[:-1]})
    assert item_key(fewer, SETTINGS) != item_key(examples[0], SETTINGS)


def test_another_gold_is_another_score_of_the_same_attribution(examples: list[Example]) -> None:
    key = alignment_measure().cache_key
    keys = {
        score_key("a", "alignment", key(Case(examples[0].model_copy(update=changed))))
        for changed in ({"gold": (1,)}, {"gold": (2,)}, {"gold": (1,), "gold_rule": "reviewed"})
    }
    assert len(keys | {score_key("a", "faithfulness", {})}) == 4
