"""Planted methods under every probe: who should fall falls, and the model and the store stay as they should."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from fakes.attributions import made
from fakes.tiny_models import tiny_lm
from pydantic.dataclasses import dataclass as checked

import heat
from annotate.words import split_words
from evaluate.errors import NothingScoredError
from evaluate.pipeline.answers import generate
from evaluate.pipeline.records import Evaluation, read_result
from evaluate.pipeline.run import RunConfig
from evaluate.pipeline.runner import chosen_methods
from evaluate.pipeline.store import Store
from evaluate.pipeline.table import as_markdown, notes, terminal_table
from evaluate.robustness.copies import token_scores
from evaluate.robustness.decoding import answered
from evaluate.robustness.options import GREEDY, DecodingSetting, Options
from evaluate.robustness.run import metrics_of, robustness
from evaluate.tasks.task import Example, Task
from heat import LanguageModel
from heat.batch import Batch
from heat.method import Method, Scores
from heat.registry import _REGISTERED

TEXTS = [
    "Many researchers agree. The dog chased the cat. The ant carries the gout in dry weather.\nWhat chased it?",
    "Tom visited his sister. The king talks, as ever. The bee carries the flu in dry weather.\nWho is it?",
    "The fern absorbs the iron in dry weather. Nobody talks. They painted a house.\nWhat is absorbed by the fern?",
    "Everybody talks. It rained because the sky was grey. The ant carries the flu in deep soil.\nWho talks?",
]
SMALL = Options(
    draws=2,
    settings=(
        DecodingSetting(name="hot-1", temperature=2.0, seed=1),
        DecodingSetting(name="cold", temperature=0.001, seed=2),
        DecodingSetting(name="beam", beams=2),
    ),
    answer_tokens=2,
)


class Planted(Method):
    summary, source, needs = "", "", ()

    def score(self, lm: LanguageModel, batch: Batch, *, seed: int = 0, batch_tokens: int = 1) -> Scores:
        inside = batch.context
        rows = torch.zeros(inside.shape)
        for row in range(len(rows)):
            ids = batch.token_ids[batch.rows[row]][inside[row]]
            rows[row, inside[row]] = self.scores(lm, ids)
        return Scores(rows)

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {}

    @abstractmethod
    def scores(self, lm: LanguageModel, ids: torch.Tensor) -> torch.Tensor: ...


def drawn(key: str, n: int) -> torch.Tensor:
    digest = hashlib.sha256(key.encode()).digest()
    return torch.rand(n, generator=torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1))


@checked(frozen=True)
class Steady(Planted):
    """A number for each token of the vocabulary, whatever stands around it: as steady as can be."""

    def scores(self, lm: LanguageModel, ids: torch.Tensor) -> torch.Tensor:
        return drawn("steady", lm.vocab_size)[ids]


@checked(frozen=True)
class Tiny(Steady):
    """Drawn anew from whatever is in the embeddings or ids, but a millionth in size, over a constant."""

    def scores(self, lm: LanguageModel, ids: torch.Tensor) -> torch.Tensor:
        table = lm.model.get_input_embeddings().weight
        return 1.0 + 1e-4 * drawn(str((table[ids].sum().item(), ids.tolist())), len(ids))


@checked(frozen=True)
class Unstable(Planted):
    """Scores depend on a hash of the embeddings: another number under any noise and any edit."""

    def scores(self, lm: LanguageModel, ids: torch.Tensor) -> torch.Tensor:
        table = lm.model.get_input_embeddings().weight
        return drawn(str((table[ids].sum().item(), ids.tolist())), len(ids))


@checked(frozen=True)
class Decoder(Planted):
    """Reads how the model is to draw its answers."""

    def scores(self, lm: LanguageModel, ids: torch.Tensor) -> torch.Tensor:
        config = lm.model.generation_config
        steady = drawn("steady", lm.vocab_size)[ids]
        return (
            steady + drawn(f"{config.temperature} {config.num_beams}", len(ids))
            if config.do_sample
            else steady
        )


PROBES = ("noise", "edits", "paraphrase", "decoding")
METHODS = {"steady": Steady, "tiny": Tiny, "unstable": Unstable, "decoder": Decoder}


@pytest.fixture(scope="module", autouse=True)
def planted() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, method in METHODS.items():
            patch.setitem(_REGISTERED, name, method)
            patch.setattr(method, "name", name, raising=False)
        yield


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_lm("llama", max_position_embeddings=256)


@pytest.fixture(scope="module")
def task() -> Task:
    examples = [
        Example(
            id=f"e{index}",
            prompt=f"{text}\nAnswer:",
            target=" a",
            words=(words := split_words(text)),
            gold=(0, len(words) - 2),
            distractor=(1,),
        )
        for index, text in enumerate(TEXTS)
    ]
    return Task(name="made", source="by hand", examples=tuple(examples))


def run(
    task: Task,
    lm: LanguageModel,
    out: Path,
    probe: str,
    methods: tuple[str, ...] = tuple(METHODS),
    command: str = "",
) -> list[Evaluation]:
    return robustness(task, lm, [*methods], RunConfig(out, command=command), probe=probe, options=SMALL)


@pytest.fixture(scope="module")
def folder(task: Task, lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of every probe on every planted method."""
    out = tmp_path_factory.mktemp("results")
    run(
        task, lm, out, "all", (*METHODS, "constant", "random", "gradient-norm"), command="evaluate robustness"
    )
    return out


