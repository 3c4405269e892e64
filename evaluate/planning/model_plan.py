"""What explaining with a model will cost and which variant fits, from the model's config alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluate.errors import PlanError

if TYPE_CHECKING:
    from rich.table import Table

    from heat.cost.shape import Shape
    from heat.cost.variants import Rate, Variant
    from heat.model import Quantization

# A device's sustained speed where nobody measured: 40 % of an H100's 989e12 in bfloat16, 60 % of its 67e12 in float32.
FLOPS = 400e12
FLOPS_FLOAT32 = 40e12
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


@dataclass(frozen=True)
class ModelPlan:
    """What a model costs.

    Attributes:
        shape: Its sizes.
        rate: Speed of a device.
        memory: Bytes of a device.
        n_tokens: Length of a prompt.
        n_targets: Targets of a prompt.
        examples: Prompts.
        variants: The methods asked for, in the dtype asked for, each on the fewest devices that hold it.
        cheapest: The variant of HEAT with the fewest device-seconds that fits; None where none does.
        cheapest_whole: The same with weights that are not quantized.
        refused: Why no form of HEAT can run on the model, whatever the memory; empty where one can.
        others: Where HEAT is refused, the methods nearest to it that fit.
    """

    shape: Shape
    rate: Rate
    memory: int
    n_tokens: int
    n_targets: int
    examples: int
    variants: Sequence[Variant]
    cheapest: Variant | None
    cheapest_whole: Variant | None
    refused: str = ""
    others: Sequence[Variant] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`; bytes and seconds."""
        from dataclasses import asdict

        return {
            "model": asdict(self.shape),
            "rate": asdict(self.rate),
            "memory": self.memory,
            "tokens": self.n_tokens,
            "targets": self.n_targets,
            "examples": self.examples,
            "variants": [self._row(variant) for variant in self.variants],
            "cheapest": self._row(self.cheapest),
            "cheapest_without_quantization": self._row(self.cheapest_whole),
            "heat_refused": self.refused,
            "others_that_fit": [self._row(variant) for variant in self.others],
        }

    def _row(self, one: Variant | None) -> dict[str, Any] | None:
        if one is None:
            return None
        return {
            "method": one.method,
            "dtype": one.dtype,
            "quantization": one.quantization,
            "devices": one.n_devices,
            "batch_tokens": one.batch_tokens,
            "forward_equivalents": one.forward_equivalents,
            "flops": one.flops,
            "seconds": one.seconds * self.examples,
            "device_seconds": one.device_seconds * self.examples,
            "peak_bytes": one.peak_bytes,
            "fits": not one.obstacle and one.peak_bytes <= self.memory,
            "obstacle": one.obstacle,
            "parts": {part.part: dict(part.components) for part in one.parts},
        }


