"""Formats compared on a few paragraphs, against a fake of the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fakes.annotated import make_benchmark, make_paragraphs
from fakes.command_line import annotate, files

from annotate.annotators import make_annotator
from annotate.benchmark import Benchmark
from annotate.errors import BudgetError, LabelError
from annotate.labelling.label import label_benchmark
from annotate.online.limits import Limits
from annotate.online.transport import Endpoint
from annotate.pilot import draw, pilot_ledger, run_pilot, with_format
from annotate.protocol import Annotator
from tests.fakes.openai_server import FakeOpenAI

COUNT = 30
ONE_AT_A_TIME = Limits(concurrency=1)


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    return make_benchmark(tmp_path / "curated", make_paragraphs(COUNT))


def trials(fake: FakeOpenAI, *formats: str) -> list[tuple[str, Annotator]]:
    endpoint = Endpoint(fake.url)
    return [(name, make_annotator(with_format("openai:gpt-4o", name), endpoint=endpoint)) for name in formats]


def quotes(*texts: str) -> str:
    return json.dumps({"spans": [{"quote": text, "occurrence": 1, "before": ""} for text in texts]})


class TestFigures:
    def test_all_formats_of_a_truthful_model(self, benchmark, fake) -> None:
        found = run_pilot(benchmark, trials(fake, "quotes", "indexed", "tags"), count=5)
        assert [trial.format for trial in found.trials] == ["quotes", "indexed", "tags"]
        assert {trial.marked_share for trial in found.trials} == {found.trials[0].marked_share}
        for trial in found.trials:
            assert trial.statuses == {"ok": 10}
            assert (trial.unplaced_first, trial.unresolved, trial.retest.value) == (0, 0, 1)
            assert (trial.attempts, trial.unpriced, trial.retested) == (10, 0, 5)
        assert json.loads(pilot_ledger(benchmark).with_name("pilot.json").read_text()) == found.model_dump(
            mode="json"
        )

    def test_cost_of_a_thousand(self, benchmark, fake) -> None:
        (trial,) = run_pilot(benchmark, trials(fake, "quotes"), count=5).trials
        bill = fake.bill()
        fresh = bill["input_tokens"] - bill["cached_tokens"]
        usd = (2.5 * fresh + 1.25 * bill["cached_tokens"] + 10 * bill["output_tokens"]) / 1e6
        assert trial.usd == pytest.approx(usd)
        assert trial.usd_per_1000 == pytest.approx(usd / 10 * 1000)  # 5 paragraphs, twice

    def test_quotes_that_are_not_there(self, benchmark, fake) -> None:
        """Two of three quotes are made up; asked again, the model takes one of them back."""

        def answer(body: dict[str, Any]) -> str:
            if "quagga" in body["messages"][-1]["content"]:
                return quotes("", "zebu")
            return quotes("plum", "quagga", "zebu")

        fake.answer = answer
        (trial,) = run_pilot(benchmark, trials(fake, "quotes"), count=4).trials
        assert trial.statuses == {"unresolved": 8}
        assert trial.unplaced_first == pytest.approx(2 / 3)
        assert trial.unresolved == 1
        assert trial.rungs["exact"] == 8
        assert trial.attempts == 16
        # What a label cost: both questions of each of the eight.
        assert trial.usd_per_1000 == pytest.approx(1000 * trial.usd / 8)
        assert trial.retest.value is None
        assert trial.retested == 0

    def test_a_model_that_wavers(self, benchmark, fake) -> None:
        """At first it marks two words of each paragraph, then one of them: F1 is 2 * 1 / (2 + 1)."""
        asked = count()
        fake.answer = lambda body: quotes("plum", "storms") if next(asked) % 2 == 0 else quotes("plum")
        found = run_pilot(benchmark, trials(fake, "quotes"), count=6, limits=ONE_AT_A_TIME)
        assert found.trials[0].retest.value == pytest.approx(2 / 3)
        assert found.trials[0].retested == 6


class TestMoney:
    def test_nothing_is_paid_twice_and_more_paragraphs_add(self, benchmark, fake) -> None:
        first = run_pilot(benchmark, trials(fake, "quotes"), count=5)
        before = files(benchmark.path)
        assert run_pilot(benchmark, trials(fake, "quotes"), count=5) == first
        assert files(benchmark.path) == before
        assert len(fake.log) == 10
        assert run_pilot(benchmark, trials(fake, "quotes"), count=8).trials[0].attempts == 16
        assert len(fake.log) == 16

    def test_a_stop_keeps_what_was_paid(self, benchmark, fake) -> None:
        with pytest.raises(BudgetError):
            run_pilot(benchmark, trials(fake, "quotes"), limits=Limits(concurrency=1, max_cost=0.05))
        kept = pilot_ledger(benchmark).read_bytes().count(b"\n")
        assert 0 < kept == len(fake.log) < 2 * COUNT
        run_pilot(benchmark, trials(fake, "quotes"))
        assert len(fake.log) == 2 * COUNT

    def test_labels_and_gold_are_left_alone(self, benchmark, fake) -> None:
        label_benchmark(benchmark, [make_annotator("clause")])
        before = files(benchmark.path)
        run_pilot(benchmark, trials(fake, "tags"), count=3)
        after = files(benchmark.path)
        assert {name for name in after if not name.startswith("pilot/")} == set(before)
        assert all(after[name] == content for name, content in before.items())


class TestDraw:
    def test_more_contain_fewer_and_copies_are_left_out(self) -> None:
        paragraphs = make_paragraphs(COUNT)
        paragraphs += [
            paragraph.model_copy(update={"id": f"copy {n}"}) for n, paragraph in enumerate(paragraphs)
        ]
        few, more = draw(paragraphs, 5, seed=3), draw(paragraphs, 12, seed=3)
        assert {p.id for p in few} < {p.id for p in more}
        assert [p.id for p in more] == sorted(p.id for p in more)
        everything = draw(paragraphs, 100, seed=3)
        assert [p.id for p in everything] == [f"p{n:05d}" for n in range(COUNT)]
        assert draw(paragraphs, 5, seed=4) != few


class TestCommand:
    def test_table(self, benchmark, fake) -> None:
        asking = ("--annotator", "openai:gpt-4o", "--base-url", fake.url, "-n", "3")
        done = annotate(benchmark.path.parent, "pilot", *asking, "--formats", "quotes,tags")
        assert done.returncode == 0, done.stderr
        assert "3 paragraphs, 2 times each, drawn with seed 0" in done.stdout
        assert "openai:gpt-4o,format=tags,host=127.0.0.1: spans placed:" in done.stdout
        again = annotate(benchmark.path.parent, "pilot", *asking, "--formats", "quotes,tags", "--json")
        assert [trial["format"] for trial in json.loads(again.stdout)["trials"]] == ["quotes", "tags"]
        assert len(fake.log) == 12

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("--annotator", "clause"), "annotator clause: 'format=quotes' is no option of it"),
            (
                ("--annotator", "openai:m", "--formats", "words"),
                "no format is called 'words'; there are: quotes",
            ),
            (("--annotator", "openai:m", "--formats", "tags,tags"), "an annotator is named twice"),
        ],
    )
    def test_bad_input(self, benchmark, arguments, sentence) -> None:
        done = annotate(benchmark.path.parent, "pilot", *arguments)
        assert done.returncode == 1
        assert f"error: {sentence}" in done.stderr

    def test_another_benchmark(self, benchmark, fake, tmp_path) -> None:
        run_pilot(benchmark, trials(fake, "quotes"), count=20)
        other = make_benchmark(tmp_path / "other", make_paragraphs(3))
        pilot_ledger(other).parent.mkdir()
        pilot_ledger(benchmark).rename(pilot_ledger(other))
        with pytest.raises(LabelError, match="belongs to another benchmark"):
            run_pilot(other, trials(fake, "quotes"), count=3)
