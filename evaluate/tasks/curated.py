"""Mixed paragraphs with gold words: what `annotate` builds and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotate.files import file_hash
from evaluate.tasks.gold import load_gold
from evaluate.tasks.prompt import prompt_of, target_of
from evaluate.tasks.task import Example, Task

if TYPE_CHECKING:
    from annotate.benchmark import Benchmark
    from annotate.schema import Gold, Paragraph


def curated(benchmark: Benchmark, gold: str = "auto", limit: int | None = None) -> Task:
    """Examples of a benchmark folder: one a paragraph.

    The prompt is the paragraph and a cue, the target its answer, the scored words are the paragraph's. Words of
    the narrative are distractor. A paragraph whose labels settle nothing has no gold and stays in.

    Args:
        benchmark: Paragraphs, and labels or gold.
        gold: Which gold, see `load_gold`; ``none`` for none, which faithfulness does without.
        limit: Use the first N paragraphs only.

    Raises:
        NoGoldError: There is no gold of that kind.
        LabelError: Labels are of another benchmark.
        BenchmarkError: A file is not what it should be.
    """
    golds, source = ({}, None) if gold == "none" else load_gold(benchmark, gold)
    paragraphs = benchmark.paragraphs()[:limit]
    return Task(
        name="curated",
        source=f"{benchmark.path} sha256:{file_hash(benchmark.paragraphs_path)}",
        examples=tuple(_example(paragraph, golds.get(paragraph.id)) for paragraph in paragraphs),
        gold=source,
        folder=str(benchmark.path.resolve()),
    )


def _example(paragraph: Paragraph, gold: Gold | None) -> Example:
    return Example(
        id=paragraph.id,
        prompt=prompt_of(paragraph),
        target=target_of(paragraph),
        words=paragraph.words,
        gold=None if gold is None else tuple(gold.indices()),
        distractor=tuple(paragraph.words_in("narrative")),
        gold_rule="" if gold is None else gold.rule,
        segments=tuple((segment.role, segment.start, segment.end) for segment in paragraph.segments),
        body=(0, len(paragraph.text)),
    )
