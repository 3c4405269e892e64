"""Every attribution method that comes with the package; importing this registers them."""

from heat.algorithms import attention, controls, gradients, hessian_enhanced, perturbation

__all__ = ["attention", "controls", "gradients", "hessian_enhanced", "perturbation"]
