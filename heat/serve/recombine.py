"""Which of M, S and I of a stored attribution can be put together anew, and as which method."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from heat.attribution import Attribution
from heat.errors import ConfigError
from heat.parts import recombine
from heat.registry import methods

PARTS = {"M": "transition", "S": "curvature", "I": "information"}
# Ablations by what they leave in; beside the gate one of the two is left out by a weight of 0.
_ABLATIONS = {"SI": "no-gate", "M": "transition-only", "S": "hessian-only", "I": "kl-only"}
_WEIGHTS: dict[str, dict[str, float]] = {"MSI": {}, "MS": {"gamma": 0.0}, "MI": {"beta": 0.0}}


def combinations(attribution: Attribution) -> dict[str, dict[str, Any]]:
    """The combinations of M, S and I that `heat.recombine` makes of an attribution without a run of the model.

    Args:
        attribution: Any.

    Returns:
        Letters of the parts to the `method` and its `options`; empty where the method does not weigh M, S and I.
    """
    config = dict(attribution.config)
    stored = set(attribution.components) == set(PARTS.values())
    if not stored or attribution.method not in methods() or not {"beta", "gamma"} <= set(config):
        return {}
    wanted = {letters: (attribution.method, config | weights) for letters, weights in _WEIGHTS.items()}
    for letters, name in _ABLATIONS.items():
        own = {field.name for field in fields(methods()[name])}
        wanted[letters] = name, {option: value for option, value in config.items() if option in own}
    found = {}
    for letters, (name, options) in wanted.items():
        try:
            recombine(attribution, name, **options)
        except ConfigError:  # a part was computed in another way than the ablation computes it
            continue
        found[letters] = {"method": name, "options": options}
    return found
