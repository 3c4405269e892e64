"""Bytes that a method holds at its peak, from a model's shape alone.

What a pass keeps is a sum of a few products of sizes: some vectors of the width and of the inner width for every
token and block, a row of attention weights for every head where attention is plain, keys and values, and so on. How
many of each depends on the family's code and on the part; `benchmarks/memory.py --fit` measures it on small random
models and writes data/models/footprint.json.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from heat.batch import DEFAULT_BATCH_TOKENS, rows_within
from heat.components.curvature import strategy_at
from heat.components.prefix import suffix_rows
from heat.cost.shape import Shape
from heat.internals.attention import WEIGHTS_AT_ONCE
from heat.method import Method
from heat.shipped import shipped

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
_PLAIN = frozenset({"gptj", "gpt_neo", "bloom", "falcon"})
_FLOAT32 = 4
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
class Footprint:
    """What one part of a method holds at its peak, in bytes, by component.

    Attributes:
        part: `curvature`, `information`, `transition`, `gradients`, `attention` or `forward`.
        components: `weights`, `graph` (what the backward passes need), `activations`, `attention` (weights n × n),
            `products`, `KV cache`, `logits`, `low-rank factors`, `weights in float32`.
    """

    part: str
    components: Mapping[str, float]

    @property
    def total(self) -> int:
        """Bytes in all, on one device."""
        return int(sum(self.components.values()))

    def on_each(self, n_devices: int) -> int:
        """Bytes on each of several devices that hold the blocks by turns: what grows with depth is divided.

        Args:
            n_devices: How many devices share a copy of the model.

        Returns:
            Bytes on the fullest, where the blocks are dealt evenly.
        """
        divided = ("weights", "weights in float32", "graph", "KV cache", "products")
        return int(sum(v / n_devices if k in divided else v for k, v in self.components.items()))


# --- what a pass holds, in numbers --------------------------------------------------------------------------------


def forward_terms(shape: Shape, rows: int, n_tokens: int) -> Terms:
    """One pass without a graph over `rows` texts: the widest place of one block."""
    tokens = rows * n_tokens
    terms = {
        "width": tokens * shape.width,
        "inner": tokens * shape.inner,
        "vocabulary": rows * shape.vocabulary,
    }
    if shape.family in _PLAIN:
        terms["attention"] = tokens * n_tokens * shape.n_heads
    return _floats(terms)


def gradient_terms(shape: Shape, rows: int, n_tokens: int) -> Terms:
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
    if shape.family in _PLAIN:
        terms["block attention"] = shape.n_layers * tokens * n_tokens * shape.n_heads
        terms["attention"] = tokens * n_tokens * shape.n_heads
    return _floats(terms)


def second_terms(shape: Shape, rows: int, n_tokens: int, n_vectors: int) -> Terms:
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
    return _floats(terms)


def transition_terms(shape: Shape, rows: int, n_tokens: int) -> Terms:
    """A gradient at every block, and attention weights made some queries at a time."""
    terms = gradient_terms(shape, rows, n_tokens)
    whole = rows * n_tokens**2 * shape.n_heads
    terms["attention"] = float(whole if shape.family in _PLAIN else min(whole, WEIGHTS_AT_ONCE / 3))
    return terms


def information_terms(shape: Shape, rows: int, n_tokens: int, batch_tokens: int) -> Terms:
    """Masked suffixes of one text together, each copy with keys and values of its own, at the fullest time.

    `rows` texts have left their keys and values before.
    """
    fullest: Terms = {}
    done = 0
    while done < n_tokens:
        length = n_tokens - done
        together = min(suffix_rows(length, batch_tokens), length)
        tokens = together * length
        terms = {
            "width": tokens * shape.width,
            "inner": tokens * shape.inner,
            "vocabulary": together * shape.vocabulary,
            # The first suffixes are whole texts, and need no cache.
            "cache": 2 * shape.n_layers * shape.key_width * together * n_tokens if done else 0,
            "cache width": together * n_tokens * shape.query_width if done else 0,
            "mask": tokens * n_tokens if done else 0,
        }
        if shape.family in _PLAIN:
            terms["attention"] = tokens * n_tokens * shape.n_heads
        if not fullest or _guess(terms) > _guess(fullest):
            fullest = _floats(terms)
        done += together
    return fullest


def _guess(terms: Mapping[str, float]) -> float:
    """Which of several moments is the fullest, roughly."""
    rough = {
        "width": 5.0,
        "inner": 3.0,
        "attention": 3.0,
        "vocabulary": 4.0,
        "cache": 1.0,
        "cache width": 3.0,
    }
    return sum(rough.get(name, 0.0) * value for name, value in terms.items())


def _floats(terms: Mapping[str, int]) -> Terms:
    return {name: float(value) for name, value in terms.items()}


# --- what a method holds ------------------------------------------------------------------------------------------


def footprints(
    shape: Shape,
    method: Method,
    n_tokens: int,
    n_targets: int = 1,
    *,
    dtype: str = "float32",
    quantization: str | None = None,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> list[Footprint]:
    """What each part of a method holds at its peak; the greatest is the method's.

    Args:
        shape: The model's sizes.
        method: The method with its options.
        n_tokens: Length of the prompt.
        n_targets: Number of targets.
        dtype: Dtype of the weights.
        quantization: `4bit` or `8bit` (bitsandbytes), or None.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        The parts, the log-probabilities' forward pass first. A family that was not measured has a near one's numbers.
    """
    number = itemsize(dtype)
    weights = weight_bytes(shape, dtype, quantization)
    rows, width = 1, n_tokens + n_targets
    if method.splits_prompt:
        size = window_width(method, n_tokens)
        rows = 1 + -(-(n_tokens - size) // (method.config()["window"] // 2))
        # Targets are windowed one after another.
        width, n_targets = size + 1, 1
    parts = {"forward": _forward(shape, 1, width, number)}
    for part in method.costs(n_tokens, n_targets):
        parts[part] = _PARTS.get(part, _other)(shape, method, rows, width, n_targets, number, batch_tokens)
    result = []
    for part, components in parts.items():
        held = {"weights": float(weights), **components}
        if part == "curvature" and dtype == "bfloat16":
            loose = shape.parameters - (0 if quantization is None else shape.linear)
            held["weights in float32"] = float(_FLOAT32 * loose)
        if quantization is not None:
            # One matrix at a time is spread out to numbers again.
            held["activations"] = held.get("activations", 0.0) + number * shape.width * shape.inner
        result.append(Footprint(part, held))
    return result


def window_width(method: Method, n_tokens: int) -> int:
    """Tokens of a window of a method that splits prompts, and of the whole prompt for any other."""
    options = method.config()
    return min(n_tokens, options["window"] + options["tail"]) if method.splits_prompt else n_tokens


def weight_bytes(shape: Shape, dtype: str, quantization: str | None = None) -> int:
    """Bytes of the weights.

    8 bits: a byte a number and a float32 for each row of a matrix (of the width, taken as a mean). 4 bits: half a byte
    and a float32 for every 64 numbers. Embeddings, head and norms keep the dtype.

    Args:
        shape: The model's sizes.
        dtype: Of the weights.
        quantization: `4bit`, `8bit` or None.

    Returns:
        Bytes.
    """
    number = itemsize(dtype)
    if quantization is None:
        return shape.parameters * number
    per_weight = 1.0 + 4 / shape.width if quantization == "8bit" else 0.5 + 4 / 64
    return int((shape.parameters - shape.linear) * number + shape.linear * per_weight)


def itemsize(dtype: str) -> int:
    """Bytes of one number of a format: float64, float32, bfloat16 or float16."""
    return {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}[dtype]


def _curvature(
    shape: Shape, method: Method, rows: int, n_tokens: int, n_targets: int, number: int, batch_tokens: int
) -> dict[str, float]:
    options: dict[str, Any] = method.config()
    rank = options.get("rank")
    if "layers" in options:
        # The graph begins at the input of the lowest block taken.
        shape = replace(shape, n_layers=min(shape.n_layers, options["layers"]))
    n_probes = 1 if rank is not None else options["n_probes"]
    number = max(number, _FLOAT32)
    texts = min(rows * n_targets, rows_within(batch_tokens, n_tokens * n_probes))
    together = min(n_probes, rows_within(batch_tokens, texts * n_tokens))
    products = strategy_at(options["products"], n_tokens - 1)
    if products == "finite-difference":
        # No graph outlives a product.
        graph: dict[str, float] = {}
        terms = gradient_terms(shape, texts * together, n_tokens)
        held = _components(shape, "difference", terms, number)
    else:
        together = 1 if products == "double-backward" else together
        graph = _components(shape, "second", second_terms(shape, texts, n_tokens, 0), number)
        held = _components(shape, "second", second_terms(shape, texts, n_tokens, together), number)
    if rank is not None:
        # Q while products are made; and when they are done Q, Q T, and its squares.
        factors = number * texts * n_tokens * shape.width * rank
        spent = sum(held.values()) - sum(graph.values())
        held["low-rank factors"] = factors + max(0.0, 2.0 * factors - spent)
    return held


def _information(
    shape: Shape, method: Method, rows: int, n_tokens: int, n_targets: int, number: int, batch_tokens: int
) -> dict[str, float]:
    terms = information_terms(shape, rows, n_tokens - n_targets, batch_tokens)
    held = _components(shape, "information", terms, number)
    cached = 2 * shape.n_layers * shape.key_width * rows * n_tokens * number
    held["KV cache"] = held.get("KV cache", 0.0) + cached
    held["logits"] += _FLOAT32 * rows * n_targets * shape.vocabulary
    return held


def _transition(
    shape: Shape, method: Method, rows: int, n_tokens: int, n_targets: int, number: int, batch_tokens: int
) -> dict[str, float]:
    texts = min(rows, rows_within(batch_tokens, n_tokens))
    held = _components(shape, "transition", transition_terms(shape, texts, n_tokens), number)
    if "gradients" not in method.needs or method.config().get("transition") == "value":
        # Without a graph; the blocks' values and streams are kept all the same.
        held["graph"] *= 0.5
    return held


def _gradients(
    shape: Shape, method: Method, rows: int, n_tokens: int, n_targets: int, number: int, batch_tokens: int
) -> dict[str, float]:
    options = method.config()
    copies = options.get("n_steps") or options.get("n_samples") or 1
    most = rows_within(batch_tokens, n_tokens)
    texts = min(n_targets, max(1, most // copies))
    held = _components(shape, "gradient", gradient_terms(shape, min(most, texts * copies), n_tokens), number)
    if copies > 1:
        stacked = {"copies": float(texts * copies * n_tokens * shape.width)}
        held["activations"] += _components(shape, "copies", stacked, number)["activations"]
    return held


def _forward(shape: Shape, rows: int, n_tokens: int, number: int) -> dict[str, float]:
    return _components(shape, "forward", forward_terms(shape, rows, n_tokens), number)


def _other(
    shape: Shape, method: Method, rows: int, n_tokens: int, n_targets: int, number: int, batch_tokens: int
) -> dict[str, float]:
    """Changed texts without a graph, as many together as a pass may hold."""
    texts = rows_within(batch_tokens, n_tokens)
    held = _forward(shape, texts, n_tokens, number)
    stacked = {"copies": float(texts * n_tokens * shape.width)}
    held["activations"] += _components(shape, "perturbed", stacked, max(number, _FLOAT32))["activations"]
    return held


_PARTS = {
    "curvature": _curvature,
    "information": _information,
    "suffixes": _information,
    "transition": _transition,
    "relevance": _transition,
    "attention": _transition,
    "gradients": _gradients,
}


def _components(shape: Shape, part: str, terms: Mapping[str, float], number: int) -> dict[str, float]:
    counts = _counts()[_NEAREST.get(shape.family, shape.family)][part]
    result: dict[str, float] = {}
    for term, value in terms.items():
        component = _COMPONENTS[term]
        size = _FLOAT32 if term == "vocabulary" else number
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
