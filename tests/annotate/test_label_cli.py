"""label, agreement and adjudicate as a user runs them: killed, interrupted, disk full, bad input."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from fakes.annotated import make_benchmark, make_paragraphs
from fakes.command_line import ROOT, annotate, files, lines, start, wait_for_lines

from annotate.benchmark import Benchmark
from annotate.console import describe
from annotate.label_files import labels_file
from annotate.ledger.ledger import Ledger

SLOW = ("label", "--annotator", "mock:noise=0.2,fail=0.1,delay=0.004", "--annotator", "clause", "--quiet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_benchmark(tmp_path / "curated", make_paragraphs(150))
    return tmp_path


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of a run of ``SLOW`` that nothing disturbed."""
    folder = tmp_path_factory.mktemp("unbroken")
    make_benchmark(folder / "curated", make_paragraphs(150))
    assert annotate(folder, *SLOW).returncode == 0
    return files(folder)


class TestStopped:
    def test_kill_and_rerun_gives_the_files_of_an_unbroken_run(self, folder, unbroken) -> None:
        ledger = folder / "curated" / "ledger.jsonl"
        for count in (3, 70, 120):
            process = start(folder, *SLOW)
            wait_for_lines(process, ledger, count)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert lines(ledger) < 300
        assert annotate(folder, *SLOW).returncode == 0
        assert files(folder) == unbroken

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_interrupt_says_so_and_keeps_all(self, folder, unbroken, number) -> None:
        # A test run in the background of a shell hands down that Ctrl-C is ignored.
        listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = start(folder, *SLOW, preexec_fn=listening)
        wait_for_lines(process, folder / "curated" / "ledger.jsonl", 20)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert err.splitlines()[-1].startswith("interrupted; finished work is kept")
        assert "Traceback" not in err
        assert annotate(folder, *SLOW).returncode == 0
        assert files(folder) == unbroken

    def test_full_disk_is_one_sentence_and_loses_nothing(self, folder, unbroken) -> None:
        def small_disk() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (12_345, 12_345))

        done = annotate(folder, *SLOW, preexec_fn=small_disk)
        assert done.returncode == 1
        assert done.stderr == "error: File too large (curated/ledger.jsonl)\n"
        ledger = (folder / "curated" / "ledger.jsonl").read_bytes()
        assert ledger.endswith(b"\n")
        assert len(ledger) > 11_000
        assert unbroken["curated/ledger.jsonl"].startswith(ledger)
        assert annotate(folder, *SLOW).returncode == 0
        assert files(folder) == unbroken

    def test_a_full_disk_says_what_to_do(self) -> None:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "curated/ledger.jsonl")
        assert describe(full) == (
            "No space left on device (curated/ledger.jsonl); finished work is kept: "
            "make room, then re-run the command"
        )

    @pytest.mark.parametrize("torn", ["labels/clause.jsonl", "gold.jsonl"])
    def test_torn_labels_are_not_fewer_labels(self, folder, unbroken, torn) -> None:
        assert annotate(folder, *SLOW).returncode == 0
        path = folder / "curated" / torn
        path.write_bytes(path.read_bytes()[:-30])
        (folder / "curated" / "labels" / ".clause.jsonl.x.part").write_text("half")
        if torn.startswith("labels"):
            done = annotate(folder, "agreement")
            assert done.returncode == 1
            assert done.stderr == (
                f"error: curated/{torn} is torn: it ends within a line; annotate reparse makes it again from"
                " the ledger\n"
            )
        assert annotate(folder, *SLOW).returncode == 0
        assert files(folder) == unbroken

    def test_a_torn_line_is_cut_and_asked_again(self, folder, unbroken) -> None:
        assert annotate(folder, *SLOW).returncode == 0
        ledger = folder / "curated" / "ledger.jsonl"
        ledger.write_bytes(ledger.read_bytes()[:-30])
        assert annotate(folder, *SLOW).returncode == 0
        assert files(folder) == unbroken


