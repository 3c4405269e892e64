"""The report: one file, nothing foreign in it, the numbers of the run, examples by rule, what is missing named."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.benchmarks import make_gold, make_label, make_paragraph

from annotate.benchmark import Benchmark
from annotate.schema import Paragraph
from evaluate.alignment.run import alignment
from evaluate.errors import EvaluateError
from evaluate.faithfulness.options import Options
from evaluate.faithfulness.run import faithfulness
from evaluate.pipeline.run import RunConfig
from evaluate.pipeline.store import Score
from evaluate.pipeline.table import in_words, seconds
from evaluate.report import write_report
from evaluate.report.paragraphs import pieces
from evaluate.report.tables import evaluation_table
from evaluate.report.verdict import verdict
from evaluate.results.again import command_for
from evaluate.results.folder import open_results, read_scores
from evaluate.results.two_runs import METRICS as KIND_METRICS
from evaluate.robustness.options import Options as Robustness
from evaluate.robustness.run import robustness
from evaluate.sanity import Sanity, write_sanity
from evaluate.statistics.intervals import Interval
from evaluate.tasks.curated import curated
from evaluate.tasks.task import Example
from heat import LanguageModel

html5lib = pytest.importorskip("html5lib", reason="html5lib, the checker of HTML, is not installed")

Make = Callable[..., Benchmark]
METHODS = ["random", "gradient-norm"]
OPTIONS = Options(bins=(0.2,), steps=2, retentions=(0.5,), random_draws=1, subsets=2)


class Page:
    """A page that a strict parser takes, its elements and its texts."""

    def __init__(self, html: str) -> None:
        self.html = html
        self.root = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
        self.elements = [each for each in self.root.iter() if isinstance(each.tag, str)]
        self.tags = {each.tag.rsplit("}")[-1] for each in self.elements}

    @property
    def text(self) -> str:
        return "".join(self.root.itertext())

    def texts(self) -> list[str]:
        return [text.strip() for text in self.root.itertext() if text.strip()]

    def section(self, name: str) -> str:
        found = next(each for each in self.elements if each.tag == "section" and each.get("id") == name)
        return " ".join(" ".join(found.itertext()).split())


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "out")


@pytest.fixture(scope="module")
def page(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> "Page":
    """The report on the finished run, as it is."""
    folder = tmp_path_factory.mktemp("report")
    return Page(write_report(finished, folder / "page.html", folder, "evaluate report me").read_text())


def page_of(results: Path, **options: str) -> Page:
    return Page(write_report(results, **options).read_text())


def test_one_file_without_scripts_and_outside(page: Page) -> None:
    assert not {"script", "link", "iframe", "object", "form"} & page.tags
    for element in page.elements:
        for name, value in element.items():
            assert not name.lower().startswith("on")
            if name.rsplit("}")[-1] in {"src", "href", "srcset", "data"}:
                assert value.startswith(("#", "data:image/png;base64,")), value
    assert "http:" not in page.html
    assert "https:" not in page.html
    assert "@import" not in page.html
    assert not re.search(r"url\((?!#)", page.html)
    policy = next(e for e in page.elements if e.get("http-equiv") == "Content-Security-Policy").get("content")
    assert policy.startswith("default-src 'none'")


def test_every_id_is_there_once_and_every_reference_leads_somewhere(page: Page) -> None:
    ids = [each.get("id") for each in page.elements if each.get("id")]
    assert len(ids) == len(set(ids))
    referred = re.findall(r'(?:href="|url\()#([^")]+)', page.html)
    assert len(referred) > 20
    assert set(referred) <= set(ids)


def test_it_holds_the_numbers_and_how_to_make_them(page: Page, finished: Path) -> None:
    result = open_results(finished).main
    texts = page.texts()
    for row in result.methods:
        for interval in row.metrics.values():
            assert any(text.rstrip("+-") == in_words(interval) for text in texts)
        assert row.seconds_per_1000 is not None
        assert seconds(row.seconds_per_1000) in texts
    # A command stands once, and not under every figure.
    assert texts.count("evaluate alignment -x") == 1
    assert texts.count("evaluate report me") == 1
    assert "offline annotators (clause, overlap)" in page.text
    assert result.texts < 20
    assert "Fewer than 20 unique texts" in page.text


def test_the_first_screen_says_what_was_asked_who_is_ahead_and_how_sure(page: Page, finished: Path) -> None:
    result = open_results(finished).main
    header = page.text[: page.text.index("Alignment with gold words")]
    asked, ahead, sure = verdict(result, KIND_METRICS["alignment"])
    places = [header.index(sentence) for sentence in (asked, ahead, sure)]
    assert places == sorted(places)
    assert asked.startswith("Asked: which of 4 methods finds the gold words best, by AUPRC, in 5 examples")
    first = [row.method for row in result.methods if row.ranks["auprc"][0] == 1]
    assert all(name in ahead for name in first[:3])
    assert f"How sure: {4 - len(first)} of 4 methods are certainly not first" in sure
    assert "over 5 unique texts, which are few" in sure
    sections = [element.get("id") for element in page.elements if element.tag == "section"]
    assert sections[0] == "alignment"
    assert sections[-2:] == ["run", "files"]


def test_a_lead_that_is_sure_is_said_and_so_is_where_heat_stands(finished: Path) -> None:
    result = open_results(finished).main
    rows = {row.method: row for row in result.methods}
    heat = rows["heat"].model_copy(
        update={
            "ranks": {**rows["heat"].ranks, "auprc": (1, 1)},
            "versus": {
                "auprc": rows["heat"]
                .versus["auprc"]
                .model_copy(update={"p_adjusted": 0.01, "reference": "gradient-norm"})
            },
        }
    )
    others = [
        row.model_copy(update={"ranks": {**row.ranks, "auprc": (2, 4)}})
        for row in result.methods
        if row.method != "heat"
    ]
    sure = result.model_copy(update={"methods": (heat, *others), "texts": 200})
    _, ahead, how = verdict(sure, KIND_METRICS["alignment"])
    assert ahead.startswith("Ahead: heat (")
    assert "is above all others; HEAT (" in ahead
    assert re.search(
        r"stands at place 1, significantly (better|worse) than the best baseline, gradient-norm", ahead
    )
    assert how.startswith("How sure: 3 of 4 methods are certainly not first")
    assert "few" not in how


def test_heats_row_is_marked_and_nothing_else(page: Page) -> None:
    marked = [each for each in page.elements if each.tag == "tr" and each.get("class") == "lead"]
    assert marked
    assert {each.find("th").text for each in marked} == {"heat"}


def test_long_tables_start_with_ten_and_fold_the_rest(finished: Path) -> None:
    result = open_results(finished).main
    heat = next(row for row in result.methods if row.method == "heat")
    many = [result.methods[1].model_copy(update={"method": f"method-{i:02}"}) for i in range(30)]
    table = evaluation_table(
        result.model_copy(update={"methods": (*many, heat, *result.methods[-1:])}), KIND_METRICS["alignment"]
    )
    names = [row[1].text for row in table.rows]
    assert len(names) == 10 + 1  # and chance
    assert "heat" in names
    assert table.folded is not None
    assert len(table.folded.rows) == 32 + 1
    assert "10 of 32 methods" in table.caption


def test_what_was_not_timed_is_no_dash() -> None:
    assert seconds(None) == ""


def test_a_warning_stands_above_the_picture(results: Path) -> None:
    path = results / "alignment.json"
    stored = json.loads(path.read_text())
    next(row for row in stored["methods"] if row["method"] == "random")["metrics"]["auprc"]["mean"] = 1.0
    path.write_text(json.dumps(stored))
    page = page_of(results)
    loud = [each.text or "" for each in page.elements if each.get("class") == "warning"]
    assert any(text.startswith("WARNING: random (AUPRC) is at or above ") for text in loud)


def test_what_is_missing_comes_with_a_command_to_be_copied(finished: Path) -> None:
    result = open_results(finished).main
    command = (
        "evaluate alignment --benchmark 'my data' --limit=12 --method heat --html page.html --model m --foil"
    )
    line = command_for("faithfulness", result.model_copy(update={"command": command}), Path("out"))
    assert line == (
        "evaluate faithfulness --benchmark 'my data' --limit 12 --method heat --model m --foil --out out"
    )
    line = command_for("ablation", result.model_copy(update={"command": command}), Path("out"))
    assert line == "evaluate ablation --benchmark 'my data' --limit 12 --model m --foil --out out"
    called = command_for("sanity", result.model_copy(update={"command": ""}), Path("out"))
    assert called.startswith(f"evaluate sanity --benchmark {result.folder} --limit 5 --seed 0 --model ")


def test_significance_is_marked_as_in_the_table(results: Path) -> None:
    path = results / "alignment.json"
    stored = json.loads(path.read_text())
    row = next(row for row in stored["methods"] if row["method"] == "heat")
    row["versus"]["auprc"]["p_adjusted"] = 0.01
    reference = row["versus"]["auprc"]["reference"]
    row["versus"]["auprc"]["difference"] |= {"mean": -0.2, "low": -0.3, "high": -0.1}
    row["metrics"]["auprc"] |= {"mean": 0.123, "low": 0.1, "high": 0.2}
    path.write_text(json.dumps(stored))
    page = page_of(results)
    cell = next(each for each in page.elements if each.tag == "td" and each.text == "0.12 [.10, .20]-")
    assert cell.get("title") == f"-0.20 [-.30, -.10] against {reference}; p 0.01 (all pairs)"


def test_agreement_is_there_where_two_have_labelled(
    make_benchmark: Make, paragraphs: list[Paragraph], lm: LanguageModel, tmp_path: Path
) -> None:
    labels = [make_label(p, "overlap", [0, 1]) for p in paragraphs]
    labels += [make_label(p, "clause", [1]) for p in paragraphs]
    alignment(curated(make_benchmark(paragraphs, labels=labels)), lm, ["random"], RunConfig(tmp_path / "out"))
    # F1 = 2 * 5 / (2 * 5 + 5) = 0.67.
    assert "0.67 [" in page_of(tmp_path / "out").section("agreement")


def test_examples_are_chosen_by_the_rule_it_states(page: Page, finished: Path) -> None:
    frame = read_scores(finished).pivot(index="example_id", columns="method", values="auprc")
    order = frame.sort_index().sort_values("heat", ascending=False, kind="stable").index
    spread = frame[["heat", "input-x-gradient", "gradient-norm"]].std(axis=1, ddof=0).sort_index()
    section = page.section("paragraphs")
    headings = dict(re.findall(r"((?:Best|Median|Worst|Most)[^:]*): (p\d), target", section))
    chosen = {reason.lower(): example for text, example in headings.items() for reason in text.split(", ")}
    assert chosen == {
        "best for heat": order[0],
        "median for heat": order[2],
        "worst for heat": order[4],
        "most disputed": spread.idxmax(),
    }


def test_heat_is_shown_with_its_three_parts_above_the_gold(page: Page) -> None:
    section = page.section("paragraphs")
    for name in ("transition", "curvature", "information", "heat", "random", "input-x-gradient"):
        assert name in section
    assert "above its gold words" in page.html


def test_text_is_escaped(make_benchmark: Make, lm: LanguageModel, tmp_path: Path) -> None:
    nasty = make_paragraph(
        0, "<script>alert(1)</script> \x00\x1b\x7f & 'x' $\\frac$.", "It is <b>tin</b>.", "What?", "tin"
    )
    benchmark = make_benchmark([nasty], gold=[make_gold(nasty, nasty.evidence)])
    alignment(curated(benchmark), lm, ["random"], RunConfig(tmp_path / "out", command="evaluate '<i>' \x01"))
    page = page_of(tmp_path / "out", command="evaluate report '</code><script>'")
    assert not {"script", "b", "i"} & page.tags
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", page.html)
    assert "␀␛" in page.text
    assert "<script>alert(1)</script>" in page.text


def test_pieces_join_to_the_text(examples: list[Example]) -> None:
    example = examples[1]
    scores = np.linspace(-4, 2, len(example.words))
    found = pieces(example, scores)
    assert "".join(piece.text for piece in found) == example.prompt
    words = [piece for piece in found if piece.share is not None]
    assert [piece.share for piece in words] == pytest.approx(list(scores / 4))
    assert [i for i, piece in enumerate(words) if piece.gold] == list(example.gold or ())
    assert (words[0].shade, words[-1].shade) == ("d10", "u5")
    assert pieces(example, None) == []


def test_figures_and_tables_lie_beside_it_each_with_its_command(results: Path, tmp_path: Path) -> None:
    write_report(results, tmp_path / "page.html", tmp_path / "beside", "evaluate report me")
    found = {path.name for path in (tmp_path / "beside").iterdir()}
    index = json.loads((tmp_path / "beside" / "files.json").read_text())
    assert found == {"files.json", *index["files"]}
    assert {each["made_by"] for each in index["files"].values()} == {"evaluate alignment -x"}
    for name in (
        "alignment-first",
        "alignment-forest",
        "precision-recall",
        "segment-mass",
        "cost",
        "rank-correlation",
    ):
        assert {f"{name}.svg", f"{name}.png"} <= found
        assert "evaluate alignment -x" in (tmp_path / "beside" / f"{name}.svg").read_text()
    frame = pd.read_csv(tmp_path / "beside" / "alignment.csv")
    assert list(frame["method"]) == [*(row.method for row in open_results(results).main.methods), "chance"]
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "beside" / "alignment-examples.csv"), read_scores(results)
    )


def test_the_same_run_gives_the_same_bytes(results: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(results, tmp_path / f"{name}.html", tmp_path / "files", "c")
        shutil.copytree(tmp_path / "files", tmp_path / name)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_what_was_not_run_is_named_and_what_was_is_shown(
    page: Page, results: Path, benchmark_of: Benchmark, lm: LanguageModel
) -> None:
    assert "not run; to have it: evaluate faithfulness" in page.section("faithfulness")
    assert "not run; to have it: evaluate ablation" in page.section("ablation")
    assert "not run; to have it: evaluate sanity" in page.section("sanity")
    assert "not run; to have it: evaluate robustness" in page.section("robustness")
    assert "Fewer than two annotators" in page.section("agreement")
    faithfulness(
        curated(benchmark_of),
        lm,
        METHODS,
        RunConfig(results, command="evaluate faithfulness -y"),
        options=OPTIONS,
    )
    write_sanity(
        [
            Sanity(
                method="heat",
                randomised=Interval(mean=0.25, low=0.1, high=0.4, n=2, undefined=0),
                repeats=True,
                completeness=None,
                examples=2,
            )
        ],
        results,
        "evaluate sanity -z",
    )
    (noise,) = robustness(
        curated(benchmark_of),
        lm,
        ["gradient-norm", "constant"],
        RunConfig(results, command="evaluate robustness -x"),
        probe="noise",
        options=Robustness(draws=2),
    )
    page = page_of(results)
    stable = in_words(noise.methods[0].metrics["rank_stability"])
    assert f"1 gradient-norm {stable}" in page.section("robustness")
    assert "2 constant undefined" in page.section("robustness")
    assert "evaluate robustness -x" in page.section("files")
    row = open_results(results).faithfulness.methods[0]  # type: ignore[union-attr]
    assert in_words(row.metrics["soft_ns"]) in page.section("faithfulness")
    assert "heat 0.25 [.10, .40] yes" in page.section("sanity")
    assert "evaluate sanity -z" in page.section("files")


def test_faithfulness_alone_has_a_report_without_what_gold_would_say(
    benchmark_of: Benchmark, lm: LanguageModel, tmp_path: Path
) -> None:
    task = curated(benchmark_of, "none")
    faithfulness(
        task, lm, METHODS, RunConfig(tmp_path / "out", command="evaluate faithfulness -y"), options=OPTIONS
    )
    page = page_of(tmp_path / "out")
    assert "not run; to have it: evaluate alignment" in page.section("alignment")
    assert "no example has gold" in page.section("curves")
    assert "chosen by their alignment, which was not run" in page.section("paragraphs")
    assert "Where a method's positive word mass falls" in page.section("segments")


def test_a_report_needs_no_benchmark_and_names_what_the_folder_lacks(results: Path) -> None:
    path = results / "alignment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"folder": "/gone"}))
    assert "is gone, and the labels with it" in page_of(results).section("agreement")
    (results / "scores.jsonl").write_text("")
    assert re.search(
        r"lacks 5 .* scores; run again: evaluate alignment -x", page_of(results).section("paragraphs")
    )
    next((results / "attributions").iterdir()).unlink()
    page = page_of(results)
    for name in ("curves", "segments", "cost", "likeness", "paragraphs"):
        assert re.search(r"lacks the attribution of p\d by .*; run again: evaluate", page.section(name))
    examples = next(results.glob("examples-*"))
    examples.write_text(examples.read_text().splitlines(keepends=True)[0])
    assert re.search(r"examples-.* holds 1 of \d+ examples; run again", page_of(results).section("cost"))
    examples.unlink()
    assert re.search(r"examples-.* is missing; run again", page_of(results).section("cost"))


def test_a_damaged_attribution_is_named(results: Path) -> None:
    path = next((results / "attributions").iterdir())
    path.write_bytes(path.read_bytes()[:50])
    assert "damaged" in page_of(results).section("curves")


def test_scores_that_are_no_numbers_have_no_map(results: Path) -> None:
    rows = [Score.model_validate_json(line) for line in (results / "scores.jsonl").read_text().splitlines()]
    broken = [row for row in rows if row.method == "random"]
    for row in broken:
        (results / "attributions" / f"{row.attribution}.safetensors").unlink()
    lines = [
        (row.model_copy(update={"status": "not_finite"}) if row in broken else row).model_dump_json()
        for row in rows
    ]
    (results / "scores.jsonl").write_text("\n".join(lines) + "\n")
    assert "no numbers on this paragraph" in page_of(results).section("paragraphs")


def test_no_run_no_report(tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match=r"holds no alignment\.json"):
        write_report(tmp_path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
