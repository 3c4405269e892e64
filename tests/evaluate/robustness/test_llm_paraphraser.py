"""Paraphrases by a language model: what is asked, what is taken, what is paid, and what is refused."""

import json
from pathlib import Path

import pytest
from fakes.openai_server import FakeOpenAI
from fakes.tiny_models import tiny_lm

from annotate.errors import BudgetError, EndpointError, LabelError
from annotate.formats import FormatError
from annotate.ledger.ledger import read_ledger
from annotate.online.limits import Budget, Limits
from annotate.online.transport import Endpoint
from annotate.words import split_words
from evaluate.cli import main
from evaluate.errors import NothingScoredError
from evaluate.pipeline.records import Evaluation
from evaluate.pipeline.run import RunConfig
from evaluate.pipeline.shards import merge
from evaluate.pipeline.store import Store
from evaluate.pipeline.table import notes
from evaluate.robustness.llm import LEDGER, Asking, LLMParaphraser, Paraphrase, spent
from evaluate.robustness.llm_format import paraphrase_format, shown
from evaluate.robustness.options import Options
from evaluate.robustness.plan import attributions_per_example
from evaluate.robustness.run import metrics_of, robustness
from evaluate.tasks.task import Example, Task

KEY = "sk-test-0123456789abcdef"
MODEL = "openai:gpt-4o"
NAME = f"{MODEL},host=127.0.0.1"
TEXTS = [
    f"The {each} chased the cat. It rained.\nMany {each}s agree.\nWho chased it?"
    for each in ("dog", "ant", "fox")
]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def example(text: str, name: str = "e0", target: str = " cat") -> Example:
    return Example(id=name, prompt=f"{text}\nAnswer:", target=target, words=split_words(text))


EXAMPLES = [example(text, f"e{index}") for index, text in enumerate(TEXTS)]
TASK = Task(name="made", source="by hand", examples=tuple(EXAMPLES))


def asking(fake: FakeOpenAI, max_cost: float | None = None, concurrency: int = 1) -> Asking:
    return Asking(Endpoint(fake.url), Limits(concurrency), Budget(max_cost))


def became(folder: Path) -> dict[str, Paraphrase]:
    (path,) = folder.glob("paraphrases-openai*.jsonl")
    rows = [Paraphrase.model_validate_json(line) for line in path.read_text().splitlines()]
    return {row.example: row for row in rows}


def run(folder: Path, fake: FakeOpenAI, *, only_correct: bool = False) -> Evaluation:
    options = Options(paraphrasers=(MODEL, "rules"))
    (found,) = robustness(
        TASK,
        tiny_lm("llama", max_position_embeddings=256),
        ["position", "random"],
        RunConfig(folder, only_correct=only_correct),
        probe="paraphrase",
        options=options,
        asking=asking(fake),
    )
    return found


def test_a_paraphrase_is_taken_line_by_line_with_its_words_paired(tmp_path: Path) -> None:
    with FakeOpenAI() as fake:
        ((found,), *others) = LLMParaphraser(MODEL, tmp_path, asking(fake)).rewrite(EXAMPLES)
    assert found.example.prompt == (
        "As they say, the dog chased the cat. It rained.\nAs they say, many dogs agree.\nWho chased it?\nAnswer:"
    )
    assert found.name == MODEL
    old, new = EXAMPLES[0], found.example
    pairs = [(old.prompt[slice(*old.words[i])], new.prompt[slice(*new.words[j])]) for i, j in found.pairs]
    # All but "the", full stops and commas stand as often before as after; here they do too.
    assert pairs == [
        *(("The", "the"), ("dog", "dog"), ("chased", "chased"), ("the", "the"), ("cat", "cat"), (".", ".")),
        *(
            ("It", "It"),
            ("rained", "rained"),
            (".", "."),
            ("Many", "many"),
            ("dogs", "dogs"),
            ("agree", "agree"),
        ),
        *((".", "."), ("Who", "Who"), ("chased", "chased"), ("it", "it"), ("?", "?")),
    ]
    assert len(others) == 2


def test_in_a_text_of_one_line_the_last_sentence_stays(tmp_path: Path) -> None:
    with FakeOpenAI() as fake:
        made = LLMParaphraser(MODEL, tmp_path, asking(fake))
        ((found,), none) = made.rewrite(
            [example("The dog ran. It rained. They all"), example("One sentence", "e1")]
        )
        assert len(fake.log) == 1
    assert found.example.prompt == "As they say, the dog ran. It rained. They all\nAnswer:"
    assert none == []


