"""What a model will cost under each form of HEAT, dtype and number of devices, and the cheapest that fits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from heat.batch import DEFAULT_BATCH_TOKENS
from heat.cost.footprint import Footprint, footprints, window_width
from heat.cost.plan import ONE_BY_ONE, costs_of
from heat.cost.shape import Shape
from heat.method import Method

# What is left where HEAT is refused, nearest to it first.
OTHERS = ("no-gate", "kl-only", "integrated-gradients", "occlusion")
HEAT_FORMS = ("heat", "heat-low-rank", "heat-layer-sampling", "heat-windowed", "heat-lr-win")


@dataclass(frozen=True)
class Rate:
    """Floating-point operations a second that one device sustains, not its data sheet's peak.

    Attributes:
        single: One text at a time.
        batched: A full batch.
        float32: Second derivatives of a bfloat16 model, which are computed in float32.
    """

    single: float
    batched: float
    float32: float


@dataclass(frozen=True)
class Variant:
    """One way to explain a text, and what it takes.

    Attributes:
        method: Registered name.
        dtype: Dtype of the weights.
        quantization: `4bit`, `8bit` or None.
        n_devices: Devices that share one copy of the model.
        batch_tokens: Tokens that one pass may hold.
        parts: Memory of each part on one device that held everything.
        peak_bytes: Peak on the fullest of the devices.
        forward_equivalents: Forward passes over the text; a backward pass counts 1.
        flops: Floating-point operations of a text.
        seconds: Of a text.
        obstacle: Why it cannot run, whatever the memory; empty where it can.
    """

    method: str
    dtype: str
    quantization: str | None
    n_devices: int
    batch_tokens: int
    parts: Sequence[Footprint]
    peak_bytes: int
    forward_equivalents: float
    flops: float
    seconds: float
    obstacle: str

    @property
    def device_seconds(self) -> float:
        """What is paid for: a copy spread over devices keeps them all, and runs on one at a time."""
        return self.seconds * self.n_devices

    @property
    def fullest(self) -> Footprint:
        """The part with the peak."""
        return max(self.parts, key=lambda part: part.on_each(self.n_devices))


def variant(
    shape: Shape,
    method: Method,
    rate: Rate,
    n_tokens: int,
    n_targets: int = 1,
    *,
    dtype: str = "bfloat16",
    quantization: str | None = None,
    n_devices: int = 1,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> Variant:
    """What one method takes on one model.

    Args:
        shape: The model's sizes.
        method: The method with its options.
        rate: Speed of a device.
        n_tokens: Length of the prompt.
        n_targets: Number of targets.
        dtype: Dtype of the weights.
        quantization: `4bit`, `8bit` or None; taken to be as fast.
        n_devices: Devices that share a copy, with an even share of the blocks each.
        batch_tokens: Tokens that one pass may hold.

    Returns:
        The estimate.
    """
    costs = costs_of(method, n_tokens, n_targets, shape.n_layers)
    # Windows are short texts: as many tokens, but less attention for each.
    width = window_width(method, n_tokens)
    forward = shape.forward_flops(width) * n_tokens / width
    seconds = 0.0
    for part, cost in costs.items():
        if part == "curvature":
            speed = rate.float32 if dtype == "bfloat16" else rate.single
        else:
            speed = rate.single if part in ONE_BY_ONE else rate.batched
        seconds += cost * forward / speed
    parts = footprints(
        shape, method, n_tokens, n_targets, dtype=dtype, quantization=quantization, batch_tokens=batch_tokens
    )
    return Variant(
        method=method.name,
        dtype=dtype,
        quantization=quantization,
        n_devices=n_devices,
        batch_tokens=batch_tokens,
        parts=parts,
        peak_bytes=max(part.on_each(n_devices) for part in parts),
        forward_equivalents=sum(costs.values()),
        flops=sum(costs.values()) * forward,
        seconds=seconds,
        obstacle=_obstacle(shape, method, n_tokens + n_targets, dtype),
    )


def fitted(
    shape: Shape,
    method: Method,
    rate: Rate,
    n_tokens: int,
    n_targets: int = 1,
    *,
    memory: int,
    most: int,
    dtype: str = "bfloat16",
    quantization: str | None = None,
) -> Variant:
    """The same as `variant` on as few devices as hold it (1, 2, 4, ...), and there with as full passes as fit.

    What runs out of memory is halved and goes on, so passes down to an eighth of the usual are tried.

    Args:
        shape: The model's sizes.
        method: The method with its options.
        rate: Speed of a device.
        n_tokens: Length of the prompt.
        n_targets: Number of targets.
        memory: Bytes of a device.
        most: Devices there are.
        dtype: Dtype of the weights.
        quantization: `4bit`, `8bit` or None.

    Returns:
        The variant; where nothing fits, that with the smallest passes on the most devices.
    """
    tried = [
        variant(
            shape,
            method,
            rate,
            n_tokens,
            n_targets,
            dtype=dtype,
            quantization=quantization,
            batch_tokens=DEFAULT_BATCH_TOKENS >> halvings,
        )
        for halvings in range(4)
    ]
    numbers = [1 << power for power in range(most.bit_length())]
    spread = [
        replace(one, n_devices=n, peak_bytes=max(part.on_each(n) for part in one.parts))
        for n in numbers
        for one in tried
    ]
    return next((variant for variant in spread if variant.peak_bytes <= memory), spread[-1])


def cheapest(variants: Iterable[Variant], memory: int) -> Variant | None:
    """Fewest device-seconds among those that fit; of equal ones the first.

    Args:
        variants: In the order of preference.
        memory: Bytes of a device.

    Returns:
        The variant, or None where nothing fits.
    """
    fitting = [variant for variant in variants if not variant.obstacle and variant.peak_bytes <= memory]
    return min(fitting, key=lambda variant: variant.device_seconds, default=None)


def _obstacle(shape: Shape, method: Method, n_tokens: int, dtype: str) -> str:
    for need in method.needs:
        taken = "gradients" if need == "second-derivatives" else need
        # What cannot be run cannot be differentiated or read either.
        if reason := shape.obstacles.get("forward") or shape.obstacles.get(taken):
            return f"as a model of this family {reason}"
    if shape.context is not None and n_tokens > shape.context and not method.splits_prompt:
        return f"longer than the model's context of {shape.context:,} tokens"
    if dtype == "float16" and {"gradients", "second-derivatives"} & set(method.needs):
        return "float16 underflows in derivatives"
    return ""
