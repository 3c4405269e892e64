"""Deleting tokens: what the model is asked, by hand, and divergences of which the largest parts are known."""

import math

import pytest
import torch
from fakes.tiny_models import tiny_lm

import heat
from heat.batch import collate
from heat.deletion import LocalDeletions, contrast_kl, suffixes, top_k_kl, without_each
from heat.encoding import Encoded, masking_units
from heat.errors import ConfigError

IDS = (1, 9, 14, 30, 12)
TARGET, FOIL = 40, 50


def log_probs(lm: heat.LanguageModel, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return lm.model(input_ids=torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)


def deletions(lm: heat.LanguageModel, ids: tuple[int, ...] = IDS, foil: bool = False) -> LocalDeletions:
    encoded = Encoded((*ids, TARGET), len(ids), "", None, (FOIL,) if foil else None)
    return LocalDeletions(lm, collate([encoded]), 0, 4096)


def kept(*rows: str) -> torch.Tensor:
    return torch.tensor([[letter == "1" for letter in row] for row in rows])


def test_what_is_kept_moves_up_and_the_beginning_of_text_stays() -> None:
    lm = tiny_lm("llama")
    text = deletions(lm)
    assert text.n_fixed == 1
    found = text.g(kept("11111", "00101", "00000"))
    expected = [log_probs(lm, ids)[TARGET] for ids in ([1, 9, 14, 30, 12], [1, 14, 12], [1])]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)


def test_without_a_beginning_of_text_the_last_token_stays_where_nothing_would() -> None:
    lm = tiny_lm("llama")
    text = deletions(lm, IDS[1:], foil=True)
    assert text.n_fixed == 0
    found = text.g(kept("0110", "0000"))
    values = [log_probs(lm, ids) for ids in ([14, 30], [12])]
    torch.testing.assert_close(
        found, torch.stack([one[TARGET] - one[FOIL] for one in values]), atol=1e-5, rtol=0
    )


def test_the_most_probable_tokens_and_the_target_are_named() -> None:
    lm = tiny_lm("llama")
    (named,) = deletions(lm).top(kept("10110"), 3)
    values = log_probs(lm, [1, 14, 30])
    expected = {int(token): float(values[token]) for token in [*values.topk(3).indices, TARGET]}
    assert named == pytest.approx(expected, abs=1e-5)


def test_occlusion_by_deletion_is_the_loss_without_each_token() -> None:
    lm = tiny_lm("llama")
    found = heat.attribute(lm, IDS, [TARGET], "occlusion", baseline="delete").scores[0]
    whole = log_probs(lm, list(IDS))[TARGET]
    without = [IDS[:at] + IDS[at + 1 :] for at in range(1, 5)]
    losses = [float(whole - log_probs(lm, list(ids))[TARGET]) for ids in without]
    assert found.tolist() == pytest.approx([0.0, *losses, 0.0], abs=1e-5)


def test_occlusion_by_deletion_takes_units_too() -> None:
    lm = tiny_lm("llama")
    text = "The gate is iron. Tom ate pizza."
    found = heat.attribute(lm, text, " He", "occlusion", baseline="delete", mask_unit="sentence")
    encoded = heat.encode(lm, text, " He")
    units = masking_units(encoded, "sentence")[: encoded.n_prompt]
    ids, target = encoded.token_ids[: encoded.n_prompt], encoded.token_ids[encoded.n_prompt]
    for unit in (0, 1):
        left = [token for token, own in zip(ids, units, strict=True) if own != unit]
        mine = [at for at, own in enumerate(units) if own == unit]
        loss = float(log_probs(lm, list(ids))[target] - log_probs(lm, left)[target])
        assert found.scores[0, mine].tolist() == pytest.approx([loss / len(mine)] * len(mine), abs=1e-5)


@pytest.mark.parametrize("method", ["owen", "kernel-shap", "shapley-sampling"])
def test_shapley_values_by_deletion_add_up(method: str) -> None:
    lm = tiny_lm("llama")
    found = heat.attribute(lm, IDS, [TARGET], method, baseline="delete").scores[0]
    whole = log_probs(lm, list(IDS))[TARGET] - log_probs(lm, [1])[TARGET]
    assert float(found.sum()) == pytest.approx(float(whole), abs=1e-3)
    assert found[0] == 0


