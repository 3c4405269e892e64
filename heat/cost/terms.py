"""What one pass through a model holds: numbers by term, and their bytes as measured.

What a pass keeps is a sum of a few products of sizes: some vectors of the width and of the inner width for every
token and block, a row of attention weights for every head where attention is plain, keys and values, and so on. How
many of each depends on the family's code and on the pass; `benchmarks/memory.py --fit` measures it on small random
models and writes data/models/footprint.json.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from heat.batch import DEFAULT_BATCH_TOKENS
from heat.internals.attention import WEIGHTS_AT_ONCE
from heat.shipped import shipped

if TYPE_CHECKING:
    from heat.cost.shape import Shape

# Families whose passes were measured, and those that stand nearest to each.
_NEAREST = {
    "qwen2": "llama",  # the same to the byte: it differs by biases alone
    "mistral": "llama",
    "qwen3": "llama",
    "gemma2": "llama",
    "gpt_neo": "gptj",
    "bloom": "gptj",
    "falcon": "gptj",
    "gpt_neox": "gpt2",
    "opt": "gpt2",
}
# Blocks of these run an attention of their own, which holds all weights at once.
PLAIN = frozenset({"gptj", "gpt_neo", "bloom", "falcon"})
FLOAT32 = 4
# What a term is, for people.
_COMPONENTS = {
    "block width": "graph",
    "block keys": "graph",
    "block inner": "graph",
    "block attention": "attention",
    "width": "activations",
    "inner": "activations",
    "attention": "attention",
    "vector width": "products",
    "vector inner": "products",
    "vector block width": "products",
    "vector block inner": "products",
    "vector attention": "attention",
    "vector block attention": "attention",
    "cache": "KV cache",
    "cache width": "activations",
    "mask": "activations",
    "vocabulary": "logits",
    "copies": "activations",
}

Terms = dict[str, float]


@dataclass(frozen=True)
class Workload:
    """What a part of a method is computed on.

    Attributes:
        shape: The model's sizes.
        n_texts: Number of texts; every window of a long prompt is one.
        n_tokens: Tokens of each text, targets included.
        n_targets: Targets of each text.
        dtype: Dtype of the weights.
        quantization: `4bit`, `8bit` or None.
        batch_tokens: Tokens that one pass may hold.
    """

    shape: "Shape"
    n_texts: int
    n_tokens: int
    n_targets: int
    dtype: str = "float32"
    quantization: str | None = None
    batch_tokens: int = DEFAULT_BATCH_TOKENS

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return itemsize(self.dtype)


def itemsize(dtype: str) -> int:
    """Bytes of one number of a dtype: float64, float32, bfloat16 or float16."""
    return {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}[dtype]


def forward_terms(shape: "Shape", rows: int, n_tokens: int) -> Terms:
    """One pass without a graph over `rows` texts: the widest place of one block."""
    tokens = rows * n_tokens
    terms = {
        "width": tokens * shape.width,
        "inner": tokens * shape.inner,
        "vocabulary": rows * shape.vocabulary,
    }
    if shape.family in PLAIN:
        terms["attention"] = tokens * n_tokens * shape.n_heads
    return floats(terms)


def gradient_terms(shape: "Shape", rows: int, n_tokens: int) -> Terms:
    """One pass with its graph, and the way back. The last block's MLP runs at the targets alone."""
    tokens = rows * n_tokens
    terms = {
        "block width": tokens * shape.n_layers * shape.width,
        "block keys": tokens * shape.n_layers * shape.key_width,
        "block inner": tokens * (shape.n_layers - 1) * shape.inner,
        "width": tokens * shape.width,
        "inner": tokens * shape.inner,
        "vocabulary": rows * shape.vocabulary,
    }
    if shape.family in PLAIN:
        terms["block attention"] = shape.n_layers * tokens * n_tokens * shape.n_heads
        terms["attention"] = tokens * n_tokens * shape.n_heads
    return floats(terms)


def second_terms(shape: "Shape", rows: int, n_tokens: int, n_vectors: int) -> Terms:
    """A gradient with its own graph under plain attention, and `n_vectors` products made together through it.

    A product goes back through the backward pass first, and leaves a vector at everything the forward pass kept,
    which is why it grows with the depth.
    """
    tokens = rows * n_tokens
    attention = tokens * n_tokens * shape.n_heads
    terms = {
        "block width": shape.n_layers * tokens * shape.width,
        "block inner": (shape.n_layers - 1) * tokens * shape.inner,
        "block attention": shape.n_layers * attention,
        "vector width": n_vectors * tokens * shape.width,
        "vector inner": n_vectors * tokens * shape.inner,
        "vector attention": n_vectors * attention,
        "vector block width": n_vectors * shape.n_layers * tokens * shape.width,
        "vector block inner": n_vectors * (shape.n_layers - 1) * tokens * shape.inner,
        "vector block attention": n_vectors * shape.n_layers * attention,
    }
    return floats(terms)


def transition_terms(shape: "Shape", rows: int, n_tokens: int) -> Terms:
    """A gradient at every block, and attention weights made some queries at a time."""
    terms = gradient_terms(shape, rows, n_tokens)
    whole = rows * n_tokens**2 * shape.n_heads
    terms["attention"] = float(whole if shape.family in PLAIN else min(whole, WEIGHTS_AT_ONCE / 3))
    return terms


def floats(terms: Mapping[str, int]) -> Terms:
    """The same numbers as floats."""
    return {name: float(value) for name, value in terms.items()}


def held_bytes(shape: "Shape", pass_kind: str, terms: Mapping[str, float], itemsize: int) -> dict[str, float]:
    """Bytes that a pass holds, by what they are.

    Args:
        shape: The model's sizes.
        pass_kind: `forward`, `gradient`, `second`, `difference`, `transition`, `information`, `perturbed` or `copies`.
        terms: Numbers by term.
        itemsize: Bytes of one of them; logits are float32 always.

    Returns:
        `graph`, `activations`, `attention`, `products`, `KV cache` and `logits` to bytes, those that there are.
    """
    counts = _counts()[_NEAREST.get(shape.family, shape.family)][pass_kind]
    result: dict[str, float] = {}
    for term, value in terms.items():
        component = _COMPONENTS[term]
        size = FLOAT32 if term == "vocabulary" else itemsize
        result[component] = result.get(component, 0.0) + counts.get(term, 0.0) * value * size
    return result


@lru_cache(maxsize=1)
def _counts() -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    counts: dict[str, dict[str, dict[str, float]]] = json.loads(
        shipped("models/footprint.json").read_text(encoding="utf-8")
    )
    # A family that nobody measured has the gated MLP and fused attention that most have today.
    return _Default(counts)


class _Default(dict[str, Any]):
    def __missing__(self, family: str) -> Any:
        return self["llama"]