def said(paragraph: str) -> str:
    return json.dumps({"paragraph": paragraph})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            said("The cat was chased by the dog.\nMany agree.\nWho chased him?"),
            "does not end with the unchanged",
        ),
        (said("The cat was chased by the dog. Many agree.\nWho chased it?"), "1 lines instead of 2"),
        (said("The pet was chased by the dog.\nMany agree.\nWho chased it?"), "the answer 'cat' is lost"),
        (said("The cats were chased by the dog.\nMany agree.\nWho chased it?"), "the answer 'cat' is lost"),
        (said(TEXTS[0]), "nothing was said in other words"),
        (said("Who chased it?"), "0 lines instead of 2"),
        ('{"paragraph": 1}', "paragraph: "),
        ('{"paragraph": "a", "more": 1}', "more: "),
        ("The cat was chased.", "JSON"),
    ],
)
def test_what_is_no_paraphrase_is_refused(content: str, why: str) -> None:
    text = shown(EXAMPLES[0])
    assert text is not None
    with pytest.raises(FormatError, match=why):
        paraphrase_format().read(text, content)


def test_a_paraphrase_may_change_case_blank_lines_and_words() -> None:
    text = shown(EXAMPLES[0])
    assert text is not None
    content = said("Cat chased by dog.\n\n Agreement reigns. \nWho chased it?\n")
    assert paraphrase_format().lines(text, content) == ("Cat chased by dog.", "Agreement reigns.")


def test_the_worked_example_keeps_its_own_rules() -> None:
    own = paraphrase_format()
    worked = own.example.paragraph
    assert len(own.lines(worked, own.example.content)) == 2


