"""Label Studio out and in: code points, UTF-16, refusal, and nothing lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.annotated import make_benchmark, make_label, make_paragraph, make_paragraphs
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.errors import AnnotateError, LabelError
from annotate.export.label_studio import tasks
from annotate.files import write_records
from annotate.imports.label_studio import parse_label_studio
from annotate.imports.regions import read_regions
from annotate.imports.run import import_labels
from annotate.label_files import read_labels, write_labels
from annotate.ledger.ledger import read_ledger
from annotate.schema import Paragraph

EMOJI = make_paragraph("e", "👩🏽‍🚀 saw 😀 and 😀 twice.", "who?", "x", narrative="Naïve café e\u0301.")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)


def accepted(paragraphs: list[Paragraph], words: dict[str, list[int]]) -> list[dict[str, Any]]:
    """Exported tasks whose predictions a person has accepted: Label Studio copies the regions."""
    labels = {"a": [make_label(p, "a", words[p.id]) for p in paragraphs if p.id in words]}
    exported: list[dict[str, Any]] = json.loads(json.dumps(tasks(paragraphs, labels)))
    for task in exported:
        task["annotations"] = [{"result": each["result"]} for each in task["predictions"]]
    return exported


def in_utf16(text: str, task: dict[str, Any]) -> None:
    """Count as a browser does."""
    for region in task["annotations"][0]["result"]:
        for edge in ("start", "end"):
            region["value"][edge] = len(text[: region["value"][edge]].encode("utf-16-le")) // 2


def imported(
    folder: Path, paragraphs: list[Paragraph], exported: list[dict[str, Any]]
) -> dict[str, tuple[int, ...]]:
    benchmark = make_benchmark(folder / "b", paragraphs)
    file = folder / "tasks.json"
    file.write_text(json.dumps(exported), encoding="utf-8")
    import_labels(benchmark.path, "label-studio", file, "human:ada")
    labels = read_labels(benchmark.labels_dir, paragraphs)["human:ada"]
    return {label.paragraph_id: label.words for label in labels if label.status == "ok"}


class TestRoundTrip:
    @settings(max_examples=150, deadline=None)
    @given(TEXT, TEXT, st.data())
    def test_any_words_of_any_text_come_back(self, support: str, question: str, data: st.DataObject) -> None:
        paragraph = make_paragraph("p", support, question, "x")
        count = len(paragraph.words)
        words = sorted(data.draw(st.sets(st.integers(0, count - 1)))) if count else []
        (task,) = accepted([paragraph], {"p": words})
        for region in task["annotations"][0]["result"]:
            value = region["value"]
            assert value["text"] == paragraph.text[value["start"] : value["end"]]
        spans = read_regions(paragraph, task["annotations"][0]["result"])
        assert sorted(word for span in spans for word in span.words) == words
        assert {span.rung for span in spans} <= {"exact", "ambiguous"}

    @settings(max_examples=150, deadline=None)
    @given(TEXT, st.data())
    def test_offsets_of_a_browser_are_repaired_or_flagged(self, support: str, data: st.DataObject) -> None:
        paragraph = make_paragraph("p", f"😀 {support}", "why?", "x", narrative="One 🎉 two.")
        words = sorted(data.draw(st.sets(st.integers(0, len(paragraph.words) - 1))))
        (task,) = accepted([paragraph], {"p": words})
        in_utf16(paragraph.text, task)
        spans = read_regions(paragraph, task["annotations"][0]["result"])
        if "ambiguous" not in {span.rung for span in spans}:
            assert sorted(word for span in spans for word in span.words) == words

    def test_through_files_and_ledger(self, tmp_path: Path) -> None:
        paragraphs = [*make_paragraphs(3), EMOJI]
        words = {p.id: [0, 1, len(p.words) - 1] for p in paragraphs}
        found = imported(tmp_path, paragraphs, accepted(paragraphs, words))
        assert found == {name: tuple(each) for name, each in words.items()}

    def test_behind_an_emoji_a_browser_counts_more(self, tmp_path: Path) -> None:
        words = [EMOJI.word_texts().index("twice")]
        exported = accepted([EMOJI], {"e": words})
        before = exported[0]["annotations"][0]["result"][0]["value"]["start"]
        in_utf16(EMOJI.text, exported[0])
        assert exported[0]["annotations"][0]["result"][0]["value"]["start"] > before
        assert imported(tmp_path, [EMOJI], exported) == {"e": tuple(words)}
        (row,) = read_labels(tmp_path / "b" / "labels", [EMOJI])["human:ada"]
        assert [span.rung for span in row.spans] == ["normalized"]

    def test_where_both_ways_of_counting_fit_it_is_flagged(self) -> None:
        paragraph = make_paragraph("p", "😀 a a a a.", "q?", "x", narrative="n")
        at = paragraph.text.index("a a") + 2  # the second "a"; as UTF-16 it is one further on: a space
        region = {
            "type": "labels",
            "value": {"start": at, "end": at + 1, "text": "a", "labels": ["IMPORTANT"]},
        }
        assert read_regions(paragraph, [region])[0].rung == "exact"
        double = make_paragraph("p", "😀😀 a a a a.", "q?", "x", narrative="n")
        at = double.text.index("a a") + 2  # as UTF-16 this is the first "a"
        region["value"] |= {"start": at, "end": at + 1}
        (span,) = read_regions(double, [region])
        assert span.rung == "ambiguous"
        assert double.words[span.words[0]][0] == at


class TestAsItsReleasesExport:
    """What Label Studio 1.23.2 wrote after people had worked on an export of ours, in its fields."""

    def exported(self, paragraph: Paragraph, number: int, result: list[Any], **fields: Any) -> dict[str, Any]:
        annotation = {
            "id": 40 + number,
            "completed_by": 1,
            "result": result,
            "was_cancelled": False,
            "ground_truth": False,
            "created_at": "2026-11-30T10:33:36.556753Z",
            "updated_at": "2026-11-30T10:33:36.556791Z",
            "draft_created_at": None,
            "lead_time": 16.456,
            "prediction": {"id": number, "result": [], "model_version": "clause", "model_run": None},
            "result_count": len(result),
            "unique_id": "70cd7bef-febe-4f34-b700-51179831c127",
            "import_id": None,
            "last_action": None,
            "parent_prediction": number,
            "parent_annotation": None,
        }
        return {
            "id": number,
            "annotations": [annotation | fields],
            "drafts": [],
            "predictions": [number],  # by their numbers alone
            "data": {"text": paragraph.text, "question": paragraph.question, "paragraph_id": paragraph.id},
            "meta": {},
            "allow_skip": True,
            "inner_id": number,
            "cancelled_annotations": 0,
            "comment_authors": [],
        }

    def region(self, paragraph: Paragraph, word: int, origin: str) -> dict[str, Any]:
        return region_of(paragraph, word, "IMPORTANT") | {
            "id": "9uqguGIZ88",
            "from_name": "label",
            "to_name": "text",
            "origin": origin,
        }

    def test_offsets_count_code_points_and_skipped_tasks_are_none(self, tmp_path: Path) -> None:
        words = {text: i for i, text in enumerate(EMOJI.word_texts())}
        rtl = make_paragraph("rtl", "قال المعلم إن النحاس 😀 ينقل الحرارة. המורה אמר.", "ماذا؟", "x")
        heat = rtl.word_texts().index("الحرارة")
        others = make_paragraphs(2)
        tasks_there = [
            self.exported(
                EMOJI,
                1,
                [
                    self.region(EMOJI, words["and"], "prediction"),
                    self.region(EMOJI, words["twice"], "manual"),
                ],
            ),
            self.exported(rtl, 2, [self.region(rtl, heat, "manual")]),
            self.exported(others[0], 3, []),
            self.exported(others[1], 4, [], was_cancelled=True),
        ]
        found = imported(tmp_path, [EMOJI, rtl, *others], tasks_there)
        assert found == {"e": (words["and"], words["twice"]), "rtl": (heat,), "p00000": ()}


class TestExport:
    def test_neighbours_are_one_region_and_failures_none(self) -> None:
        first, second = make_paragraphs(2)
        labels = {
            "a": [make_label(first, "a", [0, 1, 4]), make_label(second, "a", status="refused")],
            "b": [make_label(first, "b", [2], repeat=1)],
        }
        exported = tasks([first, second], labels)
        (prediction,) = exported[0]["predictions"]
        assert prediction["model_version"] == "a"
        assert [region["value"]["text"] for region in prediction["result"]] == [
            first.text[first.words[0][0] : first.words[1][1]],
            first.word_texts()[4],
        ]
        assert exported[1]["predictions"] == []
        assert exported[0]["data"]["text_sha256"] == first.text_sha256


class TestImport:
    def test_again_is_no_news_and_a_correction_is_added(self, tmp_path: Path) -> None:
        paragraphs = make_paragraphs(2)
        benchmark = make_benchmark(tmp_path / "b", paragraphs)
        file = tmp_path / "t.json"
        for words, new in (([0], 2), ([0], 0), ([1], 2), ([0], 2)):
            file.write_text(json.dumps(accepted(paragraphs, {p.id: words for p in paragraphs})))
            done = import_labels(benchmark.path, "label-studio", file, "human:ada")
            assert (done.new, done.known) == (new, 2 - new)
            labels = read_labels(benchmark.labels_dir, paragraphs)["human:ada"]
            assert [label.words for label in labels] == [tuple(words)] * 2
        assert len(read_ledger(benchmark.ledger).rows) == 6

    def test_what_is_left_out_is_counted(self, tmp_path: Path) -> None:
        paragraphs = make_paragraphs(4)
        exported = accepted(paragraphs, {p.id: [0] for p in paragraphs})
        exported[0]["annotations"] = []
        exported[1]["annotations"][0]["was_cancelled"] = True
        exported[2]["annotations"][0]["result"].append(
            {"type": "labels", "value": {"start": 0, "end": 1, "text": "?", "labels": ["OTHER"]}}
        )
        benchmark = make_benchmark(tmp_path / "b", paragraphs)
        file = tmp_path / "t.json"
        file.write_text(json.dumps(exported))
        done = import_labels(benchmark.path, "label-studio", file, "human:ada")
        assert done.left_out == {"tasks without an annotation": 2, "regions with another label": 1}
        assert done.statuses == {"missing": 2, "ok": 2}

    def test_other_labels_and_answers_stay(self, tmp_path: Path) -> None:
        paragraphs = make_paragraphs(2)
        benchmark = make_benchmark(tmp_path / "b", paragraphs)
        file = write_labels(
            benchmark.labels_dir, "clause", [make_label(p, "clause", [0]) for p in paragraphs]
        )
        before = file.read_bytes()
        exported = tmp_path / "t.json"
        exported.write_text(json.dumps(accepted(paragraphs, {p.id: [1] for p in paragraphs})))
        import_labels(benchmark.path, "label-studio", exported, "human:ada")
        import_labels(benchmark.path, "label-studio", exported, "human:bob")
        assert file.read_bytes() == before
        assert list(read_labels(benchmark.labels_dir, paragraphs)) == ["clause", "human:ada", "human:bob"]

    def test_a_part_of_a_word_marks_the_word(self) -> None:
        paragraph = make_paragraphs(1)[0]
        region = {"type": "labels", "value": {"start": 1, "end": 3, "text": "ir", "labels": ["IMPORTANT"]}}
        assert read_regions(paragraph, [region])[0].words == (0,)

    def test_a_task_without_id_is_found_by_its_text(self, tmp_path: Path) -> None:
        paragraphs = make_paragraphs(2)
        exported = accepted(paragraphs, {p.id: [0] for p in paragraphs})
        for task in exported:
            del task["data"]["paragraph_id"]
        assert set(imported(tmp_path, paragraphs, exported)) == {"p00000", "p00001"}


def shifted(exported: list[dict[str, Any]]) -> None:
    exported[1]["annotations"][0]["result"][0]["value"]["start"] += 1


def carriage_returns(exported: list[dict[str, Any]]) -> None:
    exported[1]["data"]["text"] = exported[1]["data"]["text"].replace("\n", "\r\n")


def edited(exported: list[dict[str, Any]]) -> None:
    exported[1]["data"]["text"] += " more"


def two_of_one(exported: list[dict[str, Any]]) -> None:
    exported[1]["annotations"] *= 2


def twice(exported: list[dict[str, Any]]) -> None:
    exported.append(exported[1])


def foreign(exported: list[dict[str, Any]]) -> None:
    exported[1]["data"]["paragraph_id"] = "p99"


def blank(exported: list[dict[str, Any]]) -> None:
    text = exported[1]["data"]["text"]
    at = text.index(" ")
    exported[1]["annotations"][0]["result"][0]["value"] |= {"start": at, "end": at + 1, "text": " "}


def no_text(exported: list[dict[str, Any]]) -> None:
    del exported[1]["annotations"][0]["result"][0]["value"]["text"]


def far_away(exported: list[dict[str, Any]]) -> None:
    exported[1]["annotations"][0]["result"][0]["value"] |= {"start": -3, "end": 10_000}


def minimal(exported: list[dict[str, Any]]) -> None:
    exported[1] = {"text": "x", "label": []}


def region_of(paragraph: Paragraph, word: int, *names: str, kind: str = "labels") -> dict[str, Any]:
    start, end = paragraph.words[word]
    return {
        "type": kind,
        "value": {"start": start, "end": end, "text": paragraph.text[start:end], kind: list(names)},
    }


def marked(paragraph: Paragraph, start: int, end: int, quote: str) -> dict[str, Any]:
    return {"type": "labels", "value": {"start": start, "end": end, "text": quote, "labels": ["IMPORTANT"]}}


class TestLineEnds:
    TEXT = "😀 Rain falls.\nThe fox\r\neats  plums."

    @pytest.mark.parametrize("support", [TEXT, TEXT.replace("😀", "So")])
    @pytest.mark.parametrize("cut", [slice(2, 3), slice(0, 5), slice(1, 4), slice(3, 7)])
    @pytest.mark.parametrize(
        "written",
        [
            lambda quote: quote.replace("\r", "\\n").replace("\n", "\\n"),
            lambda quote: quote.replace("\r\n", "\n").replace("\n", "\\n"),
            lambda quote: quote.replace("\n", "\\r\\n"),
            lambda quote: " ".join(quote.split()),
            lambda quote: quote.replace("\n", ""),
        ],
    )
    @pytest.mark.parametrize("edge", [0, 1])
    def test_in_a_region_and_at_its_borders(self, support: str, cut: slice, written: Any, edge: int) -> None:
        paragraph = make_paragraph("p", support, "why?", "x", narrative="One.")
        inside = [i for i, (start, _) in enumerate(paragraph.words) if start > 4][cut]
        start, end = paragraph.words[inside[0]][0], paragraph.words[inside[-1]][1]
        start -= edge * paragraph.text[start - 1].isspace()
        end += edge * paragraph.text[end].isspace()
        (code_points,) = read_regions(
            paragraph, [marked(paragraph, start, end, written(paragraph.text[start:end]))]
        )
        shift = [len(paragraph.text[:at].encode("utf-16-le")) // 2 for at in (start, end)]
        (units,) = read_regions(paragraph, [marked(paragraph, *shift, written(paragraph.text[start:end]))])
        assert code_points.words == units.words == tuple(inside)
        assert code_points.rung == "exact"
        assert units.rung in (("normalized", "exact") if "😀" in support else ("exact",))

    def test_backslashes_of_the_text_itself_are_no_line_ends(self) -> None:
        paragraph = make_paragraph("p", "See C:\\new\\readme there.", "why?", "x", narrative="One.")
        start = paragraph.text.index("C:")
        quote = "C:\\new\\readme"
        (span,) = read_regions(paragraph, [marked(paragraph, start, start + len(quote), quote)])
        assert [paragraph.word_texts()[i] for i in span.words] == ["C", ":", "\\", "new", "\\", "readme"]

    def test_other_words_are_still_refused(self) -> None:
        paragraph = make_paragraph("p", "A fox\nran.", "why?", "x", narrative="One.")
        start = paragraph.text.index("fox")
        for quote in ("fox\\nrun.", "foxran", "x\\nran.", ""):
            with pytest.raises(LabelError, match="carries"):
                read_regions(paragraph, [marked(paragraph, start, start + 8, quote)])

    def test_half_an_emoji_at_a_border_marks_it(self, tmp_path: Path) -> None:
        paragraph = make_paragraph("p", "A fox 😀 ran 😀 off.", "why?", "x", narrative="One.")
        texts = paragraph.word_texts()
        unit = len(paragraph.text[: paragraph.text.index("😀")].encode("utf-16-le")) // 2
        region = marked(paragraph, unit + 1, unit + 9, "\ude00 ran \ud83d")
        exported = [
            {"data": {"text": paragraph.text}, "annotations": [{"result": [region]}]},
        ]
        found = imported(tmp_path, [paragraph], exported)
        assert [texts[i] for i in found["p"]] == ["😀", "ran", "😀"]


def of_people(paragraphs: list[Paragraph], *people: Any) -> list[dict[str, Any]]:
    """Tasks that each person has annotated: the n-th marks the n-th word."""
    exported = accepted(paragraphs, {p.id: [0] for p in paragraphs})
    for paragraph, task in zip(paragraphs, exported, strict=True):
        task["annotations"] = [
            {"completed_by": person, "result": [region_of(paragraph, n, "IMPORTANT")]}
            for n, person in enumerate(people)
        ]
    return exported


class TestSeveralPeople:
    def setup(self, folder: Path, *people: Any) -> tuple[list[Paragraph], Path, Path]:
        paragraphs = make_paragraphs(3)
        benchmark = make_benchmark(folder / "b", paragraphs)
        file = folder / "t.json"
        file.write_text(json.dumps(of_people(paragraphs, *people)))
        return paragraphs, benchmark.path, file

    def test_of_one_export_are_annotators_of_their_own(self, tmp_path: Path) -> None:
        ada, bob = 1, {"id": 2, "email": "bob@example.org", "first_name": "Bob"}
        paragraphs, folder, file = self.setup(tmp_path, ada, bob)
        with pytest.raises(
            LabelError, match=r"of 2 people \(1, 2/bob@example.org\): say whose .* --completed-by"
        ):
            import_labels(folder, "label-studio", file, "human:ada")
        assert not (folder / "ledger.jsonl").exists()
        done = import_labels(folder, "label-studio", file, "human:ada", completed_by=["1"])
        assert done.left_out == {"annotations of other people": 3}
        for name in ("2", "bob@example.org"):
            import_labels(folder, "label-studio", file, "human:bob", completed_by=[name])
        labels = read_labels(folder / "labels", paragraphs)
        assert {label.words for label in labels["human:ada"]} == {(0,)}
        assert {label.words for label in labels["human:bob"]} == {(1,)}
        with pytest.raises(
            LabelError, match="no annotation of --completed-by 7; there are those of: 1, 2/bob"
        ):
            import_labels(folder, "label-studio", file, "human:x", completed_by=["7"])

    def test_who_shared_the_tasks_are_read_as_one_when_named(self, tmp_path: Path) -> None:
        paragraphs, folder, file = self.setup(tmp_path, 1)
        exported = json.loads(file.read_text())
        exported[2]["annotations"][0]["completed_by"] = 2
        file.write_text(json.dumps(exported))
        with pytest.raises(LabelError, match="of 2 people"):
            import_labels(folder, "label-studio", file, "human:team")
        done = import_labels(folder, "label-studio", file, "human:team", completed_by=["1", "2"])
        assert done.statuses == {"ok": 3}
        (tmp_path / "t.json").write_text(json.dumps(of_people(paragraphs, 1, 2)))
        with pytest.raises(LabelError, match="task 1 has 2 annotations of those who are read as one"):
            import_labels(folder, "label-studio", file, "human:team", completed_by=["1", "2"])

    def test_a_word_list_knows_none(self, tmp_path: Path) -> None:
        with pytest.raises(
            LabelError, match="--completed-by is for label-studio, potato, factgenie; a word-list"
        ):
            import_labels(tmp_path, "word-list", tmp_path / "x", "import:x", completed_by=["1"])


class TestLabelsOfAnotherName:
    @pytest.mark.parametrize(
        "name",
        [
            "Important",
            "important",
            " IMPORTANT",
            "IMPORTANT ",
            "IM PORTANT",
            "IMPORTANT\u200b",
            "I\u00adMPORTANT",
        ],
    )
    def test_that_differ_by_case_or_blanks_are_refused_even_beside_good_ones(self, name: str) -> None:
        paragraph = make_paragraphs(1)[0]
        for result in (
            [region_of(paragraph, 1, name)],
            [region_of(paragraph, 0, "IMPORTANT"), region_of(paragraph, 1, name)],
        ):
            with pytest.raises(
                LabelError, match=f"region {len(result)} is labelled .*; name that label 'IMPORTANT'"
            ):
                read_regions(paragraph, result)

    @pytest.mark.parametrize("names", [["OTHER"], [], ["UNIMPORTANT"]])
    def test_without_one_of_the_right_name_are_no_empty_label(self, names: list[str]) -> None:
        paragraph = make_paragraphs(1)[0]
        with pytest.raises(LabelError, match="no region labelled 'IMPORTANT' but others"):
            read_regions(paragraph, [region_of(paragraph, 1, *names)])

    def test_of_another_kind_of_text_are_refused(self) -> None:
        paragraph = make_paragraphs(1)[0]
        with pytest.raises(LabelError, match="region 1 is of type 'hypertextlabels'"):
            read_regions(paragraph, [region_of(paragraph, 1, "IMPORTANT", kind="hypertextlabels")])

    def test_without_a_region_nothing_matters_and_a_comment_is_no_region(self) -> None:
        paragraph = make_paragraphs(1)[0]
        assert read_regions(paragraph, []) == ()
        choice = {"type": "choices", "value": {"choices": ["easy"]}}
        assert read_regions(paragraph, [choice, {"type": "relation"}]) == ()

    def test_a_file_of_them_is_refused_and_what_was_imported_of_old_is_a_status(self, tmp_path: Path) -> None:
        paragraphs = make_paragraphs(2)
        exported = accepted(paragraphs, {p.id: [0] for p in paragraphs})
        benchmark = make_benchmark(tmp_path / "b", paragraphs)
        file = tmp_path / "t.json"
        file.write_text(json.dumps(exported))
        import_labels(benchmark.path, "label-studio", file, "human:ada")
        exported[1]["annotations"][0]["result"][0]["value"]["labels"] = ["Important"]
        file.write_text(json.dumps(exported))
        with pytest.raises(LabelError, match=r"task 2 \(p00001\) region 1 is labelled 'Important'"):
            import_labels(benchmark.path, "label-studio", file, "human:ada")
        renamed = [
            row.model_copy(update={"raw": row.raw.replace("IMPORTANT", "Important")})
            for row in read_ledger(benchmark.ledger).rows
        ]
        write_records(benchmark.ledger, renamed)
        file.write_text("[]")
        done = import_labels(benchmark.path, "label-studio", file, "human:ada")
        assert done.statuses == {"invalid_output": 2}


class TestRefused:
    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (shifted, r"task 2 \(p00001\) region 1 \(1 to 4\) carries 'Mira', but there stands 'ira'"),
            (carriage_returns, "task 2 has other line ends than p00001"),
            (edited, "task 2 has another text than p00001"),
            (two_of_one, "task 2 has 2 annotations of those who are read as one; keep one"),
            (twice, "task 4 is of p00001, as task 2 is"),
            (foreign, "task 2 is of p99, which is not in this benchmark"),
            (blank, "marks no word: ' '"),
            (no_text, "region 1 has no start and end"),
            (far_away, r"region 1 \(-3 to 10000\) carries"),
            (minimal, "not JSON-MIN"),
        ],
    )
    def test_with_the_place_and_nothing_is_written(self, tmp_path: Path, damage: Any, message: str) -> None:
        paragraphs = make_paragraphs(3)
        exported = accepted(paragraphs, {p.id: [0] for p in paragraphs})
        damage(exported)
        benchmark = make_benchmark(tmp_path / "b", paragraphs)
        file = tmp_path / "t.json"
        file.write_text(json.dumps(exported), encoding="utf-8")
        before = sorted(path.name for path in benchmark.path.rglob("*"))
        with pytest.raises(LabelError, match=message):
            import_labels(benchmark.path, "label-studio", file, "human:ada")
        assert sorted(path.name for path in benchmark.path.rglob("*")) == before

    @pytest.mark.parametrize(
        ("name", "annotator", "message"),
        [
            ("label-studio", "openai:gpt", "not imported as those of 'openai:gpt'"),
            ("label-studio", "human", "say whose labels"),
            ("brat", "human:ada", "no import format is called 'brat'; there are: label-studio, potato"),
        ],
    )
    def test_names(self, tmp_path: Path, name: str, annotator: str, message: str) -> None:
        with pytest.raises(AnnotateError, match=message):
            import_labels(tmp_path, name, tmp_path / "none.json", annotator)

    def test_no_json(self, tmp_path: Path) -> None:
        (tmp_path / "t.json").write_text("id,text")
        with pytest.raises(LabelError, match="is not JSON"):
            parse_label_studio(tmp_path / "t.json", [])

    def test_a_damaged_ledger_row_is_a_status(self, tmp_path: Path) -> None:
        paragraphs = make_paragraphs(1)
        benchmark = make_benchmark(tmp_path / "b", paragraphs)
        file = tmp_path / "t.json"
        file.write_text(json.dumps(accepted(paragraphs, {p.id: [0] for p in paragraphs})))
        import_labels(benchmark.path, "label-studio", file, "human:ada")
        rows = read_ledger(benchmark.ledger).rows
        write_records(benchmark.ledger, [row.model_copy(update={"raw": "{}"}) for row in rows])
        file.write_text("[]")
        done = import_labels(benchmark.path, "label-studio", file, "human:ada")
        assert done.statuses == {"invalid_output": 1}
