"""Work on an engine: what breaks is told and stops nothing; what is done is the same wherever it is done."""

from __future__ import annotations

import functools
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from fakes.benchmarks import FEW, made_task
from pydantic.dataclasses import dataclass as checked
from typer.testing import CliRunner

import heat
from annotate.benchmark import Benchmark
from evaluate.alignment.run import alignment
from evaluate.cli import app
from evaluate.engine import Failure, LocalEngine, engine_of, only, stateless
from evaluate.errors import EngineError, EvaluateError
from evaluate.faithfulness.run import faithfulness
from evaluate.pipeline.run import RunConfig
from evaluate.pipeline.store import Store
from evaluate.robustness.options import Options as RobustnessOptions
from evaluate.robustness.run import robustness
from evaluate.sanity import Sanity, sanity
from evaluate.tasks.task import Example
from heat import LanguageModel
from heat.method import Method, Scores
from heat.registry import _REGISTERED

if TYPE_CHECKING:
    from evaluate.engine.ray import RayEngine

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra 'ray'")


@checked(frozen=True)
class Breaking(Method):
    """Breaks, as a bug would, on every text that names the queen."""

    name = "breaking"
    summary, source, needs = "", "", ()

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {}

    def score(self, lm: LanguageModel, batch: Any, *, seed: int = 0, batch_tokens: int = 1) -> Scores:
        text = lm.tokenizer.batch_decode(batch.token_ids)
        if any("queen 1" in each for each in text):
            raise KeyError("a bug")
        return Scores(torch.ones(len(batch.rows), batch.token_ids.shape[1]))


def test_what_breaks_is_tried_again_and_told(lm: LanguageModel) -> None:
    tries: list[int] = []

    def work(lm: LanguageModel, job: int) -> int:
        tries.append(job)
        if job == 1 or (job == 2 and tries.count(2) < 3):
            raise ValueError("no\nnumber")
        return 10 * job

    found = list(LocalEngine(lm).map(stateless(work), range(4)))
    assert found == [(0, 0), (1, Failure("ValueError: no number", 3)), (2, 20), (3, 30)]
    assert tries == [0, 1, 1, 1, 2, 2, 2, 3]
    assert only(LocalEngine(lm), work, 3) == 30
    with pytest.raises(EngineError, match="failed 3 times: ValueError: no number"):
        only(LocalEngine(lm), work, 1)
    assert engine_of(lm).lm is lm
    engine = LocalEngine(lm)
    assert engine_of(engine) is engine


def test_what_is_wrong_for_all_stops_the_run(lm: LanguageModel) -> None:
    def work(lm: LanguageModel, job: int) -> int:
        raise EvaluateError("no such thing")

    with pytest.raises(EvaluateError, match="no such thing"):
        list(LocalEngine(lm).map(stateless(work), [1]))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_REGISTERED, "breaking", Breaking)


