"""Formats compared on a few paragraphs, against a fake of the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fakes.annotated import make_benchmark, make_label, make_paragraphs
from fakes.command_line import annotate, files

from annotate.annotators import make_annotator
from annotate.benchmark import Benchmark
from annotate.errors import BudgetError, LabelError
from annotate.files import shipped
from annotate.label_files import write_labels
from annotate.labelling.label import label_benchmark
from annotate.money.tables import describe_pilot
from annotate.online.limits import Limits
from annotate.online.transport import Endpoint
from annotate.pilot import draw, pilot_ledger, run_pilot, with_format
from annotate.protocol import Annotator
from annotate.schema import Label
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


def people_of(benchmark: Benchmark, *marked: str) -> dict[str, list[Label]]:
    """Labels of people, of whom each marks one word everywhere; an empty word for none."""
    people: dict[str, list[Label]] = {}
    for number, word in enumerate(marked, start=1):
        for paragraph in benchmark.paragraphs():
            words = [i for i, text in enumerate(paragraph.word_texts()) if text == word]
            people.setdefault(f"human:{number}", []).append(make_label(paragraph, f"human:{number}", words))
    return people


class TestPeople:
    def test_the_best_is_who_agrees_with_people_and_not_with_itself(self, benchmark, fake) -> None:
        """In quotes the model always marks `storms`, in tags what people mark, but for every second paragraph."""
        asked = count()

        def answer(body: dict[str, Any]) -> str:
            if "JSON" in body["messages"][0]["content"]:
                return quotes("storms")
            text = body["messages"][-1]["content"].partition("<<<\n")[2].partition("\n>>>")[0]
            return text if next(asked) % 2 else text.replace("plum", "<m>plum</m>")

        fake.answer = answer
        people = people_of(benchmark, "plum", "plum")
        found = run_pilot(
            benchmark, trials(fake, "quotes", "tags"), count=10, people=people, limits=ONE_AT_A_TIME
        )
        alone, tags = found.trials
        # Five of ten plums: 2 * 5 / (5 + 10).
        assert tags.people is not None
        assert tags.people.value == pytest.approx(2 / 3)
        assert alone.people is not None
        assert alone.people.value == 0
        assert (found.best, tags.behind) == (tags.annotator, None)
        assert alone.behind is not None
        assert alone.behind.value == pytest.approx(2 / 3)
        assert (alone.behind.low or 0) > 0
        assert found.among_people is not None
        assert found.among_people.value == 1
        assert (found.repeats, found.people, len(fake.log)) == (1, ("human:1", "human:2"), 20)
        assert "best by agreement with people: openai:gpt-4o,format=tags" in describe_pilot(found)[1]
        assert "not told" not in describe_pilot(found)[1]

    def test_mean_over_people_by_hand(self, benchmark, fake) -> None:
        fake.answer = lambda body: quotes("plum", "storms")
        (trial,) = run_pilot(
            benchmark, trials(fake, "quotes"), count=5, people=people_of(benchmark, "plum", "tiger")
        ).trials
        assert trial.people is not None
        assert trial.people.value == pytest.approx((2 / 3 + 0) / 2)

    def test_what_is_not_labelled_counts_as_missed(self, benchmark, fake) -> None:
        """One answer of two cannot be placed; on the other the model marks what people mark."""
        fake.answer = lambda body: quotes("plum" if "fox" in body["messages"][-1]["content"] else "quagga")
        found = run_pilot(benchmark, trials(fake, "quotes"), count=COUNT, people=people_of(benchmark, "plum"))
        (trial,) = found.trials
        assert trial.statuses == {"unresolved": 27, "ok": 3}
        assert trial.people is not None
        assert trial.people.value == pytest.approx(2 * 3 / (3 + 30))
        assert found.among_people is None
        assert "human:1 is the only person" in describe_pilot(found)[1]

    def test_only_paragraphs_that_people_labelled_are_asked_about(self, benchmark, fake) -> None:
        people = {name: rows[20:] for name, rows in people_of(benchmark, "plum").items()}
        found = run_pilot(benchmark, trials(fake, "quotes"), count=50, people=people)
        assert (found.paragraphs, len(fake.log)) == (10, 10)

    def test_equals_are_named_and_nothing_is_asked_again(self, benchmark, fake) -> None:
        people = people_of(benchmark, "plum")
        first = run_pilot(benchmark, trials(fake, "quotes", "tags"), count=5, people=people)
        assert "not told from it by these paragraphs: openai:gpt-4o,format=tags" in describe_pilot(first)[1]
        assert run_pilot(benchmark, trials(fake, "quotes", "tags"), count=5, people=people) == first
        assert len(fake.log) == 10
        # A pilot without people asks the second time only.
        run_pilot(benchmark, trials(fake, "quotes"), count=5)
        assert len(fake.log) == 15

    def test_nobody_marks_anything(self, benchmark, fake) -> None:
        fake.answer = lambda body: quotes()
        found = run_pilot(benchmark, trials(fake, "quotes"), count=5, people=people_of(benchmark, ""))
        assert found.best == ""
        assert "none can be chosen: nobody marked a word" in describe_pilot(found)[1]

    def test_the_command_reads_people_who_marked_alone(self, benchmark, fake) -> None:
        asking = ("--annotator", "openai:gpt-4o", "--base-url", fake.url, "-n", "3", "--people")
        refused = annotate(benchmark.path.parent, "pilot", *asking)
        assert refused.returncode == 1
        assert "curated holds no labels of people who marked by themselves" in refused.stderr
        assert refused.stderr.count("error:") == 1
        label_benchmark(benchmark, [make_annotator("clause")])
        assert annotate(benchmark.path.parent, "pilot", *asking).returncode == 1
        assert not pilot_ledger(benchmark).exists()
        for name, rows in people_of(benchmark, "plum").items():
            write_labels(benchmark.labels_dir, name, rows)
        done = annotate(benchmark.path.parent, "pilot", *asking)
        assert done.returncode == 0, done.stderr
        assert "3 paragraphs, once each" in done.stdout
        assert "best by agreement with people: openai:gpt-4o" in done.stdout
        assert "F1 with" in done.stdout
        assert "next: annotate label --annotator openai:gpt-4o,host=127.0.0.1" in done.stderr


class TestPrompts:
    def test_prompts_stand_beside_formats(self, benchmark, fake, tmp_path) -> None:
        for name, rows in people_of(benchmark, "plum").items():
            write_labels(benchmark.labels_dir, name, rows)
        mine = tmp_path / "mine.toml"
        mine.write_text(shipped("prompts/tags.toml").read_text().replace("version = 1", "version = 2"))
        asking = ("--annotator", "openai:gpt-4o", "--base-url", fake.url, "-n", "3", "--people", "--json")
        prompts = ("--prompt", "passage", "--prompt", str(mine))
        done = annotate(tmp_path, "pilot", *asking, "--formats", "quotes", *prompts)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)["trials"]
        assert [trial["format"] for trial in found] == ["quotes", "passage", str(mine)]
        assert [trial["annotator"] for trial in found] == [
            "openai:gpt-4o,host=127.0.0.1",
            "openai:gpt-4o,prompt=passage,host=127.0.0.1",
            f"openai:gpt-4o,format=tags,prompt={mine},host=127.0.0.1",
        ]
        assert len(fake.log) == 9
        alone = annotate(tmp_path, "pilot", *asking, "--formats", "", "--prompt", "passage")
        assert [trial["format"] for trial in json.loads(alone.stdout)["trials"]] == ["passage"]
        # The annotator that was chosen labels under that name, and is read again by it.
        chosen = found[2]["annotator"]
        label = ("label", "--annotator", chosen, "--base-url", fake.url, "--limit", "2", "--quiet")
        assert annotate(tmp_path, *label).returncode == 0
        assert annotate(tmp_path, "reparse", "--quiet").returncode == 0
        shown = annotate(tmp_path, "agreement", "--bootstrap", "100", "--json")
        assert chosen in [each["name"] for each in json.loads(shown.stdout)["annotators"]]
        mine.unlink()
        lost = annotate(tmp_path, *label)
        assert lost.returncode == 1
        assert f"error: the prompt file {mine} cannot be read" in lost.stderr


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
