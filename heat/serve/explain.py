"""One request run on the model, method after method, with its progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from heat.advice import of_completeness, of_text
from heat.answers import Answer, answer
from heat.api import attribute, check_precision
from heat.attribution import Attribution
from heat.cost.plan import costs_of
from heat.cost.shape import shape_of
from heat.encoding import Encoded, encode
from heat.errors import ConfigError
from heat.internals.passes import Passes, counted_passes
from heat.method import Method
from heat.model import LanguageModel
from heat.offsets import decode
from heat.registry import build
from heat.serve.wire import ExplainRequest

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of all passes done; ends the work by raising."""


@dataclass(frozen=True)
class Explained:
    """What one method of a request found.

    Attributes:
        index: Position of the method in the request.
        attribution: What it found.
        notes: What to say beside it.
        answer: Which tokens of the answer depend on the text; None where that was not asked.
        foils: What each token of the answer is contrasted with, empty for nothing; none where there is no foil.
    """

    index: int
    attribution: Attribution
    notes: tuple[str, ...]
    answer: Answer | None
    foils: tuple[str, ...]


def methods_of(request: ExplainRequest, lm: LanguageModel) -> list[Method]:
    """The methods of a request, checked.

    Args:
        request: The request.
        lm: The model it is for.

    Raises:
        HeatError: A method or option is unknown, or cannot explain this model.
    """
    chosen = []
    for choice in request.methods:
        method = build(choice.name, {name: value.strip() for name, value in choice.options.items()})
        check_precision(method, lm.dtype)
        chosen.append(method)
    if len(set(map(repr, chosen))) < len(chosen):
        raise ConfigError("two of the methods are the same with the same options; leave one out")
    return chosen


def explain(lm: LanguageModel, request: ExplainRequest, progress: Progress) -> Iterator[Explained]:
    """Run a request.

    Args:
        lm: The model.
        request: What to explain, and how.
        progress: Called after every block that the text has gone through.

    Yields:
        What each method found, as soon as it has.

    Raises:
        HeatError: Something in the request cannot be explained.
    """
    methods = methods_of(request, lm)

    def answering(_: Passes) -> None:
        progress("the model answers" if request.target is None else "reading the text", 0.0)

    with counted_passes(lm.model, answering):
        asked = _asked(lm, request)
    encoded = asked.encoded
    n_layers = shape_of(lm.model.config, lm.name).n_layers
    planned = [
        sum(costs_of(method, encoded.n_prompt, len(encoded.wanted), n_layers).values()) * encoded.n_prompt
        for method in methods
    ]
    total = sum(planned) or 1.0
    for index, method in enumerate(methods):
        before, own = sum(planned[:index]), planned[index]
        name = method.name if len(methods) == 1 else f"{method.name}, {index + 1} of {len(methods)}"

        def advanced(passes: Passes, name: str = name, before: float = before, own: float = own) -> None:
            progress(name, min(1.0, (before + min(own, passes.forward + passes.backward)) / total))

        with counted_passes(lm.model, advanced):
            attribution = attribute(lm, encoded, None, method, seed=request.seed)
            notes = of_completeness(lm, encoded, method, attribution)
        yield Explained(index, attribution, (*asked.notes, *notes), asked.answer, asked.foils)


@dataclass(frozen=True)
class _Asked:
    """The text with its answer, and what is known of the answer."""

    encoded: Encoded
    notes: tuple[str, ...]
    answer: Answer | None = None
    foils: tuple[str, ...] = ()


def _asked(lm: LanguageModel, request: ExplainRequest) -> _Asked:
    """Let the model answer, or read the answer, and find which of its tokens depend on the text."""
    whole_foil = request.foil if request.foil_at is None else None
    if whole_foil is not None or (request.threshold is None and request.foil is None):
        encoded = encode(lm, request.asked, request.target, foil=whole_foil, max_targets=request.max_targets)
        found = None
        if request.threshold is not None:
            # All tokens are explained against the foil; which of them depend on the text is said beside them.
            said = encoded.token_ids[encoded.n_prompt :]
            found = answer(
                lm, request.asked, said, threshold=request.threshold, max_tokens=request.max_targets
            )
    else:
        found = answer(
            lm,
            request.asked,
            request.target,
            foils=None if request.foil_at is None else {request.foil_at - 1: request.foil or ""},
            threshold=request.threshold or 0.0,
            max_tokens=request.max_targets,
        )
        encoded = found.encoded
    notes = of_text(lm, request.asked, request.target, whole_foil, encoded)
    if not encoded.wanted:
        notes.append(
            f"no token of the answer depends on the text by {request.threshold:g} nats or more; all are explained"
        )
        encoded = replace(encoded, explained=None)
    return _Asked(encoded, tuple(notes), found, _texts(lm, encoded.foil_ids))


def _texts(lm: LanguageModel, foil_ids: tuple[int, ...] | None) -> tuple[str, ...]:
    """Each foil's text; empty for none."""
    if foil_ids is None or lm.tokenizer is None:
        return ()
    return tuple(decode(lm.tokenizer, [foil]) if foil >= 0 else "" for foil in foil_ids)
