"""Potato and factgenie out and in: the files that their real versions wrote, with texts that offsets break on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.annotated import make_benchmark, make_label, make_paragraph, make_paragraphs

from annotate.benchmark import Benchmark
from annotate.errors import LabelError
from annotate.export import export
from annotate.imports.run import import_labels
from annotate.label_files import read_labels

PARAGRAPHS = [
    *make_paragraphs(2),
    make_paragraph("emoji", "👩🏽‍🚀 saw 😀 and <b>x</b> & y.\r\nTwice &amp; again.", "who?", "x"),
    make_paragraph("rtl", "قال المعلم إن النحاس 😀 ينقل الحرارة. המורה אמר.", "ماذا؟", "x"),
]
WORDS = {"p00000": (0, 1, 4), "p00001": (), "emoji": (11, 12, 13, 15, 22), "rtl": (10, 11, 13, 15)}


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    labels = [make_label(paragraph, "clause", WORDS[paragraph.id]) for paragraph in PARAGRAPHS]
    return make_benchmark(tmp_path / "b", PARAGRAPHS, labels=labels)


def read(benchmark: Benchmark, name: str) -> dict[str, tuple[int, ...]]:
    labels = read_labels(benchmark.labels_dir, PARAGRAPHS)[name]
    return {label.paragraph_id: label.words for label in labels if label.status == "ok"}


def state(folder: Path, user: str, spans: dict[str, list[Any]], seen: list[str]) -> Path:
    """What Potato 2.12 keeps of a user."""
    file = folder / "annotation_output" / user / "user_state.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "user_id": user,
        "instance_id_ordering": seen,
        "current_phase_and_page": ["annotation", "annotation"],
        "max_assignments": -1,
        "instance_id_to_label_to_value": {identifier: [] for identifier in seen},
        "instance_id_to_span_to_value": {
            identifier: [
                [{"schema": "words", "title": each["name"], "id": "span_1", **each}, True] for each in some
            ]
            for identifier, some in spans.items()
        },
    }
    file.write_text(json.dumps(content))
    return file


def items(folder: Path) -> dict[str, Any]:
    lines = (folder / "data" / "paragraphs.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    return {item["id"]: item for item in map(json.loads, lines)}


def accepted(folder: Path) -> dict[str, list[Any]]:
    """The spans that a user of Potato starts from."""
    return {name: item["predictions"]["words"] for name, item in items(folder).items()}


class TestPotato:
    def test_there_and_back(self, benchmark: Benchmark, tmp_path: Path) -> None:
        out = tmp_path / "project"
        export(benchmark, "potato", out)
        config = json.loads((out / "config.yaml").read_text())
        assert config["annotation_schemes"][0]["labels"] == ["IMPORTANT"]
        assert items(out)["emoji"]["text"].endswith(
            "saw 😀 and &lt;b&gt;x&lt;/b&gt; &amp; y.\r\nTwice &amp;amp; again.\nwho?"
        )
        state(out, "ada", accepted(out), list(WORDS))
        import_labels(benchmark.path, "potato", out / "annotation_output", "human:ada")
        assert read(benchmark, "human:ada") == WORDS

    def test_what_a_user_changed_and_what_nobody_saw(self, benchmark: Benchmark, tmp_path: Path) -> None:
        text = PARAGRAPHS[3].text
        start = text.index("ينقل")
        span = {"name": "IMPORTANT", "start": start, "end": start + 2}
        file = state(tmp_path, "ada", {"rtl": [span]}, ["rtl", "p00000"])
        done = import_labels(benchmark.path, "potato", file, "human:ada")
        assert done.statuses == {"ok": 2, "missing": 2}
        marked = PARAGRAPHS[3].word_texts().index("ينقل")
        assert read(benchmark, "human:ada") == {"rtl": (marked,), "p00000": ()}

    def test_several_users_are_several_annotators(self, benchmark: Benchmark, tmp_path: Path) -> None:
        for n, user in enumerate(("ada", "bob")):
            state(tmp_path, user, {"p00000": [{"name": "IMPORTANT", "start": 5 * n, "end": 5 * n + 4}]}, [])
        with pytest.raises(LabelError, match=r"2 people \(ada, bob\)"):
            import_labels(benchmark.path, "potato", tmp_path / "annotation_output", "human:ada")
        for user in ("ada", "bob"):
            import_labels(
                benchmark.path, "potato", tmp_path / "annotation_output", f"human:{user}", completed_by=[user]
            )
        assert (read(benchmark, "human:ada"), read(benchmark, "human:bob")) == (
            {"p00000": (0,)},
            {"p00000": (1,)},
        )

    @pytest.mark.parametrize(
        ("span", "message"),
        [
            (
                {"name": "IMPORTANT", "start": 3, "end": 9999},
                r"p00000 span 1 \(3 to 9999\) is empty or lies outside",
            ),
            ({"name": "important", "start": 0, "end": 4}, "region 1 is labelled 'important'"),
            ({"name": "IMPORTANT", "start": "x", "end": 4}, "span 1 lacks schema, name, start or end"),
            ({"name": "IMPORTANT", "start": 0, "end": 4, "additional_parts": [{}]}, "has several parts"),
        ],
    )
    def test_what_does_not_fit_is_refused_with_its_place(
        self, benchmark: Benchmark, tmp_path: Path, span: Any, message: str
    ) -> None:
        file = state(tmp_path, "ada", {"p00000": [span]}, [])
        with pytest.raises(LabelError, match=message):
            import_labels(benchmark.path, "potato", file, "human:ada")
        assert not benchmark.ledger.exists()

    def test_other_files_and_texts(self, benchmark: Benchmark, tmp_path: Path) -> None:
        with pytest.raises(LabelError, match=r"holds no user_state\.json"):
            import_labels(benchmark.path, "potato", benchmark.labels_dir, "human:ada")
        with pytest.raises(LabelError, match="no state of a Potato user"):
            import_labels(benchmark.path, "potato", benchmark.manifest_path, "human:ada")
        file = state(tmp_path, "ada", {"p9": []}, [])
        with pytest.raises(LabelError, match="p9 is not in this benchmark"):
            import_labels(benchmark.path, "potato", file, "human:ada")

    def test_it_shows_the_labels_of_one_annotator(self, tmp_path: Path) -> None:
        labels = [make_label(PARAGRAPHS[0], name, [0]) for name in ("a", "b")]
        two = make_benchmark(tmp_path / "two", PARAGRAPHS, labels=labels)
        with pytest.raises(LabelError, match=r"there are 2 \(a, b\): choose with --annotator"):
            export(two, "potato", tmp_path / "project")


def written(folder: Path) -> list[dict[str, Any]]:
    file = folder / "campaigns" / "heat-labels" / "files" / "labels.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]


def by_a_person(records: list[dict[str, Any]], folder: Path, person: str = "ada") -> Path:
    """As factgenie 1.2 writes them when a person has annotated."""
    for record in records:
        record["metadata"] |= {"annotator_id": person, "end_timestamp": 1796034024}
        record |= {"flags": [], "options": [], "sliders": [], "text_fields": []}
    file = folder / "files" / f"0-0-{person}-1796034024.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8"
    )
    return file


class TestFactgenie:
    def test_there_and_back(self, benchmark: Benchmark, tmp_path: Path) -> None:
        export(benchmark, "factgenie", tmp_path / "x")
        records = written(tmp_path / "x")
        emoji = records[2]
        assert (emoji["annotations"][0]["start"], emoji["annotations"][0]["text"]) == (46, "👩🏽‍🚀 saw 😀")
        assert "&lt;b&gt;x&lt;/b&gt; &amp; y.&#13;\n" in emoji["output"]
        import_labels(benchmark.path, "factgenie", tmp_path / "x" / "campaigns", "import:same")
        assert read(benchmark, "import:same") == WORDS

    def test_what_people_marked(self, benchmark: Benchmark, tmp_path: Path) -> None:
        export(benchmark, "factgenie", tmp_path / "x")
        for person, words in (("ada", 0), ("bob", 1)):
            records = written(tmp_path / "x")[:1]
            start, end = PARAGRAPHS[0].words[words]
            records[0]["annotations"] = [
                {"type": 0, "text": PARAGRAPHS[0].text[start:end], "start": start, "id": "k3j9", "reason": ""}
            ]
            by_a_person(records, tmp_path / "c", person)
        with pytest.raises(LabelError, match=r"2 people \(ada, bob\)"):
            import_labels(benchmark.path, "factgenie", tmp_path / "c", "human:ada")
        done = import_labels(benchmark.path, "factgenie", tmp_path / "c", "human:bob", completed_by=["bob"])
        assert done.left_out == {"annotations of other people": 1}
        assert read(benchmark, "human:bob") == {"p00000": (1,)}

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"annotations": [{"type": 0, "text": "Mira", "start": 3}]}, r"annotation 1|carries 'Mira'"),
            (
                {"annotations": [{"type": 7, "text": "Mira", "start": 0}]},
                "a type that is one of the span categories",
            ),
            ({"output": "Another text."}, "of no paragraph here"),
            ({"metadata": None}, "is no annotation of factgenie"),
        ],
    )
    def test_what_does_not_fit_is_refused_with_its_place(
        self, benchmark: Benchmark, tmp_path: Path, change: Any, message: str
    ) -> None:
        export(benchmark, "factgenie", tmp_path / "x")
        file = tmp_path / "files.jsonl"
        file.write_text(json.dumps(written(tmp_path / "x")[0] | change) + "\n")
        with pytest.raises(LabelError, match=rf"files\.jsonl line 1.*({message})"):
            import_labels(benchmark.path, "factgenie", file, "human:ada")
        assert not benchmark.ledger.exists()
