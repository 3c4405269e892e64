"""What is scored: an example, the changed copies it is set beside, and why it is skipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.pipeline.store import Settings
from evaluate.tasks.task import Example

if TYPE_CHECKING:
    from heat import LanguageModel


@dataclass(frozen=True)
class Variant:
    """A changed copy of an example.

    Attributes:
        name: What was changed.
        example: The copy.
        settings: What its attributions have in common; another revision or seed than the clean ones'.
        view: Makes of the caller's model the one that the copy is put to; ``None`` for itself.
        pairs: Pairs of aligned words, the example's and the copy's; ``None`` where the words are the same.
    """

    name: str
    example: Example
    settings: Settings
    view: Callable[[LanguageModel], LanguageModel] | None = None
    pairs: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True)
class Case:
    """An example as a measure looks at it.

    Attributes:
        example: With the target that is explained.
        variants: What it is set beside.
        skipped: Why it cannot be scored: a reason to count, and a sentence; ``None`` where it can.
    """

    example: Example
    variants: tuple[Variant, ...] = ()
    skipped: tuple[str, str] | None = None
