"""Every attribution method that comes with the package; importing this registers them."""

from heat.algorithms import attention, controls, gradients, hessian_enhanced, lrp, perturbation

__all__ = ["attention", "controls", "gradients", "hessian_enhanced", "lrp", "perturbation"]