def test_a_prompt_of_a_beginning_of_text_alone_has_no_player() -> None:
    for method in ("occlusion", "owen", "kernel-shap", "lime"):
        found = heat.attribute(tiny_lm("llama"), [1], [TARGET], method, baseline="delete")
        assert found.scores.tolist() == [[0.0, 0.0]]


def test_with_the_whole_vocabulary_known_it_is_the_whole_kl() -> None:
    lm = tiny_lm("llama")
    found = heat.attribute(lm, IDS, [TARGET], "kl-top-k", top_k=lm.vocab_size).scores[0]
    whole = log_probs(lm, list(IDS))
    others = [log_probs(lm, [*IDS[:at], *IDS[at + 1 :]]) for at in range(1, 5)]
    divergences = [float((whole.exp() * (whole - other)).sum()) for other in others]
    assert found.tolist() == pytest.approx([0.0, *divergences, 0.0], abs=1e-6)
    fewer = heat.attribute(lm, IDS, [TARGET], "kl-top-k", top_k=5).scores[0]
    assert bool((fewer <= found + 1e-6).all())
    assert float(fewer.sum()) < 0.9 * float(found.sum())


def test_probing_of_the_whole_vocabulary_is_probing_but_for_what_comes_first() -> None:
    lm = tiny_lm("llama")
    options = {"method": "context-length-probing"}
    whole = heat.attribute(lm, IDS, [TARGET], **options).scores[0]
    known = heat.attribute(lm, IDS, [TARGET], **options, top_k=lm.vocab_size)
    assert known.config["top_k"] == lm.vocab_size
    torch.testing.assert_close(known.scores[0, 1:], whole[1:], atol=1e-5, rtol=0)
    assert known.scores[0, 0] == 0 != whole[0]
    contrast = heat.attribute(lm, IDS, [TARGET], foil=[FOIL], **options).scores
    known = heat.attribute(lm, IDS, [TARGET], foil=[FOIL], **options, top_k=5)
    torch.testing.assert_close(known.scores, contrast, atol=1e-5, rtol=0)


def test_a_beginning_of_text_cannot_be_taken_away_by_deletion() -> None:
    with pytest.raises(ConfigError, match="keep_bos=False"):
        heat.attribute(tiny_lm("llama"), IDS, [TARGET], "context-length-probing", top_k=5, keep_bos=False)


def test_kl_of_what_both_name_and_of_the_rest() -> None:
    p = {"a": math.log(0.5), "b": math.log(0.3)}
    q = {"a": math.log(0.25), "c": math.log(0.4)}
    # Of both only a is named: (0.5, 0.5) beside (0.25, 0.75).
    assert top_k_kl(p, q) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75))
    assert top_k_kl(p, p) == 0
    certain = {"a": 0.0}
    assert top_k_kl(certain, {"a": math.log(0.5)}) == pytest.approx(math.log(2))
    assert math.isfinite(top_k_kl({"a": math.log(0.5)}, certain))
    assert top_k_kl({"a": -1.0}, {"b": -1.0}) == 0


def test_what_is_known_of_a_divergence_is_never_more_than_all_of_it() -> None:
    drawn = torch.randn(50, 2, 12, generator=torch.Generator().manual_seed(3)).double().log_softmax(-1)
    for p, q in drawn:
        whole = float((p.exp() * (p - q)).sum())
        bounds = [
            top_k_kl(*({int(i): float(one[i]) for i in one.topk(k).indices} for one in (p, q)))
            for k in (1, 4, 8, 12)
        ]
        assert all(0 <= bound <= whole + 1e-12 for bound in bounds)
        assert bounds[-1] == pytest.approx(whole)


def test_kl_over_target_and_foil_by_hand() -> None:
    # Odds of 3 to 1 beside 1 to 1 and 3 to 1.
    found = contrast_kl(torch.tensor(math.log(3.0)), torch.tensor([0.0, math.log(3.0)]))
    assert found.tolist() == pytest.approx([0.75 * math.log(1.5) + 0.25 * math.log(0.5), 0.0], abs=1e-6)


def test_what_is_deleted_in_turn() -> None:
    assert without_each(3, 1).int().tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert suffixes(3, 1).int().tolist() == [[0, 1, 1], [0, 0, 1]]
