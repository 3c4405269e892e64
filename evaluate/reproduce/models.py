"""What the poster's own models would take: commands, memory and time, from their configurations alone."""

from __future__ import annotations

from annotate.schema import Record
from evaluate.planning.model_plan import FLOPS, FLOPS_FLOAT32, plan_model
from evaluate.reproduce.poster import Assumptions, PosterModel

METHOD = "heat"
EXAMPLES = 2000
GPU_MEMORY = "80GB"
MAX_GPUS = 16


class PosterModelPlan(Record):
    """One model's plan.

    Attributes:
        name: As on the poster.
        command: Ready to run.
        dtype: Of the weights; curvature is computed in float32 beside them.
        weights: Bytes of the weights.
        peak: Bytes at the peak under `METHOD`, on the fullest of the GPUs.
        cards: GPUs of 80 GB that share one copy of the model.
        passes: Forward-equivalents of `METHOD` for one example.
        hours: GPU-hours for 2,000 examples under `METHOD`.
    """

    name: str
    command: str
    dtype: str
    weights: int
    peak: int
    cards: int
    passes: float
    hours: float


def plan_poster_model(model: PosterModel, assumptions: Assumptions) -> PosterModelPlan:
    """Plan a model of the poster by the rule of `evaluate plan`: the fewest GPUs that hold it.

    Args:
        model: The model; its configuration ships.
        assumptions: Length of a prompt.
    """
    plan = plan_model(
        model.config,
        memory=GPU_MEMORY,
        gpus=MAX_GPUS,
        n_tokens=assumptions.prompt_tokens,
        examples=EXAMPLES,
        methods=[METHOD],
    )
    variant = plan.variants[0]
    return PosterModelPlan(
        name=model.name,
        command=(
            f"evaluate reproduce --model {model.hub} --dtype {variant.dtype} --device-map auto "
            f"--out {model.hub.rpartition('/')[2]}-results"
        ),
        dtype=variant.dtype,
        weights=2 * plan.shape.parameters,
        peak=variant.peak_bytes,
        cards=variant.n_devices,
        passes=variant.forward_equivalents,
        hours=variant.device_seconds * EXAMPLES / 3600,
    )


def assumptions_in_words(assumptions: Assumptions) -> str:
    """What the plans rest on, for the page."""
    return (
        f"{assumptions.device}; prompts of {assumptions.prompt_tokens} tokens; {FLOPS / 1e12:,.0f} TFLOP/s "
        f"sustained in bfloat16 and {FLOPS_FLOAT32 / 1e12:,.0f} in float32; not measured"
    )
