"""Prompt templates: the text stays as it is, wherever a template puts it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.benchmarks import ROWS, make_paragraph
from fakes.tiny_models import tiny_lm, tiny_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

import heat
from annotate.errors import UnusableRowError
from evaluate.errors import PromptError
from evaluate.pipeline.runner import encode
from evaluate.tasks.asking import CHOICES, SHIPPED, Template, WorkedExample, load_template, put, render
from evaluate.tasks.curated import _example
from evaluate.tasks.task import Example, Task
from heat.model import LanguageModel

CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + CHATML
)


def chatting(template: str | None = CHATML) -> LanguageModel:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return LanguageModel(tiny_lm("llama").model, tokenizer, name="tiny", revision="r")


def review(text: str = "A dull film.", **fields: Any) -> Example:
    question = "Is it positive or negative?"
    values: dict[str, Any] = {
        "id": "r1",
        "prompt": f"{text}\n{question}\nAnswer:",
        "target": " negative",
        "foil": " positive",
        "words": ((0, 1), (2, 6), (7, 11)),
        "gold": (1,),
        "body": (0, len(text)),
        "question": question,
    }
    return Example(**{**values, **fields})


def curated_example() -> Example:
    return _example(make_paragraph(0, *ROWS[0]), None)


def spelled(example: Example) -> list[str]:
    return [example.prompt[start:end] for start, end in example.words]


CONTINUED = Example(id="c", prompt="She put the key into the", target=" lock", words=((0, 3), (12, 15)))


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("example", [review(), curated_example()], ids=["review", "curated"])
def test_words_stay_the_same_words(name: str, example: Example) -> None:
    found = render(load_template(name), example, chatting())
    assert spelled(found) == spelled(example)
    assert example.body is not None
    assert found.body is not None
    assert found.prompt[slice(*found.body)] == example.prompt[slice(*example.body)]
    assert [found.prompt[a:b] for _, a, b in found.segments] == [
        example.prompt[a:b] for _, a, b in example.segments
    ]
    assert found.gold == example.gold
    Example.model_validate(found.model_dump())


def test_named_parts() -> None:
    found = render(load_template("qa"), review(), chatting())
    assert found.prompt == "Text: A dull film.\nQuestion: Is it positive or negative?\nAnswer:"
    assert (found.target, found.foil, found.special_tokens) == (" negative", " positive", True)


def test_a_question_that_the_text_holds_is_not_asked_twice() -> None:
    found = render(load_template("qa"), curated_example(), chatting())
    assert found.prompt == (
        "Text: Tom met the queen.\nThe tower is made of copper.\nWhat is the tower made of?\nAnswer:"
    )


def test_a_chat_is_one_message_and_the_answer_begins_the_next() -> None:
    found = render(load_template("chat"), review(instruction="Answer with one word."), chatting())
    assert found.prompt == (
        "<|user|>\nAnswer with one word.\n\nA dull film.\nIs it positive or negative?<|end|>\n<|assistant|>\n"
    )
    assert (found.target, found.foil, found.special_tokens) == ("negative", "positive", False)
    encoded = encode(chatting(), found, "all")
    assert encoded.token_ids[0] != tiny_tokenizer().bos_token_id


def test_worked_examples_are_those_of_the_same_labels() -> None:
    template = load_template("few-shot")
    sentiment = render(template, review(), chatting()).prompt
    assert sentiment.count("Is it positive or negative?\nAnswer:") == 3
    assert sentiment.endswith("A dull film.\nIs it positive or negative?\nAnswer:")
    asked = render(template, review(target=" copper", foil=""), chatting()).prompt
    assert "negative\n" not in asked
    assert asked.count("\nAnswer: ") == 2


def test_worked_examples_of_a_chat_are_turns() -> None:
    template = Template(
        name="t",
        chat=True,
        system="Be brief.",
        examples=(WorkedExample(text="A gem.", question="Good?", answer="yes"),),
    )
    found = render(template, review(), chatting()).prompt
    assert found == (
        "<|system|>\nBe brief.<|end|>\n<|user|>\nA gem.\nGood?<|end|>\n<|assistant|>\nyes<|end|>\n"
        "<|user|>\nA dull film.\nIs it positive or negative?<|end|>\n<|assistant|>\n"
    )


def test_auto_is_a_chat_where_something_is_asked_and_the_tokenizer_knows_how() -> None:
    asks, continues = Task("t", "s", (review(),)), Task("t", "s", (CONTINUED,))
    assert put(asks, chatting()).prompt == "chat"
    assert put(asks, chatting(None)).prompt == "plain"
    assert put(continues, chatting()).prompt == "plain"
    assert put(asks, chatting(None)).examples == asks.examples


def test_a_text_that_is_continued_is_put_plainly_or_as_a_chat() -> None:
    task = Task("lambada", "s", (CONTINUED,))
    found = put(task, chatting(), "chat").examples[0]
    assert found.prompt == (
        "<|user|>\nContinue this text. Say its next word and nothing else.\n\nShe put the key into the<|end|>\n"
        "<|assistant|>\n"
    )
    assert spelled(found) == ["She", "key"]
    with pytest.raises(PromptError, match="lambada asks nothing"):
        put(task, chatting(), "few-shot")


def test_a_text_that_the_template_changes_is_refused_and_counted() -> None:
    upper = CHATML.replace("m.content", "m.content | trim")
    task = Task("t", "s", (review(), review(text=" A dull film. ", id="r2", words=((1, 2), (3, 7)))))
    # Only the message's ends are trimmed: the form puts the text last in this template.
    bare = Template(name="bare", chat=True, text="{text}")
    found = render(bare, task.examples[0], chatting(upper))
    assert spelled(found) == ["A", "dull", "film"]
    with pytest.raises(UnusableRowError, match="changes the text"):
        render(bare, task.examples[1], chatting(upper))


def test_refused_examples_are_left_out_and_named(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text('chat = true\ntext = "{text}"\n')
    task = Task("t", "s", (review(), review(text=" A dull film. ", id="r2", words=((1, 2), (3, 7)))))
    lm = chatting(CHATML.replace("m.content", "m.content | trim"))
    found = put(task, lm, str(file))
    assert [each.id for each in found.examples] == ["r1"]
    assert found.left_out == {"the chat template changes the text": ("r2",)}
    assert found.prompt.startswith("t.toml ")
    with pytest.raises(PromptError, match="no example can be put into"):
        put(replace(task, examples=task.examples[1:]), lm, str(file))


def test_a_template_that_says_the_text_twice_is_refused() -> None:
    with pytest.raises(UnusableRowError, match="once"):
        render(
            load_template("chat"), review(), chatting("{{ messages[0].content }} {{ messages[0].content }}")
        )


def test_a_tokenizer_without_a_chat_template() -> None:
    with pytest.raises(PromptError, match="has no chat template; use --prompt plain, qa or few-shot"):
        put(Task("t", "s", (review(),)), chatting(None), "chat")


def test_a_chat_template_that_refuses_a_system_message() -> None:
    template = Template(name="t", chat=True, system="Be brief.")
    with pytest.raises(
        PromptError, match="refuses the messages: System role not supported; leave 'system' away"
    ):
        render(template, review(), chatting(NO_SYSTEM))
    assert render(replace_system(template), review(), chatting(NO_SYSTEM)).target == "negative"


def replace_system(template: Template) -> Template:
    return template.model_copy(update={"system": ""})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('prefix = "x"\ntext = "no place"\n', r"'text' needs the place \{text\} once"),
        ('text = "{text} {text}"\n', r"needs the place \{text\} once"),
        ('system = "s"\n', "'system' is a message of a chat"),
        ("text = 3\n", "text: "),
        ("txt = 'a'\n", "txt: "),
        ("text = \n", "is not TOML"),
        ("text = " + "[" * 20_000, "nested too deep"),
        ("text = " + "9" * 5000, "is not TOML: Exceeds the limit"),
    ],
)
def test_files_that_are_no_template(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "t.toml"
    file.write_text(content)
    with pytest.raises(PromptError, match=message):
        load_template(str(file))


def test_a_template_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(PromptError, match=", ".join(CHOICES)):
        load_template("chatt")


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs", "Co"]), min_size=1, max_size=40).filter(str.strip)
)
def test_any_text_stays_where_it_is_or_is_refused(text: str) -> None:
    body = f"x{text}x"
    example = review(text=body, words=((0, len(body)),), gold=None)
    for name in SHIPPED:
        found = render(load_template(name), example, chatting())
        assert spelled(found) == [body]


def test_the_rendered_prompt_is_what_the_model_meets() -> None:
    lm, found = chatting(), render(load_template("chat"), review(), chatting())
    ids = lm.tokenizer.apply_chat_template(  # type: ignore[union-attr]
        [
            {
                "role": "user",
                "content": "Answer in as few words as possible.\n\nA dull film.\nIs it positive or negative?",
            }
        ],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    encoded = heat.encode(lm, found.prompt, found.target, special_tokens=found.special_tokens)
    assert list(encoded.token_ids[: encoded.n_prompt]) == list(ids)
