"""How a text and its question are put to a model: templates, and examples rendered in them.

A template never changes the text that is asked about: the words that are scored are found in it where they are now, or
the example is refused. What the template adds is read by the model, and by the methods, but not scored.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError, model_validator

from annotate.errors import UnusableRowError
from annotate.files import canonical_hash, shipped
from annotate.outside import no_text
from annotate.schema import Record
from evaluate.engine import Engine, engine_of, only
from evaluate.errors import PromptError
from evaluate.tasks.task import Example, Task

if TYPE_CHECKING:
    from heat import LanguageModel

AUTO = "auto"
PLAIN = "plain"
SHIPPED = ("qa", "few-shot", "chat")
CHOICES = (AUTO, PLAIN, *SHIPPED)

SHORT = "Answer in as few words as possible."
CONTINUE = "Continue this text. Say its next word and nothing else."

_TEXT, _QUESTION, _INSTRUCTION = "{text}", "{question}", "{instruction}"
# Stands for the text while a chat template is rendered, to find where it puts it; no text holds private-use characters
# in this order by accident.
_MARK = "\ue000\ue3a7\ue000"


class WorkedExample(Record):
    """A worked example that stands before the question.

    Attributes:
        text: The passage.
        question: The question; empty for the question of the example it stands before.
        answer: The answer.
        labels: Answers that tasks may have for which it is shown; empty for questions that any text answers.
    """

    text: str
    answer: str
    question: str = ""
    labels: tuple[str, ...] = ()


class Template(Record):
    """How a text and its question are put to a model.

    Attributes:
        name: As it was asked for; a file's with a checksum.
        chat: Whether it goes through the tokenizer's chat template, as one user message.
        system: System message; chat alone.
        prefix: What stands first.
        text: The form of text and question, with a place ``{text}``, and where wanted ``{question}`` and
            ``{instruction}``; a line whose place has nothing to hold is left out.
        suffix: What stands after the form, before the answer.
        examples: Worked examples, in the same form.
    """

    name: str
    chat: bool = False
    system: str = ""
    prefix: str = ""
    text: str = f"{_TEXT}\n{_QUESTION}"
    suffix: str = ""
    examples: tuple[WorkedExample, ...] = ()

    @model_validator(mode="after")
    def _has_a_place(self) -> Template:
        if self.text.count(_TEXT) != 1:
            raise ValueError(f"'text' needs the place {_TEXT} once, where the text goes")
        if self.system and not self.chat:
            raise ValueError("'system' is a message of a chat; set chat = true, or put it into 'prefix'")
        return self


def load_template(choice: str) -> Template:
    """A template that ships, or one from a TOML file.

    Args:
        choice: ``qa``, ``few-shot``, ``chat``, or the path of a file with the fields of `Template`.

    Raises:
        PromptError: There is no such file, or it holds no template.
    """
    path = shipped("asking") / f"{choice}.toml" if choice in SHIPPED else Path(choice)
    if not path.is_file():
        raise PromptError(f"--prompt takes {', '.join(CHOICES)}, or a TOML file; there is no file '{choice}'")
    try:
        if other := no_text(path):
            raise PromptError(other)
        data = path.read_bytes()
        values = tomllib.loads(data.decode("utf-8"))
        name = choice if choice in SHIPPED else f"{path.name} {canonical_hash(data.decode('utf-8'))[:12]}"
        return Template.model_validate({**values, "name": name})
    except OSError as error:
        raise PromptError(f"'{path}' cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"'{path}' is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except RecursionError as error:
        raise PromptError(f"'{path}' is no TOML that can be read: it is nested too deep") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise PromptError(
            f"'{path}' is no prompt template: {f'{field}: ' if field else ''}{reason}"
        ) from error
    except ValueError as error:  # of the parser, and of numbers that are too long for it
        raise PromptError(f"'{path}' is not TOML: {str(error).partition(';')[0]}") from error


def check_choice(choice: str) -> None:
    """Refuse a template that cannot be read, before anything is loaded that takes long.

    Raises:
        PromptError: As `load_template`.
    """
    if choice not in (AUTO, PLAIN):
        load_template(choice)


def put(task: Task, lm: LanguageModel | Engine, prompt: str = AUTO) -> Task:
    """A task whose examples are rendered in a prompt template.

    Args:
        task: Examples in their plain form.
        lm: Whose chat template is used, or an engine that holds it.
        prompt: ``auto`` (``chat`` where something is asked and the tokenizer has a template, else ``plain``),
            ``plain``, ``qa``, ``few-shot``, ``chat``, or a TOML file.

    Returns:
        The task, which names the template; examples whose text the template changes are counted in ``left_out``.

    Raises:
        PromptError: There is no such template, the task asks nothing that could be put into it, the tokenizer has no
            chat template or it refuses the messages, or no example is left.
    """
    engine = engine_of(lm)
    if prompt == AUTO:
        prompt = "chat" if asks(task) and only(engine, has_chat_template, None) else PLAIN
    if prompt == PLAIN:
        return replace(task, prompt=PLAIN)
    template = load_template(prompt)
    if not asks(task) and not template.chat:
        raise PromptError(
            f"{task.name} asks nothing: its texts are continued as they are; use --prompt plain or chat, not {prompt}"
        )
    rendered = only(engine, partial(_render_all, template=template), task.examples)
    fitting = [outcome for outcome in rendered if isinstance(outcome, Example)]
    refused: dict[str, list[str]] = {}
    for example, outcome in zip(task.examples, rendered, strict=True):
        if isinstance(outcome, str):
            refused.setdefault(outcome, []).append(example.id)
    if not fitting:
        reason, ids = next(iter(refused.items()))
        raise PromptError(
            f"no example can be put into the prompt template '{template.name}': {reason} ({ids[0]})"
        )
    left_out = {**task.left_out, **{reason: tuple(ids) for reason, ids in refused.items()}}
    return replace(task, examples=tuple(fitting), left_out=left_out, prompt=template.name)


def asks(task: Task) -> bool:
    """Whether a task asks something of its texts, and does not have them continued."""
    return any(example.body is not None for example in task.examples)


def has_chat_template(lm: LanguageModel, _: None = None) -> bool:
    """Whether the model's tokenizer knows how its chats are written."""
    return bool(getattr(lm.tokenizer, "chat_template", None))


