"""A small benchmark made by hand, and a random model that can read it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fakes.benchmarks import ROWS, make_gold, make_paragraph, write_benchmark
from fakes.tiny_models import tiny_lm

from annotate.benchmark import Benchmark
from annotate.schema import Gold, Label, Paragraph
from evaluate.alignment.run import alignment
from evaluate.pipeline.run import RunConfig
from evaluate.tasks.curated import curated
from evaluate.tasks.task import Example
from heat import LanguageModel


@pytest.fixture(scope="session")
def paragraphs() -> list[Paragraph]:
    return [make_paragraph(number, *row) for number, row in enumerate(ROWS)]


@pytest.fixture
def make_benchmark(tmp_path: Path) -> Callable[..., Benchmark]:
    """Write a benchmark folder: paragraphs, and gold or labels where they are given."""

    def make(
        paragraphs: Sequence[Paragraph],
        gold: Sequence[Gold] = (),
        labels: Sequence[Label] = (),
        name: str = "benchmark",
    ) -> Benchmark:
        return write_benchmark(tmp_path / name, paragraphs, gold, labels)

    return make


@pytest.fixture
def benchmark_of(make_benchmark: Callable[..., Benchmark], paragraphs: list[Paragraph]) -> Benchmark:
    """Five paragraphs whose gold is their evidence, as if two offline annotators had agreed on it."""
    return make_benchmark(paragraphs, gold=[make_gold(p, p.evidence) for p in paragraphs])


@pytest.fixture
def examples(benchmark_of: Benchmark) -> list[Example]:
    """The same five as examples."""
    return list(curated(benchmark_of).examples)


@pytest.fixture(scope="session")
def lm() -> LanguageModel:
    return tiny_lm("llama", max_position_embeddings=256)


@pytest.fixture(scope="session")
def lm_folder(lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a folder, for the command line."""
    folder = tmp_path_factory.mktemp("model")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def finished(
    paragraphs: list[Paragraph], lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A results folder of HEAT, two baselines and random on the five paragraphs; copy it to change it."""
    folder = tmp_path_factory.mktemp("finished")
    gold = [make_gold(p, p.evidence or ()) for p in paragraphs]
    task = curated(write_benchmark(folder / "benchmark", paragraphs, gold))
    methods = ["random", "input-x-gradient", "gradient-norm", "heat"]
    alignment(task, lm, methods, RunConfig(folder / "out", command="evaluate alignment -x"))
    return folder / "out"
