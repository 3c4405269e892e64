"""Predicted memory beside the bytes that live tensors held, and sizes beside the published ones."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.tiny_models import FAMILIES, tiny_lm, tiny_model

import heat
from heat.components.component import Component
from heat.components.transition import Transition
from heat.cost.footprint import Footprint, footprints, weight_bytes
from heat.cost.plan import ONE_BY_ONE
from heat.cost.shape import known_configs, load_config, shape_of
from heat.cost.terms import Workload
from heat.cost.variants import HEAT_FORMS, Rate, cheapest, fitted, variant
from heat.errors import ModelNotFoundError, UnsupportedModelError
from heat.measure import LiveBytes

# Published numbers of weights, from the checkpoints' own indices.
PUBLISHED = {
    "gpt-j-6b": 6_050_882_784,
    "phi-3-medium-14b": 13_960_238_080,
    "llama-3.1-70b": 70_553_706_496,
    "qwen2.5-3b": 3_085_938_688,
}
RATE = Rate(single=1e12, batched=1e12, float32=1e11)
SIZES: dict[str, dict[str, int]] = {
    "llama": {
        "hidden_size": 80,
        "intermediate_size": 216,
        "num_attention_heads": 5,
        "num_key_value_heads": 5,
    },
    "gpt2": {"n_embd": 72, "n_layer": 3, "n_head": 3},
    "qwen2": {
        "hidden_size": 120,
        "intermediate_size": 480,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    },
}
# Few steps are as full as many, and quicker.
OPTIONS: dict[str, dict[str, int]] = {
    "integrated-gradients": {"n_steps": 20},
    "heat-low-rank": {"rank": 16},
    "heat-windowed": {"window": 64, "tail": 16},
}
METHODS = [
    "heat",
    "heat-low-rank",
    "heat-windowed",
    "gradient-norm",
    "integrated-gradients",
    "kl-only",
    "occlusion",
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_of_the_shipped_configs_are_the_published_number(name: str) -> None:
    assert shape_of(load_config(name), name).parameters == PUBLISHED[name]


def test_every_shipped_config_is_one_of_these() -> None:
    assert set(known_configs()) == set(PUBLISHED)


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes_are_those_of_the_built_model(family: str) -> None:
    model = tiny_model(family)
    shape = shape_of(model.config, family)
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())
    assert (shape.n_layers, shape.width, shape.vocabulary) == (2, 32, 320)
    assert 0 < shape.linear < shape.parameters - shape.vocabulary * shape.width
    parts = footprints(shape, heat.methods()["heat"](), 20)
    assert all(part.total > weight_bytes(shape, "float32") for part in parts)


@pytest.mark.parametrize("n", [90, 250])
@pytest.mark.parametrize("family", SIZES)
@pytest.mark.parametrize("method", METHODS)
def test_the_peak_is_within_15_percent(method: str, family: str, n: int) -> None:
    changes = {
        **SIZES[family],
        **({"n_positions": 512} if family == "gpt2" else {"max_position_embeddings": 512}),
    }
    if family != "gpt2":
        changes["num_hidden_layers"] = 3
    lm = tiny_lm(family, vocab_size=1500, **changes)
    chosen = heat.methods()[method](**OPTIONS.get(method, {}))
    with LiveBytes() as live:
        heat.attribute(lm, [3 + 7 * i % 300 for i in range(n)], [7], chosen)
    shape = shape_of(lm.model.config, family)
    predicted = max(part.total for part in footprints(shape, chosen, n))
    measured = live.peak + weight_bytes(shape, "float32")
    assert predicted == pytest.approx(measured, rel=0.15)


def test_weights_by_format() -> None:
    shape = shape_of(tiny_model("llama").config, "llama")
    rest = shape.parameters - shape.linear
    assert weight_bytes(shape, "float32") == 4 * shape.parameters
    assert weight_bytes(shape, "bfloat16") == 2 * shape.parameters
    assert weight_bytes(shape, "bfloat16", "8bit") == int(2 * rest + shape.linear * (1 + 4 / shape.width))
    assert weight_bytes(shape, "bfloat16", "4bit") == int(2 * rest + shape.linear * 0.5625)


def test_a_component_tells_its_own_memory() -> None:
    shape = shape_of(tiny_model("llama").config, "llama")

    class Graph(Transition):
        def memory(self, work: Workload) -> dict[str, float]:
            assert (work.n_texts, work.n_tokens, work.n_targets) == (1, 22, 2)
            return {"graph": 123.0}

    class Method(heat.methods()["transition-only"]):  # type: ignore[misc]
        def components(self) -> dict[str, Component]:
            return {"transition": Graph()}

    part = footprints(shape, Method(), 20, 2)[1]
    assert part == Footprint("transition", {"weights": 4.0 * shape.parameters, "graph": 123.0})


def test_second_derivatives_of_bfloat16_hold_the_weights_twice() -> None:
    shape = shape_of(load_config("qwen2.5-3b"), "qwen")
    curvature = {
        part.part: part for part in footprints(shape, heat.methods()["heat"](), 100, dtype="bfloat16")
    }["curvature"]
    assert curvature.components["weights"] == 2 * shape.parameters
    assert curvature.components["weights in float32"] == 4 * shape.parameters
    assert curvature.on_each(4) < curvature.total


def test_forward_flops_by_hand() -> None:
    shape = shape_of(tiny_model("llama").config, "llama")
    # Two blocks: queries and output 32 × 32, keys and values 32 × 16, and an MLP of three 32 × 64.
    linear = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)
    assert shape.linear == linear
    assert shape.forward_flops(10, 2) == 2 * linear * 10 + 2 * 2 * 100 * 32 + 2 * 320 * 32 * 2


def test_time_is_work_over_rate_and_curvature_of_bfloat16_runs_in_float32() -> None:
    shape = shape_of(load_config("qwen2.5-3b"), "qwen")
    method = heat.methods()["heat"]()
    slow, fast = (variant(shape, method, RATE, 300, dtype=dtype) for dtype in ("bfloat16", "float32"))
    forward, costs = shape.forward_flops(300), method.costs(300, 1)
    assert fast.seconds == pytest.approx((1 + sum(costs.values())) * forward / 1e12)
    assert slow.seconds - fast.seconds == pytest.approx(costs["curvature"] * forward * (1e-11 - 1e-12))
    assert {"curvature", "transition"} <= ONE_BY_ONE


def test_layer_sampling_pays_for_its_layers_alone() -> None:
    shape = shape_of(load_config("llama-3.1-70b"), "llama")
    costs = heat.methods()["heat-layer-sampling"]().costs_in(300, 1, shape.n_layers)
    # The block's input, a gradient with 6 of 80 blocks back, and ten products of two such ways.
    assert costs["curvature"] == pytest.approx(1 + 1 + 6 / 80 + 10 * 2 * 6 / 80)


def test_the_cheapest_that_fits() -> None:
    shape, room = shape_of(load_config("llama-3.1-70b"), "llama"), 80 * 10**9
    forms = [heat.methods()[name]() for name in HEAT_FORMS]
    assert cheapest([fitted(shape, each, RATE, 300, memory=10**9, most=2) for each in forms], 10**9) is None
    placed = [fitted(shape, each, RATE, 300, memory=room, most=16) for each in forms]
    assert all(each.peak_bytes <= room for each in placed)
    found = cheapest(placed, room)
    assert found is not None
    assert found.device_seconds == min(each.device_seconds for each in placed)


def test_what_is_paid_for_is_the_time_of_all_devices() -> None:
    shape, method = shape_of(load_config("qwen2.5-3b"), "qwen"), heat.methods()["heat"]()
    one = replace(variant(shape, method, RATE, 300), seconds=3.0, n_devices=1, peak_bytes=100)
    faster = replace(one, seconds=2.0, n_devices=2, peak_bytes=50)
    assert cheapest([faster, one], 100) is one
    assert cheapest([faster, one], 60) is faster
    assert cheapest([one, faster], 40) is None


def test_what_grows_with_the_depth_is_divided_among_devices() -> None:
    divided = {"weights": 8.0, "weights in float32": 16.0, "graph": 24.0, "KV cache": 32.0, "products": 40.0}
    whole = {"activations": 1.0, "attention": 2.0, "logits": 3.0, "low-rank factors": 4.0}
    part = Footprint("curvature", divided | whole)
    assert part.total == 130
    assert part.on_each(4) == 120 / 4 + 10


def test_passes_are_halved_before_devices_are_added() -> None:
    shape, method = shape_of(load_config("qwen2.5-3b"), "qwen"), heat.methods()["heat-lr-win"]()
    whole = variant(shape, method, RATE, 2000)
    room = whole.peak_bytes // 2
    found = fitted(shape, method, RATE, 2000, memory=room, most=8)
    assert (found.n_devices, found.batch_tokens) == (1, 1024)
    assert found.peak_bytes <= room
    assert fitted(shape, method, RATE, 2000, memory=whole.peak_bytes, most=8).batch_tokens == 4096


def test_a_prompt_beyond_the_context_is_left_to_the_windowed_forms() -> None:
    shape = shape_of(load_config("gpt-j-6b"), "gpt-j")
    whole, windowed = (
        variant(shape, heat.methods()[name](), RATE, 5000) for name in ("heat", "heat-windowed")
    )
    assert "2,048" in whole.obstacle
    assert windowed.obstacle == ""
    assert cheapest([whole], 10**15) is None


def test_a_file_a_folder_and_what_is_neither(tmp_path: Path) -> None:
    config = json.loads(known_configs()["qwen2.5-3b"].read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_config(tmp_path / "config.json").num_hidden_layers == 36
    assert load_config(tmp_path).num_hidden_layers == 36
    with pytest.raises(ModelNotFoundError, match="gpt-j-6b"):
        load_config(tmp_path / "nothing")
    (tmp_path / "config.json").write_text("{not json")
    with pytest.raises((ModelNotFoundError, UnsupportedModelError)):
        load_config(tmp_path)
    with pytest.raises(UnsupportedModelError):
        shape_of(load_config(_written(tmp_path / "t5.json", {"model_type": "t5"})), "t5")
    with pytest.raises(UnsupportedModelError):
        load_config(_written(tmp_path / "odd.json", {"model_type": "no-such-family"}))


def _written(path: Path, config: dict[str, object]) -> Path:
    path.write_text(json.dumps(config))
    return path
