"""Texts to learn from: a file with one a line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from heat.errors import PromptFileError
from heat.files import refuse_other_kind


@dataclass(frozen=True)
class TrainingText:
    """A prompt and what follows it.

    Attributes:
        prompt: The text that is ablated.
        target: What the model is asked for behind it; None for what it says itself.
    """

    prompt: str
    target: str | None = None


def read_texts(path: Path, limit: int | None = None) -> list[TrainingText]:
    """Read texts, one a line.

    In a file that ends in `.jsonl` a line is an object with `prompt` and, unless the model's own answer is meant,
    `target`. In any other file a line is plain text, whose last word (with the space before it) is the target; lines of
    fewer than two words are left out.

    Args:
        path: The file, UTF-8.
        limit: Read the first N texts only.

    Returns:
        The texts in order, at least one.

    Raises:
        PromptFileError: The file is no UTF-8 text, a line is no such object, or there is no text.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        refuse_other_kind(f"'{path}'", file.read(8))
    read = _json_lines if path.suffix == ".jsonl" else _plain_lines
    try:
        with path.open(encoding="utf-8-sig") as lines:
            texts = list(islice(read(lines, path), limit))
    except UnicodeDecodeError as error:
        raise PromptFileError(f"'{path}' is not UTF-8 text; convert it, or name another") from error
    if not texts:
        raise PromptFileError(
            f"'{path}' holds no text of two words or more; name a file with one text a line"
        )
    return texts


def _plain_lines(lines: Iterator[str], path: Path) -> Iterator[TrainingText]:
    for line in lines:
        words = line.split()
        if len(words) > 1:
            text = line.strip()
            prompt = text.removesuffix(words[-1]).rstrip()
            yield TrainingText(prompt, text[len(prompt) :])


def _json_lines(lines: Iterator[str], path: Path) -> Iterator[TrainingText]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise PromptFileError(f"line {number} of '{path}' is no JSON: {error}") from error
        prompt, target = (row.get("prompt"), row.get("target")) if isinstance(row, dict) else (None, None)
        if not isinstance(prompt, str) or not (target is None or isinstance(target, str)):
            raise PromptFileError(
                f'line {number} of \'{path}\' is no text to learn from; it should be {{"prompt": "...", '
                '"target": "..."}, the target left out for what the model says'
            )
        yield TrainingText(prompt, target)
