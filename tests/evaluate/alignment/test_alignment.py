"""Alignment as a whole on a tiny model: right numbers, nothing computed twice, nothing silently left out."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes.benchmarks import make_gold, make_paragraph
from fakes.tiny_models import tiny_lm
from pydantic.dataclasses import dataclass
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score

import heat
from annotate.benchmark import Benchmark
from annotate.schema import Paragraph
from evaluate.alignment.run import alignment, example_scores, people_scores
from evaluate.errors import EvaluateError, NothingScoredError, StoreError
from evaluate.metrics.alignment import METRICS
from evaluate.pipeline import answers, runner
from evaluate.pipeline.records import read_examples, read_result
from evaluate.pipeline.run import RunConfig
from evaluate.pipeline.store import Item, Score
from evaluate.pipeline.table import notes
from evaluate.results.folder import score_rows
from evaluate.tasks.curated import curated
from evaluate.tasks.task import Example
from heat import LanguageModel, generation
from heat.generation import Said
from heat.method import Method, Scores
from heat.registry import _REGISTERED

Make = Callable[..., Benchmark]
NAMES = ("input-x-gradient", "random")


def rows(folder: Path) -> list[Score]:
    return [Score.model_validate_json(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def items(folder: Path) -> list[Item]:
    return [Item.model_validate_json(line) for line in (folder / "items.jsonl").read_text().splitlines()]


def words_by_hand(
    lm: LanguageModel, paragraph: Paragraph, method: str, max_targets: int | None
) -> np.ndarray:
    """Word scores by a loop over characters."""
    found = heat.attribute(
        lm, paragraph.text + "\nAnswer:", " " + paragraph.answer, method, max_targets=max_targets
    )
    word_at = {i: w for w, (a, b) in enumerate(paragraph.words) for i in range(a, b)}
    sums, shares = np.zeros(len(paragraph.words)), np.zeros(len(paragraph.words))
    for token, (start, end) in enumerate(found.offsets):
        touched = [word_at[i] for i in range(start, end) if i in word_at]
        for word in touched:
            sums[word] += float(found.scores[:, token].mean()) / len(touched)
            shares[word] += 1 / len(touched)
    return sums / shares


def test_numbers_are_those_of_an_independent_computation(
    benchmark_of: Benchmark, paragraphs: list[Paragraph], lm: LanguageModel, tmp_path: Path
) -> None:
    result = alignment(curated(benchmark_of), lm, ["input-x-gradient"], RunConfig(tmp_path / "out"))
    auprcs, aurocs, dsas = [], [], []
    for paragraph in paragraphs:
        scores = words_by_hand(lm, paragraph, "input-x-gradient", 1)
        narrative = np.array([end <= paragraph.text.index("\n") for _, end in paragraph.words])
        mass = np.maximum(scores, 0) / np.maximum(scores, 0).sum()
        gold = np.isin(np.arange(len(scores)), paragraph.evidence)
        precision, recall, _ = precision_recall_curve(gold, scores)
        auprcs.append(auc(recall, precision))
        aurocs.append(roc_auc_score(gold, scores))
        dsas.append(mass[gold].sum() - mass[narrative].sum())
    metrics = result.methods[0].metrics
    assert metrics["dsa"].mean == pytest.approx(np.mean(dsas), abs=1e-6)
    assert metrics["auprc"].mean == pytest.approx(np.mean(auprcs), abs=1e-6)
    assert metrics["auroc"].mean == pytest.approx(np.mean(aurocs), abs=1e-6)
    assert metrics["auprc"].low < metrics["auprc"].mean < metrics["auprc"].high
    density = np.mean([len(p.evidence) / len(p.words) for p in paragraphs])
    assert result.chance["auprc"].mean == pytest.approx(density)


def test_all_targets_are_averaged(
    benchmark_of: Benchmark, paragraphs: list[Paragraph], lm: LanguageModel, tmp_path: Path
) -> None:
    result = alignment(
        curated(benchmark_of), lm, ["input-x-gradient"], RunConfig(tmp_path / "out", target="all")
    )
    aurocs = []
    for paragraph in paragraphs:
        scores = words_by_hand(lm, paragraph, "input-x-gradient", None)
        aurocs.append(roc_auc_score(np.isin(np.arange(len(scores)), paragraph.evidence), scores))
    assert result.methods[0].metrics["auroc"].mean == pytest.approx(np.mean(aurocs), abs=1e-6)
    first = alignment(
        curated(benchmark_of), lm, ["input-x-gradient"], RunConfig(tmp_path / "out", target="first")
    )
    assert first.computed == 5
    assert first.methods[0].metrics != result.methods[0].metrics


def saying(monkeypatch: pytest.MonkeyPatch, text_of: Callable[[str], str]) -> None:
    """Let every model say this to a prompt."""

    def said_to_each(lm: LanguageModel, heads: list[list[int]], *args: Any) -> list[Said]:
        tokenizer = lm.tokenizer
        texts = [text_of(tokenizer.decode(head)) for head in heads]
        ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
        return [Said(tuple(said), None if said else tokenizer.eos_token_id) for said in ids]

    monkeypatch.setattr(generation, "said_to_each", said_to_each)


def test_accuracy_f1_and_probability_are_of_the_whole_answer(
    make_benchmark: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"lead": " The lead.\nNext", "tin": " tin and lead"}
    rows_ = [
        make_paragraph(i, "Rain fell.", f"The bell is made of {answer}.", "What is the bell made of?", answer)
        for i, answer in enumerate(said)
    ]
    saying(monkeypatch, lambda prompt: said["tin" if "tin" in prompt else "lead"])
    lm = tiny_lm("llama", max_position_embeddings=256)
    benchmark = make_benchmark(rows_, gold=[make_gold(p, [4]) for p in rows_])
    result = alignment(curated(benchmark), lm, ["random"], RunConfig(tmp_path / "out"))
    found = items(tmp_path / "out")
    assert [(item.answer, item.correct) for item in found] == [(" The lead.", True), (" tin and lead", False)]
    assert [item.f1 for item in found] == pytest.approx([1.0, 0.5])
    assert (result.accuracy.mean, result.answer_f1.mean) == pytest.approx((0.5, 0.75))
    for item, paragraph in zip(found, rows_, strict=True):
        encoded = heat.encode(lm, paragraph.text + "\nAnswer:", " " + paragraph.answer)
        assert item.probability == pytest.approx(*answers.probabilities(lm, [encoded]))
        assert item.expected == lm.tokenizer.decode([encoded.token_ids[encoded.n_prompt]])
    assert result.answer_probability.mean == pytest.approx(np.mean([item.probability for item in found]))


def test_what_the_model_says_is_explained(
    make_benchmark: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_ = [make_paragraph(i, "Rain fell.", f"The bell {i} is tin.", "What is it?", "tin") for i in range(3)]
    saying(monkeypatch, lambda prompt: "" if "bell 1" in prompt else " bell of tin")
    lm = tiny_lm("llama", max_position_embeddings=256)
    task = replace(curated(make_benchmark(rows_, gold=[make_gold(p, [4]) for p in rows_])), answer="model")
    result = alignment(task, lm, ["random"], RunConfig(tmp_path))
    assert (result.scored, result.skipped) == (2, {"empty answer": 1})
    assert {example.target for example in read_examples(tmp_path, result)} == {" bell of tin"}
    # Judged against the benchmark's answer, whatever is explained.
    assert (result.accuracy.mean, result.answer_f1.mean) == pytest.approx((0.0, 0.5))
    assert any("the model's own answer" in note for note in notes(result, METRICS))


def test_aggregations_share_attributions_but_not_scores(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path
) -> None:
    task = curated(benchmark_of)
    found = {
        how: alignment(replace(task, aggregation=how), lm, ["input-x-gradient"], RunConfig(tmp_path))
        for how in ("mean", "sum", "max")
    }
    assert [result.computed for result in found.values()] == [5, 0, 0]
    for result in found.values():  # the folder holds the last one's file, and everyone's rows
        assert score_rows(tmp_path, result) == {name: [*rows] for name, rows in result.rows.items()}
    assert len({str(result.methods[0].metrics) for result in found.values()}) == 3
    for how, result in found.items():
        for example, row in zip(task.examples, result.rows["input-x-gradient"], strict=True):
            attribution = heat.attribute(
                lm, example.prompt, example.target, "input-x-gradient", max_targets=1
            )
            scores = example_scores(attribution, example, how)
            gold = np.isin(np.arange(len(scores)), example.gold)
            assert row.values["auroc"] == pytest.approx(roc_auc_score(gold, scores))


def test_a_foil_is_another_question(benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path) -> None:
    task = curated(benchmark_of)
    with_foils = [each.model_copy(update={"foil": " brass"}) for each in task.examples[:4]]
    against = replace(task, examples=(*with_foils, task.examples[4]), contrast=True)
    plain = alignment(task, lm, ["input-x-gradient"], RunConfig(tmp_path))
    result = alignment(against, lm, ["input-x-gradient"], RunConfig(tmp_path))
    assert (result.scored, result.computed) == (4, 4)
    assert result.skipped == {"no foil": 1}
    example = with_foils[0]
    own = heat.attribute(lm, example.prompt, example.target, "input-x-gradient", foil=" brass", max_targets=1)
    gold = np.isin(np.arange(len(example.words)), example.gold)
    expected = roc_auc_score(gold, example_scores(own, example))
    assert result.rows["input-x-gradient"][0].values["auroc"] == pytest.approx(expected)
    assert plain.rows["input-x-gradient"][0].attribution != result.rows["input-x-gradient"][0].attribution


def test_a_person_is_scored_against_what_most_others_marked() -> None:
    example = Example(
        id="e",
        prompt="a b c d",
        target=" x",
        words=((0, 1), (2, 3), (4, 5), (6, 7)),
        gold=(0,),
        people=((0,), (0, 1), (0, 3)),
    )
    # Two others each: their majority is what both marked, here always word 0. The marks find it at precision 1, 1/2
    # and 1/2 with recall 1; AUROC 1, 5/6 and 5/6.
    found = people_scores(example)
    assert found["f1_at_gold"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert found["auroc"] == pytest.approx((1 + 5 / 6 + 5 / 6) / 3)
    alone = example.model_copy(update={"people": ((0,),)})
    strangers = example.model_copy(update={"people": ((0,), (1,), (2,))})
    assert people_scores(alone) == people_scores(strangers) == {}


def test_the_table_has_a_row_a_person(benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path) -> None:
    task = curated(benchmark_of)
    marked = [each.model_copy(update={"people": (each.gold, each.gold)}) for each in task.examples]
    result = alignment(replace(task, examples=tuple(marked)), lm, ["random"], RunConfig(tmp_path))
    assert result.person["auroc"].mean == 1.0
    assert (result.frame.method == "a person").sum() == 1
    assert any(
        line.startswith("|  | a person | 1.00")
        for line in (tmp_path / "alignment.md").read_text().splitlines()
    )
    assert read_result(tmp_path).person == result.person
    assert alignment(task, lm, ["random"], RunConfig(tmp_path)).person == {}


def test_scores_outside_of_words_are_counted(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path
) -> None:
    result = alignment(curated(benchmark_of), lm, ["input-x-gradient"], RunConfig(tmp_path))
    shares = []
    for example in curated(benchmark_of).examples:
        found = heat.attribute(lm, example.prompt, example.target, "input-x-gradient", max_targets=1)
        sizes = found.scores[0].abs().double().numpy()
        inside = [any(a < end and start < b for a, b in example.words) for start, end in found.offsets]
        shares.append(sizes[~np.array(inside)].sum() / sizes.sum())
    assert result.methods[0].unscored == pytest.approx(np.mean(shares))
    assert any("of the absolute scores" in note for note in notes(result, METRICS))


def test_a_collapsed_gate_is_noted(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["heat.components.transition"], "COLLAPSE", 0.0)
    result = alignment(curated(benchmark_of), lm, ["transition-only"], RunConfig(tmp_path))
    assert result.methods[0].collapsed == 5
    assert any("on the first two tokens in 5 of 5 examples" in note for note in notes(result, METRICS))


def test_a_rerun_computes_nothing_and_changes_no_byte(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = alignment(curated(benchmark_of), lm, NAMES, RunConfig(tmp_path))
    assert (first.computed, first.reused) == (10, 0)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was computed again")

    monkeypatch.setattr(heat, "attribute_batch", refuse, raising=False)
    monkeypatch.setattr(heat, "encode", refuse, raising=False)
    again = alignment(curated(benchmark_of), lm, NAMES, RunConfig(tmp_path))
    assert (again.computed, again.reused) == (0, 10)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    found = read_result(tmp_path)
    assert found == again.model_copy(update={"reused": 0, "rows": {}})
    assert found.methods[0].seconds_per_1000 == first.methods[0].seconds_per_1000 is not None


@pytest.mark.parametrize("kept", [0, 1, 3, 7])
def test_a_broken_run_ends_in_the_same_bytes(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(runner, "CHUNK", 2)
    alignment(curated(benchmark_of), lm, NAMES, RunConfig(tmp_path))
    whole = (tmp_path / "scores.jsonl").read_bytes()
    attributions = {path: path.read_bytes() for path in tmp_path.glob("attributions/*")}
    # As a kill would leave it: some rows, half a line, one attribution that has no row yet, none after it.
    lines = whole.splitlines(keepends=True)
    (tmp_path / "scores.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
    lost = [Score.model_validate_json(line).attribution for line in lines[kept + 1 :]]
    for key in lost:
        (tmp_path / "attributions" / f"{key}.safetensors").unlink()
    result = alignment(curated(benchmark_of), lm, NAMES, RunConfig(tmp_path))
    assert (tmp_path / "scores.jsonl").read_bytes() == whole
    assert {path: path.read_bytes() for path in tmp_path.glob("attributions/*")} == attributions
    assert result.computed == len(lost)


def test_another_gold_reuses_the_attributions(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path
) -> None:
    alignment(curated(benchmark_of), lm, ["random"], RunConfig(tmp_path))
    result = alignment(curated(benchmark_of, "evidence"), lm, ["random"], RunConfig(tmp_path))
    assert result.computed == 0
    assert len(rows(tmp_path)) == 10


def test_other_models_and_seeds_share_a_folder_and_never_a_row(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path
) -> None:
    alone = alignment(curated(benchmark_of), lm, ["random"], RunConfig(tmp_path / "alone"))
    other = LanguageModel(
        tiny_lm("llama", seed=1, max_position_embeddings=256).model, lm.tokenizer, "other", "b"
    )
    out = tmp_path / "shared"
    for model, seed in ((lm, 1), (other, 0)):
        assert alignment(curated(benchmark_of), model, ["random"], RunConfig(out, seed=seed)).computed == 5
    together = alignment(curated(benchmark_of), lm, ["random"], RunConfig(out))
    assert together.computed == 5
    assert together.methods[0].metrics == alone.methods[0].metrics


def test_a_longer_run_goes_on_from_a_shorter_one(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path
) -> None:
    assert alignment(curated(benchmark_of, limit=2), lm, ["random"], RunConfig(tmp_path)).scored == 2
    result = alignment(curated(benchmark_of), lm, ["random"], RunConfig(tmp_path))
    assert (result.scored, result.computed, result.reused) == (5, 3, 2)


def test_what_cannot_be_run_is_skipped_with_a_reason(
    make_benchmark: Make, paragraphs: list[Paragraph], lm: LanguageModel, tmp_path: Path
) -> None:
    long = make_paragraph(9, "Rain fell. " * 60, "The bell is lead.", "What is the bell?", "lead")
    blank = make_paragraph(8, "Rain fell.", "The bell is lead.", "What is the bell?", " ")
    every = [*paragraphs[:3], long, blank]
    benchmark = make_benchmark(every, gold=[make_gold(p, [1]) for p in every if p.id != "p2"])
    result = alignment(curated(benchmark), lm, ["random"], RunConfig(tmp_path))
    assert result.skipped == {"empty target": 1, "no gold": 1, "prompt too long": 1}
    assert (result.asked, result.scored) == (5, 2)
    assert "tokens, and 'tiny llama' takes 256" in items(tmp_path)[3].detail
    assert sum(result.skipped.values()) + result.scored == result.asked


def test_nothing_left_to_score_is_an_error(make_benchmark: Make, lm: LanguageModel, tmp_path: Path) -> None:
    long = make_paragraph(9, "Rain fell. " * 60, "The bell is lead.", "What is the bell?", "lead")
    benchmark = make_benchmark([long], gold=[make_gold(long, [1])])
    with pytest.raises(NothingScoredError, match="none of the 1 examples could be scored: 1 prompt too long"):
        alignment(curated(benchmark), lm, ["random"], RunConfig(tmp_path))


def test_gold_that_is_empty_is_counted_and_not_averaged(
    make_benchmark: Make, paragraphs: list[Paragraph], lm: LanguageModel, tmp_path: Path
) -> None:
    golds = [make_gold(p, [] if p.id == "p0" else p.evidence) for p in paragraphs]
    result = alignment(
        curated(make_benchmark(paragraphs, gold=golds)), lm, ["random"], RunConfig(tmp_path / "out")
    )
    interval = result.methods[0].metrics["auprc"]
    assert (result.undecided, interval.n, interval.undefined) == (1, 4, 1)
    values = [row.values["auprc"] for row in rows(tmp_path / "out")]
    assert values[0] is None
    assert interval.mean == pytest.approx(np.mean(values[1:]))


def test_all_gold_empty_gives_undefined_means(
    make_benchmark: Make, paragraphs: list[Paragraph], lm: LanguageModel, tmp_path: Path
) -> None:
    benchmark = make_benchmark(paragraphs, gold=[make_gold(p, []) for p in paragraphs])
    result = alignment(curated(benchmark), lm, ["random"], RunConfig(tmp_path / "out"))
    assert result.methods[0].metrics["auprc"].mean is None
    assert result.undecided == 5


@dataclass(frozen=True)
class Flat(Method):
    """Says nothing."""

    summary, source, needs = "", "", ("forward",)

    def score(self, lm: LanguageModel, batch: object, *, seed: int = 0, batch_tokens: int = 1) -> Scores:
        return Scores(torch.zeros(len(batch.rows), batch.token_ids.shape[1]))

    def costs(self, n_tokens: int, n_targets: int) -> dict[str, float]:
        return {}


def test_constant_and_broken_scores_are_reported_and_ranked_last(
    benchmark_of: Benchmark,
    paragraphs: list[Paragraph],
    lm: LanguageModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths = {e.id: len(runner.encode(lm, e, "first").token_ids) for e in curated(benchmark_of).examples}
    bad = max(lengths, key=lambda name: lengths[name])

    @dataclass(frozen=True)
    class Broken(Flat):
        """Scores by token id, and fails on the longest paragraph."""

        def score(self, lm: LanguageModel, batch: object, *, seed: int = 0, batch_tokens: int = 1) -> Scores:
            failed = batch.attention_mask.sum(-1, keepdim=True) == lengths[bad]
            return Scores(torch.where(failed, torch.nan, 1.0 * batch.token_ids))

    for name, method in (("flat", Flat), ("broken", Broken)):
        monkeypatch.setitem(_REGISTERED, name, method)
        monkeypatch.setattr(method, "name", name, raising=False)
    result = alignment(curated(benchmark_of), lm, ["flat", "broken", "input-x-gradient"], RunConfig(tmp_path))
    by_name = {row.method: row for row in result.methods}
    assert by_name["flat"].constant == 5
    assert by_name["flat"].metrics["auprc"].mean == pytest.approx(result.chance["auprc"].mean)
    assert by_name["broken"].not_finite == 1
    failed = next(row for row in rows(tmp_path) if row.method == "broken" and row.example_id == bad)
    assert (failed.status, failed.values["auprc"], failed.values["dsa"]) == ("not_finite", 0.0, -1.0)
    assert by_name["broken"].metrics["auprc"].n == 5
    again = alignment(curated(benchmark_of), lm, ["flat", "broken", "input-x-gradient"], RunConfig(tmp_path))
    assert again.computed == 0


def test_frame_has_a_row_a_method_and_chance(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path
) -> None:
    result = alignment(curated(benchmark_of), lm, NAMES, RunConfig(tmp_path))
    frame = result.frame.set_index("method")
    assert set(frame.index) == {*NAMES, "chance"}
    assert frame.loc["random", "auprc"] == result.frame.set_index("method").loc["random", "auprc"]
    assert (
        frame.loc["random", "auprc_low"] <= frame.loc["random", "auprc"] <= frame.loc["random", "auprc_high"]
    )
    means = [row.metrics["auprc"].mean for row in result.methods]
    assert means == sorted(means, reverse=True)


def test_a_model_without_revision_is_refused(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="states no revision"):
        alignment(
            curated(benchmark_of), LanguageModel(lm.model, lm.tokenizer), ["random"], RunConfig(tmp_path)
        )


def test_unknown_method_lists_those_that_exist(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path
) -> None:
    with pytest.raises(
        heat.HeatError, match=r"no method 'haet'; did you mean 'heat'\? there are: .*heat.*random"
    ):
        alignment(curated(benchmark_of), lm, ["haet"], RunConfig(tmp_path))


def test_progress_reaches_the_end(benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    alignment(
        curated(benchmark_of),
        lm,
        ["random"],
        RunConfig(tmp_path),
        on_progress=lambda *step: seen.append(step),
    )
    assert seen == [("answers", 0, 5), ("answers", 5, 5), ("random", 0, 5), ("random", 5, 5)]


def test_reading_a_folder_without_result(tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match=r"holds no alignment\.json"):
        read_result(tmp_path)
    (tmp_path / "alignment.json").write_text("{}")
    with pytest.raises(EvaluateError, match="not a result of this version"):
        read_result(tmp_path)
