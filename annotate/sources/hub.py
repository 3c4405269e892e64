"""Passages from the Hugging Face hub, streamed: `deepmind/narrativeqa` and `allenai/sciq`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from annotate.errors import SourceError
from annotate.sources import rows
from annotate.sources.base import Licence, Passages
from annotate.sources.rows import Table

NARRATIVEQA = "deepmind/narrativeqa"
SCIQ = "allenai/sciq"
_SECONDS = 10


@dataclass(frozen=True)
class HubSource:
    """NarrativeQA and SciQ from the hub; a story is dropped as it streams by, only its summary is kept."""

    name: ClassVar[str] = "hub"
    licences: ClassVar[tuple[Licence, ...]] = rows.LICENCES

    def inputs(self, split: str) -> dict[str, str]:
        """The two repositories with the revision each has now.

        Raises:
            SourceError: The hub cannot be reached.
        """
        from huggingface_hub import HfApi

        revisions = {}
        for name in (NARRATIVEQA, SCIQ):
            try:
                revisions[name] = str(HfApi().dataset_info(name, timeout=_SECONDS).sha)
            except (
                Exception
            ) as error:  # the client raises errors of several libraries, which change by version
                raise _unreachable(name, error) from error
        return revisions

    def passages(self, split: str, size: int, seed: int) -> Passages:
        """Stream both data sets whole; ``size`` and ``seed`` change nothing here.

        Raises:
            SourceError: The hub cannot be reached, or a data set has changed its schema.
        """
        revisions = self.inputs(split)
        narratives, drops = rows.narratives([_table(NARRATIVEQA, split, revisions)], self.name, split)
        science = rows.science([_table(SCIQ, split, revisions)], self.name, split)
        return Passages(narratives, science, drops)


def _table(name: str, split: str, revisions: dict[str, str]) -> Table:
    return Table(f"{name} ({split})", _stream(name, split, revisions[name]))


def _stream(name: str, split: str, revision: str) -> Iterator[Mapping[str, Any]]:
    from datasets import load_dataset

    try:
        yield from load_dataset(name, split=split, revision=revision, streaming=True)
    except Exception as error:  # as above
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> SourceError:
    return SourceError(
        f"{name} cannot be read from the Hugging Face hub ({error}); connect to the network, or download "
        "its files and give --narrativeqa PATH --sciq PATH, or use --source sample"
    )