@pytest.mark.usefixtures("broken")
def test_a_broken_example_takes_no_other_with_it(
    examples: list[Example], lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [
        each.model_copy(update={"id": f"{each.id}-{n}", "prompt": each.prompt})
        for n in range(3)
        for each in examples
    ]
    names = [index for index in range(len(many)) if index % 7 == 3]
    for index in names:
        old = many[index]
        prompt = f"{old.prompt} queen 1{'' if old.prompt.endswith('.') else '.'}"
        many[index] = old.model_copy(update={"prompt": prompt})
    found = alignment(made_task(many), lm, ["breaking"], RunConfig(tmp_path))
    row = next(row for row in found.methods if row.method == "breaking")
    assert row.refused == len(names)
    assert row.metrics["auprc"].n == len(many) - len(names)
    assert row.refused_example == "tried 3 times: KeyError: 'a bug'"
    with Store(tmp_path) as store:
        failed = {score.example_id for score in store.scores.values() if score.status == "failed"}
    assert failed == {many[index].id for index in names}
    # What failed is not tried again, until that is asked for.
    monkeypatch.setitem(_REGISTERED, "breaking", type("Mended", (Breaking,), {"score": _ones}))
    again = alignment(made_task(many), lm, ["breaking"], RunConfig(tmp_path))
    assert (again.computed, again.methods[-1].refused) == (0, len(names))
    mended = alignment(made_task(many), lm, ["breaking"], RunConfig(tmp_path, retry_failed=True))
    assert next(row for row in mended.methods if row.method == "breaking").refused == 0
    assert mended.computed > 0


def _ones(self: Method, lm: LanguageModel, batch: Any, *, seed: int = 0, batch_tokens: int = 1) -> Scores:
    return Scores(torch.ones(len(batch.rows), batch.token_ids.shape[1]))


def test_an_example_that_breaks_the_reading_of_prompts_is_skipped(
    examples: list[Example], lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = heat.encode

    def encode(lm: LanguageModel, prompt: Any, *args: Any, **options: Any) -> Any:
        if prompt == examples[1].prompt:
            raise IndexError("a bug")
        return read(lm, prompt, *args, **options)

    monkeypatch.setattr(heat, "encode", encode)
    found = alignment(made_task(examples), lm, ["random"], RunConfig(tmp_path))
    assert found.scored == len(examples) - 1
    assert found.skipped == {"failed": 1}
    assert found.skipped_example == f"for instance {examples[1].id}: tried 3 times: IndexError: a bug"


@pytest.fixture(scope="module")
def ray_engine(lm_folder: Path) -> Iterator[RayEngine]:
    from evaluate.engine.ray import Cluster, RayEngine

    with RayEngine(functools.partial(heat.load, lm_folder), Cluster(num_workers=2)) as engine:
        yield engine


@needs_ray
def test_ray_restarts_a_worker_that_dies_and_gives_up_what_kills_it(
    ray_engine: RayEngine, tmp_path: Path
) -> None:
    def work(lm: LanguageModel, job: int) -> int:
        if job == 2 or (job == 4 and not (tmp_path / "died").exists()):
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if job == 3:
            raise ValueError("poison")
        return lm.vocab_size + job

    found = dict(ray_engine.map(stateless(work), range(8)))
    size = ray_engine.lm.vocab_size
    assert {job: each for job, each in found.items() if job not in (2, 3)} == {
        job: size + job for job in (0, 1, 4, 5, 6, 7)
    }
    assert found[3] == Failure("ValueError: poison", 3)
    killed = found[2]
    assert isinstance(killed, Failure)
    assert killed.error.startswith("the worker died")


@needs_ray
def test_what_a_lost_node_had_is_done_elsewhere_whether_or_not_it_comes_back(
    lm_folder: Path, tmp_path: Path
) -> None:
    code = """
import functools, pathlib, sys, time
import ray, ray.cluster_utils
import heat
from evaluate.engine import stateless
from evaluate.engine.ray import Cluster, RayEngine

place = pathlib.Path(sys.argv[2])

def work(lm, job):
    here = ray.get_runtime_context().get_node_id()
    if here != (place / "driver").read_text() and not (place / "hung").exists():
        (place / "hung").write_text(here)
        time.sleep(600)
    return job

hosts = ray.cluster_utils.Cluster(head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [hosts.add_node(num_cpus=1) for _ in range(2)]
load = functools.partial(heat.load, sys.argv[1])
with RayEngine(load, Cluster(address=hosts.address, num_workers=2)) as engine:
    (place / "driver").write_text(ray.get_runtime_context().get_node_id())
    found = []
    for job, result in engine.map(stateless(work), range(12)):
        found.append((job, result))
        if len(found) == 11:  # all but the piece that hangs
            (lost,) = [node for node in nodes if node.node_id == (place / "hung").read_text()]
            lost.kill_raylet(check_alive=False)
    assert sorted(found) == [(job, job) for job in range(12)], found
    assert sorted(engine.map(stateless(work), range(3))) == [(job, job) for job in range(3)]
hosts.shutdown()
"""
    command = [sys.executable, "-c", code, str(lm_folder), str(tmp_path)]
    environment = {
        **os.environ,
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_failure_threshold": "2",
    }
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=environment, cwd=Path(__file__).parents[3]
    )
    assert done.returncode == 0, done.stderr[-2000:]


@needs_ray
def test_ray_gives_the_bytes_of_a_local_run(
    ray_engine: RayEngine, examples: list[Example], lm_folder: Path, tmp_path: Path
) -> None:
    checks: dict[str, list[Sanity]] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker has
    try:
        for place, engine in (("ray", ray_engine), ("local", LocalEngine(heat.load(lm_folder)))):
            out = tmp_path / place
            config = RunConfig(out, seed=3)
            alignment(made_task(examples), engine, ["heat", "occlusion"], config)
            faithfulness(made_task(examples), engine, ["heat", "occlusion"], config, options=FEW)
            checks[place] = sanity(made_task(examples), engine, ["gradient-norm"])
            robustness(
                made_task(examples),
                engine,
                ["gradient-norm"],
                config,
                probe="perturbation",
                options=RobustnessOptions(draws=2),
            )
    finally:
        torch.set_num_threads(threads)
    assert checks["ray"] == checks["local"]
    local, ray = (
        {
            path.relative_to(tmp_path / place): path.read_bytes()
            for path in (tmp_path / place).rglob("*")
            if path.is_file() and path.name not in ("timings.jsonl", ".lock", "scores.jsonl", "items.jsonl")
        }
        for place in ("local", "ray")
    )
    assert local == ray
    for name in ("scores.jsonl", "items.jsonl"):  # the same rows, in the order in which they were finished
        assert sorted((tmp_path / "local" / name).read_bytes().splitlines()) == sorted(
            (tmp_path / "ray" / name).read_bytes().splitlines()
        )


@needs_ray
def test_a_model_that_workers_cannot_load_is_one_line(benchmark_of: Benchmark, tmp_path: Path) -> None:
    options = ["--benchmark", benchmark_of.path, "--model", tmp_path / "none", "--engine", "ray"]
    command = [sys.executable, "-m", "evaluate.cli", "alignment", *map(str, options), "--num-workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=False)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("error: a worker could not load the model")
    assert "no model folder" in last


def test_ray_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    from evaluate.engine.ray import Cluster, RayEngine

    with pytest.raises(EngineError, match=r"heat-alignment\[ray\]"), RayEngine(heat.load, Cluster()):
        pass


def test_a_wrong_resource_is_one_line(benchmark_of: Benchmark) -> None:
    command = ["alignment", "--benchmark", str(benchmark_of.path), "--engine", "ray", "--resources", "gpu"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, EngineError)
    assert "NAME=AMOUNT" in str(result.exception)


def test_shards_make_the_whole(
    make_benchmark: Callable[..., Benchmark], examples: list[Example], lm: LanguageModel, tmp_path: Path
) -> None:
    from evaluate.pipeline.shards import merge, shard_of

    many = [each.model_copy(update={"id": f"{each.id}-{n}"}) for n in range(5) for each in examples]
    many = [each.model_copy(update={"prompt": f"{n}. {each.prompt}"}) for n, each in enumerate(many)]
    many = [
        each.model_copy(
            update={"words": tuple((a + len(f"{n}. "), b + len(f"{n}. ")) for a, b in each.words)}
        )
        for n, each in enumerate(many)
    ]
    task = made_task(many)
    whole = alignment(task, lm, ["heat"], RunConfig(tmp_path / "whole"))
    for index in (1, 2):
        alignment(shard_of(task, f"{index}/2"), lm, ["heat"], RunConfig(tmp_path / f"part-{index}"))
    found = merge(tmp_path / "merged", [tmp_path / "part-1", tmp_path / "part-2"])
    assert found.items == len(many)
    assert found.attributions == found.scores == len(many)
    again = merge(tmp_path / "merged", [tmp_path / "part-1"])
    assert (again.items, again.scores, again.attributions) == (0, 0, 0)
    merged = alignment(task, lm, ["heat"], RunConfig(tmp_path / "merged"))
    assert (merged.computed, merged.reused) == (0, len(many))
    assert (tmp_path / "merged" / "alignment.json").read_bytes() == (
        tmp_path / "whole" / "alignment.json"
    ).read_bytes()
    assert [row.metrics for row in merged.methods] == [row.metrics for row in whole.methods]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "a/b", "1", "2/2"])
def test_a_shard_that_cannot_be(shard: str, examples: list[Example]) -> None:
    from evaluate.pipeline.shards import shard_of

    with pytest.raises(EvaluateError, match=r"--shard takes I/N|is empty"):
        shard_of(made_task(examples), shard)


def test_merging_what_is_no_results_folder(tmp_path: Path) -> None:
    from evaluate.pipeline.shards import merge

    with pytest.raises(EvaluateError, match="no results folder"):
        merge(tmp_path / "out", [tmp_path])
    with Store(tmp_path / "out"):
        pass
    with pytest.raises(EvaluateError, match="both read and written"):
        merge(tmp_path / "out", [tmp_path / "out"])