@pytest.fixture
def results(folder: Path) -> dict[str, Evaluation]:
    return {name: read_result(folder, f"robustness-{name}") for name in PROBES}


def order(result: Evaluation) -> list[str]:
    return [row.method for row in result.methods]


def means(result: Evaluation, metric: str) -> Mapping[str, float | None]:
    return {row.method: row.metrics[metric].mean for row in result.methods}


def test_noise_ranks_the_planted(results: dict[str, Evaluation]) -> None:
    noise = results["noise"]
    ranks = means(noise, "rank_stability")
    assert order(noise)[-1] == "constant"
    assert ranks["constant"] is None
    assert noise.methods[-1].constant == 4
    assert ranks["steady"] == ranks["decoder"] == 1.0
    assert set(order(noise)[-4:-1]) == {"unstable", "tiny", "random"}
    assert all(abs(ranks[name]) < 0.3 for name in ("unstable", "tiny", "random"))
    assert 0.3 < ranks["gradient-norm"] < 1
    # A small scale looks steady in raw figures alone.
    assert (
        means(noise, "gaussian_spread_raw")["tiny"]
        < 1e-3
        < 0.1
        < means(noise, "gaussian_spread_raw")["unstable"]
    )
    assert means(noise, "uniform_max_sensitivity_raw")["tiny"] < 1e-3
    assert means(noise, "gaussian_spread")["tiny"] > 0.5
    assert means(noise, "uniform_max_sensitivity")["tiny"] > 1
    assert means(noise, "gaussian_spread")["steady"] == 0
    assert [each.name for each in noise.copies] == ["gaussian-1", "gaussian-2", "uniform-1", "uniform-2"]
    assert all(each.made == 4 for each in noise.copies)


def test_scores_of_what_stands_for_no_character_are_left_out() -> None:
    spans = [(0, 0), (0, 1), (1, 2), (2, 3), (3, 4)]
    rows = [[9.0, 1.0, 2.0, 0.0, 0.0], [8.0, 3.0, 4.0, 5.0, 0.0]]
    found = token_scores(made("abcd", spans, rows, n_targets=2))
    assert [each.tolist() for each in found] == [[1, 2], [3, 4, 5]]