def _render_all(lm: LanguageModel, examples: Sequence[Example], template: Template) -> list[Example | str]:
    """Every example in the template, or why it cannot be."""
    rendered: list[Example | str] = []
    for example in examples:
        try:
            rendered.append(render(template, example, lm))
        except UnusableRowError as error:
            rendered.append(str(error))
    return rendered


def render(template: Template, example: Example, lm: LanguageModel) -> Example:
    """One example in a template.

    Args:
        template: The template.
        example: In its plain form.
        lm: Whose chat template is used.

    Returns:
        The example with the new prompt, its words, segments and body where they are in it, and its target as it
        follows there.

    Raises:
        UnusableRowError: The template changes the text, or does not say it.
        PromptError: The tokenizer has no chat template, or it refuses the messages.
    """
    start, end = example.body or (0, len(example.prompt))
    body = example.prompt[start:end]
    if not template.chat:
        before, after = _plain_frame(template, example)
        return _moved(example, before + body + after, len(before), special_tokens=True)
    frame = _chat_text(template, example, _MARK, lm)
    if frame.count(_MARK) != 1:
        raise UnusableRowError("the chat template does not say the text once")
    at = frame.index(_MARK)
    prompt = _chat_text(template, example, body, lm)
    if prompt != frame.replace(_MARK, body):
        raise UnusableRowError("the chat template changes the text")
    return _moved(example, prompt, at, special_tokens=False)


def _plain_frame(template: Template, example: Example) -> tuple[str, str]:
    """What stands before the text and after it."""
    worked = "".join(
        f"{_form(template, shot.text, shot.question or example.question, '')}{template.suffix} {shot.answer}\n\n"
        for shot in _worked(template, example)
    )
    form = _form(template, _MARK, example.question, example.instruction)
    before, after = form.split(_MARK)
    return template.prefix + worked + before, after + template.suffix


def _chat_text(template: Template, example: Example, body: str, lm: LanguageModel) -> str:
    """The rendered chat, which the answer follows."""
    from heat.chat import rendered
    from heat.errors import ChatError

    if lm.tokenizer is None or not has_chat_template(lm):
        raise PromptError(
            f"the tokenizer of '{lm.name}' has no chat template; use --prompt plain, qa or few-shot, "
            "or a model that has one"
        )
    instruction = example.instruction or (SHORT if example.body is not None else CONTINUE)

    def asked(text: str, question: str) -> str:
        return template.prefix + _form(template, text, question, instruction) + template.suffix

    messages = [{"role": "system", "content": template.system}] if template.system else []
    for shot in _worked(template, example):
        messages.append({"role": "user", "content": asked(shot.text, shot.question or example.question)})
        messages.append({"role": "assistant", "content": shot.answer})
    messages.append({"role": "user", "content": asked(body, example.question)})
    try:
        return rendered(lm.tokenizer, lm.name, messages)
    except ChatError as error:
        advice = "; leave 'system' away, or use a model whose template takes one" if template.system else ""
        raise PromptError(f"{error}{advice}") from error


def _worked(template: Template, example: Example) -> Sequence[WorkedExample]:
    """The worked examples for a kind of answer: those with the task's labels, else those that have none."""
    wanted = {example.target.strip(), example.foil.strip()} - {""}
    labelled = [shot for shot in template.examples if wanted & set(shot.labels)]
    return labelled or [shot for shot in template.examples if not shot.labels]


def _form(template: Template, text: str, question: str, instruction: str) -> str:
    """Text and question in the template's form; a line whose place has nothing to hold goes."""
    values = {_TEXT: text, _QUESTION: question, _INSTRUCTION: instruction}
    form = template.text
    for place, value in values.items():
        if not value:
            form = re.sub(rf"\n?[^\n]*{re.escape(place)}[^\n]*", "", form)
    form = form.lstrip("\n")
    # All at once: a text may hold what looks like a place.
    places = "|".join(re.escape(place) for place in values)
    return re.sub(places, lambda match: values[match[0]], form)


def _moved(example: Example, prompt: str, at: int, *, special_tokens: bool) -> Example:
    """The example with its body at a new place of a new prompt."""
    start, end = example.body or (0, len(example.prompt))
    move: Callable[[int], int] = lambda place: place - start + at  # noqa: E731
    # In a chat the answer begins its message; elsewhere it stands after a space.
    target = example.target if special_tokens else example.target.lstrip()
    foil = example.foil if special_tokens else example.foil.lstrip()
    return example.model_copy(
        update={
            "prompt": prompt,
            "target": target,
            "foil": foil,
            "words": tuple((move(a), move(b)) for a, b in example.words),
            "segments": tuple(
                (role, move(a), move(b)) for role, a, b in example.segments if start <= a and b <= end
            ),
            "body": (move(start), move(end)),
            "special_tokens": special_tokens,
        }
    )
