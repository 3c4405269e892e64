"""Every attribution method that comes with the package; importing this registers them."""

from heat.algorithms import attention, contrastive, controls, gradients, hessian_enhanced, peering, suffixes

__all__ = ["attention", "contrastive", "controls", "gradients", "hessian_enhanced", "peering", "suffixes"]
