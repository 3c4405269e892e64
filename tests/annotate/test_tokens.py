"""Counting tokens with tiktoken, or without."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from annotate.money.tokens import by_length, token_counter


def install(monkeypatch: pytest.MonkeyPatch, get_encoding: object) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", SimpleNamespace(get_encoding=get_encoding))


def test_without_tiktoken_characters_by_three_and_a_half(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    counter = token_counter()
    assert counter.name == "3.5 characters a token; tiktoken is not installed"
    assert [counter.count("x" * n) for n in (0, 1, 7, 8)] == [0, 1, 2, 3]


def test_with_tiktoken_special_text_is_text(monkeypatch) -> None:
    def encode(text: str, disallowed_special: tuple[str, ...]) -> list[str]:
        assert disallowed_special == ()
        return text.split()

    install(monkeypatch, lambda name: SimpleNamespace(encode=encode))
    counter = token_counter()
    assert counter.name == "tiktoken o200k_base"
    assert counter.count("one <|endoftext|> three") == 3


def test_a_vocabulary_that_cannot_be_downloaded(monkeypatch) -> None:
    def fail(name: str) -> None:
        raise ConnectionError("no network")

    install(monkeypatch, fail)
    counter = token_counter()
    assert counter.name == "3.5 characters a token; tiktoken could not load its vocabulary"
    assert counter.count is by_length


def test_a_body_is_its_messages_their_frame_and_the_schema(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    counter = token_counter()
    body = {"messages": [{"role": "system", "content": "x" * 7}, {"role": "user", "content": "x" * 70}]}
    assert counter.body(body) == 2 + 20 + 2 * 4
    assert counter.body(body | {"response_format": {"a": 1}}) == 2 + 20 + 2 * 4 + 3  # {"a": 1}
