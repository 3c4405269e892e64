"""Text and JSON from outside: half surrogate pairs, depths and numbers that Python cannot hold are met here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import regex

_HALF = regex.compile(r"[\ud800-\udfff]")
_STEERING = regex.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MAGIC = {b"\x1f\x8b": "gzip", b"GGUF": "GGUF", b"PAR1": "Parquet", b"PK\x03\x04": "zip"}
# What to do with a file that should hold text and is one of these.
_REMEDY = {
    "gzip": "is compressed by gzip; unpack it first (gunzip)",
    "zip": "is a zip archive; unpack it first (unzip)",
    "GGUF": "is a GGUF file, which holds the weights of a model and no text",
    "Parquet": "is a Parquet file and no text; save its rows as text",
}
_REPLACEMENT = "\ufffd"
# Escapes of a JSON text from left to right, so that an escaped backslash begins none; the group is half a pair.
_ESCAPE = regex.compile(
    r"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(u[dD][89a-fA-F][\da-fA-F]{2})|.)",
    regex.DOTALL,
)
_MOST_DIGITS = 4_000
"""Python refuses to read whole numbers much longer than this."""


def whole_characters(text: str) -> str:
    """``text`` with U+FFFD in place of each half of a surrogate pair, which no file can hold."""
    return _HALF.sub(_REPLACEMENT, text)


def printable(text: str) -> str:
    """``text`` with an escape for each character that steers a terminal or turns the order of the text around it.

    Line ends and tabs stay. The escapes are JSON's, so that a JSON text stays one.
    """
    return _STEERING.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def file_kind(path: Path) -> str:
    """What a file is by its first bytes, where that is no text: ``gzip``, ``GGUF``, ``Parquet`` or ``zip``; else empty.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(4)
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "")


def no_text(path: Path) -> str:
    """What a file is that should hold text, and what to do with it; empty where its first bytes do not say.

    Raises:
        OSError: It cannot be read.
    """
    kind = file_kind(path)
    return f"{path} {_REMEDY[kind]}" if kind else ""


def is_whole(text: str) -> bool:
    """Whether ``text`` has no half of a surrogate pair."""
    return _HALF.search(text) is None


def mend_json(text: str) -> str:
    """A JSON text with U+FFFD in place of each half of a surrogate pair, escaped or not."""
    escaped = _ESCAPE.sub(lambda match: r"\ufffd" if match.group(1) else match.group(), text)
    return whole_characters(escaped)


def read_json(source: str | bytes, *, mend: bool = False, keep: bool = False) -> Any:
    """Read JSON that others wrote.

    Args:
        source: A JSON text; bytes are UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
        mend: Put U+FFFD in place of half a surrogate pair instead of refusing it.
        keep: Leave it to the caller to look for such halves.

    Returns:
        The value; a whole number of more than 4,000 digits is read as ``None``.

    Raises:
        ValueError: It is not JSON, nested too deep, or holds half a surrogate pair.
    """
    text = source if isinstance(source, str) else source.decode(json.detect_encoding(source), "surrogatepass")
    mended = text if keep else mend_json(text)
    if mended != text and not mend:
        raise ValueError(
            "half of a surrogate pair (such as \\ud83d) stands alone in it, which is no character"
        )
    try:
        return json.loads(mended, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None