def test_edits_rank_the_planted(task: Task, results: dict[str, Evaluation]) -> None:
    edits = results["edits"]
    ranks = means(edits, "spearman")
    assert order(edits)[-1] == "constant"
    assert ranks["constant"] is None
    # A token's number is its own, and most tokens are the same after an edit.
    assert ranks["steady"] > 0.5 > 0.4 > max(ranks[name] for name in ("unstable", "tiny", "random"))
    assert set(order(edits)[:2]) <= {"steady", "decoder", "gradient-norm"}
    assert [each.name for each in edits.copies] == ["synonym", "case", "punctuation", "distractor", "order"]
    # Of the words of the text as it was: a new sentence takes none away, and one text has one comma to lose.
    coverage = {each.name: each.coverage for each in edits.copies}
    assert coverage["distractor"] == 1
    assert coverage["punctuation"] == pytest.approx(1 - 1 / len(task.examples[1].words))


def test_paraphrases_rank_the_planted_and_count_survivors(results: dict[str, Evaluation]) -> None:
    result = results["paraphrase"]
    ranks = means(result, "spearman")
    assert order(result)[-1] == "constant"
    assert ranks["steady"] > 0.6 > 0.4 > max(ranks[name] for name in ("unstable", "tiny", "random"))
    counts = {each.name: each for each in result.copies}
    assert counts["voice"].made == 4
    assert 0.9 < counts["voice"].coverage <= 1
    assert 0 < sum(each.survived for each in result.copies) <= sum(each.made for each in result.copies)
    found = means(result, "spearman_voice")
    assert found["steady"] is None or found["steady"] > 0.6
    assert means(result, "overlap")["steady"] > 0.4


def test_a_decoding_dependent_method_is_caught(results: dict[str, Evaluation]) -> None:
    result = results["decoding"]
    ranks, moved = means(result, "stayed"), means(result, "stayed_moved_raw")
    assert order(result)[-1] == "constant"
    assert ranks["steady"] == ranks["gradient-norm"] == ranks["unstable"] == 1
    assert moved["steady"] == moved["gradient-norm"] == 0
    assert ranks["decoder"] < 0.95
    assert moved["decoder"] > 0.1
    # What a method draws itself moves with the seed of the drawing.
    assert ranks["random"] < 0.95
    by_name = {row.method: row for row in result.methods}
    assert by_name["steady"].aggregates["auprc_variation_stayed"].mean == 0
    assert by_name["decoder"].aggregates["auprc_variation_stayed"].mean > 0
    assert by_name["decoder"].aggregates["auprc_variation"].mean >= 0
    assert result.frame.set_index("method").loc["decoder", "auprc_variation"] > 0
    # A hot draw of a random model says something else; one that is all but cold says what greedy search says.
    counts = {each.name: each for each in result.copies}
    assert counts["hot-1"].survived < counts["hot-1"].made
    assert counts["cold"].survived == counts["cold"].made


@pytest.mark.parametrize("probe", ["paraphrase", "decoding"])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    probe: str, task: Task, lm: LanguageModel, tmp_path: Path
) -> None:
    (first,) = run(task, lm, tmp_path / "a", probe, ("unstable",))
    (again,) = run(task, lm, tmp_path / "a", probe, ("unstable",))
    # Only what the prediction survives is attributed.
    copies = sum(each.survived if probe == "paraphrase" else each.made for each in first.copies)
    assert first.computed == first.scored + copies == len(list((tmp_path / "a" / "attributions").iterdir()))
    assert (first.reused, again.computed, again.reused) == (0, 0, first.computed)
    with Store(tmp_path / "b"):
        pass
    for path in sorted((tmp_path / "a" / "attributions").iterdir())[:5]:
        (tmp_path / "b" / "attributions" / path.name).write_bytes(path.read_bytes())
    run(task, lm, tmp_path / "b", probe, ("unstable",))
    names = {path.name for path in (tmp_path / "a").iterdir() if path.is_file()} - {"timings.jsonl", ".lock"}
    assert {f"robustness-{probe}.{end}" for end in ("json", "csv", "md", "tex")} < names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_disturbed_attributions_do_not_collide_with_clean_ones(folder: Path) -> None:
    found = [heat.Attribution.load(path) for path in (folder / "attributions").iterdir()]
    noisy = {each.revision for each in found if "decoding" not in each.revision}
    assert noisy == {
        "random",
        *(f"random+{kind}-0.1-{seed}" for kind in ("gaussian", "uniform") for seed in (1, 2)),
    }
    keys = {(each.text, each.target_span, each.revision, each.seed, each.method) for each in found}
    assert len(keys) == len(found)


