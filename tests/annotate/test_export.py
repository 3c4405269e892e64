"""Exports: every row comes back as it was, the hub's library loads the folder, the card is valid YAML."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from fakes.annotated import make_benchmark, make_label, make_paragraphs

from annotate.benchmark import Benchmark
from annotate.dataset.card import dataset_card
from annotate.dataset.mixing import MixReport
from annotate.errors import AnnotateError, BenchmarkError
from annotate.export import FORMATS, export, labelled
from annotate.export.rows import Row, rows
from annotate.files import read_records, write_atomic, write_records
from annotate.label_files import write_labels
from annotate.ledger.ledger import Attempt
from annotate.schema import Gold, GoldWord, LabelSpan
from annotate.sources import SOURCES, licences_of

ONE = dict.fromkeys(FORMATS, ()) | {"potato": ("clause",)}
"""Whose labels a format is asked for, where it takes those of one annotator."""
FIRST = {"hf": "README.md", "potato": "config.yaml", "factgenie": "data/datasets.yml"}
"""A file of each format that is a folder."""


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    """Three paragraphs; a model with a failure and a repetition, a rule, gold for two."""
    first, *others = make_paragraphs(3)
    paragraphs = [first.model_copy(update={"evidence": (1, 2)}), *others]
    made = make_benchmark(tmp_path / "b", paragraphs)
    manifest = made.manifest().model_copy(update={"config": {"source": "hub", "split": "validation"}})
    write_atomic(made.manifest_path, manifest.model_dump_json())
    span = LabelSpan(words=(1, 2), quote="lost her", rung="fuzzy")
    model = [
        make_label(paragraphs[0], "openai:m", [1, 2]).model_copy(update={"spans": (span,), "model": "m-1"}),
        make_label(paragraphs[0], "openai:m", [1], repeat=1),
        make_label(paragraphs[1], "openai:m", status="refused"),
        make_label(paragraphs[2], "openai:m", []),
    ]
    write_labels(made.labels_dir, "openai:m", model)
    write_labels(made.labels_dir, "clause", [make_label(p, "clause", [0, 1]) for p in paragraphs])
    gold = [
        Gold(
            paragraph_id=p.id,
            text_sha256=p.text_sha256,
            rule="union",
            annotators=("clause", "openai:m"),
            words=(GoldWord(index=1, origin="agreed"), GoldWord(index=2, origin="union")),
        )
        for p in paragraphs[:2]
    ]
    write_records(made.gold_path, gold)
    attempt = Attempt(
        schema_version=1,
        status="ok",
        raw="{}",
        model="m-1",
        asked_at="2026-11-20T10:00:00Z",
        request_sha256="0" * 64,
        annotator="openai:m",
        paragraph_id=paragraphs[0].id,
        text_sha256=paragraphs[0].text_sha256,
        repeat=0,
        attempt=1,
        prompt_sha256="f" * 64,
    )
    write_records(made.ledger, [attempt])
    return made


def test_jsonl_holds_all_that_was_said(benchmark: Benchmark, tmp_path: Path) -> None:
    (file,) = export(benchmark, "jsonl", tmp_path / "x.jsonl")
    rows = read_records(file, Row)
    assert rows == labelled(benchmark).rows()
    assert [(each.annotator, each.repeat, each.status) for each in rows[0].labels] == [
        ("clause", 0, "ok"),
        ("openai:m", 0, "ok"),
        ("openai:m", 1, "ok"),
    ]
    assert rows[0].labels[1].spans[0].rung == "fuzzy"
    assert rows[1].labels[1].status == "refused"
    assert rows[0].gold is not None
    assert [word.origin for word in rows[0].gold.words] == ["agreed", "union"]
    assert rows[2].gold is None


def test_parquet_holds_the_same(benchmark: Benchmark, tmp_path: Path) -> None:
    (file,) = export(benchmark, "parquet", tmp_path / "x.parquet")
    table = pq.read_table(file)
    assert table.column_names == list(Row.model_fields)
    assert [Row.model_validate(row) for row in table.to_pylist()] == labelled(benchmark).rows()


def test_same_bytes(benchmark: Benchmark, tmp_path: Path) -> None:
    for name in FORMATS:
        once, again = (export(benchmark, name, tmp_path / f"{name}{n}" / "x.json", ONE[name]) for n in (1, 2))
        assert [path.read_bytes() for path in once] == [path.read_bytes() for path in again]


def test_chosen_annotators(benchmark: Benchmark, tmp_path: Path) -> None:
    (file,) = export(benchmark, "jsonl", tmp_path / "x.jsonl", ["clause"])
    assert {each.annotator for row in read_records(file, Row) for each in row.labels} == {"clause"}


class TestHub:
    def test_the_hubs_library_loads_the_folder(
        self, benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        from datasets import load_dataset

        export(benchmark, "hf", tmp_path / "hub")
        loaded = load_dataset(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"))
        assert list(loaded) == ["validation"]
        assert [Row.model_validate(row) for row in loaded["validation"]] == labelled(benchmark).rows()

    def test_without_labels_and_gold_the_types_hold(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from datasets import load_dataset

        bare = make_benchmark(tmp_path / "b", make_paragraphs(2))
        export(bare, "hf", tmp_path / "hub")
        loaded = load_dataset(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"), split="train")
        assert [Row.model_validate(row) for row in loaded] == labelled(bare).rows()
        card = (tmp_path / "hub" / "README.md").read_text()
        assert "There are no labels." in card
        assert "no two labellings to compare" in card
        assert "license:\n- unknown\n" in card

    def test_the_card(self, benchmark: Benchmark, tmp_path: Path) -> None:
        files = export(benchmark, "hf", tmp_path / "hub")
        assert all(path.is_file() for path in files)
        card = (tmp_path / "hub" / "README.md").read_text()
        front = yaml.safe_load(card.split("---\n")[1])
        assert front["license"] == sorted({licence.identifier for licence in licences_of("hub")})
        (config,) = front["configs"]
        assert config["data_files"] == [{"split": "validation", "path": "data/validation.parquet"}]
        assert front["size_categories"] == ["n<1K"]
        assert f"| `openai:m` | model | m-1 | `{'f' * 64}` | 2026-11-20 | 3 ok, 1 refused |" in card
        assert "| model / rule | clause and openai:m |" in card
        assert "Two annotators (clause, a rule; openai:m, a model, answered as m-1" in card
        assert "Rule `union`; 2 paragraphs, 1 without gold; words by origin: 2 agreed, 2 union." in card
        for field in Row.model_fields:
            assert f"`{field}`" in card or field == "schema_version"
        figures = json.loads((tmp_path / "hub" / "agreement.json").read_text())
        assert figures["pairs"][0]["valid"] == 2
        assert (
            tmp_path / "hub" / "provenance" / "ledger.jsonl"
        ).read_bytes() == benchmark.ledger.read_bytes()

    def test_the_card_of_a_benchmark_is_yaml_too(self) -> None:
        report = MixReport.model_construct(
            **dict.fromkeys(MixReport.model_fields, 0) | {"words": (1, 2.0, 3), "dropped": {}}
        )
        card = dataset_card("sample", "test", "c", SOURCES["sample"]().licences, report)
        assert yaml.safe_load(card.split("---\n")[1])["pretty_name"] == "Mixed paragraphs (sample, test)"


class TestRefused:
    def test_unknown_names(self, benchmark: Benchmark, tmp_path: Path) -> None:
        with pytest.raises(
            AnnotateError, match="no export format is called 'csv'; there are: jsonl, parquet, hf"
        ):
            export(benchmark, "csv", tmp_path / "x.csv")
        with pytest.raises(AnnotateError, match="'nobody'"):
            export(benchmark, "jsonl", tmp_path / "x", ["nobody"])

    def test_a_benchmark_is_not_written_over(self, benchmark: Benchmark, tmp_path: Path) -> None:
        before = benchmark.paragraphs_path.read_bytes()
        for name in FORMATS:
            with pytest.raises(AnnotateError, match="lies in the benchmark folder"):
                export(benchmark, name, benchmark.paragraphs_path)
        other = make_benchmark(tmp_path / "other", make_paragraphs(1))
        with pytest.raises(AnnotateError, match="whose card would be written over"):
            export(benchmark, "hf", other.path)
        assert benchmark.paragraphs_path.read_bytes() == before

    def test_gold_of_another_benchmark(self, benchmark: Benchmark, tmp_path: Path) -> None:
        gold = read_records(benchmark.gold_path, Gold)
        write_records(benchmark.gold_path, [gold[0].model_copy(update={"text_sha256": "0" * 64})])
        with pytest.raises(AnnotateError, match="belongs to another benchmark"):
            export(benchmark, "jsonl", tmp_path / "x.jsonl")

    def test_tasks_do_not_end_in_xml(self, benchmark: Benchmark, tmp_path: Path) -> None:
        with pytest.raises(AnnotateError, match=r"let it end in \.json"):
            export(benchmark, "label-studio", tmp_path / "x.xml")


def test_labels_stand_by_annotator_and_repetition_whatever_their_order() -> None:
    (paragraph,) = make_paragraphs(1)
    said = {
        "openai:m": [make_label(paragraph, "openai:m", [i], repeat=i) for i in (2, 0, 1)],
        "clause": [make_label(paragraph, "clause", [3])],
    }
    (row,) = rows([paragraph], said, [])
    assert [(label.annotator, label.repeat) for label in row.labels] == [
        ("openai:m", 0),
        ("openai:m", 1),
        ("openai:m", 2),
        ("clause", 0),
    ]


class TestOverwriting:
    @pytest.mark.parametrize("name", list(FORMATS))
    def test_a_file_of_the_user_is_left_unless_forced(self, benchmark, tmp_path, name) -> None:
        out = tmp_path / "out"
        theirs = out / FIRST.get(name, "")
        write_atomic(theirs, "mine")
        with pytest.raises(
            BenchmarkError, match=r"is not as annotate wrote it, and would be lost; .* --force"
        ):
            export(benchmark, name, out, ONE[name])
        assert theirs.read_text() == "mine"
        assert [
            path for path in tmp_path.rglob("*") if "manifest" in path.name and path.parent != benchmark.path
        ] == []
        export(benchmark, name, out, ONE[name], force=True)
        assert theirs.read_bytes() != b"mine"

    @pytest.mark.parametrize("name", list(FORMATS))
    def test_an_export_of_ours_is_written_over_until_it_is_edited(self, benchmark, tmp_path, name) -> None:
        out = tmp_path / "out"
        export(benchmark, name, out, ONE[name])
        written = export(benchmark, name, out, ["clause"])
        for path in written:
            before = path.read_bytes()
            path.write_bytes(before + b" ")
            with pytest.raises(BenchmarkError, match="would be lost"):
                export(benchmark, name, out, ONE[name])
            path.write_bytes(before)

    def test_the_interface_beside_tasks_is_no_exception(self, benchmark, tmp_path) -> None:
        write_atomic(tmp_path / "tasks.xml", "mine")
        with pytest.raises(BenchmarkError, match=r"tasks\.xml is not as"):
            export(benchmark, "label-studio", tmp_path / "tasks.json")
        assert not (tmp_path / "tasks.json").exists()
