"""HEAT (Hessian-Enhanced Attribution) and its baselines for decoder-only language models.

The public names are loaded on first use, so that `import heat` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heat.answers import Answer, answer
    from heat.api import attribute, attribute_batch
    from heat.attribution import Attribution
    from heat.comparison import Comparison, attribute_each, compare
    from heat.encoding import CharSpan, Encoded, encode
    from heat.errors import HeatError
    from heat.method import Method
    from heat.model import LanguageModel, load
    from heat.parts import recombine
    from heat.registry import methods, register

_HOME = {
    "Answer": "heat.answers",
    "Attribution": "heat.attribution",
    "CharSpan": "heat.encoding",
    "Comparison": "heat.comparison",
    "Encoded": "heat.encoding",
    "HeatError": "heat.errors",
    "LanguageModel": "heat.model",
    "Method": "heat.method",
    "answer": "heat.answers",
    "attribute": "heat.api",
    "attribute_batch": "heat.api",
    "attribute_each": "heat.comparison",
    "compare": "heat.comparison",
    "encode": "heat.encoding",
    "load": "heat.model",
    "methods": "heat.registry",
    "recombine": "heat.parts",
    "register": "heat.registry",
}

__all__ = [
    "Answer",
    "Attribution",
    "CharSpan",
    "Comparison",
    "Encoded",
    "HeatError",
    "LanguageModel",
    "Method",
    "answer",
    "attribute",
    "attribute_batch",
    "attribute_each",
    "compare",
    "encode",
    "load",
    "methods",
    "recombine",
    "register",
]


def __getattr__(name: str) -> Any:
    """Import a public name from the module it lives in."""
    if name not in _HOME:
        raise AttributeError(f"module 'heat' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