def test_the_model_and_the_caller_s_draws_stay_as_they_were(
    task: Task, lm: LanguageModel, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    config = lm.model.generation_config.to_dict()
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    run(task, lm, tmp_path, "all", ("position",))
    run(task, lm, tmp_path / "more", "perturbation", ("gradient-norm",))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in lm.model.state_dict().items())
    assert lm.model.generation_config.to_dict() == config
    assert not any(weight.grad is not None for weight in lm.model.parameters())
    assert all(weight.requires_grad for weight in lm.model.parameters())


def test_answers_are_drawn_as_asked(lm: LanguageModel) -> None:
    prompt = "The dog chased the cat. Answer:"
    greedy = generate(lm, prompt, GREEDY, 3)
    expected = heat.encode(lm, prompt, None, max_targets=3)
    assert greedy == expected.text.removeprefix(prompt)
    hot = DecodingSetting(name="hot", temperature=3.0, seed=1)
    assert generate(lm, prompt, hot, 3) == generate(lm, prompt, hot, 3)
    assert len({generate(lm, prompt, hot, 3, seed=seed) for seed in range(6)}) > 2
    assert generate(lm, prompt, DecodingSetting(name="one", temperature=3.0, top_k=1), 3) == greedy
    assert generate(lm, prompt, DecodingSetting(name="nucleus", temperature=3.0, top_p=1e-6), 3) == greedy


def test_answers_are_on_the_disk_setting_by_setting(
    task: Task, lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.jsonl"
    synced = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(path.read_bytes()))
    answered(task, lm, SMALL, 0, tmp_path)
    assert [data.count(b"\n") for data in synced] == [4, 8, 12, 16]
    answered(task, lm, SMALL, 0, tmp_path)
    assert len(synced) == 4


def test_examples_without_an_answer_are_named(task: Task, lm: LanguageModel, tmp_path: Path) -> None:
    long = task.examples[0].model_copy(update={"id": "long", "prompt": "The dog. " * 200})
    said, answers = answered(
        Task(name="made", source="", examples=(long, task.examples[1])), lm, SMALL, 0, tmp_path
    )
    assert said.left_out == {"the model cannot go on": ("long",)}
    assert [each.id for each in said.examples] == ["e1"]
    assert said.examples[0].target == answers["greedy"]["e1"]


def test_a_text_that_nothing_changes_is_counted_out(lm: LanguageModel, tmp_path: Path) -> None:
    text = "Nothing here"
    example = Example(id="x", prompt=f"{text}\nAnswer:", target=" a", words=split_words(text))
    with pytest.raises(NothingScoredError, match="1 no changed copy that the prediction survives"):
        run(Task(name="made", source="", examples=(example,)), lm, tmp_path, "paraphrase", ("steady",))


def test_tables_and_files(folder: Path, results: dict[str, Evaluation]) -> None:
    for name, result in results.items():
        assert result.kind == f"robustness-{name}"
        metrics = metrics_of(result)
        assert terminal_table(result, metrics).row_count == 7
        assert (folder / f"{result.kind}.md").read_text() == as_markdown(result, metrics)
        assert json.loads((folder / f"{result.kind}.json").read_text())["options"]["draws"] == 2
    text = " ".join(notes(results["paraphrase"], metrics_of(results["paraphrase"])))
    voice = next(each for each in results["paraphrase"].copies if each.name == "voice")
    assert f"voice: 4 copies, the model's first token is the same on {voice.survived}; " in text


def test_the_controls_stand_beside_what_is_asked_for() -> None:
    assert chosen_methods(["steady"]) == ["steady", "random"]