def plan_model(
    model: str,
    *,
    memory: str = "80GB",
    gpus: int = 8,
    n_tokens: int = 300,
    n_targets: int = 1,
    examples: int = 1000,
    methods: Sequence[str] = (),
    dtype: str | None = None,
    quantization: Quantization | None = None,
    flops: float | None = None,
    flops_float32: float | None = None,
    measure: bool = False,
) -> ModelPlan:
    """Memory by component, time, and the cheapest variant of HEAT that fits.

    Args:
        model: config.json, model folder, GGUF file, name of a config that ships, or hub name.
        memory: Of one device, as `80GB` or `40GiB`.
        gpus: Devices there may be for one copy.
        n_tokens: Length of a prompt.
        n_targets: Targets of a prompt.
        examples: Prompts.
        methods: Registered names; empty for the forms of HEAT.
        dtype: Dtype; None: the measured model's own, or bfloat16.
        quantization: Of the table's rows.
        flops: FLOPs a second that a device sustains; None for `FLOPS`.
        flops_float32: The same in float32; None for `FLOPS_FLOAT32`, or for `flops` where that was given and less.
        measure: Load the model and time it here instead.

    Returns:
        The plan.

    Raises:
        PlanError: An option cannot be read, or options exclude each other.
    """
    from heat.cost.shape import load_config, shape_of
    from heat.cost.terms import itemsize
    from heat.cost.variants import HEAT_FORMS, OTHERS, Rate, cheapest, fitted
    from heat.registry import build

    room = parse_bytes(memory)
    built = [build(name, {}) for name in methods or HEAT_FORMS]
    if measure and flops is not None:
        raise PlanError("--calibrate measures the speed and --flops gives it; choose one")
    if (flops is not None and flops <= 0) or (flops_float32 is not None and flops_float32 <= 0):
        raise PlanError("--flops and --flops-float32 are operations a second, and above zero")
    if measure:
        shape, rate, dtype = _measured(model, n_tokens, dtype, quantization)
    else:
        shape = shape_of(load_config(model), model)
        fast = flops or FLOPS
        rate = Rate(fast, fast, flops_float32 or min(fast, FLOPS_FLOAT32))
        dtype = dtype or "bfloat16"
    try:
        itemsize(dtype)
    except KeyError:
        raise PlanError(f"unknown dtype '{dtype}'; use float32, bfloat16, float16 or float64") from None
    asked: dict[str, Any] = {"memory": room, "most": gpus, "dtype": dtype}
    rows = [
        fitted(shape, method, rate, n_tokens, n_targets, quantization=quantization, **asked)
        for method in built
    ]
    candidates = [
        fitted(shape, build(name, {}), rate, n_tokens, n_targets, quantization=bits, **asked)
        for bits in (None, "8bit", "4bit")
        for name in HEAT_FORMS
    ]
    whole = [variant for variant in candidates if variant.quantization is None]
    refused = "" if not all(variant.obstacle for variant in whole) else whole[0].obstacle
    others = [
        fitted(shape, build(name, {}), rate, n_tokens, n_targets, quantization=quantization, **asked)
        for name in (OTHERS if refused else ())
    ]
    return ModelPlan(
        shape=shape,
        rate=rate,
        memory=room,
        n_tokens=n_tokens,
        n_targets=n_targets,
        examples=examples,
        variants=rows,
        cheapest=cheapest(candidates, room),
        cheapest_whole=cheapest(whole, room),
        refused=refused,
        others=[variant for variant in others if not variant.obstacle and variant.peak_bytes <= room],
    )


def parse_bytes(text: str) -> int:
    """Bytes of a size as people write it: 80GB is 80e9, 80GiB is 80 · 2³⁰.

    Raises:
        PlanError: It is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)\s*", text, re.IGNORECASE)
    unit = match[2].upper() if match else ""
    if unit and not unit.endswith("B"):
        unit += "B"
    if match is None or (unit or "B") not in _UNITS or float(match[1]) == 0:
        raise PlanError(f"'{text}' is no size of a memory; write it as 80GB or 40GiB")
    return int(float(match[1]) * _UNITS[unit or "B"])


def _measured(
    model: str, n_tokens: int, dtype: str | None, quantization: Quantization | None
) -> tuple[Shape, Rate, str]:
    """Load the model and time passes over a text of that length (or of its context, where that is less)."""
    import heat
    from heat.cost.plan import calibrate
    from heat.cost.shape import shape_of
    from heat.cost.variants import Rate
    from heat.internals.state import in_float32

    lm = heat.load(model, dtype=dtype, device="auto", quantization=quantization)
    length = min(n_tokens, (lm.context_length or n_tokens + 1) - 1)
    encoded = heat.encode(lm, [index % lm.vocab_size for index in range(length)], [0])
    shape = shape_of(lm.model.config, lm.name)
    work = shape.forward_flops(length)
    speed = calibrate(lm, encoded)
    with in_float32(lm.model):
        slow = speed.single if str(lm.dtype) != "torch.float32" else calibrate(lm, encoded).single
    rate = Rate(work / length / speed.single, work / length / speed.batched, work / length / slow)
    return shape, rate, str(lm.dtype).removeprefix("torch.")


_SHOWN = ("weights", "graph", "activations", "attention", "products", "KV cache", "logits")


def model_plan_table(plan: ModelPlan) -> Table:
    """A row a method for people at a terminal; memory is that of the method's fullest part on one of its devices."""
    from rich.table import Table

    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        caption=f"GiB at the peak, of one copy; {plan.examples:,} examples of {plan.n_tokens:,} tokens and "
        f"{plan.n_targets} target(s); passes are forward passes over one, a backward pass counts 1. Nothing computed.",
        caption_justify="left",
    )
    table.add_column("method", no_wrap=True)
    for column in ("passes", *_SHOWN, "other", "GPUs", "peak each", "hours"):
        table.add_column(column, justify="right")
    for one in plan.variants:
        held = one.fullest.components
        other = sum(value for name, value in held.items() if name not in _SHOWN)
        fits = not one.obstacle and one.peak_bytes <= plan.memory
        table.add_row(
            one.method,
            f"{one.forward_equivalents:,.0f}",
            *(f"{held.get(name, 0.0) / 2**30:,.1f}" for name in _SHOWN),
            f"{other / 2**30:,.1f}",
            f"{one.n_devices}" if fits else "-",
            f"{one.peak_bytes / 2**30:,.1f}" + ("" if one.peak_bytes <= plan.memory else "!"),
            f"{one.seconds * plan.examples / 3600:,.2f}",
        )
    return table


