"""How many tokens a text is: counted where tiktoken is installed, else estimated from its length."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

CHARS_PER_TOKEN = 3.5
"""Characters of English prose that make a token, on the low side so that the estimate is on the high side."""
ENCODING = "o200k_base"
"""Vocabulary of GPT-4o, GPT-4.1 and the GPT-5 family."""
MESSAGE_TOKENS = 4
"""Tokens that frame a message in a chat."""


@dataclass(frozen=True)
class TokenCounter:
    """Counts tokens.

    Attributes:
        name: How it counts, for a person.
        count: Number of tokens of a text.
    """

    name: str
    count: Callable[[str], int]

    def body(self, body: dict[str, Any]) -> int:
        """Tokens that a chat request sends: its messages, what frames them, and the schema of the answer."""
        schema = body.get("response_format")
        framed = sum(self.count(message["content"]) + MESSAGE_TOKENS for message in body["messages"])
        return framed + (self.count(json.dumps(schema)) if schema else 0)


def token_counter() -> TokenCounter:
    """The best counter there is: tiktoken, or characters where it or its vocabulary cannot be had."""
    try:
        import tiktoken

        encoding = tiktoken.get_encoding(ENCODING)
    except Exception as error:  # not installed, or its download failed in any of the ways that has
        missing = isinstance(error, ImportError)
        why = "tiktoken is not installed" if missing else "tiktoken could not load its vocabulary"
        return TokenCounter(f"{CHARS_PER_TOKEN} characters a token; {why}", by_length)
    return TokenCounter(
        f"tiktoken {ENCODING}", cache(lambda text: len(encoding.encode(text, disallowed_special=())))
    )


def by_length(text: str) -> int:
    """Estimated tokens: characters by 3.5, rounded up."""
    return math.ceil(len(text) / CHARS_PER_TOKEN)
