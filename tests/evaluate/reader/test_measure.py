"""Measures of the reader: swapping moves only what it says, and the shipped card's figures hold."""

import json

import pytest
from statsmodels.stats.proportion import proportion_confint

from annotate.dataset.mixing import MixOptions, build_dataset
from annotate.files import shipped
from annotate.schema import Paragraph
from annotate.sources.sample import sample_passages
from evaluate.reader.measure import measure_reader, swap_answer


@pytest.fixture(scope="module")
def paragraphs() -> list[Paragraph]:
    narratives, science = sample_passages(11, 40, 60)
    return build_dataset(narratives, science, MixOptions(size=40))[0]


def test_swap_changes_one_word_and_shifts_the_rest(paragraphs: list[Paragraph]) -> None:
    for paragraph in paragraphs:
        changed, old = swap_answer(paragraph, seed=0)
        before, after = paragraph.word_texts(), changed.word_texts()
        different = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        assert old == paragraph.answer
        assert len(different) == 1
        assert before[different[0]] == old
        assert after[different[0]] == changed.answer
        assert different[0] in (paragraph.evidence or ())
        assert [s.role for s in changed.segments] == [s.role for s in paragraph.segments]
        assert changed.text[slice(*_question(changed))] == paragraph.question


def test_the_shipped_reader_does_what_its_card_says() -> None:
    import heat

    folder = shipped("reader")
    said = json.loads((folder / "measures.json").read_text())["measures"]
    found = measure_reader(heat.load(), size=120, seed=123)
    for p, row in zip(found, said, strict=True):
        # another sample of the same quantity: its interval, widened to 99.9 %, reaches the card's
        low, high = proportion_confint(p.hits, p.n, alpha=0.001, method="wilson")
        assert p.name == row["name"]
        assert row["value"] >= row["wanted"], row
        assert low <= row["high"], p
        assert high >= row["low"], p
        assert f"{row['hits']} | {row['n']}" in (folder / "README.md").read_text()
    recipe = json.loads((folder / "recipe.json").read_text())
    assert recipe["command"] in (folder / "README.md").read_text()
    assert (folder / "model.safetensors").stat().st_size <= 10_000_000


def _question(paragraph: Paragraph) -> tuple[int, int]:
    return next((s.start, s.end) for s in paragraph.segments if s.role == "question")
