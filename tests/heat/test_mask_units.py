"""Units that are masked at once: against passes by hand, as many as there are units, and under keys of their own."""

import numpy as np
import pytest
import torch
from fakes.tiny_models import next_log_probs, tiny_lm
from sklearn.linear_model import Lasso
from test_units import SHOTS, chat_lm

import heat
from heat.algorithms.draws import generator_of
from heat.batch import collate
from heat.encoding import masking_units
from heat.errors import ConfigError, UnitError
from heat.model import LanguageModel
from heat.registry import build

PROMPT = "The vault is made of copper. The gate is made of iron. Answer:"


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_lm("llama")


def after_masking(lm: LanguageModel, ids: list[int], columns: list[int]) -> torch.Tensor:
    """Next-token log-probabilities with some embeddings zero, float64 [V]."""
    embeddings = lm.model.get_input_embeddings()(torch.tensor([ids])).clone()
    embeddings[0, columns] = 0
    with torch.no_grad():
        return lm.model(inputs_embeds=embeddings).logits[0, -1].double().log_softmax(-1)


@pytest.mark.parametrize("unit", ["word", "sentence", "line"])
def test_a_unit_s_information_is_that_of_a_pass_by_hand(lm: LanguageModel, unit: str) -> None:
    found = heat.attribute(lm, PROMPT, " iron, said", "kl-only", mask_unit=unit)
    encoded = heat.encode(lm, PROMPT, " iron, said")
    units = masking_units(encoded, unit)  # type: ignore[arg-type]
    assert units[0] == -1
    for target in range(encoded.n_targets):
        length = encoded.n_prompt + target
        ids = list(encoded.token_ids[:length])
        whole = after_masking(lm, ids, [])
        for one in set(units[:length]) - {-1}:
            columns = [column for column in range(length) if units[column] == one]
            masked = after_masking(lm, ids, columns)
            divergence = float((whole.exp() * (whole - masked)).sum())
            got = found.scores[target, columns]
            assert got.tolist() == pytest.approx(
                [divergence / len(columns)] * len(columns), rel=2e-3, abs=1e-6
            )
        assert found.scores[target, 0] == 0


def test_a_unit_s_occlusion_is_that_of_a_pass_by_hand(lm: LanguageModel) -> None:
    found = heat.attribute(lm, PROMPT, " iron", "occlusion", max_targets=1, mask_unit="sentence")
    ids = list(found.token_ids[:-1])
    target = found.token_ids[-1]
    units = masking_units(heat.encode(lm, PROMPT, " iron", max_targets=1), "sentence")[: len(ids)]
    whole = float(after_masking(lm, ids, [])[target])
    for one in range(3):
        columns = [column for column in range(len(ids)) if units[column] == one]
        loss = whole - float(after_masking(lm, ids, columns)[target])
        assert found.scores[0, columns].tolist() == pytest.approx(
            [loss / len(columns)] * len(columns), rel=1e-3, abs=1e-5
        )
    assert found.scores[0, 0] == 0


