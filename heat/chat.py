"""Chat messages as the text that a model reads."""

import ctypes
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from heat.errors import ChatError, TokenizerError
from heat.segments import MOST, Segment, locate, mark

Content = str | Sequence[Mapping[str, str]]
Messages = Sequence[Mapping[str, Content]]

# Templates render in milliseconds; one that takes longer than this does not end.
SECONDS = 10.0


class _TookTooLongError(BaseException):
    """Ends a template; no `except Exception` of a library keeps it."""


@dataclass(frozen=True)
class Chat:
    """A chat as the model reads it.

    Attributes:
        text: The rendered messages.
        segments: Where they stand in it, and what the template says by itself; empty where that cannot be told.
    """

    text: str
    segments: tuple[Segment, ...]


def render(tokenizer: PreTrainedTokenizerBase, name: str, messages: Messages) -> Chat:
    """The text of a chat in the tokenizer's template, and where its messages stand in it.

    Args:
        tokenizer: The tokenizer.
        name: What people call the model.
        messages: As for `rendered`, which raises the same errors.

    Returns:
        Text and messages.
    """
    text = rendered(tokenizer, name, messages)
    plain, goes_on = _to_render(messages)
    if len(plain) > MOST:
        return Chat(text, ())
    marked = [{**message, "content": mark(index)} for index, message in enumerate(plain)]
    try:
        # A template is a program, which may refuse a content that is no sentence, or fail in any other way.
        with_marks = _in_time(tokenizer, marked, goes_on)
    except (Exception, _TookTooLongError):
        return Chat(text, ())
    said = [(message["role"], message["content"]) for message in plain]
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return Chat(text, locate(text, with_marks, said, special))


def rendered(tokenizer: PreTrainedTokenizerBase, name: str, messages: Messages) -> str:
    """The text of a chat in the tokenizer's template, up to where the model goes on.

    After a user's message that is the head of the assistant's turn. A last message of the assistant's is the
    beginning of its answer (a prefill): it is left open, and the model goes on behind its last character.

    Args:
        tokenizer: The tokenizer.
        name: What people call the model.
        messages: At least one; a content is a text, or a list of parts `{"type": "text", "text": ...}`.

    Returns:
        The text; it holds the special tokens that the template writes.

    Raises:
        TokenizerError: There is no chat template.
        ChatError: A message has no role or text, the template refuses the messages or does not end, or it cannot
            leave the last one open.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise TokenizerError(f"the tokenizer of '{name}' has no chat template; give the prompt as one string")
    plain, goes_on = _to_render(messages)
    if not plain:
        raise ChatError(
            "the chat holds an empty message of the assistant's alone; there is nothing to attribute to"
        )
    try:
        text = _in_time(tokenizer, plain, goes_on)
    except _TookTooLongError as error:
        raise ChatError(
            f"the chat template of '{name}' did not end within {SECONDS:g} s; give the prompt as one string"
        ) from error
    except MemoryError as error:
        raise ChatError(
            f"the chat template of '{name}' fills the memory; give the prompt as one string"
        ) from error
    except Exception as error:  # a template is a program, which may fail in any way
        if goes_on and "continue_final_message" in str(error):
            raise ChatError(
                f"the chat template of '{name}' changes the assistant's last message, which can then not be "
                "continued; end the chat with a user's message, or give the prompt as one string"
            ) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ChatError(f"the chat template of '{name}' refuses the messages: {reason}") from error
    return text


def _to_render(messages: Messages) -> tuple[list[dict[str, str]], bool]:
    """The messages that the template gets, and whether the last one is continued."""
    plain = [_plain(index, message) for index, message in enumerate(messages)]
    goes_on = plain[-1]["role"] == "assistant"
    if goes_on and not plain[-1]["content"].strip():
        return plain[:-1], False  # nothing is said yet
    return plain, goes_on


def _plain(index: int, message: Mapping[str, Any]) -> dict[str, str]:
    """A message with its parts joined, which not every template can read."""
    role, content = message.get("role"), message.get("content")
    if isinstance(content, (list, tuple)):
        parts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        content = "".join(texts) if len(texts) == len(parts) else None
    if not isinstance(role, str) or not isinstance(content, str):
        raise ChatError(
            f"message {index} of the chat is not a role and a text; other parts than text cannot be explained"
        )
    return {**message, "role": role, "content": content}


def _in_time(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], goes_on: bool) -> str:
    """Render on a thread of its own, which is ended where it takes too long."""
    texts: list[str] = []
    failed: list[BaseException] = []

    def render() -> None:
        try:
            text = tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=not goes_on,
                continue_final_message=goes_on,
            )
            texts.append(str(text))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=render, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_TookTooLongError)
        )
        raise _TookTooLongError
    if failed:
        raise failed[0]
    return texts[0]
