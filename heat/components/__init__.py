"""The three parts of HEAT, each a plain function of a model and a batch."""

from heat.components.curvature import curvature
from heat.components.information import information
from heat.components.probes import rademacher
from heat.components.transition import transition

__all__ = ["curvature", "information", "rademacher", "transition"]