def test_the_request_holds_the_schema_and_the_rules() -> None:
    with FakeOpenAI() as fake:
        text = shown(EXAMPLES[0])
        made = LLMParaphraser(MODEL, Path(), asking(fake))
    assert text is not None
    request = made.annotator.request(text, 0, [])
    assert request is not None
    form = request.body["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["required"] == ["paragraph"]
    assert request.body["messages"][-1]["content"].endswith(
        "Stays exactly as it is: Who chased it?\nAnswer: cat"
    )
    assert request.origin["prompt_sha256"] == paraphrase_format().prompt.sha256


def test_nothing_is_paid_twice_and_failures_are_counted_and_named(tmp_path: Path) -> None:
    with FakeOpenAI(["500", "ok", "refusal", "schema", "schema"]) as fake:
        first = run(tmp_path, fake)
        attempts = len(fake.log)
        assert attempts == 5
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
        again = run(tmp_path, fake)
        assert len(fake.log) == attempts
        assert sum(fake.succeeded().values()) == 4
        billed = fake.bill()["output_tokens"]
    copies = {each.name: each for each in first.copies}
    assert copies[MODEL].made == 1
    assert copies[MODEL].failed == {"refused": 1, "invalid_output": 1}
    assert copies["voice"].failed == {}
    assert again.computed == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == files
    rows = became(tmp_path)
    assert sorted(row.status for row in rows.values()) == ["invalid_output", "ok", "refused"]
    refused = next(row for row in rows.values() if row.status == "refused")
    assert refused.detail == "I cannot help with that."
    text = " ".join(notes(first, metrics_of(first)))
    assert "; no copy could be had of 2 texts (1 invalid_output, 1 refused)" in text
    assert f"spearman_{MODEL}" in first.methods[0].metrics
    ledger = read_ledger(tmp_path / LEDGER)
    assert len(ledger.rows) == 5
    assert sum(row.usage.output_tokens for row in ledger.rows if row.usage) == billed
    assert spent(tmp_path)[0].startswith(f"{NAME}: 5 attempts in {LEDGER}, $0.0")


def test_parts_that_are_put_together_are_not_paid_again(tmp_path: Path) -> None:
    with FakeOpenAI() as fake:
        for part, some in (("one", EXAMPLES[:2]), ("two", EXAMPLES[2:])):
            with Store(tmp_path / part):
                LLMParaphraser(MODEL, tmp_path / part, asking(fake)).rewrite(some)
        assert len(fake.log) == 3
        # A kill in the middle of a line is no answer.
        with (tmp_path / "one" / LEDGER).open("ab") as stream:
            stream.write(b'{"torn')
        found = merge(tmp_path / "whole", [tmp_path / "one", tmp_path / "two"])
        assert found.answers == 3
        assert merge(tmp_path / "whole", [tmp_path / "two"]).answers == 0
        rewritten = LLMParaphraser(MODEL, tmp_path / "whole", asking(fake)).rewrite(EXAMPLES)
        assert [len(each) for each in rewritten] == [1, 1, 1]
        assert len(fake.log) == 3


def test_models_of_like_names_have_a_file_each(tmp_path: Path) -> None:
    names = ("openai:maker/model", "openai:maker-model", "openai:李", "openai:王")
    with FakeOpenAI() as fake:
        for name in names:
            LLMParaphraser(name, tmp_path, asking(fake)).rewrite(EXAMPLES[:1])
    assert len([*tmp_path.glob("paraphrases-openai*.jsonl")]) == len(names)


def test_nobody_is_asked_about_texts_that_are_left_out(tmp_path: Path) -> None:
    with FakeOpenAI() as fake:
        with pytest.raises(NothingScoredError, match="3 wrong answer"):
            run(tmp_path, fake, only_correct=True)
        assert fake.log == []


def test_the_key_is_in_no_file(tmp_path: Path) -> None:
    with FakeOpenAI(key=KEY) as fake:
        run(tmp_path, fake)
        assert all(entry.authorization == f"Bearer {KEY}" for entry in fake.log)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_an_answer_without_the_question_is_asked_about_once_more(tmp_path: Path) -> None:
    with FakeOpenAI(["wrong", "ok"]) as fake:
        ((found,),) = LLMParaphraser(MODEL, tmp_path, asking(fake)).rewrite(EXAMPLES[:1])
        assert len(fake.log) == 2
    assert found.example.prompt.startswith("As they say, ")


def test_money_stops_the_run_and_what_was_paid_is_kept(tmp_path: Path) -> None:
    with FakeOpenAI() as fake:
        request = LLMParaphraser(MODEL, tmp_path, asking(fake)).annotator
        text = shown(EXAMPLES[0])
        assert text is not None
        worst = request.cost(request.worst_usage(request.request(text, 0, [])))
        with pytest.raises(BudgetError, match=r"--max-cost .*; [12] of 3 texts are paraphrased so far"):
            LLMParaphraser(MODEL, tmp_path, asking(fake, max_cost=worst * 1.01)).rewrite(EXAMPLES)
        paid = len(fake.log)
        assert 1 <= paid < 3
        assert sorted(row.status for row in became(tmp_path).values())[0] == "missing"
        found = LLMParaphraser(MODEL, tmp_path, asking(fake)).rewrite(EXAMPLES)
        assert [len(each) for each in found] == [1, 1, 1]
        assert len(fake.log) == 3
    with FakeOpenAI() as fake, pytest.raises(LabelError, match="--max-cost needs a price"):
        LLMParaphraser("openai:nobody-9", tmp_path / "b", asking(fake, max_cost=1.0)).rewrite(EXAMPLES)


def test_an_endpoint_that_will_not_serve_ends_the_run(tmp_path: Path) -> None:
    with (
        FakeOpenAI(["ok", "quota"]) as fake,
        pytest.raises(EndpointError, match="1 of 3 texts are paraphrased"),
    ):
        LLMParaphraser(MODEL, tmp_path, asking(fake)).rewrite(EXAMPLES)


def test_not_one_paraphrase_is_an_error(tmp_path: Path) -> None:
    made = ["refusal"] * 3
    with FakeOpenAI(made) as fake, pytest.raises(LabelError, match="paraphrased no text: I cannot help"):
        LLMParaphraser(MODEL, tmp_path, asking(fake)).rewrite(EXAMPLES)


def test_bad_names_are_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, why in (
        ("openai:", "say which model"),
        ("openai:gpt-4o,format=tags", "has one format"),
        ("openai:gpt-4o,colour=red", "no option"),
    ):
        with pytest.raises(LabelError, match=why):
            LLMParaphraser(name, tmp_path, Asking())
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(EndpointError, match="set the environment variable OPENAI_API_KEY"):
        LLMParaphraser(MODEL, tmp_path, Asking()).rewrite(EXAMPLES)


def test_a_plan_asks_nobody() -> None:
    options = Options(paraphrasers=(MODEL, "rules"))
    alone = Options(paraphrasers=("rules",))
    more = attributions_per_example(EXAMPLES, "paraphrase", options)
    assert more == attributions_per_example(EXAMPLES, "paraphrase", alone) + 1


def test_at_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeOpenAI() as fake:

        def call(*options: str) -> tuple[int, str, str]:
            given = ["--probe", "paraphrase", "--paraphraser", MODEL, "--method", "position", "--limit", "2"]
            where = ["--base-url", fake.url, "--out", str(tmp_path)]
            monkeypatch.setattr("sys.argv", ["evaluate", "robustness", *given, *where, *options])
            with pytest.raises(SystemExit) as stop:
                main()
            return int(stop.value.code or 0), *capsys.readouterr()

        code, _, err = call("--max-cost", "0.001")
        assert code == 4
        assert err.splitlines()[-1].startswith(f"error: {NAME}: --max-cost 0.001 is reached")
        assert fake.log == []
        code, out, err = call("--max-cost", "1")
        assert code == 0
        assert f"{MODEL}: 2 copies" in out
        # The controls: what always moves, and what never does.
        assert "random" in out
        assert "constant" in out
        assert f"{NAME}: 2 attempts in {LEDGER}, $0.00" in err