def test_it_takes_as_many_passes_as_there_are_units(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    heat.attribute(lm, PROMPT, " iron", "occlusion", max_targets=1)  # what is found out of a model once
    rows: list[int] = []
    forward = type(lm.model).forward

    def counted(self: object, *arguments: object, **options: object) -> object:
        rows.append(len(options["inputs_embeds"]))  # type: ignore[arg-type]
        return forward(self, *arguments, **options)

    monkeypatch.setattr(type(lm.model), "forward", counted)
    found = heat.attribute(lm, PROMPT, " iron", "occlusion", max_targets=1, mask_unit="sentence")
    # The probability's, the unmasked one, the three sentences', and that of what is no sentence, <s>.
    assert sum(rows) == 1 + 1 + 3 + 1
    assert found.forward_equivalents == 1 + 1 + 3 + 1
    every = heat.attribute(lm, PROMPT, " iron", "kl-only", max_targets=1)
    rows.clear()
    sentences = heat.attribute(lm, PROMPT, " iron", "kl-only", max_targets=1, mask_unit="sentence")
    assert sentences.forward_equivalents == sum(rows)
    assert sum(rows) == 1 + 1 + 3
    assert every.forward_equivalents > 8


def test_messages_are_masked_and_marks_of_a_turn_are_not() -> None:
    lm = chat_lm()
    found = heat.attribute(lm, SHOTS, " iron", "kl-only", max_targets=1, mask_unit="message")
    units = masking_units(heat.encode(lm, SHOTS, " iron", max_targets=1), "message")
    marks = [column for column, unit in enumerate(units) if unit < 0]
    assert marks
    assert not found.scores[:, marks].any()
    assert (found.by("message", "sum").scores > 0).all()
    by_example = heat.attribute(lm, SHOTS, " iron", "kl-only", max_targets=1, mask_unit="example")
    assert len(set(by_example.scores[0].tolist()) - {0.0}) == 3
    with pytest.raises(UnitError, match="no chat"):
        heat.attribute(tiny_lm("llama"), PROMPT, " iron", "kl-only", mask_unit="message")
    with pytest.raises(UnitError, match="given as ids"):
        heat.attribute(tiny_lm("llama"), [5, 6], [7], "kl-only", mask_unit="word")


def test_heat_masks_units_too_and_shares_the_part(lm: LanguageModel) -> None:
    whole = heat.attribute(lm, PROMPT, " iron", "heat", n_probes=2, mask_unit="sentence")
    alone = heat.attribute(lm, PROMPT, " iron", "kl-only", mask_unit="sentence")
    torch.testing.assert_close(whole.components["information"], alone.scores, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(heat.recombine(whole, "kl-only", mask_unit="sentence").scores, alone.scores)
    with pytest.raises(ConfigError):
        heat.recombine(whole, "kl-only")


def test_context_cite_deletes_units(lm: LanguageModel) -> None:
    lines = "The vault is made of copper.\n\nThe gate is made of iron. It is old.\nAnswer:"
    encoded = heat.encode(lm, lines, " iron", max_targets=1)
    found = heat.attribute(lm, encoded, None, "context-cite", n_ablations=30, mask_unit="line")
    ids, target = encoded.token_ids[: encoded.n_prompt], encoded.token_ids[encoded.n_prompt]
    units = np.array(masking_units(encoded, "line")[: len(ids)])
    assert set(units.tolist()) == {-1, 0, 1, 2}
    masks = torch.rand(30, 3, generator=generator_of(collate([encoded]), 0, 0)) < 0.5
    outcomes = []
    for mask in masks.tolist():
        left = [token for token, unit in zip(ids, units, strict=True) if unit < 0 or mask[unit]]
        probability = next_log_probs(lm, left)[target].double().exp()
        outcomes.append(float((probability / (1 - probability)).log()))
    v = masks.double().numpy()
    weights = Lasso(alpha=0.01, tol=1e-12, max_iter=10**6).fit((v - v.mean(0)) / v.std(0), outcomes).coef_
    for unit, weight in enumerate(weights / v.std(0)):
        columns = np.flatnonzero(units == unit)
        assert found.scores[0, columns].tolist() == pytest.approx(
            [weight / len(columns)] * len(columns), abs=2e-4
        )
    assert not found.scores[0, np.flatnonzero(units < 0)].any()
    assert np.abs(weights).max() > 0.01


def test_context_cite_s_older_option_is_the_same_on_a_plain_text(lm: LanguageModel) -> None:
    def scores(**options: str) -> torch.Tensor:
        return heat.attribute(
            lm, PROMPT, " iron", "context-cite", max_targets=1, n_ablations=8, **options
        ).scores

    assert torch.equal(scores(mask_unit="word"), scores())
    assert torch.equal(scores(mask_unit="sentence"), scores(sources="sentences"))
    assert not torch.equal(scores(mask_unit="sentence"), scores())
    assert (scores(mask_unit="token")[0, 1:-1] != 0).any()
    assert "mask_unit" not in build("context-cite", {}).config()
    with pytest.raises(ConfigError, match="sources or units, not both"):
        build("context-cite", {"sources": "sentences", "mask_unit": "word"})


def test_context_cite_leaves_marks_of_a_turn() -> None:
    lm = chat_lm()
    found = heat.attribute(lm, SHOTS, " iron", "context-cite", max_targets=1, mask_unit="message")
    units = masking_units(heat.encode(lm, SHOTS, " iron", max_targets=1), "message")
    assert not found.scores[:, [column for column, unit in enumerate(units) if unit < 0]].any()
    assert found.by("message", "sum").scores.any()


def test_keys_of_old_results_stay() -> None:
    for name in ("kl-only", "heat", "occlusion"):
        assert "mask_unit" not in build(name, {}).config()
        assert build(name, {"mask_unit": "line"}).config()["mask_unit"] == "line"
    with pytest.raises(ConfigError, match="windows"):
        build("heat-windowed", {"mask_unit": "word"})
    with pytest.raises(ConfigError, match="leave window at 1"):
        build("occlusion", {"mask_unit": "word", "window": 2})
    assert build("random", {}).masks == "token"
