"""Predictions on growing text, against one explicit pass for each piece of text."""

from itertools import combinations
from math import comb, factorial

import pytest
import torch
from fakes.tiny_models import next_log_probs, tiny_lm
from torch import Tensor

import heat
from heat.algorithms.progressive import shapley_regression

IDS = [5, 17, 200, 31, 9, 88]
TARGET, FOIL, BOS = 140, 33, 1


@pytest.fixture(params=["gpt2", "llama"])
def lm(request: pytest.FixtureRequest) -> heat.LanguageModel:
    return tiny_lm(str(request.param))


def prefers(lm: heat.LanguageModel, ids: list[int], foil: bool) -> float:
    said = next_log_probs(lm, ids)
    if foil:
        return float(said[[TARGET, FOIL]].softmax(-1) @ torch.tensor([1.0, -1.0]))
    return float(said[TARGET].exp())


def differences(values: list[float], before: float = 0.0) -> list[float]:
    return [value - previous for value, previous in zip(values, [before, *values[:-1]], strict=True)]


def forward_truth(lm: heat.LanguageModel, ids: list[int], foil: bool) -> list[float]:
    return differences([prefers(lm, ids[: end + 1], foil) for end in range(len(ids))])


def backward_truth(lm: heat.LanguageModel, ids: list[int], foil: bool, kept: int = 0) -> list[float]:
    """Suffix by suffix; with a kept token in front of each, which gets what it says alone."""
    alone = prefers(lm, ids[:kept], foil) if kept else 0.0
    grown = [
        prefers(lm, ids[:kept] + ids[len(ids) - length :], foil) for length in range(1, len(ids) - kept + 1)
    ]
    return [alone] * kept + differences(grown, alone)[::-1]


def found(
    lm: heat.LanguageModel, method: str, ids: list[int], *, foil: bool = False, **options: object
) -> list[float]:
    made = heat.attribute(lm, ids, [TARGET], method, foil=[FOIL] if foil else None, **options)
    return [float(score) for score in made.scores[0, :-1]]


@pytest.mark.parametrize("foil", [False, True])
def test_tdd_forward(lm: heat.LanguageModel, foil: bool) -> None:
    assert found(lm, "tdd-forward", IDS, foil=foil) == pytest.approx(forward_truth(lm, IDS, foil), abs=1e-5)


@pytest.mark.parametrize("foil", [False, True])
@pytest.mark.parametrize("budget", [1, 4096])
def test_tdd_backward(lm: heat.LanguageModel, foil: bool, budget: int) -> None:
    expected = backward_truth(lm, IDS, foil)
    assert found(lm, "tdd-backward", IDS, foil=foil, batch_tokens=budget) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("keep", [True, False])
def test_a_beginning_of_text_token_stays_in_front_of_every_suffix(lm: heat.LanguageModel, keep: bool) -> None:
    ids = [BOS, *IDS]
    expected = backward_truth(lm, ids, True, kept=int(keep))
    assert found(lm, "tdd-backward", ids, foil=True, keep_bos=keep) == pytest.approx(expected, abs=1e-5)
    assert expected != pytest.approx(backward_truth(lm, ids, True, kept=int(not keep)), abs=1e-3)


def test_a_kept_token_alone_gets_all_there_is(lm: heat.LanguageModel) -> None:
    assert found(lm, "tdd-backward", [BOS]) == pytest.approx([prefers(lm, [BOS], False)])


def test_tdd_backward_of_several_targets(lm: heat.LanguageModel) -> None:
    made = heat.attribute(lm, [BOS, *IDS], [60, TARGET], "tdd-backward").scores[1, :-1]
    assert made.tolist() == pytest.approx(backward_truth(lm, [BOS, *IDS, 60], False, kept=1), abs=1e-5)


def test_tdd_bidirectional_is_the_mean(lm: heat.LanguageModel) -> None:
    pairs = zip(forward_truth(lm, IDS, True), backward_truth(lm, IDS, True), strict=True)
    expected = [(one + other) / 2 for one, other in pairs]
    assert found(lm, "tdd-bidirectional", IDS, foil=True) == pytest.approx(expected, abs=1e-5)


def test_progressive_inference(lm: heat.LanguageModel) -> None:
    expected = forward_truth(lm, IDS, False)
    assert found(lm, "progressive-inference", IDS) == pytest.approx(expected, abs=1e-5)
    said = [next_log_probs(lm, IDS[: end + 1]).exp() for end in range(len(IDS))]
    contrast = differences([float(each[TARGET] - each[FOIL]) for each in said])
    assert found(lm, "progressive-inference", IDS, foil=True) == pytest.approx(contrast, abs=1e-5)


