"""Where passages come from: sources by name, all behind one protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from annotate.errors import SourceError, UnknownNameError
from annotate.sources.base import Licence, Source
from annotate.sources.generated import SampleSource
from annotate.sources.hub import HubSource
from annotate.sources.local import LocalSource

SOURCES: dict[str, Callable[[], Source]] = {"sample": SampleSource, "hub": HubSource}
"""The sources that need no files. ``local`` is the one that does."""


def open_source(name: str, narrativeqa: Path | None = None, sciq: Path | None = None) -> Source:
    """The source called ``name``.

    Args:
        name: A key of ``SOURCES``, or ``"local"``.
        narrativeqa: NarrativeQA in the hub's schema, for ``local`` only.
        sciq: SciQ in the hub's schema, for ``local`` only.

    Raises:
        UnknownNameError: No source has this name.
        SourceError: Files are missing, or given to a source that reads none.
    """
    if name == "local":
        if narrativeqa is None or sciq is None:
            raise SourceError(
                "the source local reads two inputs: give both --narrativeqa PATH and --sciq PATH"
            )
        return LocalSource(narrativeqa, sciq)
    if name not in SOURCES:
        raise UnknownNameError("source", name, [*SOURCES, "local"])
    if narrativeqa is not None or sciq is not None:
        raise SourceError(
            f"the source {name} reads no files; leave out --narrativeqa and --sciq, or --source"
        )
    return SOURCES[name]()


def licences_of(name: str) -> tuple[Licence, ...]:
    """The terms of a source's parts, for a card; ``unknown`` for what is no source of ours.

    Args:
        name: Name of the source, as a benchmark's manifest holds it.
    """
    unknown = Licence("paragraphs", "unknown", "Not recorded; ask whoever made the texts.")
    known = {"local": LocalSource.licences, **{name: source().licences for name, source in SOURCES.items()}}
    return known.get(name, (unknown,))
