"""Faithfulness of attributions against a straightforward loop over the model's own calls."""

import inspect
import math
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.tiny_models import tiny_lm
from torch import Tensor

import heat
from evaluate.faithfulness import perturb
from evaluate.faithfulness.measure import Faithfulness, _question
from evaluate.faithfulness.options import MetricGroup, Options
from evaluate.faithfulness.perturb import ask_without, context_of
from evaluate.faithfulness.run import faithfulness
from evaluate.metrics.faithfulness import METRICS, retention
from evaluate.pipeline.run import RunConfig
from evaluate.tasks.task import Example, Task
from heat import Attribution, LanguageModel

PROMPT = "The gate is made of iron. Question: What is the gate made of? Answer:"
OPTIONS = Options(steps=4, draws=2, random_draws=3, subsets=6, retentions=(0.2, 0.6))


@pytest.fixture(params=["gpt2", "llama", "bloom"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return tiny_lm(str(request.param))


def said(lm: LanguageModel, embeddings: Tensor, positions: list[int] | None = None) -> Tensor:
    """Log-probabilities behind the last of some embeddings [n, d], one text at a time."""
    options = {} if positions is None else {"position_ids": torch.tensor([positions])}
    with torch.no_grad():
        return lm.model(inputs_embeds=embeddings[None], **options).logits[0, -1].log_softmax(-1)


def embedded(lm: LanguageModel, attribution: Attribution) -> Tensor:
    ids = torch.tensor(attribution.token_ids[: attribution.target_span[0]])
    with torch.no_grad():
        return lm.model.get_input_embeddings()(ids)


def best_first(attribution: Attribution) -> list[int]:
    """Context tokens by falling score; the first token stands for no character."""
    scores = attribution.scores[0]
    return sorted(range(1, attribution.target_span[0]), key=lambda i: -float(scores[i]))


def column(index: int, values: Tensor) -> Tensor:
    return values[:, index]


def with_scores(attribution: Attribution, scores: list[float]) -> Attribution:
    """The same attribution with other scores of its context."""
    row = torch.zeros_like(attribution.scores)
    row[0, : len(scores)] = torch.tensor(scores)
    return replace(attribution, scores=row)


def test_whole_tokens_against_a_loop(model: LanguageModel) -> None:
    attribution = heat.attribute(model, PROMPT, " iron", "gradient-norm", max_targets=1)
    found = Faithfulness(model, OPTIONS).measure(attribution)
    e, order, target = embedded(model, attribution), best_first(attribution), attribution.token_ids[-1]
    n = len(order)

    def kept(tokens: set[int]) -> float:
        return float(said(model, e[[i for i in range(len(e)) if i == 0 or i in tokens]])[target].exp())

    everything = set(order)
    full = kept(everything)
    tops = [set(order[: math.ceil(share * n)]) for share in (0.01, 0.05, 0.1, 0.2, 0.5)]
    assert found["comprehensiveness"] == pytest.approx(
        np.mean([full - kept(everything - top) for top in tops]), abs=1e-5
    )
    assert found["sufficiency"] == pytest.approx(np.mean([full - kept(top) for top in tops]), abs=1e-5)
    assert found["log_prob_drop"] == pytest.approx(
        math.log(full / kept(everything - set(order[:5]))), abs=1e-4
    )
    steps = [set(order[: round(n * j / 4)]) for j in range(5)]
    deleted = [kept(everything - top) for top in steps]
    inserted = [kept(top) for top in steps]
    for name, curve in (("deletion", deleted), ("insertion", inserted)):
        expected = sum((a + b) / 2 / 4 for a, b in pairwise(curve))
        assert found[name] == pytest.approx(expected, abs=1e-5)


def test_soft_metrics_against_a_loop(model: LanguageModel) -> None:
    attribution = heat.attribute(model, PROMPT, " iron", "input-x-gradient", max_targets=1)
    found = Faithfulness(model, OPTIONS).measure(attribution)
    question = _question(model, attribution, 0, OPTIONS, 0)
    e = embedded(model, attribution)
    p = said(model, e)

    def hellinger(q: Tensor) -> float:
        return float((0.5 * ((0.5 * p).exp() - (0.5 * q).exp()).pow(2).sum()).sqrt())

    zero = hellinger(said(model, 0 * e))
    for name, scores in (
        ("", attribution.scores[0, 1 : len(e)]),
        ("_abs", attribution.scores[0, 1 : len(e)].abs()),
    ):
        nc, ns = [], []
        for share in OPTIONS.retentions:
            q = torch.tensor(retention(scores.double().numpy(), share))
            for draw in question.uniform:
                keep = (draw[1:] < q[:, None].float()).float()
                drop = (draw[1:] < 1 - q[:, None].float()).float()
                ns.append(max(0.0, zero - hellinger(said(model, torch.cat([e[:1], e[1:] * keep])))) / zero)
                nc.append(hellinger(said(model, torch.cat([e[:1], e[1:] * drop]))) / zero)
        assert found[f"soft_nc{name}"] == pytest.approx(np.mean(nc), abs=1e-4)
        assert found[f"soft_ns{name}"] == pytest.approx(np.mean(ns), abs=1e-4)


def test_the_reagent_protocol_is_the_published_arithmetic(model: LanguageModel) -> None:
    # Zhao & Shan's code: softmax over tokens, one Bernoulli draw an entry, D = Σ (√p - √q)² / √2, S = 1 - D,
    # Soft-NS = max(0, S - S_0) / (1 - S_0), Soft-NC = D / (1 - S_0) with S_0 from all-zero embeddings.
    attribution = heat.attribute(model, PROMPT, " iron", "gradient-norm", max_targets=1)
    found = Faithfulness(model, OPTIONS).measure(attribution)
    draw = _question(model, attribution, 0, OPTIONS, 0).uniform[0]
    e = embedded(model, attribution)
    p = said(model, e).exp()

    def distance(q: Tensor) -> float:
        return float(((p.sqrt() - q.exp().sqrt()) ** 2).sum() / math.sqrt(2))

    a = attribution.scores[0, : len(e)].softmax(-1)[:, None]
    s_0 = 1 - distance(said(model, 0 * e))
    s = 1 - distance(said(model, e * (draw < a)))
    d = distance(said(model, e * (draw < 1 - a)))
    assert found["reagent_ns"] == pytest.approx(max(0.0, s - s_0) / (1 - s_0), abs=1e-4)
    assert found["reagent_nc"] == pytest.approx(d / (1 - s_0), abs=1e-4)


@pytest.mark.parametrize("erase", ["pad", "zero", "mean", "attention", "delete"])
def test_erasure_against_one_text_at_a_time(model: LanguageModel, erase: str) -> None:
    attribution = heat.attribute(model, PROMPT, " iron", "random", max_targets=1)
    context = context_of(model, attribution, 0)
    e = embedded(model, attribution)
    keep = torch.rand(5, len(e), generator=torch.Generator().manual_seed(0)) < 0.5
    keep[:, 0] = True
    keep[0] = True
    target = attribution.token_ids[-1]
    weight = model.model.get_input_embeddings().weight.detach()
    blank = {
        "zero": torch.zeros(e.shape[1]),
        "pad": weight[model.model.config.pad_token_id if model.model.config.pad_token_id is not None else 2],
        "mean": weight[list(attribution.token_ids)].mean(0),
    }.get(erase)
    for budget in (1, 4096):
        found = ask_without(context, keep, erase, partial(column, target), budget)
        for row, kept in enumerate(keep):
            if erase == "delete":
                expected = said(model, e[kept])
            elif erase == "attention":
                mask = kept.clone()
                mask[-1] = True
                with torch.no_grad():
                    output = model.model(
                        inputs_embeds=e[None], attention_mask=mask[None].long(), **_positions(model, len(e))
                    )
                expected = output.logits[0, -1].log_softmax(-1)
            else:
                expected = said(model, torch.where(kept[:, None], e, blank))
            assert float(found[row]) == pytest.approx(float(expected[target]), abs=1e-4)


def _positions(lm: LanguageModel, n: int) -> dict[str, Tensor]:
    takes = "position_ids" in inspect.signature(lm.model.forward).parameters
    return {"position_ids": torch.arange(n)[None]} if takes else {}


def test_a_context_of_which_nothing_is_left(model: LanguageModel) -> None:
    attribution = heat.attribute(model, [5, 6, 7], [8], "random")
    context = context_of(model, attribution, 0)
    for erase in ("delete", "attention", "pad", "zero", "mean"):
        found = ask_without(context, torch.zeros(1, 3, dtype=torch.bool), erase, partial(column, 8))
        assert found.isfinite().all()
    assert all(
        math.isfinite(v) or math.isnan(v) for v in Faithfulness(model, OPTIONS).measure(attribution).values()
    )


def test_rise_pads_whatever_the_erasure(model: LanguageModel) -> None:
    attribution = heat.attribute(model, PROMPT, " iron", "gradient-norm", max_targets=1)
    first, second = (
        Faithfulness(model, OPTIONS.model_copy(update={"erase": erase})).measure(attribution)
        for erase in ("delete", "zero")
    )
    assert first["rise"] == second["rise"]
    assert first["mas"] == second["mas"]
    assert first["deletion"] != second["deletion"]


def test_infidelity_of_the_true_drops_is_zero_and_draws_are_shared() -> None:
    # Six subsets of more tokens than that: some scores add up to exactly the drops.
    lm = tiny_lm("llama")
    attribution = heat.attribute(lm, PROMPT, " iron", "random", max_targets=1)
    options = OPTIONS.model_copy(update={"erase": "zero"})
    measure = Faithfulness(lm, options)
    measure.measure(attribution)
    (shared,) = measure._shared.values()
    question = _question(lm, attribution, 0, options, 0)
    fitted = np.linalg.lstsq(question.subsets.astype(float), shared.drops, rcond=None)[0]
    made = torch.zeros_like(attribution.scores)
    made[0, : len(fitted)] = torch.tensor(fitted).float()
    perfect = measure.measure(
        Attribution(
            **{**{f: getattr(attribution, f) for f in attribution.__dataclass_fields__}, "scores": made}
        )
    )
    assert perfect["infidelity"] == pytest.approx(0.0, abs=1e-6)
    assert perfect["random_soft_nc"] == measure.measure(attribution)["random_soft_nc"]


def test_the_beginning_of_text_is_in_no_subset_of_infidelity() -> None:
    # It is never taken away, so its score may not count among what was.
    lm = tiny_lm("llama")
    attribution = heat.attribute(lm, PROMPT, " iron", "random", max_targets=1)
    subsets = _question(lm, attribution, 0, OPTIONS.model_copy(update={"subsets": 40}), 0).subsets
    assert not subsets[:, 0].any()
    assert subsets[:, 1:].any(axis=0).all()
    high = attribution.scores[0, : attribution.target_span[0]].tolist()
    low = [-5.0, *high[1:]]
    first, second = (
        Faithfulness(lm, OPTIONS).measure(with_scores(attribution, scores))["infidelity"]
        for scores in (high, low)
    )
    assert first == second


def test_several_targets_are_the_mean_of_each_alone() -> None:
    lm = tiny_lm("llama")
    ids = list(range(10, 22))
    both = Faithfulness(lm, OPTIONS).measure(heat.attribute(lm, ids, [30, 40], "gradient-norm"))
    each = [
        Faithfulness(lm, OPTIONS).measure(heat.attribute(lm, prompt, [target], "gradient-norm"))
        for prompt, target in ((ids, 30), ([*ids, 30], 40))
    ]
    for name, value in both.items():
        assert value == pytest.approx(np.mean([one[name] for one in each]), abs=1e-4)


@pytest.fixture
def task() -> Task:
    words = ((0, 3), (4, 8), (9, 11))
    prompts = [
        f"The {name} is made of {metal}. The {name} is made of"
        for name, metal in (("gate", "iron"), ("vault", "tin"))
    ]
    return Task(
        name="made",
        source="by hand",
        examples=tuple(
            Example(id=str(i), prompt=prompt, target=" iron", words=words) for i, prompt in enumerate(prompts)
        ),
    )


def test_a_run_needs_no_gold_and_a_second_one_computes_nothing(
    task: Task, lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = faithfulness(task, lm, ["gradient-norm", "random"], RunConfig(tmp_path), options=OPTIONS)
    assert (first.scored, first.computed) == (2, 4)
    assert set(first.methods[0].metrics) == {metric.name for metric in METRICS}
    assert set(first.methods[0].ratios) == {"soft_nc", "soft_ns", "reagent_nc", "reagent_ns"}
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def refuse(*_: object) -> None:
        raise AssertionError("the model was asked again")

    monkeypatch.setattr(Faithfulness, "measure", refuse)
    again = faithfulness(task, lm, ["gradient-norm", "random"], RunConfig(tmp_path), options=OPTIONS)
    assert again.computed == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    monkeypatch.undo()
    other = faithfulness(
        task, lm, ["random"], RunConfig(tmp_path), options=OPTIONS.model_copy(update={"erase": "pad"})
    )
    assert other.computed == 0
    assert other.methods[0].metrics["deletion"] != again.methods[1].metrics["deletion"]


def test_true_effects_are_more_faithful_than_noise() -> None:
    lm = tiny_lm("llama")
    gaps = []
    for start in range(12):
        noise = heat.attribute(lm, list(range(10 + start, 30 + start)), None, "random")
        n, target = noise.target_span[0], noise.token_ids[-1]
        found = ask_without(
            context_of(lm, noise, 0), ~torch.eye(n, dtype=torch.bool), "zero", partial(column, target)
        )
        effects = with_scores(noise, (found.max() - found).tolist())
        measure = Faithfulness(lm, OPTIONS.model_copy(update={"erase": "zero", "steps": 10}))
        first, second = measure.measure(effects), measure.measure(noise)
        gaps.append(
            [first[name] - second[name] for name in ("comprehensiveness", "soft_nc", "log_prob_drop")]
        )
    assert (np.mean(gaps, axis=0) > 0).all()


def test_draws_are_seeded(model: LanguageModel) -> None:
    attribution = heat.attribute(model, PROMPT, " iron", "gradient-norm", max_targets=1)
    once, again, other = (Faithfulness(model, OPTIONS, seed).measure(attribution) for seed in (1, 1, 2))
    assert once == again
    # Everything that is drawn is drawn anew under another seed; what is not drawn stays.
    for name in ("soft_nc", "soft_ns", "infidelity", "random_soft_nc"):
        assert once[name] != other[name], name
    for name in ("comprehensiveness", "insertion"):
        assert once[name] == other[name], name


GROUP_OF = {
    "curves": {"insertion", "deletion"},
    "mas": {"rise", "mas"},
    "soft": {"soft_nc", "soft_ns", "soft_nc_abs", "soft_ns_abs"},
    "reagent": {"reagent_nc", "reagent_ns"},
    "infidelity": {"infidelity"},
}


@pytest.mark.parametrize("group", MetricGroup)
def test_a_group_left_out_is_undefined_and_changes_nothing_else(group: MetricGroup) -> None:
    lm = tiny_lm("llama")
    attribution = heat.attribute(lm, PROMPT, " iron", "input-x-gradient", max_targets=1)
    whole = Faithfulness(lm, OPTIONS).measure(attribution)
    found = Faithfulness(lm, OPTIONS.model_copy(update={"without": (group,)})).measure(attribution)
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == GROUP_OF[group]
    kept = found.keys() - undefined
    assert {name: found[name] for name in kept} == pytest.approx(
        {name: whole[name] for name in kept}, abs=1e-6
    )
    assert {name for name in whole if name.startswith("random_")} - found.keys() == {
        f"random_{name}" for name in GROUP_OF[group] if f"random_{name}" in whole
    }


def test_what_is_left_out_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, asked = tiny_lm("llama"), []
    answer = perturb.log_probs

    def counted(model: torch.nn.Module, embeddings: Tensor, *rest: Tensor) -> Tensor:
        asked.append(len(embeddings))
        return answer(model, embeddings, *rest)

    monkeypatch.setattr(perturb, "log_probs", counted)
    attribution = heat.attribute(lm, PROMPT, " iron", "gradient-norm", max_targets=1)
    Faithfulness(lm, Options(without=tuple(MetricGroup))).measure(attribution)
    # The whole context; then without its best tokens, five shares and the best five, and with the shares alone, where
    # shares of so short a text may be the same.
    n = attribution.target_span[0] - 1
    shares = {math.ceil(share * n) for share in Options().bins}
    assert sum(asked) == 1 + len(shares | {5}) + len(shares)


def test_what_is_left_out_is_in_the_key_and_its_order_is_not(tmp_path: Path) -> None:
    task = Task(
        name="t",
        source="by hand",
        examples=(Example(id="e", prompt=PROMPT, target=" iron", words=((0, 3),)),),
    )
    lm, run = tiny_lm("llama"), RunConfig(tmp_path)
    few = Options(
        steps=2, retentions=(0.5,), random_draws=1, subsets=2, without=(MetricGroup.MAS, MetricGroup.REAGENT)
    )
    first = faithfulness(task, lm, ["gradient-norm"], run, options=few)
    again = faithfulness(
        task,
        lm,
        ["gradient-norm"],
        run,
        options=Options(**{**few.model_dump(), "without": ("reagent", "mas")}),
    )
    whole = faithfulness(task, lm, ["gradient-norm"], run, options=few.model_copy(update={"without": ()}))
    assert again.methods[0].scores == first.methods[0].scores != whole.methods[0].scores
    assert set(first.methods[0].ratios) == {"soft_nc", "soft_ns"}
    assert first.methods[0].metrics["mas"].mean is None
    assert whole.methods[0].metrics["mas"].mean is not None
