"""Alignment by sentence, line and token: units, gold and numbers worked out beside the program."""

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fakes.benchmarks import made_task
from sklearn.metrics import roc_auc_score

import heat
from annotate.benchmark import Benchmark
from annotate.schema import Paragraph
from evaluate.alignment.run import alignment
from evaluate.alignment.units import in_units, token_spans, unit_spans
from evaluate.errors import NothingScoredError
from evaluate.metrics.alignment import METRICS
from evaluate.pipeline.records import read_examples
from evaluate.pipeline.run import RunConfig
from evaluate.pipeline.runner import settings_of
from evaluate.pipeline.table import notes
from evaluate.report import write_report
from evaluate.tasks.curated import curated
from evaluate.tasks.task import Example
from heat import LanguageModel

TEXT = "Tom met Ann. The gate is iron.\nWhat is the gate?"
PROMPT = f"Text: {TEXT}\nAnswer:"
WORDS = ("Tom", "met", "Ann", "gate", "iron", "What")


def word(text: str) -> tuple[int, int]:
    start = PROMPT.index(text)
    return start, start + len(text)


EXAMPLE = Example(
    id="e",
    prompt=PROMPT,
    target=" iron",
    words=tuple(map(word, WORDS)),
    gold=(4,),
    distractor=(0, 2),
    people=((3, 4), (1,), ()),
    body=word(TEXT),
)


def texts(example: Example) -> list[str]:
    return [example.prompt[start:end] for start, end in example.words]


def test_sentences_are_those_of_the_text_and_are_gold_by_their_words() -> None:
    found = in_units(EXAMPLE, "sentence", unit_spans(EXAMPLE, "sentence"))
    assert texts(found) == ["Tom met Ann.", "The gate is iron.", "What is the gate?"]
    assert (found.gold, found.distractor) == ((1,), (0,))
    assert found.people == ((1,), (0,), ())
    assert (found.prompt, found.target, found.id) == (EXAMPLE.prompt, EXAMPLE.target, EXAMPLE.id)


def test_units_without_a_scored_word_are_left_out() -> None:
    fewer = EXAMPLE.model_copy(update={"words": EXAMPLE.words[:5]})
    assert texts(in_units(fewer, "line", unit_spans(fewer, "line"))) == ["Tom met Ann. The gate is iron."]
    without = EXAMPLE.model_copy(update={"gold": None})
    assert in_units(without, "line", unit_spans(without, "line")).gold is None
    assert in_units(EXAMPLE, "word", unit_spans(EXAMPLE, "word")) is EXAMPLE
    assert unit_spans(EXAMPLE, "message") == [EXAMPLE.body]


def test_tokens_that_share_a_character_are_one_unit(lm: LanguageModel) -> None:
    prompt = "Tom 👍🏽 met Ann."
    example = Example(
        id="e", prompt=prompt, target=" x", words=((0, 3), (4, 6), (7, 10), (11, 14)), gold=(1,)
    )
    ((*spans,),) = token_spans(lm, [example], settings_of(lm))
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert "".join(prompt[start:end] for start, end in spans) == prompt.replace(" ", "")
    found = in_units(example, "token", spans)
    assert found.gold is not None
    assert "".join(texts(found)[index] for index in found.gold) == "👍🏽"
    (inside,) = token_spans(lm, [EXAMPLE], settings_of(lm))
    assert EXAMPLE.body is not None
    assert (inside[0][0], inside[-1][1]) == EXAMPLE.body


def test_numbers_by_sentence_are_those_of_an_independent_computation(
    benchmark_of: Benchmark, paragraphs: list[Paragraph], lm: LanguageModel, tmp_path: Path
) -> None:
    out = RunConfig(tmp_path / "out")
    by_word = alignment(curated(benchmark_of), lm, ["input-x-gradient"], out)
    task = made_task(curated(benchmark_of).examples, unit="sentence")
    result = alignment(task, lm, ["input-x-gradient"], out)
    aurocs, densities = [], []
    for paragraph in paragraphs:
        found = heat.attribute(
            lm, paragraph.text + "\nAnswer:", " " + paragraph.answer, "input-x-gradient", max_targets=1
        )
        frame = found.by("sentence").to_frame()
        rows = frame[frame["sentence"].str.strip() != "Answer:"]
        (evidence,) = {paragraph.word_texts()[index] for index in paragraph.evidence or ()}
        gold = [evidence in text.replace(".", "").split() for text in rows["sentence"]]
        assert sum(gold) == 1
        aurocs.append(roc_auc_score(gold, rows["score"]))
        densities.append(np.mean(gold))
    assert result.methods[0].metrics["auroc"].mean == pytest.approx(np.mean(aurocs), abs=1e-6)
    assert result.chance["auprc"].mean == pytest.approx(np.mean(densities))
    assert result.chance["auroc"].mean == 0.5
    # The same attributions, other scores: what was asked by word is found again.
    assert (result.computed, result.settings.unit) == (0, "sentence")
    assert result.methods[0].scores != by_word.methods[0].scores
    assert alignment(curated(benchmark_of), lm, ["input-x-gradient"], out).methods == by_word.methods


def test_scores_by_token_are_the_attribution_s_own(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path
) -> None:
    task = made_task(curated(benchmark_of).examples[:1], unit="token")
    result = alignment(task, lm, ["input-x-gradient"], RunConfig(tmp_path / "out"))
    (example,) = read_examples(tmp_path / "out", result)
    found = heat.attribute(lm, example.prompt, example.target, "input-x-gradient", max_targets=1)
    offsets = found.prompt_offsets
    own = []
    for start, end in example.words:
        inside = [index for index, (first, last) in enumerate(offsets) if first < end and start < last]
        assert len(inside) == 1
        own.append(float(found.scores[0, inside[0]]))
    gold = np.isin(np.arange(len(own)), example.gold)
    assert result.methods[0].metrics["auroc"].mean == pytest.approx(roc_auc_score(gold, own), abs=1e-6)


def test_what_can_decide_nothing_is_said(benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path) -> None:
    task = made_task(curated(benchmark_of).examples, unit="message")
    with pytest.raises(NothingScoredError, match=r"5 gold in every message; .* its only message holds"):
        alignment(task, lm, ["random"], RunConfig(tmp_path / "out"))


def test_notes_and_report_name_the_unit(benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path) -> None:
    task = made_task(curated(benchmark_of).examples, unit="line")
    result = alignment(task, lm, ["input-x-gradient"], RunConfig(tmp_path / "out"))
    said = "\n".join(notes(result, METRICS))
    assert "Scored by line: a line is gold if it holds a gold word. A line's score is the mean" in said
    assert "the density of gold lines" in said
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    page = write_report(tmp_path / "copy").read_text(encoding="utf-8")
    assert "finds the gold lines best" in page
    assert "Alignment with gold lines" in page
    assert "lines, each by the mean of its tokens" in page
