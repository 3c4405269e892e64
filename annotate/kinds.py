"""Who stands behind an annotator's name: a person, a model or a rule."""

from __future__ import annotations

from typing import Literal

from annotate.annotators import is_offline

Kind = Literal["person", "model", "rule", "other"]
KINDS: tuple[Kind, ...] = ("person", "model", "rule", "other")


def kind_of(annotator: str) -> Kind:
    """Read the kind off an annotator's name.

    Args:
        annotator: ``human`` and ``human:NAME`` are people, ``openai:MODEL`` models, the offline annotators
            rules; everything else, for instance an imported file, is ``other``. ``replay:`` changes nothing.
    """
    scheme = annotator.removeprefix("replay:").partition(":")[0]
    if scheme.startswith("human"):
        return "person"
    if scheme == "openai":
        return "model"
    return "rule" if is_offline(annotator) else "other"


def marked_alone(annotator: str) -> bool:
    """Whether an annotator is a person who saw nobody's marks; ``human-reviewed:NAME`` decided on those of others."""
    return kind_of(annotator) == "person" and not annotator.startswith("human-reviewed")