class TestUse:
    def test_the_three_commands_in_order(self, folder) -> None:
        done = annotate(folder, "label")
        assert done.returncode == 0
        assert "gold: intersection of overlap, clause; 150 paragraphs" in done.stdout
        assert "next: annotate agreement" in done.stderr
        done = annotate(folder, "agreement", "--bootstrap", "200")
        assert done.returncode == 0
        assert "clause / overlap" in done.stdout
        assert "F1 and kappa imply marked share" in done.stdout
        assert "200 replicates, seed 0" in done.stderr
        assert lines(folder / "curated" / "agreement.csv") == 151
        done = annotate(folder, "adjudicate", "--rule", "union")
        assert done.returncode == 0
        assert done.stdout.startswith("gold: union of clause, overlap; 150 paragraphs")
        done = annotate(folder, "label", "--quiet")
        assert "gold: left as it was chosen (union)" in done.stdout
        assert done.stderr == ""

    def test_json_is_alone_on_stdout(self, folder) -> None:
        done = annotate(folder, "label", "--json")
        assert json.loads(done.stdout)["annotators"][0]["statuses"] == {"ok": 150}
        assert done.stderr == ""
        agreed = json.loads(annotate(folder, "agreement", "--bootstrap", "200", "--json").stdout)
        assert agreed["pairs"][0]["annotators"] == ["clause", "overlap"]
        assert "rows" not in agreed["pairs"][0]
        settled = json.loads(annotate(folder, "adjudicate", "--json").stdout)
        assert settled["paragraphs"] == 150

    def test_a_rerun_asks_nothing_and_changes_nothing(self, folder) -> None:
        annotate(folder, "label", "--quiet")
        before = files(folder)
        done = annotate(folder, "label", "--quiet")
        assert done.returncode == 0
        assert files(folder) == before

    def test_replay_gives_the_same_labels(self, folder, tmp_path) -> None:
        annotate(folder, "label", "--quiet", "--annotator", "mock:noise=0.3,fail=0.1")
        old = tmp_path / "old.jsonl"
        (folder / "curated" / "ledger.jsonl").rename(old)
        assert annotate(folder, "label", "--quiet", "--annotator", f"replay:{old}").returncode == 0
        name = "mock:noise=0.3,seed=0,fail=0.1"
        first = labels_file(folder / "curated" / "labels", name).read_text()
        again = labels_file(folder / "curated" / "labels", f"replay:{name}").read_text()
        assert again.replace('"replay:mock', '"mock') == first

    def test_another_folder_another_out(self, folder, tmp_path) -> None:
        make_benchmark(tmp_path / "real", make_paragraphs(40))
        assert annotate(folder, "label", "--benchmark", "real").returncode == 0
        done = annotate(
            folder, "agreement", "--benchmark", "real", "--out", "x/table.csv", "--bootstrap", "100"
        )
        assert done.returncode == 0
        assert lines(tmp_path / "x" / "table.csv") == 41
        assert not Benchmark(folder / "curated").has_labels()


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("label", "--annotator", "gpt"), "no annotator is called 'gpt'; there are: clause, mock"),
            (("label", "--annotator", "mock:noise=2"), "annotator mock: noise=2 must lie between 0 and 1"),
            (("label", "--annotator", "replay:none.jsonl"), "annotator replay: the ledger none.jsonl"),
            (("label", "--benchmark", "none"), "there is no benchmark folder none"),
            (("agreement",), "there are no labels in curated/labels; make them with: annotate label"),
            (("adjudicate",), "there are no labels in curated/labels; make them with: annotate label"),
            (("adjudicate", "--rule", "vote"), "no rule is called 'vote'; there are: intersection"),
            (("adjudicate", "--rule", "evidence"), "no paragraph has evidence known by construction"),
            (("adjudicate", "--rule", "reviewed"), "no paragraph has a finished review"),
        ],
    )  # fmt: skip
    def test_one_sentence_and_non_zero(self, folder, arguments, sentence) -> None:
        before = files(folder)
        done = annotate(folder, *arguments)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {sentence}")
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
        assert files(folder) == before

    def test_two_writers(self, folder) -> None:
        with Ledger(folder / "curated" / "ledger.jsonl"):
            done = annotate(folder, "label")
        assert done.returncode == 1
        assert done.stderr.startswith("error: another process is writing to curated/ledger.jsonl")

    def test_a_folder_that_cannot_be_written(self, folder) -> None:
        (folder / "curated").chmod(0o555)
        try:
            if os.access(folder / "curated", os.W_OK):
                pytest.skip("this user may write everywhere")
            done = annotate(folder, "label")
        finally:
            (folder / "curated").chmod(0o755)
        assert done.returncode == 1
        assert done.stderr == "error: Permission denied (curated/ledger.jsonl)\n"

    def test_a_ledger_that_cannot_be_opened(self, folder) -> None:
        (folder / "curated" / "ledger.jsonl").mkdir()
        done = annotate(folder, "label")
        assert done.returncode == 1
        assert done.stderr == "error: Is a directory (curated/ledger.jsonl)\n"

    def test_one_annotator_has_no_agreement(self, folder) -> None:
        annotate(folder, "label", "--annotator", "overlap", "--quiet")
        done = annotate(folder, "agreement")
        assert done.returncode == 1
        assert "two annotators, there are those of: overlap" in done.stderr


class TestStart:
    def test_help_has_an_example_and_imports_nothing_heavy(self, tmp_path) -> None:
        code = (
            "import sys; from annotate.cli import app\n"
            "try: app(['label', '--help'])\n"
            "except SystemExit: pass\n"
            "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'scipy', 'sklearn', 'datasets'}\n"
            "print(sorted(heavy & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert "annotate label" in done.stdout
        assert done.stdout.splitlines()[-1] == "[]"

    def test_the_first_help_has_an_example_too(self, tmp_path) -> None:
        assert "Example: annotate build-dataset" in annotate(tmp_path, "--help").stdout

    @pytest.mark.parametrize("command", ["build-dataset", "label"])
    def test_a_negative_seed_is_refused(self, folder, command) -> None:
        done = annotate(folder, command, "--seed", "-1")  # the generator takes -1 for 1
        assert done.returncode == 2
        assert "greater than or equal to 0" in done.stderr

    @pytest.mark.parametrize("command", ["label", "agreement", "adjudicate"])
    def test_every_command_has_an_example(self, tmp_path, command) -> None:
        done = annotate(tmp_path, command, "--help")
        assert done.returncode == 0
        assert "Examples:" in done.stdout
        assert f"annotate {command}" in done.stdout
