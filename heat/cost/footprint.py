"""Bytes that a method holds at its peak, from a model's shape alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from heat.batch import DEFAULT_BATCH_TOKENS, rows_within
from heat.components.information import Information
from heat.components.transition import Transition
from heat.cost.shape import Shape
from heat.cost.terms import FLOAT32, Workload, forward_terms, gradient_terms, held_bytes, itemsize
from heat.method import MadeOfParts, Method


@dataclass(frozen=True)
class Footprint:
    """What one part of a method holds at its peak, in bytes, by component.

    Attributes:
        part: `curvature`, `information`, `transition`, `gradients`, `attention`, `matrices` or `forward`.
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
    width = n_tokens + n_targets
    work = Workload(shape, 1, width, n_targets, dtype, quantization, batch_tokens)
    if method.splits_prompt:
        size = window_width(method, n_tokens)
        n_windows = 1 + -(-(n_tokens - size) // (method.config()["window"] // 2))
        # Targets are windowed one after another.
        work = replace(work, n_texts=n_windows, n_tokens=size + 1, n_targets=1)
    components = method.components() if isinstance(method, MadeOfParts) else {}
    parts = {"forward": _forward(replace(work, n_texts=1))}
    for part in method.costs(n_tokens, work.n_targets):
        if part in components:
            parts[part] = components[part].memory(work)
        else:
            parts[part] = _BASELINES.get(part, _changed_texts)(method, work)
    weights = float(weight_bytes(shape, dtype, quantization))
    footprints = []
    for part, held in parts.items():
        held = {"weights": weights, **held}
        if quantization is not None:
            # One matrix at a time is spread out to numbers again.
            held["activations"] = held.get("activations", 0.0) + work.itemsize * shape.width * shape.inner
        footprints.append(Footprint(part, held))
    return footprints


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


def _attention(method: Method, work: Workload) -> dict[str, float]:
    return Transition("gradient" if "gradients" in method.needs else "value").memory(work)


def _suffixes(method: Method, work: Workload) -> dict[str, float]:
    return Information().memory(work)


def _gradients(method: Method, work: Workload) -> dict[str, float]:
    options, shape = method.config(), work.shape
    copies = options.get("n_steps") or options.get("n_samples") or 1
    most = rows_within(work.batch_tokens, work.n_tokens)
    texts = min(work.n_targets, max(1, most // copies))
    terms = gradient_terms(shape, min(most, texts * copies), work.n_tokens)
    held = held_bytes(shape, "gradient", terms, work.itemsize)
    if copies > 1:
        stacked = {"copies": float(texts * copies * work.n_tokens * shape.width)}
        held["activations"] += held_bytes(shape, "copies", stacked, work.itemsize)["activations"]
    return held


def _forward(work: Workload) -> dict[str, float]:
    return held_bytes(
        work.shape, "forward", forward_terms(work.shape, work.n_texts, work.n_tokens), work.itemsize
    )


def _changed_texts(method: Method, work: Workload) -> dict[str, float]:
    """Changed texts without a graph, as many together as a pass may hold."""
    texts = rows_within(work.batch_tokens, work.n_tokens)
    held = _forward(replace(work, n_texts=texts))
    stacked = {"copies": float(texts * work.n_tokens * work.shape.width)}
    itemsize = max(work.itemsize, FLOAT32)
    held["activations"] += held_bytes(work.shape, "perturbed", stacked, itemsize)["activations"]
    return held


# What the parts of methods that are not made of components hold; any other changes texts.
_BASELINES: Mapping[str, Callable[[Method, Workload], dict[str, float]]] = {
    "attention": _attention,
    "matrices": _attention,
    "relevance": _attention,
    "suffixes": _suffixes,
    "gradients": _gradients,
}
