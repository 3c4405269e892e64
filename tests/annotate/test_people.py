"""Public sets that people marked as benchmarks: labels, gold, and what is left out."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from fakes.annotated import make_label
from typer.testing import CliRunner

from annotate.agreement import agreement
from annotate.benchmark import Benchmark, open_benchmark
from annotate.cli import app
from annotate.errors import BenchmarkError, LabelError, RowsError, UnknownNameError
from annotate.files import read_records, shipped
from annotate.gold import adjudicate, settle
from annotate.imports.people import import_people
from annotate.imports.spans import place_spans
from annotate.label_files import read_labels
from annotate.labelling.tables import describe_people
from annotate.schema import Gold, Paragraph, Segment, text_hash
from annotate.words import rule_for, split_words
from evaluate.tasks.catalog import load_task

RUNNER = CliRunner()
PASSAGE = "Ann baked a pie. Ben ate it all. Ben was ill."


@pytest.fixture
def squad(tmp_path: Path) -> Path:
    questions = [
        {
            "question": "Who ate it?",
            "answers": [{"text": "Ben"}],
            "evidences": ["Ben ate it all.", "a pie. Ben ate"],
        },
        {
            "question": "Who baked?",
            "answers": [{"text": "Ann"}],
            "evidences": ["Ann baked", "Ann baked a pie."],
        },
        {"question": "Who was ill?", "answers": [{"text": "Ben"}], "evidences": ["Ben", "Ben was ill"]},
    ]
    path = tmp_path / "marked.json"
    content = {"data": [{"title": "t", "paragraphs": [{"context": PASSAGE, "qas": questions}]}]}
    path.write_text(json.dumps(content))
    return path


def row(text: str, label: str, chosen: str, marks: list[int], person: int, number: int = 1) -> dict[str, Any]:
    return {
        "text_id": text,
        "sentence": "A dull, dull film."
        if label in ("positive", "negative")
        else "Where do fish swim at night?",
        "original_label": label,
        "label": chosen,
        "label_index": number,
        "rationale_binary": json.dumps(marks),
        "annotator_ID": person,
    }


@pytest.fixture
def crowd(tmp_path: Path) -> Path:
    rows = [
        row("7", "negative", "negative", [0, 1, 1, 0], 30),
        row("7", "negative", "negative", [0, 1, 0, 0], 9),
        row("7", "negative", "positive", [0, 0, 0, 1], 12),
        row("7", "negative", "negative", [0, 0, 0, 1], 41),
        row("8", "A", "river", [0, 0, 0, 1, 0, 0], 30, 1),
        row("8", "A", "river", [0, 0, 1, 1, 0, 0], 9, 1),
        row("8", "A", "sky", [1, 0, 0, 0, 0, 0], 12, 2),
        row("9", "negative", "negative", [1, 1, 1, 1], 30),
        row("9", "negative", "negative", [0, 0, 0, 0], 9),
    ]
    path = tmp_path / "small.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def marked(benchmark: Benchmark, name: str) -> dict[str, list[str]]:
    """The words of each paragraph that somebody marked, of labels that are ok."""
    paragraphs = {paragraph.id: paragraph for paragraph in benchmark.paragraphs()}
    labels = read_labels(benchmark.labels_dir, list(paragraphs.values()), [name])[name]
    return {
        label.paragraph_id: [paragraphs[label.paragraph_id].word_texts()[i] for i in label.words]
        for label in labels
        if label.status == "ok"
    }


def gold_words(benchmark: Benchmark) -> dict[str, list[str]]:
    paragraphs = {paragraph.id: paragraph for paragraph in benchmark.paragraphs()}
    rows = read_records(benchmark.gold_path, Gold)
    return {g.paragraph_id: [paragraphs[g.paragraph_id].word_texts()[i] for i in g.indices()] for g in rows}


def test_evidence_of_two_people_becomes_two_annotators(squad: Path, tmp_path: Path) -> None:
    done = import_people("expmrc", squad, tmp_path / "out", "the command")
    benchmark = open_benchmark(tmp_path / "out")
    first = benchmark.paragraphs()[0]
    assert (first.id, first.text, first.question, first.answer) == ("marked-1", PASSAGE, "Who ate it?", "Ben")
    assert [(segment.role, segment.start, segment.end) for segment in first.segments] == [
        ("support", 0, len(PASSAGE))
    ]
    assert marked(benchmark, "human:1") == {
        "marked-1": ["Ben", "ate", "it", "all"],
        "marked-2": ["Ann", "baked"],
    }
    assert marked(benchmark, "human:2")["marked-1"] == ["a", "pie", "Ben", "ate"]
    assert gold_words(benchmark) == {"marked-1": ["Ben", "ate"], "marked-2": ["Ann", "baked"]}
    assert done.annotators == {"human:1": 2, "human:2": 2}
    assert done.left_out == {"the passage holds an evidence more than once": ("marked.json question 3",)}
    assert benchmark.manifest().command == "the command"
    assert "| the passage holds an evidence more than once | 1 |" in benchmark.card_path.read_text()


def test_agreement_of_people_is_that_counted_by_hand(squad: Path, tmp_path: Path) -> None:
    import_people("expmrc", squad, tmp_path / "out")
    benchmark = open_benchmark(tmp_path / "out")
    paragraphs = benchmark.paragraphs()
    (pair,) = agreement(paragraphs, read_labels(benchmark.labels_dir, paragraphs), bootstrap=50).pairs
    # Both mark Ben, ate and Ann, baked (4); the first alone it, all (2); the second alone a, pie, a, pie (4).
    assert pair.kinds == ("person", "person")
    assert pair.f1.value == pytest.approx(8 / (8 + 2 + 4))
    # 22 words: 12 unmarked by both; chance agrees on 6/22 * 8/22 + 16/22 * 14/22.
    chance = (6 * 8 + 16 * 14) / 22**2
    assert pair.kappa.value == pytest.approx((16 / 22 - chance) / (1 - chance))


def test_a_crowd_is_numbered_by_its_ids_and_those_who_do_not_count_are_named(
    crowd: Path, tmp_path: Path
) -> None:
    done = import_people("fair-rationales", crowd.parent, tmp_path / "out")
    benchmark = open_benchmark(tmp_path / "out")
    film, fish = benchmark.paragraphs()
    assert (film.id, film.answer) == ("small-7", "negative")
    assert film.question == "Is the sentiment of this text positive or negative?"
    # Where the text is the question, nothing is asked beside it.
    assert (fish.question, fish.answer, fish.segments[0].role) == (fish.text, "river", "question")
    assert marked(benchmark, "human:1") == {"small-7": ["dull"], "small-8": ["fish", "swim"]}
    assert marked(benchmark, "human:3") == {"small-7": ["dull", "dull"], "small-8": ["swim"]}
    assert marked(benchmark, "human:4") == {"small-7": ["film"]}
    assert done.annotators == {"human:1": 2, "human:3": 2, "human:4": 1}
    # Of three people two marked the first "dull"; of two both marked "swim".
    assert gold_words(benchmark) == {"small-7": ["dull"], "small-8": ["swim"]}
    assert done.left_out == {
        "nobody's marks count": ("small.csv text 9",),
        "the person chose another label than the text's": ("small.csv row 3", "small.csv row 7"),
        "the person marked every word": ("small.csv row 8",),
        "the person marked no word": ("small.csv row 9",),
    }
    said = [json.loads(json.loads(line)["raw"]) for line in benchmark.ledger.read_text().splitlines()]
    assert [each["person"] for each in said] == ["9", "9", "30", "30", "41"]


SAMPLES = shipped("tasks")


@pytest.mark.parametrize(
    "name",
    [
        "expmrc",
        "fair-rationales/sst",
        "fair-rationales/cose",
        "onestopqa",
        "onestopqa/Ele",
        "qed",
        "eraser/boolq",
        "eraser/fever",
        "eraser/movies",
        "eraser/multirc",
    ],
)
def test_gold_is_that_of_the_task_of_the_same_file(name: str, tmp_path: Path) -> None:
    source = SAMPLES / name.partition("/")[0]
    import_people(name, source, tmp_path / "out")
    folder = load_task(str(tmp_path / "out"))
    task = load_task(name, source=str(source))
    assert len(folder.examples) == len(task.examples) > 0
    for here, there in zip(folder.examples, task.examples, strict=True):
        assert (here.prompt, here.target) == (there.prompt, there.target)
        assert [here.words[i] for i in here.gold or ()] == [there.words[i] for i in there.gold or ()]


def test_a_level_or_a_subset_is_read_and_named(tmp_path: Path) -> None:
    texts = {}
    for level in ("Adv", "Ele"):
        out = tmp_path / level
        import_people(f"onestopqa/{level}", SAMPLES / "onestopqa" / "onestop_qa.json", out)
        texts[level] = [paragraph.text for paragraph in open_benchmark(out).paragraphs()]
        assert open_benchmark(out).manifest().config["source"] == f"onestopqa/{level}"
    assert len(texts["Adv"]) == len(texts["Ele"])
    assert not {*texts["Adv"]} & {*texts["Ele"]}
    everything = import_people("eraser", SAMPLES / "eraser", tmp_path / "all")
    parts = {paragraph.id.partition("-")[0] for paragraph in open_benchmark(tmp_path / "all").paragraphs()}
    assert parts == {"boolq", "fever", "movies", "multirc"}
    alone = [
        import_people("eraser/movies", SAMPLES / "eraser" / each, tmp_path / f"alone {n}").paragraphs
        for n, each in enumerate(("", "movies", "movies/val.jsonl"))
    ]
    assert alone[0] == alone[1] == alone[2] < everything.paragraphs
    with pytest.raises(UnknownNameError, match="no subset of eraser is called 'move'"):
        import_people("eraser/move", SAMPLES / "eraser", tmp_path / "out")
    with pytest.raises(UnknownNameError, match="no subset of qed is called ''"):
        import_people("qed/", SAMPLES / "qed", tmp_path / "out")
    with pytest.raises(RowsError, match=r"holds no movies/val\.jsonl, which eraser/movies is read from"):
        import_people("eraser/movies", SAMPLES / "eraser" / "fever", tmp_path / "out")


def test_marks_that_do_not_fit_their_text_are_named_with_the_row(tmp_path: Path) -> None:
    good = {
        "paragraph": PASSAGE,
        "level": "Adv",
        "question": "Who ate?",
        "answers": ["Ben"],
        "a_span": [4, 5],
        "d_span": [0, 0],
    }
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(good | {"a_span": span}) for span in ([4, 5], [4, 11])))
    out = str(tmp_path / "out")
    done = RUNNER.invoke(app, ["import", "--format", "onestopqa", "--out", out, str(path)])
    assert done.exit_code == 0, done.output
    assert "Left out, a span lies outside the text: 1, such as rows.jsonl line 2." in done.stdout.splitlines()
    assert "next: annotate label --annotator ..." in done.stderr


def test_a_crowd_of_whom_nobody_counts_makes_no_benchmark(crowd: Path, tmp_path: Path) -> None:
    lines = crowd.read_text().splitlines()
    crowd.write_text("\n".join([lines[0], *lines[-2:]]))
    with pytest.raises(
        RowsError, match=r"no text of .* can be used: nobody's marks count \(1, such as text 9\)"
    ):
        import_people("fair-rationales", crowd, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_annotator_stands_beside_the_people_and_leaves_their_gold(
    squad: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    made = RUNNER.invoke(app, ["import", "--format", "expmrc", str(squad), "--out", str(out)])
    assert made.exit_code == 0, made.output
    assert "2 texts; labelled by human:1 2, human:2 2." in made.stdout
    before = (out / "gold.jsonl").read_bytes()
    labelled = RUNNER.invoke(app, ["label", "--benchmark", str(out), "--annotator", "overlap"])
    assert labelled.exit_code == 0, labelled.output
    assert (out / "gold.jsonl").read_bytes() == before
    shown = RUNNER.invoke(
        app, ["agreement", "--benchmark", str(out), "--bootstrap", "100", "--json", "--quiet"]
    )
    pairs = json.loads(shown.stdout)["pairs"]
    assert [pair["kinds"] for pair in pairs] == [["person", "person"], ["person", "rule"], ["person", "rule"]]


def test_the_same_import_again_changes_nothing_and_others_are_refused(
    squad: Path, crowd: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    import_people("expmrc", squad, out, "one")
    before = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    import_people("expmrc", squad, out, "one")
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    settle(open_benchmark(out), "union", ["human:1", "human:2"])
    union = (out / "gold.jsonl").read_bytes()
    done = import_people("expmrc", squad, out, "one")
    assert (done.rule, done.kept) == ("union", True)
    assert (out / "gold.jsonl").read_bytes() == union
    assert "Gold: left as it was settled since (union)." in describe_people(done)
    with pytest.raises(BenchmarkError, match="is a benchmark of other texts"):
        import_people("fair-rationales", crowd, out)
    with pytest.raises(BenchmarkError, match="is a file; name a folder"):
        import_people("expmrc", squad, squad)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "README.md").write_text("mine")
    with pytest.raises(BenchmarkError, match="is not as annotate wrote it"):
        import_people("expmrc", squad, foreign)
    assert (foreign / "README.md").read_text() == "mine"


def test_files_that_are_not_there_or_of_another_kind_are_refused(squad: Path, tmp_path: Path) -> None:
    with pytest.raises(RowsError, match="there is no file or folder"):
        import_people("expmrc", tmp_path / "none", tmp_path / "out")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(RowsError, match=r"holds no \*.json, which expmrc is read from"):
        import_people("expmrc", empty, tmp_path / "out")
    with pytest.raises(RowsError, match=r"no row of .* can be used"):
        import_people("fair-rationales", squad_as_csv(squad), tmp_path / "out")
    packed = tmp_path / "squad.json.gz"
    packed.write_bytes(gzip.compress(squad.read_bytes()))
    with pytest.raises(RowsError, match=r"squad.json.gz is gzip data; unpack it first"):
        import_people("expmrc", packed, tmp_path / "out")
    with pytest.raises(RowsError, match="holds one object, not a list of objects"):
        import_people("qed", squad, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def squad_as_csv(squad: Path) -> Path:
    path = squad.with_name("other.csv")
    path.write_text("context,question\na,b\n")
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "expmrc"], "say where their benchmark goes with --out"),
        (["--format", "expmrc", "--out", "o", "--annotator", "human:a"], "leave --benchmark, --annotator"),
        (["--format", "label-studio"], "name them with --annotator human:NAME"),
        (["--format", "word-list", "--annotator", "human:a", "--out", "o"], "--out is for public sets"),
        (["--format", "exmprc", "--out", "o"], "did you mean 'expmrc'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: list[str], message: str, squad: Path) -> None:
    done = RUNNER.invoke(app, ["import", str(squad), *options])
    assert done.exit_code != 0
    assert message in str(done.exception)


def test_spans_mark_words_with_a_letter_or_digit_alone() -> None:
    paragraph = make(PASSAGE)
    (span,) = place_spans(paragraph, [(12, 20)])
    assert [paragraph.word_texts()[i] for i in span.words] == ["pie", "Ben"]
    with pytest.raises(LabelError, match="outside"):
        place_spans(paragraph, [(0, len(PASSAGE) + 1)])


def test_majority_is_more_than_half() -> None:
    paragraph = make(PASSAGE)
    labels = {
        name: [make_label(paragraph, name, words)]
        for name, words in {"human:1": [0, 1, 2], "human:2": [0, 1], "human:3": [0], "human:4": [0]}.items()
    }
    settled = adjudicate([paragraph], labels, "majority").gold[0]
    assert [(word.index, word.origin) for word in settled.words] == [(0, "agreed")]
    del labels["human:4"]
    settled = adjudicate([paragraph], labels, "majority").gold[0]
    assert [(word.index, word.origin) for word in settled.words] == [(0, "agreed"), (1, "majority")]


def make(text: str) -> Paragraph:
    return Paragraph(
        id="p",
        text=text,
        segments=(Segment(role="support", start=0, end=len(text), source="s", split="s", row=1),),
        question="",
        answer="",
        words=split_words(text),
        word_rule=rule_for(text),
        text_sha256=text_hash(text),
    )