def model_plan_notes(plan: ModelPlan) -> list[str]:
    """What a table cannot say."""
    shape = plan.shape
    work = shape.forward_flops(plan.n_tokens, plan.n_targets)
    lines = [
        f"{shape.name}: {shape.parameters:,} weights{_experts(shape)}, {shape.n_layers} blocks of width "
        f"{shape.width:,}; a forward pass over {plan.n_tokens:,} tokens is {work / 1e12:,.3g} TFLOPs",
        f"speed: {plan.rate.single / 1e12:,.3g} TFLOP/s alone, {plan.rate.batched / 1e12:,.3g} in batches, "
        f"{plan.rate.float32 / 1e12:,.3g} in float32 (second derivatives of a bfloat16 model)",
    ]
    lines += [
        f"{variant.method}: cannot run, {variant.obstacle}"
        for variant in plan.variants
        if variant.obstacle and variant.obstacle != plan.refused
    ]
    if any(variant.peak_bytes > plan.memory for variant in plan.variants):
        lines.append(f"!: does not fit into {plan.memory / 2**30:,.1f} GiB on as many GPUs as there may be")
    if plan.refused:
        lines.append(f"HEAT cannot run: {plan.refused}")
        fitting = ", ".join(f"{variant.method} ({variant.n_devices})" for variant in plan.others)
        lines.append(f"HEAT is refused; methods that fit, and on how many GPUs: {fitting or 'none'}")
        return lines
    if plan.cheapest is None:
        lines.append("no form of HEAT fits: give more --gpus, more --memory, or shorter texts")
        return lines
    lines.append(f"cheapest that fits: {_described(plan.cheapest, plan)}")
    if plan.cheapest_whole is not None and plan.cheapest_whole != plan.cheapest:
        lines.append(f"without quantization: {_described(plan.cheapest_whole, plan)}")
    return lines


def _experts(shape: Shape) -> str:
    if not shape.experts:
        return ""
    return f" (of which a token passes through {shape.active:,}, as it is computed here)"


def _described(one: Variant, plan: ModelPlan) -> str:
    weights = one.dtype if one.quantization is None else f"{one.dtype}, {one.quantization}"
    return (
        f"{one.method} in {weights} on {one.n_devices} GPU(s), {one.peak_bytes / 2**30:,.1f} GiB on each, "
        f"{one.device_seconds * plan.examples / 3600:,.2f} GPU-hours"
    )
