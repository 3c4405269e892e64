"""Attributions put together from the stored parts of another method's, without a pass through the model."""

from dataclasses import replace
from typing import Any

import torch

from heat.attribution import Attribution
from heat.batch import Batch
from heat.errors import ConfigError
from heat.method import MadeOfParts, Method
from heat.registry import build, methods


def recombine(attribution: Attribution, method: str | Method, **config: Any) -> Attribution:
    """What a method would say, put together from the components of an attribution.

    HEAT keeps transition, curvature and information; every ablation, and every β and γ, can be read off them. The
    numbers are those of the method's own run (to float32's rounding where the model is in float64).

    Args:
        attribution: One whose prompt is no longer than the model's context.
        method: Registered name, or a method object.
        **config: The method's options.

    Returns:
        The method's attribution; `seconds` is None, as it took none, and `forward_equivalents` what the method takes
        by itself.

    Raises:
        ConfigError: The method is not made of parts, or needs one that the attribution lacks or that was computed with
            other options.
        UnknownMethodError: No such name.
    """
    chosen = build(method, config)
    source = build(attribution.method, dict(attribution.config))
    if not isinstance(chosen, MadeOfParts) or not isinstance(source, MadeOfParts):
        which = source if isinstance(chosen, MadeOfParts) else chosen
        raise ConfigError(f"'{which.name}' is not made of parts that others share; attribute with it")
    lacking = _lacking(chosen, source, _longest_context(attribution))
    if lacking:
        raise ConfigError(
            f"'{chosen.name}' needs {' and '.join(lacking)} with options that this attribution by '{source.name}' "
            "was not made with; attribute with it"
        )
    names = chosen.parts(_longest_context(attribution))
    combined = chosen.combined({name: attribution.components[name] for name in names}, _batch(attribution))
    inside = torch.arange(combined.scores.shape[1]) < _contexts(attribution)[:, None]
    first, end = attribution.target_span
    explained = range(end - first) if attribution.explained is None else attribution.explained
    inside &= torch.isin(torch.arange(end - first), torch.tensor(list(explained)))[:, None]
    return replace(
        attribution,
        scores=torch.where(inside, combined.scores, 0.0),
        components={name: torch.where(inside, part, 0.0) for name, part in combined.components.items()},
        method=chosen.name,
        config=chosen.config(),
        forward_equivalents=chosen.passes(first, len(explained)),
        seconds=None,
    )


def sources(method: Method, n_tokens: int) -> list[str]:
    """Registered methods that, with their default options, have all the parts of a method.

    Args:
        method: The method.
        n_tokens: Length of the context.

    Returns:
        Names of the others from whose attributions `recombine` makes the method's.
    """
    return [
        name
        for name, kind in methods().items()
        if name != method.name and issubclass(kind, MadeOfParts) and suffices(method, kind(), n_tokens)
    ]


def suffices(method: Method, source: Method, n_tokens: int) -> bool:
    """Whether `recombine` makes a method of another's attribution.

    Args:
        method: The method.
        source: The other.
        n_tokens: Length of the context.

    Returns:
        Whether both are made of parts, and the other computes all of the method's.
    """
    return (
        isinstance(method, MadeOfParts)
        and isinstance(source, MadeOfParts)
        and not _lacking(method, source, n_tokens)
    )


def _lacking(method: MadeOfParts, source: MadeOfParts, n_tokens: int) -> list[str]:
    """Parts of a method that another does not have, or has with other options."""
    there = source.parts(n_tokens)
    return [name for name, options in method.parts(n_tokens).items() if there.get(name) != options]


def _contexts(attribution: Attribution) -> torch.Tensor:
    """Length of each target's context, int64 [m]."""
    return torch.arange(*attribution.target_span)


def _longest_context(attribution: Attribution) -> int:
    return attribution.target_span[1] - 1


def _batch(attribution: Attribution) -> Batch:
    """The text and its targets, unpadded."""
    token_ids = torch.tensor([attribution.token_ids])
    contexts = _contexts(attribution)
    foils = None if attribution.foil_ids is None else torch.tensor(attribution.foil_ids)
    return Batch(
        token_ids=token_ids,
        attention_mask=torch.ones_like(token_ids),
        rows=torch.zeros_like(contexts),
        positions=contexts - 1,
        target_ids=token_ids[0, contexts],
        foil_ids=foils,
    )
