import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.benchmarks import make_gold, make_label

from annotate.benchmark import Benchmark, prebuilt
from annotate.errors import BenchmarkError, RowsError
from annotate.schema import Paragraph
from evaluate.errors import EvaluateError, NoGoldError
from evaluate.tasks.catalog import BENCHMARKS, TASKS, load_task
from evaluate.tasks.curated import curated
from evaluate.tasks.errors import TaskError, UnknownSubsetError, UnknownTaskError
from evaluate.tasks.gold import load_gold

LIFE = {"wiki_bio_text": "Eva sang. She died in Bari."}


def test_a_paragraph_becomes_an_example(
    make_benchmark: Callable[..., Benchmark], paragraphs: list[Paragraph]
) -> None:
    benchmark = make_benchmark(paragraphs, gold=[make_gold(paragraphs[0], [5, 10])])
    task = curated(benchmark)
    first, second = task.examples[:2]
    assert first.prompt == (
        "Tom met the queen.\nThe tower is made of copper.\nWhat is the tower made of?\nAnswer:"
    )
    assert (first.id, first.target) == ("p0", " copper")
    assert first.words == paragraphs[0].words
    assert [first.prompt[slice(*first.words[i])] for i in first.gold or ()] == ["The", "copper"]
    assert [first.prompt[slice(*first.words[i])] for i in first.distractor] == [
        "Tom",
        "met",
        "the",
        "queen",
        ".",
    ]
    assert (first.gold_rule, second.gold, second.gold_rule) == ("intersection", None, "")
    assert (len(task.examples), len(curated(benchmark, limit=2).examples)) == (5, 2)
    assert task.gold == load_gold(benchmark)[1]
    assert task.source.startswith(f"{benchmark.path} sha256:")


def test_gold_of_a_paragraph_by_choice(
    make_benchmark: Callable[..., Benchmark], paragraphs: list[Paragraph]
) -> None:
    labels = [
        make_label(paragraphs[0], name, words) for name, words in (("overlap", (1, 2)), ("clause", (2, 3)))
    ]
    benchmark = make_benchmark(paragraphs[:1], labels=labels)
    chosen = {choice: curated(benchmark, choice) for choice in ("auto", "union", "evidence")}
    assert {choice: task.examples[0].gold for choice, task in chosen.items()} == {
        "auto": (2,),
        "union": (1, 2, 3),
        "evidence": paragraphs[0].evidence,
    }
    assert [task.examples[0].gold_rule for task in chosen.values()] == ["intersection", "union", "evidence"]
    with pytest.raises(NoGoldError, match=r"gold.jsonl does not exist"):
        curated(benchmark, "gold")


