"""Released word lists: places found, ambiguity flagged, duplicates counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.annotated import make_benchmark, make_paragraph, make_paragraphs

from annotate.benchmark import open_benchmark
from annotate.errors import LabelError
from annotate.imports.run import import_labels
from annotate.imports.word_list import place_words
from annotate.label_files import read_labels
from annotate.schema import Label, Paragraph
from annotate.words import split_words

TEXT = "The cat saw the other cat. <s> Who saw the dog?"


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def found(text: str, *listed: str) -> list[tuple[str, tuple[int, ...], str]]:
    paragraph = make_paragraph("p", text, "q?", "x", narrative="")
    spans = place_words(paragraph, listed)
    # The empty narrative and its newline come first, without a word.
    return [(span.quote, span.words, span.rung) for span in spans]


class TestPlaces:
    def test_one_place(self) -> None:
        assert found("Water boils fast.", "boils") == [("boils", (1,), "exact")]

    def test_several_places_are_ambiguous_and_the_first_is_taken(self) -> None:
        assert found("a cat and a cat", "cat") == [("cat", (1,), "ambiguous")]

    def test_named_as_often_as_it_stands_there_is_not(self) -> None:
        assert found("a cat and a cat", "cat", "cat") == [("cat", (1,), "exact"), ("cat", (4,), "exact")]
        assert found("cat cat cat", "cat", "cat") == [("cat", (0,), "ambiguous"), ("cat", (1,), "ambiguous")]

    def test_never_within_a_word(self) -> None:
        assert found("The category is cat", "cat") == [("cat", (3,), "exact")]
        assert found("The category", "cat") == [("cat", (), "unresolved")]

    def test_phrases_punctuation_and_case(self) -> None:
        assert found("The red fox, it ran", "red fox") == [("red fox", (1, 2), "exact")]
        assert found("The red fox ran", "fox,") == [("fox,", (2,), "normalized")]
        assert found("The red fox ran", "Red") == [("Red", (1,), "casefold")]
        assert found("The red fox ran", "", "?!") == [("", (), "unresolved"), ("?!", (), "unresolved")]


def labels_of(folder: Path) -> tuple[list[Paragraph], list[Label]]:
    benchmark = open_benchmark(folder)
    paragraphs = benchmark.paragraphs()
    return paragraphs, read_labels(benchmark.labels_dir, paragraphs)["import:released"]


class TestImport:
    def test_a_folder_is_made_of_the_unique_texts(self, tmp_path: Path) -> None:
        rows = [
            {
                "input": TEXT,
                "important_words": ["cat", "Other", "fish"],
                "question": "Who saw the dog?",
                "more": 1,
            },
            {"text": "Water boils.", "important_words": ["Water"]},
            {"input": "Water boils.", "important_words": ["Water"]},
            {"input": "Water boils.", "important_words": ["boils"]},
            {"input": "Nothing matters.", "important_words": []},
            {"input": "Lost.", "important_words": ["found"]},
        ]
        file = write(tmp_path / "w.jsonl", rows)
        done = import_labels(tmp_path / "rel", "word-list", file, "import:released")
        assert done.left_out == {
            "rows of a text seen before": 1,
            "rows of a text seen before, with other words": 1,
        }
        assert done.rungs == {"unresolved": 2, "ambiguous": 1, "casefold": 1, "exact": 1}
        paragraphs, labels = labels_of(tmp_path / "rel")
        assert [p.text for p in paragraphs] == [TEXT, "Water boils.", "Nothing matters.", "Lost."]
        assert [s.role for s in paragraphs[0].segments] == ["support", "question"]
        assert [label.status for label in labels] == ["ok", "ok", "ok", "unresolved"]
        assert [label.words for label in labels] == [(1, 4), (0,), (), ()]
        assert labels[0].detail == "1 ambiguous, 1 unresolved"
        assert open_benchmark(tmp_path / "rel").manifest().report["unique"] == 4
        again = import_labels(tmp_path / "rel", "word-list", file, "import:released")
        assert (again.new, again.known) == (0, 4)

    def test_into_a_benchmark_that_holds_the_texts(self, tmp_path: Path) -> None:
        paragraphs = make_paragraphs(3)
        benchmark = make_benchmark(tmp_path / "b", paragraphs)
        file = write(tmp_path / "w.jsonl", [{"input": paragraphs[1].text, "important_words": ["otter"]}])
        done = import_labels(benchmark.path, "word-list", file, "import:released")
        assert done.statuses == {"missing": 2, "ok": 1}
        assert done.rungs == {"ambiguous": 1}

    def test_a_text_from_elsewhere(self, tmp_path: Path) -> None:
        benchmark = make_benchmark(tmp_path / "b", make_paragraphs(1))
        file = write(tmp_path / "w.jsonl", [{"input": "Unknown.", "important_words": []}])
        with pytest.raises(LabelError, match="line 1 has a text that is not in this benchmark"):
            import_labels(benchmark.path, "word-list", file, "import:released")

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", "line 2 is not JSON"),
            ("[]", "line 2 has no text in input or text"),
            ('{"input": " ", "important_words": []}', "line 2 has no text"),
            ('{"input": "a", "important_words": "a"}', "line 2 has no important_words"),
            ('{"input": "a", "important_words": [1]}', "line 2 has no important_words"),
        ],
    )
    def test_bad_rows_and_no_folder_is_left(self, tmp_path: Path, line: str, message: str) -> None:
        file = tmp_path / "w.jsonl"
        file.write_text('{"input": "a", "important_words": ["a"]}\n' + line)
        with pytest.raises(LabelError, match=message):
            import_labels(tmp_path / "rel", "word-list", file, "import:released")
        assert not (tmp_path / "rel").exists()

    def test_no_rows_or_no_text_file(self, tmp_path: Path) -> None:
        file = tmp_path / "w.jsonl"
        file.write_text("\n")
        with pytest.raises(LabelError, match="holds no rows"):
            import_labels(tmp_path / "rel", "word-list", file, "import:released")
        file.write_bytes(b"\xff\xfe")
        with pytest.raises(LabelError, match="is not UTF-8"):
            import_labels(tmp_path / "rel", "word-list", file, "import:released")


def test_marked_words_of_a_script_without_spaces_mark_themselves_alone(tmp_path: Path) -> None:
    row = {
        "input": "狭义相对论是由爱因斯坦在1905年提出的。它改变了物理学。",
        "important_words": ["爱因斯坦", "狭义相对论"],
    }
    thai = {"input": "ทฤษฎีเสนอโดยไอน์สไตน์", "important_words": ["ไอน์สไตน์"]}
    plain = {"input": "Rain falls.", "important_words": ["Rain"]}
    file = tmp_path / "w.jsonl"
    file.write_text("\n".join(json.dumps(each, ensure_ascii=False) for each in (row, thai, plain)) + "\n")
    done = import_labels(tmp_path / "zh", "word-list", file, "import:zh")
    assert (done.statuses, done.rungs) == ({"ok": 3}, {"exact": 4})
    benchmark = open_benchmark(tmp_path / "zh")
    paragraphs = benchmark.paragraphs()
    assert [paragraph.word_rule for paragraph in paragraphs] == ["regex-2", "regex-2", "regex-1"]
    assert benchmark.manifest().config["word_rule"] == "regex-2"
    labels = read_labels(benchmark.labels_dir, paragraphs)["import:zh"]
    marked = [
        "".join(p.word_texts()[i] for i in label.words) for p, label in zip(paragraphs, labels, strict=True)
    ]
    assert marked == ["狭义相对论爱因斯坦", "ไอน์สไตน์", "Rain"]


def test_a_benchmark_of_the_older_rule_is_read_by_it() -> None:
    text = "爱因斯坦在1905年。Einstein."
    paragraph = make_paragraph("p", text, "why?", "x", narrative="One.")
    old = paragraph.model_copy(
        update={"word_rule": "regex-1", "words": split_words(paragraph.text, "regex-1")}
    )
    (span,) = place_words(old, ["爱因斯坦在1905年"])
    assert (len(span.words), span.rung) == (1, "exact")
    (span,) = place_words(old, ["爱因斯坦"])
    assert span.rung == "unresolved"