@pytest.mark.parametrize("kept", [0, 1])
def test_context_length_probing(lm: heat.LanguageModel, kept: int) -> None:
    ids = [BOS] * kept + IDS
    whole = next_log_probs(lm, ids)

    def divergence(other: Tensor) -> float:
        return float((whole.exp() * (whole - other)).sum())

    uniform = divergence(torch.full_like(whole, 1 / len(whole)).log())
    alone = divergence(next_log_probs(lm, ids[:kept])) if kept else uniform
    grown = [divergence(next_log_probs(lm, ids[:kept] + ids[-length:])) for length in range(1, len(IDS) + 1)]
    expected = [uniform - alone] * kept + [-step for step in differences(grown, alone)][::-1]
    assert found(lm, "context-length-probing", ids) == pytest.approx(expected, abs=1e-4)
    assert sum(expected) == pytest.approx(uniform, abs=1e-4)


def test_context_length_probing_with_a_foil_knows_two_outcomes(lm: heat.LanguageModel) -> None:
    outcomes = [
        next_log_probs(lm, IDS[-length:])[[TARGET, FOIL]].softmax(-1) for length in range(1, len(IDS) + 1)
    ]
    whole = outcomes[-1]
    grown = [float((whole * (whole / other).log()).sum()) for other in outcomes]
    before = float((whole * (whole / 0.5).log()).sum())
    expected = [-step for step in differences(grown, before)][::-1]
    assert found(lm, "context-length-probing", IDS, foil=True) == pytest.approx(expected, abs=1e-4)


def every_coalition(n_players: int) -> Tensor:
    return torch.tensor(
        [[bool(code >> player & 1) for player in range(n_players)] for code in range(1 << n_players)]
    )


def test_regression_gives_the_shapley_values_of_every_game() -> None:
    torch.manual_seed(0)
    coalitions = every_coalition(4)
    values = torch.rand(16, dtype=torch.float64)
    by_set = {
        frozenset(coalition.nonzero()[:, 0].tolist()): float(value)
        for coalition, value in zip(coalitions, values, strict=True)
    }
    expected = []
    for player in range(4):
        others = [other for other in range(4) if other != player]
        total = 0.0
        for size in range(4):
            for chosen in combinations(others, size):
                weight = factorial(size) * factorial(3 - size) / factorial(4)
                total += weight * (by_set[frozenset({*chosen, player})] - by_set[frozenset(chosen)])
        expected.append(total)
    result = shapley_regression(coalitions, values, whole=values[-1], empty=values[0])
    assert result.tolist() == pytest.approx(expected)
    # However often a size was drawn, it has the kernel's mass.
    twice = coalitions.sum(-1) == 1
    repeated = shapley_regression(
        torch.cat([coalitions, coalitions[twice]]),
        torch.cat([values, values[twice]]),
        whole=values[-1],
        empty=values[0],
    )
    assert repeated.tolist() == pytest.approx(expected)
    assert comb(4, 1) == int(twice.sum())


def test_regression_on_few_coalitions_is_exact_where_players_add_up() -> None:
    worth = torch.tensor([0.3, -1.0, 2.0, 0.0, 0.7], dtype=torch.float64)
    nested = torch.ones(5, 5).tril().bool()
    values = 0.25 + (nested * worth).sum(-1)
    result = shapley_regression(nested, values, whole=values[-1], empty=torch.tensor(0.25))
    torch.testing.assert_close(result, worth)


def test_progressive_inference_multi_reads_the_coalition_behind_every_token(
    lm: heat.LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Tensor] = {}

    def keep(coalitions: Tensor, values: Tensor, *, whole: Tensor, empty: Tensor) -> Tensor:
        seen.update(coalitions=coalitions, values=values, whole=whole, empty=empty)
        return shapley_regression(coalitions, values, whole=whole, empty=empty)

    monkeypatch.setattr("heat.algorithms.progressive.shapley_regression", keep)
    scores = found(lm, "progressive-inference-multi", IDS, n_copies=4, mask="zero")
    embeddings = lm.model.get_input_embeddings()(torch.tensor([IDS])).detach()
    n_tokens = len(IDS)
    copies = seen["coalitions"].unflatten(0, (6, n_tokens))
    values = seen["values"].unflatten(0, (6, n_tokens))
    for copy, value in zip(copies, values, strict=True):
        for place in range(n_tokens):
            # The coalition behind a token is what the copy shows up to there, and nothing later.
            assert copy[place].tolist() == (copy[-1] & (torch.arange(n_tokens) <= place)).tolist()
        with torch.no_grad():
            logits = lm.model(inputs_embeds=embeddings * copy[-1][None, :, None]).logits[0]
        torch.testing.assert_close(value.float(), logits.softmax(-1)[:, TARGET], rtol=1e-4, atol=1e-6)
    assert copies[0, -1].all()
    assert not copies[1, -1].any()
    assert len({tuple(copy[-1].tolist()) for copy in copies}) > 3
    assert seen["empty"] == values[1, -1]
    assert sum(scores) == pytest.approx(float(seen["whole"] - seen["empty"]), abs=1e-5)
    assert float(seen["whole"]) == pytest.approx(prefers(lm, IDS, False), abs=1e-5)
