"""Methods that delete and replace tokens, against loops written out here and on models whose answer is planted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes.tiny_models import next_log_probs, tiny_lm, tiny_model, tiny_tokenizer
from sklearn.linear_model import Lasso
from torch import Tensor
from transformers import RobertaConfig, RobertaForMaskedLM

import heat
from heat.algorithms.context_cite import fit
from heat.algorithms.draws import generator_of
from heat.algorithms.reagent import updates
from heat.batch import collate
from heat.encoding import Encoded
from heat.errors import ConfigError, ModelNotFoundError, TokenizerError
from heat.sources import sources_of

BOS, TARGET, FOIL = 1, 140, 33
IDS = [BOS, 5, 17, 200, 31, 9, 88]


def generator(ids: list[int], target: int = TARGET, seed: int = 0) -> torch.Generator:
    return generator_of(collate([Encoded((*ids, target), len(ids), "", None)]), 0, seed)


def without_tokenizer(family: str) -> heat.LanguageModel:
    return heat.LanguageModel(tiny_model(family), None, name=f"tiny {family}")


# --- ContextCite ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("foil", [False, True])
def test_context_cite_equals_a_lasso_on_explicit_deletions(family: str, foil: bool) -> None:
    lm = without_tokenizer(family)
    masks = torch.rand(40, 6, generator=generator(IDS)) < 0.5
    outcomes = []
    for mask in masks.tolist():
        ids = [BOS] + [token for token, left in zip(IDS[1:], mask, strict=True) if left]
        said = next_log_probs(lm, ids)
        probability = said[TARGET].double().exp()
        outcomes.append(float(said[TARGET] - said[FOIL] if foil else (probability / (1 - probability)).log()))
    v = masks.double().numpy()
    model = Lasso(alpha=0.05, tol=1e-12, max_iter=10**6).fit((v - v.mean(0)) / v.std(0), outcomes)
    expected = model.coef_ / v.std(0)
    found = heat.attribute(
        lm, IDS, [TARGET], "context-cite", foil=[FOIL] if foil else None, n_ablations=40, alpha=0.05
    ).scores[0, :-1]
    assert found[0] == 0
    np.testing.assert_allclose(found[1:].numpy(), expected, atol=2e-4)
    assert np.abs(expected).max() > 0.1


def test_the_fit_finds_planted_weights_and_leaves_constants_alone() -> None:
    masks = np.random.default_rng(0).random((200, 5)) < 0.5
    masks[:, 4] = True
    found = fit(masks, 3.0 * masks[:, 0] - 1.0 * masks[:, 2] + 7, 0.01)
    # Shrunk by α over the mask's standard deviation of about a half.
    np.testing.assert_allclose(found, [2.98, 0, -0.98, 0, 0], atol=5e-3)


def test_sources_are_words_or_sentences() -> None:
    lm = tiny_lm("llama")
    assert lm.tokenizer is not None
    token_ids = lm.tokenizer("The gate is iron. Question: What? Answer:")["input_ids"]
    names = lm.tokenizer.convert_ids_to_tokens(token_ids)
    assert names[6:10] == ["Ġ", "Qu", "es", "tion"]
    words = sources_of(lm, token_ids, "words")
    by_word: dict[int, str] = {}
    for name, word in zip(names, words, strict=True):
        by_word[word] = by_word.get(word, "") + name.replace("Ġ", " ")
    # A space that is a token of its own goes with the word before it.
    assert {word: text.strip() for word, text in by_word.items()} == dict(
        enumerate(
            ["<s>", "The", "gate", "is", "iron", ".", "Question", ":", "What", "?", "Answer", ":"], start=-1
        )
    )
    sentences = sources_of(lm, token_ids, "sentences")
    stop, mark = names.index("."), names.index("?")
    assert sentences == [-1] + [0] * (stop + 1) + [1] * (mark - stop) + [2] * (len(names) - mark - 2)
    assert sources_of(without_tokenizer("llama"), [BOS, 9, 9, 7], "words") == [-1, 0, 1, 2]


def test_a_source_s_score_is_shared_evenly_by_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    weights: list[np.ndarray] = []

    def keep(masks: np.ndarray, outcomes: np.ndarray, alpha: float) -> np.ndarray:
        weights.append(fit(masks, outcomes, alpha))
        return weights[0]

    monkeypatch.setattr("heat.algorithms.context_cite.fit", keep)
    found = heat.attribute(
        tiny_lm("llama"), "The gate is iron. Question: What? Answer:", " iron", "context-cite"
    )
    assert [*found.tokens[7:10]] == ["Qu", "es", "tion"]
    # "Question" is the sixth source.
    assert found.scores[0, 7:10].tolist() == pytest.approx([weights[0][5] / 3] * 3)
    assert weights[0][5] != 0
    assert float(found.scores.sum()) == pytest.approx(weights[0].sum(), abs=1e-5)


# --- ReAGent -------------------------------------------------------------------------------------------------------


def test_the_update_is_the_logit_of_half_the_drop() -> None:
    replaced = torch.tensor([[True, False, False]])
    found = updates(torch.tensor([0.6], dtype=torch.float64), replaced)
    # δ = 0.6, -0.6, -0.6: logit(0.8) = ln 4 and logit(0.2) = -ln 4.
    assert found[0].tolist() == pytest.approx([np.log(4), -np.log(4), -np.log(4)])
    assert updates(torch.tensor([1.0], dtype=torch.float64), replaced).isfinite().all()


def one_step_at_a_time(
    lm: heat.LanguageModel,
    ids: list[int],
    *,
    max_steps: int,
    ratio: float,
    top_n: int,
    top_k: int,
    foil: bool,
) -> tuple[Tensor, int]:
    """ReAGent with even replacements and three probes, as the algorithm is written."""

    def probability(text: list[int]) -> float:
        said = next_log_probs(lm, text).double()
        return float(said[[TARGET, FOIL]].softmax(-1)[0] if foil else said[TARGET].exp())

    draws = generator(ids)
    logits = torch.rand(3, len(ids), generator=draws, dtype=torch.float64)
    original = probability(ids)
    ended = [False] * 3
    for _ in range(max_steps):
        if all(ended):
            break
        chosen, into, rest = torch.rand(3, 3, len(ids), generator=draws)
        for probe in range(3):
            if ended[probe]:
                continue
            R = [float(number) < ratio and ids[i] != BOS for i, number in enumerate(chosen[probe])]
            swapped = [int(into[probe, i] * 320) if R[i] else token for i, token in enumerate(ids)]
            drop = original - probability(swapped)
            for i, inside in enumerate(R):
                half = (drop if inside else -drop) / 2 + 0.5
                logits[probe, i] += np.log(half / (1 - half))
            top = logits[probe].topk(top_n).indices.tolist()
            alone = [
                token if i in top or token == BOS else int(rest[probe, i] * 320)
                for i, token in enumerate(ids)
            ]
            ended[probe] = TARGET in next_log_probs(lm, alone).topk(top_k).indices.tolist()
    used = [probe for probe in range(3) if ended[probe] or not any(ended)]
    return logits[used].softmax(-1).mean(0), sum(ended)


@pytest.mark.parametrize("foil", [False, True])
@pytest.mark.parametrize(
    ("top_k", "stopping"), [(1, 0), (47, 2), (300, 3)], ids=["none stops", "some stop", "all stop"]
)
def test_reagent_equals_one_step_at_a_time(top_k: int, stopping: int, foil: bool) -> None:
    lm = without_tokenizer("llama")
    ids = [*IDS, 60, 61]
    given: dict[str, Any] = {"max_steps": 13, "ratio": 0.4, "top_n": 2, "top_k": top_k}
    expected, ended = one_step_at_a_time(lm, ids, **given, foil=foil)
    assert ended == stopping
    for budget in (1, 64, 4096):
        found = heat.attribute(
            lm,
            ids,
            [TARGET],
            "reagent",
            foil=[FOIL] if foil else None,
            sampler="uniform",
            batch_tokens=budget,
            **given,
        ).scores[0, :-1]
        torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-5)


def needle_lm() -> tuple[heat.LanguageModel, int]:
    """A model that gives the target where token 77 stands in the text, and tokens 5 to 8 where it does not.

    LLaMA without MLPs: one head of even attention carries first components of embeddings to the last position; 77 alone
    has one, and the head reads it. All have the second, which speaks for 5 to 8.
    """
    model = tiny_model("llama", num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)
    block = model.model.layers[0]
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        embeddings[:, 0] = 0
        embeddings[:, 1] = 1
        embeddings[77] = 0
        embeddings[77, 0] = 20
        for weight in (block.self_attn.q_proj.weight, block.self_attn.k_proj.weight):
            weight.zero_()
        for weight in (block.self_attn.v_proj.weight, block.self_attn.o_proj.weight):
            weight.zero_()
            weight[0, 0] = 10
        block.mlp.down_proj.weight.zero_()
        head = model.get_output_embeddings().weight
        head.zero_()
        head[TARGET, 0] = 3
        head[5:9, 1] = 1
    return heat.LanguageModel(model, None, name="needle"), 77


def test_a_draw_that_leaves_nothing_keeps_the_last_source(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def keep(masks: np.ndarray, outcomes: np.ndarray, alpha: float) -> np.ndarray:
        seen.append(masks)
        return fit(masks, outcomes, alpha)

    monkeypatch.setattr("heat.algorithms.context_cite.fit", keep)
    lm = heat.LanguageModel(tiny_model("llama"), None)
    heat.attribute(lm, [5, 17, 200], [TARGET], "context-cite", n_ablations=400, keep=0.05)
    (masks,) = seen
    assert masks.any(-1).all()
    # 0.95³ = 0.86 of the draws left nothing; each of the others is drawn in 0.05.
    assert masks.mean(0) == pytest.approx([0.05, 0.05, 0.05 + 0.86], abs=0.06)


@pytest.mark.parametrize("method", ["reagent", "context-cite"])
def test_the_token_that_makes_the_answer_wins(method: str) -> None:
    lm, needle = needle_lm()
    ids = [BOS, 20, 21, 22, needle, 23, 24, 25, 26, 27]
    assert float(next_log_probs(lm, ids)[TARGET]) > -0.2
    assert float(next_log_probs(lm, [30 if token == needle else token for token in ids])[TARGET]) < -4
    options = {"top_n": 1, "sampler": "uniform"} if method == "reagent" else {}
    for seed in range(5):
        scores = heat.attribute(lm, ids, [TARGET], method, seed=seed, **options).scores[0, :-1]
        assert int(scores.argmax()) == ids.index(needle)


def test_replacements_come_from_the_model_itself() -> None:
    from heat.algorithms.reagent import _from_model

    lm = without_tokenizer("llama")
    drawn = _from_model(lm, torch.tensor(IDS)).drawn(
        torch.rand(20_000, len(IDS), generator=torch.Generator().manual_seed(0))
    )
    for place in range(1, len(IDS)):
        said = next_log_probs(lm, IDS[:place]).exp()
        top = said.topk(256)
        frequency = torch.bincount(drawn[:, place], minlength=320) / len(drawn)
        # The 256 most probable, among themselves; a share of 20,000 draws is within 0.015 of its probability.
        torch.testing.assert_close(frequency[top.indices], top.values / top.values.sum(), atol=0.015, rtol=0)
        assert float(frequency[top.indices].sum()) == pytest.approx(1)
    first = torch.bincount(drawn[:, 0], minlength=320) / len(drawn)
    assert float(first.max()) < 0.01 < 320 * float(first.min())


@pytest.fixture
def masked_lm(tmp_path: Path) -> str:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
        pad_token_id=0,
    )
    model = RobertaForMaskedLM(config)
    with torch.no_grad():
        # It suggests " iron" and " copper" everywhere.
        bias = model.lm_head.bias
        bias.fill_(-30)
        bias[tokenizer.convert_tokens_to_ids(["Ġiron", "Ġmade"])] = 0
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


def test_replacements_come_from_a_masked_language_model(masked_lm: str) -> None:
    from heat.algorithms.reagent import _from_masked_lm

    lm = tiny_lm("llama")
    assert lm.tokenizer is not None
    token_ids = lm.tokenizer("The gate is made")["input_ids"]
    replacements = _from_masked_lm(lm, torch.tensor(token_ids), masked_lm)
    drawn = replacements.drawn(torch.rand(200, len(token_ids), generator=torch.Generator().manual_seed(0)))
    # A token that begins with a space gets one back.
    assert {*lm.tokenizer.convert_ids_to_tokens(drawn[:, 2].unique().tolist())} == {"Ġiron", "Ġmade"}
    made = heat.attribute(
        lm, "The gate is made", " of", "reagent", sampler=f"masked-lm:{masked_lm}", max_steps=3
    )
    assert made.scores.sum() == pytest.approx(1, abs=1e-5)


def test_a_masked_language_model_that_cannot_serve_is_refused(tmp_path: Path, masked_lm: str) -> None:
    lm = tiny_lm("llama")
    with pytest.raises(ModelNotFoundError, match="is no masked language model"):
        heat.attribute(lm, "The gate", " of", "reagent", sampler=f"masked-lm:{tmp_path / 'none'}")
    with pytest.raises(TokenizerError, match="has no tokenizer to map"):
        heat.attribute(without_tokenizer("llama"), IDS, [TARGET], "reagent", sampler=f"masked-lm:{masked_lm}")
    with pytest.raises(ConfigError, match="'sampler' = 'words'"):
        heat.attribute(lm, IDS, [TARGET], "reagent", sampler="words")