@pytest.mark.parametrize("name", TASKS)
def test_samples_load_and_have_gold_where_it_is_promised(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert task.source.startswith("sample sha256:")
    assert len({example.id for example in task.examples}) == len(task.examples) >= 12
    for example in task.examples:
        assert all(example.prompt[a:b].strip() == example.prompt[a:b] != "" for a, b in example.words)
        assert example.target.startswith(" ")
        assert not example.prompt[-1].isspace()
        if TASKS[name].gold_rule:
            assert example.gold
            assert len(example.gold) < len(example.words)
            assert example.gold_rule
        else:
            assert (example.gold, example.gold_rule) == (None, "")
    assert (task.gold is None) == (not TASKS[name].gold_rule)
    assert load_task(name, limit=3).examples == task.examples[:3]
    assert load_task(name) == task


def test_counts_of_the_samples() -> None:
    assert {name: len(load_task(name).examples) for name in TASKS} == {
        "curated": len(prebuilt().paragraphs()),
        "longra": 24,
        "lambada-rationales": 16,
        "tellmewhy": 14,
        "wikibio": 12,
        "fair-rationales": 15,
        "onestopqa": 12,
        "qed": 12,
        "expmrc": 12,
        "eraser": 12,
        "blimp-evidence": 12,
    }


def test_the_seed_draws_word_pairs() -> None:
    assert load_task("longra", seed=1).examples != load_task("longra").examples
    assert load_task("wikibio", seed=1) == load_task("wikibio")


def test_rationales_of_the_sample_are_not_said_to_be_of_people(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps({"text": "one two three", "rationale": [[0, 3]]}), "utf-8")
    sample, real = load_task("lambada-rationales"), load_task("lambada-rationales", source=str(path))
    assert sample.gold is not None
    assert real.gold is not None
    assert (sample.gold.annotators, real.gold.annotators) == (("the authors of the sample",), ("people",))
    assert sample.gold.offline is real.gold.offline is False


def test_a_folder_is_a_benchmark(benchmark_of: Benchmark, tmp_path: Path) -> None:
    folder = str(benchmark_of.path)
    task = load_task(folder)
    assert task.name == folder
    assert len(task.examples) == 5
    assert load_task("curated", source=folder).examples == task.examples
    with pytest.raises(TaskError, match="is a folder and holds its own rows; leave --source hub away"):
        load_task(folder, source="hub")
    with pytest.raises(BenchmarkError, match="holds no benchmark"):
        load_task(str(tmp_path))


def test_what_does_not_exist_is_told() -> None:
    with pytest.raises(
        UnknownTaskError, match="no benchmark is called 'x' and no folder is; there are: curated,"
    ):
        load_task("x")
    assert issubclass(UnknownTaskError, TaskError)
    assert issubclass(TaskError, EvaluateError)
    with pytest.raises(RowsError, match=r"none.csv does not exist"):
        load_task("wikibio", source="none.csv")
    with pytest.raises(TaskError, match=r"gold of longra is its own \(pair\); leave --gold away"):
        load_task("longra", gold="evidence")
    with pytest.raises(TaskError, match="gold of wikibio does not exist; leave --gold away"):
        load_task("wikibio", gold="union")
    with pytest.raises(TaskError, match="curated is not on the hub; make it with `annotate build-dataset"):
        load_task("curated", source="hub")
    with pytest.raises(
        TaskError, match=r"longra is not on the hub in the schema .* or --source hub:OWNER/NAME"
    ):
        load_task("longra", source="hub")
    assert load_task("longra", gold="pair") == load_task("longra")


def test_subsets_are_told(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownSubsetError, match=r"no subset 'x'; there are: fair-rationales/sst, .*/cose; or say"
    ):
        load_task("fair-rationales/x")
    with pytest.raises(UnknownSubsetError, match=r"wikibio has no subset 'x'; it has none; say wikibio"):
        load_task("wikibio/x")
    with pytest.raises(
        TaskError, match=r"holds none of the files that fair-rationales is read from: sst.csv$"
    ):
        load_task("fair-rationales/sst", source=str(tmp_path))
    assert "fair-rationales[/sst|dynasent|cose]" in BENCHMARKS
    assert "wikibio" in BENCHMARKS


def test_a_folder_of_subsets_takes_turns_and_names_them() -> None:
    sst, every = load_task("fair-rationales/sst"), load_task("fair-rationales")
    assert (sst.name, every.name) == ("fair-rationales/sst", "fair-rationales")
    assert every.examples[::3] == sst.examples
    assert len(load_task("fair-rationales", limit=4).examples) == 4
    assert every.left_out["the person marked every word"] == ("dynasent row 14", "cose row 14")
    assert every.source.startswith("sample sha256:")
    assert every.source != sst.source


class FakeApi:
    def dataset_info(self, name: str, timeout: float) -> Any:
        return type("Info", (), {"sha": "abc"})


def test_the_hub_is_streamed_at_the_revision_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, **options: Any) -> Iterator[dict[str, Any]]:
        asked.append((name, options))
        yield from [{}, LIFE, LIFE]
        raise AssertionError("read on after the limit")

    monkeypatch.setattr("huggingface_hub.HfApi", FakeApi)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    task = load_task("wikibio", source="hub", limit=2)
    assert task.source == "potsawee/wiki_bio_gpt3_hallucination@abc (evaluation)"
    assert [example.id for example in task.examples] == ["wikibio-2", "wikibio-3"]
    assert task.left_out == {"field 'wiki_bio_text' is missing": ("row 1",)}
    load_task("wikibio", source="hub:me/mine", limit=1)
    options = {"split": "evaluation", "revision": "abc", "streaming": True}
    assert asked == [("potsawee/wiki_bio_gpt3_hallucination", options), ("me/mine", options)]


def test_no_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline:
        def dataset_info(self, name: str, timeout: float) -> Any:
            raise ConnectionError("Name or service\nnot known")

    def broken(*_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        yield LIFE
        raise ConnectionError("reset by peer")

    advice = "connect to the network, or download its file and give --source FILE, or use --source sample"
    monkeypatch.setattr("huggingface_hub.HfApi", Offline)
    with pytest.raises(TaskError, match=rf"tellmewhy cannot be read .*Name or service not known.*{advice}"):
        load_task("tellmewhy", source="hub")
    monkeypatch.setattr("huggingface_hub.HfApi", FakeApi)
    monkeypatch.setattr("datasets.load_dataset", broken)
    with pytest.raises(TaskError, match=rf"reset by peer.*{advice}"):
        load_task("wikibio", source="hub")


def test_the_catalog_is_imported_without_torch_or_datasets() -> None:
    code = (
        "import sys, evaluate.tasks.catalog; sys.exit(any(m in sys.modules for m in ('torch', 'datasets')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_real_files_by_name(shared: Path) -> None:
    pairs = load_task("longra", source=str(shared / "data" / "longra" / "questions-words.txt"), limit=30)
    assert len(pairs.examples) == 30
    passages = load_task(
        "lambada-rationales", source=str(shared / "data" / "longra" / "annotated_lambada.jsonl")
    )
    assert len(passages.examples) == 70
