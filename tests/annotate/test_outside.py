"""Text from outside that Python or UTF-8 cannot hold: one line that says where, never a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.annotated import make_benchmark, make_label, make_paragraph
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from annotate.annotators import make_annotator
from annotate.benchmark import Benchmark
from annotate.errors import AnnotateError, BenchmarkError, LabelError, SourceError, UnknownNameError
from annotate.formats import make_format
from annotate.imports.run import import_labels
from annotate.label_files import write_labels
from annotate.outside import is_whole, mend_json, printable, read_json, whole_characters
from annotate.sources import open_source
from annotate.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
HALF = "\\ud83d"
HOSTILE = {
    "half a pair": f'"a {HALF} b"',
    "half a pair in the other order": '"\\ude00\\ud83d"',
    "deep lists": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
}


class TestJson:
    @given(
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_what_json_writes_is_read(self, value: Any) -> None:
        for escaped in (True, False):
            text = json.dumps(value, ensure_ascii=escaped)
            assert read_json(text) == read_json(text.encode()) == read_json(text, mend=True) == value

    @pytest.mark.parametrize("name", HOSTILE)
    def test_what_it_cannot_hold_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match=r"surrogate|nested too deep"):
            read_json(HOSTILE[name])

    def test_halves_are_mended_and_nothing_else(self) -> None:
        assert read_json(f'"a {HALF} b"', mend=True) == "a \ufffd b"
        assert read_json(b'"\xed\xa0\xbd"', mend=True) == "\ufffd"
        for kept in (r'"\ud83d\ude00"', r'"\\ud83d"', r'"\\\\ud83d"', '"😀 \\n"'):
            assert mend_json(kept) == kept
        assert whole_characters("a\ud83d\ude00") == "a\ufffd\ufffd"
        assert is_whole("a😀")
        assert not is_whole("a\ud83d")

    def test_a_number_without_end_is_none(self) -> None:
        long = "1" * 5_000
        assert read_json(f'{{"a": {long}, "b": -{long}, "c": 12}}') == {"a": None, "b": None, "c": 12}


class TestFiles:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_word_lists_and_sources_name_the_line(self, tmp_path: Path, name: str) -> None:
        good = json.dumps({"input": "Rain falls.", "important_words": ["Rain"]})
        file = tmp_path / "w.jsonl"
        file.write_text(
            good + "\n" + '{"input": "x", "important_words": [], "note": ' + HOSTILE[name] + "}\n"
        )
        with pytest.raises(LabelError, match="line 2 "):
            import_labels(tmp_path / "b", "word-list", file, "import:x")
        assert not (tmp_path / "b").exists()
        file.write_text(HOSTILE[name] + "\n")
        with pytest.raises(SourceError, match=r"line 1 (is not JSON: it is nested too deep|holds str)"):
            open_source("local", file, file).passages("test", 1, 0)

    @pytest.mark.parametrize("name", HOSTILE)
    def test_label_studio_says_what_is_wrong(self, tmp_path: Path, name: str) -> None:
        benchmark = make_benchmark(tmp_path / "b", [make_paragraph("p", "Rain falls.", "why?", "x")])
        file = tmp_path / "t.json"
        file.write_text('[{"data": {"text": ' + HOSTILE[name] + "}}]")
        with pytest.raises(LabelError, match=r"is not JSON|of no paragraph here"):
            import_labels(benchmark.path, "label-studio", file, "human:ada")

    def test_a_manifest_nested_without_end_is_damaged(self, tmp_path: Path) -> None:
        benchmark = make_benchmark(tmp_path / "b", [make_paragraph("p", "Rain falls.", "why?", "x")])
        benchmark.manifest_path.write_text("[" * 100_000)
        with pytest.raises(BenchmarkError, match="damaged: it is nested too deep"):
            benchmark.manifest()

    def test_records_say_so_too(self, tmp_path: Path) -> None:
        benchmark = make_benchmark(tmp_path / "b", [make_paragraph("p", "Rain falls.", "why?", "x")])
        line = benchmark.paragraphs_path.read_text()
        for hostile in (*HOSTILE.values(), "1" * 5_000):
            benchmark.paragraphs_path.write_text(line.replace('"id":"p"', f'"id":{hostile}'))
            with pytest.raises(BenchmarkError, match="line 1 is no paragraph record"):
                benchmark.paragraphs()

    def test_names_that_are_no_text_are_refused(self) -> None:
        for spec in ("human:\udcff", "openai:\udcff", "\udcff"):
            with pytest.raises(AnnotateError, match="no UTF-8"):
                make_annotator(spec)


class TestTerminal:
    """What a terminal cannot show is escaped."""

    @pytest.fixture
    def benchmark(self, tmp_path: Path) -> Benchmark:
        paragraph = make_paragraph("p😀", "Naïve 😀 falls.", "why?", "x")
        benchmark = make_benchmark(tmp_path / "b", [paragraph])
        write_labels(benchmark.labels_dir, "human:é😀", [make_label(paragraph, "human:é😀", [0])])
        write_labels(benchmark.labels_dir, "clause", [make_label(paragraph, "clause", [0])])
        return benchmark

    def run(self, benchmark: Benchmark, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "annotate.cli", *arguments, "--benchmark", str(benchmark.path)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_that_knows_ascii_alone(self, benchmark: Benchmark) -> None:
        shown = self.run(benchmark, "agreement", "--bootstrap", "100")
        assert (shown.returncode, shown.stderr.count("Traceback")) == (0, 0)
        assert "\\xe9\\U0001f600" in shown.stdout
        read = self.run(benchmark, "agreement", "--bootstrap", "100", "--json")
        assert "human:é😀" in json.dumps(json.loads(read.stdout), ensure_ascii=False)
        wrong = self.run(benchmark, "agreement", "--annotator", "né")
        assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)


def test_what_steers_a_terminal_is_escaped() -> None:
    assert printable("a\tb\nc é 李") == "a\tb\nc é 李"
    assert printable("\x1b[2J\r\x07\x9b\u202e") == "\\u001b[2J\\u000d\\u0007\\u009b\\u202e"
    assert json.loads(printable(json.dumps("\x1b\x9b\u202e", ensure_ascii=False))) == "\x1b\x9b\u202e"


def test_tables_and_sentences_do_not_obey_what_they_show(capsys) -> None:
    table = Table("\x1b[2J", title="\x9b2J")
    table.add_row("\x1b]0;owned\x07")
    for shown in (table, "\x1b[2J"):
        Terminal(markup=False).print(shown)
    assert not {"\x1b", "\x9b", "\x07"} & set(capsys.readouterr().out)


@pytest.mark.parametrize(("name", "near"), [("overlp", "overlap"), ("openal", "openai"), ("zzz", "")])
def test_a_mistyped_name_is_answered_with_the_nearest(name, near) -> None:
    hint = f" (did you mean {near!r}?)" if near else ""
    with pytest.raises(
        UnknownNameError, match=re.escape(f"no annotator is called {name!r}{hint}; there are: clause")
    ):
        make_annotator(name)
    with pytest.raises(UnknownNameError, match=r"did you mean 'quotes'\?"):
        make_format("quote")
