"""Who marks words: the registry behind ``--annotator NAME[:OPTIONS]``."""

from __future__ import annotations

from collections.abc import Callable

from annotate.annotators.clause import CLAUSE
from annotate.annotators.imported import SCHEMES, build_imported
from annotate.annotators.mock import build_mock
from annotate.annotators.offline import RuleAnnotator
from annotate.annotators.openai import build_openai
from annotate.annotators.options import parse_options
from annotate.annotators.overlap import OVERLAP
from annotate.annotators.replay import build_replay
from annotate.errors import LabelError, UnknownNameError
from annotate.online.transport import Endpoint
from annotate.outside import is_whole
from annotate.protocol import Annotator, Reading, Request, Response, Usage

__all__ = [
    "DEFAULT_ANNOTATORS",
    "Annotator",
    "Reading",
    "Request",
    "Response",
    "Usage",
    "annotator_names",
    "is_offline",
    "make_annotator",
]

DEFAULT_ANNOTATORS = ("overlap", "clause")


def _rule(rule: RuleAnnotator) -> Callable[[str, int], Annotator]:
    def build(options: str, seed: int) -> Annotator:
        parse_options(rule.name, options, ())
        return rule

    return build


_BUILDERS: dict[str, Callable[[str, int], Annotator]] = {
    "clause": _rule(CLAUSE),
    "mock": build_mock,
    "overlap": _rule(OVERLAP),
    "replay": lambda options, seed: build_replay(options, seed, make_annotator),
}
_OFFLINE = frozenset({"clause", "mock", "overlap"})


def annotator_names() -> list[str]:
    """The names of annotators that can be asked."""
    return sorted([*_BUILDERS, "openai"])


def make_annotator(spec: str, seed: int = 0, endpoint: Endpoint | None = None) -> Annotator:
    """Make the annotator that ``spec`` names.

    Args:
        spec: ``NAME`` or ``NAME:OPTIONS``, for instance ``"overlap"`` or ``"mock:noise=0.1"``; or whose
            labels were imported, ``human:NAME`` or ``import:NAME``.
        seed: Seed for annotators that use one and are given none.
        endpoint: Where online models are asked; OpenAI's own by default.

    Raises:
        UnknownNameError: No annotator has that name; lists those that exist.
        LabelError: The options do not fit, or the name holds what is no character.
    """
    if not is_whole(spec):
        raise LabelError(f"annotator {spec!r} holds bytes that are no UTF-8; type the name anew")
    name, _, options = spec.partition(":")
    if name in SCHEMES:
        return build_imported(name, options)
    if name == "openai":
        return build_openai(options, endpoint or Endpoint())
    if name not in _BUILDERS:
        raise UnknownNameError("annotator", name, annotator_names())
    return _BUILDERS[name](options, seed)


def is_offline(name: str) -> bool:
    """Whether the labels of annotator ``name`` come from a rule, not from a model or a person."""
    return name.removeprefix("replay:").partition(":")[0] in _OFFLINE
