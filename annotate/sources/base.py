"""What a source of passages is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from annotate.schema import Narrative, Science


@dataclass(frozen=True)
class Licence:
    """The terms of one part of a source.

    Attributes:
        part: What they cover, for instance ``"SciQ questions and supports"``.
        identifier: Hugging Face licence identifier, for instance ``"cc-by-nc-3.0"``.
        note: Where the text comes from and what the terms ask, in a sentence.
    """

    part: str
    identifier: str
    note: str


@dataclass(frozen=True)
class Passages:
    """What a source yields.

    Attributes:
        narratives: One per document, in source order, without duplicates of a document.
        science: One per science question, in source order.
        drops: Rows that were read and not kept, counted by reason.
    """

    narratives: list[Narrative]
    science: list[Science]
    drops: dict[str, int]


class Source(Protocol):
    """A place passages come from. To add one, write a class like this and list it in ``annotate.sources``."""

    @property
    def name(self) -> str:
        """What ``--source`` calls it."""
        ...

    @property
    def licences(self) -> tuple[Licence, ...]:
        """The terms of its parts, for the dataset card."""
        ...

    def inputs(self, split: str) -> dict[str, str]:
        """What is read, each with its checksum or revision: two equal answers mean equal passages."""
        ...

    def passages(self, split: str, size: int, seed: int) -> Passages:
        """Read or draw passages.

        Args:
            split: Split of the source.
            size: Number of paragraphs wanted; a source that generates makes enough, one that reads takes all.
            seed: Seed of a source that generates.

        Raises:
            SourceError: The source is missing, unreachable, empty or not in its schema.
        """
        ...
