"""The report: one file, nothing foreign in it, the numbers of the run, examples by rule."""

import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import make_gold, make_label, make_paragraph

from annotate.benchmark import Benchmark
from annotate.schema import Paragraph
from evaluate.alignment import alignment
from evaluate.errors import EvaluateError, ReportError
from evaluate.report import pieces, render, write_report
from evaluate.store import Score
from evaluate.table import in_words, seconds
from evaluate.tasks.curated import curated
from evaluate.tasks.task import Example
from heat import LanguageModel

Make = Callable[..., Benchmark]


class Page(HTMLParser):
    """Tags, references to the outside, and text of a page; unbalanced tags fail."""

    VOID = frozenset({"meta", "br", "line", "circle", "!doctype"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def results(benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path) -> Path:
    alignment(
        curated(benchmark_of),
        lm,
        ["random", "input-x-gradient"],
        out=tmp_path / "out",
        command="evaluate alignment -x",
    )
    return tmp_path / "out"


def test_one_file_without_scripts_and_outside(results: Path) -> None:
    html = render(results)
    page = Page(html)
    assert "script" not in page.tags
    assert page.links == []
    assert "http" not in html
    assert "@import" not in html
    assert "url(" not in html


def test_it_holds_the_numbers_and_how_to_make_them(
    results: Path, benchmark_of: Benchmark, lm: LanguageModel
) -> None:
    result = alignment(
        curated(benchmark_of),
        lm,
        ["random", "input-x-gradient"],
        out=results,
        command="evaluate alignment -x",
    )
    texts = Page(render(results)).texts
    for row in result.methods:
        for interval in row.metrics.values():
            assert in_words(interval) in texts
        assert row.seconds_per_1000 is not None
        assert seconds(row.seconds_per_1000) in texts
    assert texts.count("evaluate alignment -x") == 2
    assert any("offline annotators (clause, overlap)" in text for text in texts)
    assert any("Fewer than two annotators" in text for text in texts)


def test_agreement_is_there_where_two_have_labelled(
    make_benchmark: Make, paragraphs: list[Paragraph], lm: LanguageModel, tmp_path: Path
) -> None:
    labels = [make_label(p, "overlap", [0, 1]) for p in paragraphs] + [
        make_label(p, "clause", [1]) for p in paragraphs
    ]
    benchmark = make_benchmark(paragraphs, labels=labels)
    alignment(curated(benchmark), lm, ["random"], out=tmp_path / "out")
    # F1 = 2 * 5 / (2 * 5 + 5) = 0.67.
    assert any(text.startswith("0.67 [") for text in Page(render(tmp_path / "out")).texts)


def test_examples_are_best_median_and_worst(results: Path, paragraphs: list[Paragraph]) -> None:
    rows = [Score.model_validate_json(line) for line in (results / "scores.jsonl").read_text().splitlines()]
    html = render(results)
    leading = "input-x-gradient" if "which input-x-gradient has" in html else "random"
    order = sorted((r for r in rows if r.method == leading), key=lambda r: (-r.values["auprc"], r.example_id))
    for choice, row in (("best", order[0]), ("median", order[2]), ("worst", order[4])):
        assert f"{choice}: {row.example_id}, target" in html


def test_text_is_escaped(make_benchmark: Make, lm: LanguageModel, tmp_path: Path) -> None:
    nasty = make_paragraph(
        0, "<script>alert(1)</script> \x00\x1b & 'x'.", "It is <b>tin</b>.", "What?", "tin"
    )
    benchmark = make_benchmark([nasty], gold=[make_gold(nasty, nasty.evidence)])
    alignment(curated(benchmark), lm, ["random"], out=tmp_path / "out", command="evaluate '<i>'")
    page = Page(write_report(tmp_path / "out", tmp_path / "page.html").read_text())
    assert not {"script", "b", "i"} & set(page.tags)
    text = "".join(page.texts)
    assert "\x00" not in text
    assert "␀␛" in text


def test_pieces_join_to_the_text(examples: list[Example]) -> None:
    example = examples[1]
    scores = np.linspace(-4, 2, len(example.words))
    found = pieces(example, scores)
    assert "".join(piece.text for piece in found) == example.prompt
    words = [piece for piece in found if piece.share is not None]
    assert [piece.share for piece in words] == pytest.approx(list(scores / 4))
    assert [i for i, piece in enumerate(words) if piece.gold] == list(example.gold)


def test_a_report_needs_no_benchmark_but_all_its_rows(results: Path, benchmark_of: Benchmark) -> None:
    shutil.rmtree(benchmark_of.path)
    assert "Attribution report" in render(results)
    (results / "scores.jsonl").write_text("")
    with pytest.raises(ReportError, match=r"lacks .* scores of p0; run again: evaluate alignment -x"):
        render(results)
    next(results.glob("examples-*")).unlink()
    with pytest.raises(EvaluateError, match=r"examples-.* is missing; run again: evaluate alignment -x"):
        render(results)


def test_no_run_no_report(tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match=r"holds no alignment\.json"):
        write_report(tmp_path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
