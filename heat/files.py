"""Files: outputs are whole or not there, inputs are text or refused in one sentence."""

import errno
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, BinaryIO

from heat.errors import PromptFileError

Messages = list[dict[str, Any]]

# Of a prompt: some millions of tokens, more than any model reads.
MOST_BYTES = 16 << 20

# What a file begins with that holds no text, whatever its name says; a text may begin with the letters "GGUF".
_SIGNATURES = {
    rb"\x1f\x8b": "is compressed by gzip; unpack it first (gunzip)",
    rb"PK\x03\x04": "is a zip archive; unpack it first (unzip)",
    rb"GGUF.{0,3}\x00": "is a GGUF file, which holds the weights of a model; it goes to --model",
    rb"PAR1\x15": "is a Parquet file and no text; name a text file",
}


def check_writable(path: Path) -> None:
    """Refuse a place that cannot be written before any work is done for it.

    Args:
        path: The file to come.

    Raises:
        OSError: Its folder is missing or closed, or a folder or device lies there.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to save into", str(path.parent))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder; name a file to save into", str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "this is no ordinary file; name a file to save into", str(path))
    closed = path if path.exists() and not os.access(path, os.W_OK) else path.parent
    if not os.access(closed, os.W_OK):
        raise PermissionError(errno.EACCES, "this cannot be written to", str(closed))


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the file, flush to disk, then take its place: a reader never sees half a file.

    Args:
        path: The file; where it is a link, what it points to is replaced.
        content: Its bytes.

    Raises:
        OSError: The disk is full or the folder cannot be written; the file is then as it was.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        # The one who asked knows the file by its own name.
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def read_prompt(path: str) -> str:
    """Text of a UTF-8 file, without the one newline that editors and `echo` put at its end.

    Args:
        path: The file, or "-" for standard input.

    Returns:
        The text.

    Raises:
        PromptFileError: The bytes are no text.
        OSError: The file cannot be read.
    """
    name = "standard input" if path == "-" else f"'{path}'"
    try:
        content = _read_capped(sys.stdin.buffer) if path == "-" else _read_file(Path(path))
        if len(content) > MOST_BYTES:
            raise PromptFileError(
                f"{name} holds more than {MOST_BYTES >> 20} MiB, which no model reads at once; name a shorter text"
            )
        refuse_other_kind(name, content)
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise PromptFileError(
            f"{name} is not UTF-8 text (byte {error.start} is no part of it); convert it, or name another"
        ) from error
    except ValueError as error:
        raise PromptFileError(f"{path!r} is no file name: {error}") from error
    if "\0" in text:
        raise PromptFileError(f"{name} holds a NUL byte, so it is no text; name another file")
    return text.removesuffix("\n")


def refuse_other_kind(name: str, start: bytes) -> None:
    """Refuse what is no text by its first bytes.

    Args:
        name: What people call it.
        start: Its first eight bytes, or more.

    Raises:
        PromptFileError: It is a file of another kind.
    """
    for signature, what in _SIGNATURES.items():
        if re.match(signature, start, re.DOTALL):
            raise PromptFileError(f"{name} {what}")


def _read_file(path: Path) -> bytes:
    with path.open("rb") as stream:
        return _read_capped(stream)


def _read_capped(stream: BinaryIO) -> bytes:
    """All there is, or one byte more than may be: a device or a pipe need not end."""
    return stream.read(MOST_BYTES + 1)


def read_chat(path: str) -> Messages:
    """Chat messages of a JSON file.

    Args:
        path: The file, or "-" for standard input.

    Returns:
        At least one message with role and content.

    Raises:
        PromptFileError: It is no JSON list of messages.
        OSError: The file cannot be read.
    """
    name = "standard input" if path == "-" else f"'{path}'"
    try:
        messages: Any = json.loads(read_prompt(path))
    except RecursionError as error:
        raise PromptFileError(f"{name} is no JSON that can be read: it is nested too deep") from error
    except ValueError as error:
        raise PromptFileError(f"{name} is no JSON: {str(error).partition(';')[0]}") from error
    shape = 'a list such as [{"role": "user", "content": "Hello"}]'
    if not isinstance(messages, list) or not messages:
        raise PromptFileError(f"{name} holds no chat messages; it should be {shape}")
    for index, message in enumerate(messages):
        fields = {"role", "content"}
        if (
            not isinstance(message, dict)
            or set(message) != fields
            or not isinstance(message["role"], str)
            or not _is_content(message["content"])
        ):
            raise PromptFileError(
                f"message {index} in {name} is not a role and a content, both text; the file should be {shape}"
            )
    return messages


def _is_content(value: object) -> bool:
    """Whether it is a text, or the parts of one, as newer programs write it."""
    if isinstance(value, list):
        return bool(value) and all(
            isinstance(part, dict) and isinstance(part.get("text"), str) for part in value
        )
    return isinstance(value, str)
