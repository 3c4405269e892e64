"""Where gold words come from, and what is said when there are none."""

from collections.abc import Callable

import pytest
from fakes.benchmarks import make_gold, make_label

from annotate.benchmark import Benchmark
from annotate.errors import LabelError
from annotate.schema import Paragraph
from evaluate.errors import NoGoldError
from evaluate.tasks.gold import load_gold

Make = Callable[..., Benchmark]


def test_auto_reads_the_gold_file_first(make_benchmark: Make, paragraphs: list[Paragraph]) -> None:
    labels = [make_label(p, name, [0, 1]) for p in paragraphs for name in ("overlap", "clause")]
    gold = [make_gold(p, [2], rule="union") for p in paragraphs]
    found, source = load_gold(make_benchmark(paragraphs, gold, labels))
    assert [found[p.id].indices() for p in paragraphs] == [[2]] * 5
    assert source.rule == "union"


def test_auto_settles_the_labels_where_there_is_no_gold_file(
    make_benchmark: Make, paragraphs: list[Paragraph]
) -> None:
    labels = [make_label(p, "overlap", [0, 1]) for p in paragraphs] + [
        make_label(p, "clause", [1, 2]) for p in paragraphs
    ]
    benchmark = make_benchmark(paragraphs, labels=labels)
    assert load_gold(benchmark)[0]["p0"].indices() == [1]
    assert load_gold(benchmark, "union")[0]["p0"].indices() == [0, 1, 2]


def test_offline_annotators_are_named_as_such(make_benchmark: Make, paragraphs: list[Paragraph]) -> None:
    labels = [make_label(p, name, [1]) for p in paragraphs for name in ("overlap", "clause")]
    _, source = load_gold(make_benchmark(paragraphs, labels=labels))
    assert source.offline
    assert source.annotators == ("clause", "overlap")
    assert "OFFLINE annotators" in source.note


def test_online_annotators_are_not(make_benchmark: Make, paragraphs: list[Paragraph]) -> None:
    labels = [make_label(p, "openai:gpt-5", [1]) for p in paragraphs]
    _, source = load_gold(make_benchmark(paragraphs, labels=labels))
    assert not source.offline
    assert "OFFLINE" not in source.note


def test_evidence_needs_no_label(make_benchmark: Make, paragraphs: list[Paragraph]) -> None:
    found, source = load_gold(make_benchmark(paragraphs), "evidence")
    assert found["p0"].indices() == list(paragraphs[0].evidence)
    assert source.offline
    assert "known by construction" in source.note


def test_a_paragraph_without_label_has_no_gold_rather_than_an_empty_one(
    make_benchmark: Make, paragraphs: list[Paragraph]
) -> None:
    found, _ = load_gold(make_benchmark(paragraphs, labels=[make_label(paragraphs[0], "overlap", [1])]))
    assert list(found) == ["p0"]


def test_no_labels_says_what_to_run(make_benchmark: Make, paragraphs: list[Paragraph]) -> None:
    with pytest.raises(NoGoldError, match="run: annotate label --benchmark"):
        load_gold(make_benchmark(paragraphs))


def test_no_gold_file_says_what_to_run(make_benchmark: Make, paragraphs: list[Paragraph]) -> None:
    with pytest.raises(NoGoldError, match="annotate adjudicate"):
        load_gold(make_benchmark(paragraphs), "gold")


def test_real_text_has_no_evidence(make_benchmark: Make, paragraphs: list[Paragraph]) -> None:
    real = [p.model_copy(update={"evidence": None}) for p in paragraphs]
    with pytest.raises(NoGoldError, match="no evidence known by construction"):
        load_gold(make_benchmark(real), "evidence")


def test_no_review_yet(make_benchmark: Make, paragraphs: list[Paragraph]) -> None:
    benchmark = make_benchmark(paragraphs, labels=[make_label(paragraphs[0], "overlap", [1])])
    with pytest.raises(NoGoldError, match="--gold intersection"):
        load_gold(benchmark, "reviewed")


def test_unknown_choice_lists_those_that_exist(benchmark_of: Benchmark) -> None:
    with pytest.raises(NoGoldError, match="auto, gold, intersection, majority, union, evidence, reviewed"):
        load_gold(benchmark_of, "best")


def test_gold_of_another_benchmark_is_refused(make_benchmark: Make, paragraphs: list[Paragraph]) -> None:
    stray = make_gold(paragraphs[0], [1]).model_copy(update={"text_sha256": "0" * 64})
    with pytest.raises(LabelError, match="belongs to another benchmark"):
        load_gold(make_benchmark(paragraphs, gold=[stray]))


def test_gold_beyond_the_last_word_is_refused(make_benchmark: Make, paragraphs: list[Paragraph]) -> None:
    with pytest.raises(NoGoldError, match="names a word that does not exist"):
        load_gold(make_benchmark(paragraphs, gold=[make_gold(paragraphs[0], [999])]))
