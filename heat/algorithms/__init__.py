"""Every attribution method that comes with the package; importing this registers them."""

from heat.algorithms import (
    attention,
    context_cite,
    contrastive,
    controls,
    gradients,
    hessian_enhanced,
    lrp,
    peering,
    perturbation,
    reagent,
    suffixes,
)

__all__ = [
    "attention",
    "context_cite",
    "contrastive",
    "controls",
    "gradients",
    "hessian_enhanced",
    "lrp",
    "peering",
    "perturbation",
    "reagent",
    "suffixes",
]
