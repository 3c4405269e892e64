"""Rows of a data set on the Hugging Face hub, streamed at the revision that is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from annotate.rationales.rows import Row, Rows
from evaluate.tasks.errors import TaskError

_SECONDS = 10


def hub_rows(name: str, split: str) -> Rows:
    """The rows of a split.

    Args:
        name: `owner/name`.
        split: The split.

    Raises:
        TaskError: The hub cannot be reached, at once or while rows are read.
    """
    from huggingface_hub import HfApi

    try:
        revision = str(HfApi().dataset_info(name, timeout=_SECONDS).sha)
    except Exception as error:  # the client raises errors of several libraries, which change by version
        raise _unreachable(name, error) from error
    return Rows(f"{name}@{revision} ({split})", partial(_stream, name, split, revision))


def _stream(name: str, split: str, revision: str) -> Iterator[Row]:
    from datasets import load_dataset

    try:
        rows = load_dataset(name, split=split, revision=revision, streaming=True)
        for number, values in enumerate(rows, start=1):
            yield Row(number, f"row {number}", values)
    except Exception as error:  # as above
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> TaskError:
    reason = " ".join(str(error).split())
    return TaskError(
        f"{name} cannot be read from the Hugging Face hub ({reason}); connect to the network, or download its"
        " file and give --source FILE, or use --source sample"
    )
