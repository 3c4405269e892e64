"""What the poster's own models would take: commands, memory and time, from their configurations alone."""

from __future__ import annotations

from annotate.schema import Record
from evaluate.reproduce.poster import Assumptions, PosterModel

METHOD = "heat"
EXAMPLES = 2000
GIGABYTE = 1e9
CARD = 80


class ModelPlan(Record):
    """One model's plan.

    Attributes:
        name: As on the poster.
        command: Ready to run.
        dtype: Of the weights; curvature is computed in float32 beside them.
        weights: Bytes of the weights.
        peak: Bytes at the peak under `METHOD`, as `heat.cost.plan` counts.
        cards: Cards of 80 GB that hold the peak.
        passes: Forward-equivalents of `METHOD` for one example.
        hours: For 2,000 examples under `METHOD`.
    """

    name: str
    command: str
    dtype: str
    weights: int
    peak: int
    cards: int
    passes: float
    hours: float


def plan_model(model: PosterModel, assumed: Assumptions) -> ModelPlan:
    """Plan a model that is built without its weights.

    A forward pass over n tokens is taken as 2 · P · n operations, where P are the weights without the embeddings (the
    vocabulary's head runs at one position; attention's n² is left out, at this length some percent). Curvature is
    computed in float32, all else in the weights' own format; cards work one after another.

    Args:
        model: The model.
        assumed: Length of a prompt, and what a card does.

    Raises:
        ValueError: The configuration does not build as many weights as were published.
    """
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    import heat
    from heat.cost.plan import Speed, plan
    from heat.registry import build

    config = CONFIG_MAPPING[model.family](**model.config)
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    count = sum(weight.numel() for weight in built.parameters())
    if count != model.parameters:
        raise ValueError(f"{model.name} has {model.parameters} weights, and its configuration builds {count}")
    lm = heat.LanguageModel(built, None, name=model.name, revision="none")
    n = assumed.prompt_tokens
    encoded = heat.Encoded((1,) * (n + 1), n, "", None)
    found = plan(lm, encoded, build(METHOD, {}), Speed(0.0, 0.0))
    inputs = {
        id(weight) for weight in (built.get_input_embeddings().weight, built.get_output_embeddings().weight)
    }
    body = sum(weight.numel() for weight in built.parameters() if id(weight) not in inputs)
    rate = {"curvature": assumed.peak_float32}
    seconds = sum(
        passes * 2 * body * n / (assumed.utilisation * rate.get(part, assumed.peak_bfloat16))
        for part, passes in found.forward_equivalents.items()
    )
    return ModelPlan(
        name=model.name,
        command=(
            f"evaluate reproduce --model {model.hub} --dtype bfloat16 --device-map auto "
            f"--out {model.hub.rpartition('/')[2]}-results"
        ),
        dtype="bfloat16",
        weights=2 * count,
        peak=found.peak_bytes,
        cards=-(-found.peak_bytes // int(CARD * GIGABYTE)),
        passes=sum(found.forward_equivalents.values()),
        hours=seconds * EXAMPLES / 3600,
    )
