"""Owen values against all orders written out, and what a budget may spend."""

from collections.abc import Callable
from itertools import permutations, product

import pytest
import torch
from fakes.tiny_models import tiny_lm
from torch import Tensor

import heat
from heat.algorithms.captum_bridge import Text
from heat.algorithms.owen import Block, grouped, hierarchy, owen_values
from heat.sources import sources_of

Game = Callable[[Tensor], Tensor]


def singles(*tokens: int) -> list[Block]:
    return [Block((token,)) for token in tokens]


def random_game(n_players: int, seed: int = 0) -> Game:
    """Any value for any coalition."""
    values = torch.randn(1 << n_players, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    bits = 1 << torch.arange(n_players)
    return lambda coalitions: values[(coalitions * bits).sum(-1)]


def orders(block: Block) -> list[tuple[int, ...]]:
    """Every order of a block's tokens in which those of each part follow each other."""
    if not block.parts:
        return [block.tokens]
    return [
        sum(chosen, ())
        for arranged in permutations(block.parts)
        for chosen in product(*(orders(part) for part in arranged))
    ]


def by_all_orders(block: Block, game: Game) -> Tensor:
    n_players = len(block.tokens)
    values = torch.zeros(n_players, dtype=torch.float64)
    every = orders(block)
    for arranged in every:
        present = torch.zeros(1, n_players, dtype=torch.bool)
        before = game(present)
        for token in arranged:
            present[0, token] = True
            after = game(present)
            values[token] += (after - before)[0]
            before = after
    return values / len(every)


TREES = {
    "two levels": Block(
        tuple(range(6)),
        (
            Block((0, 1, 2), tuple(singles(0, 1, 2))),
            Block((3,)),
            Block((4, 5), tuple(singles(4, 5))),
        ),
    ),
    "three levels": Block(
        tuple(range(6)),
        (
            Block(
                (0, 1, 2, 3), (Block((0, 1), tuple(singles(0, 1))), Block((2, 3), tuple(singles(2, 3)), True))
            ),
            Block((4, 5), tuple(singles(4, 5))),
        ),
    ),
    "halves": grouped(singles(*range(7))),
    "four at once": Block(tuple(range(4)), tuple(singles(0, 1, 2, 3))),
}


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("seed", [0, 1])
def test_they_are_the_mean_over_all_orders_that_keep_blocks_together(name: str, seed: int) -> None:
    tree = TREES[name]
    game = random_game(len(tree.tokens), seed)
    torch.testing.assert_close(owen_values(tree, game, 10_000), by_all_orders(tree, game), atol=1e-12, rtol=0)


@pytest.mark.parametrize("n_players", [1, 2, 3])
def test_up_to_three_parts_have_their_shapley_values(n_players: int) -> None:
    game = random_game(n_players)
    flat = Block(tuple(range(n_players)), tuple(singles(*range(n_players))) if n_players > 1 else ())
    assert grouped(singles(*range(n_players))) == flat
    values = torch.zeros(n_players, dtype=torch.float64)
    arranged = list(permutations(range(n_players)))
    for order in arranged:
        for place, token in enumerate(order):
            with_it = torch.zeros(2, n_players, dtype=torch.bool)
            with_it[0, list(order[:place])] = True
            with_it[1, list(order[: place + 1])] = True
            values[token] += game(with_it).diff()[0] / len(arranged)
    torch.testing.assert_close(owen_values(flat, game, 8), values, atol=1e-12, rtol=0)


@pytest.mark.parametrize("budget", [2, 3, 4, 9, 20, 33, 1000])
def test_the_budget_holds_and_the_sum_with_it(budget: int) -> None:
    game, spent = random_game(9), 0

    def counted(coalitions: Tensor) -> Tensor:
        nonlocal spent
        spent += len(coalitions)
        assert len(coalitions.unique(dim=0)) == len(coalitions)
        return game(coalitions)

    found = owen_values(grouped(singles(*range(9))), counted, budget)
    assert spent <= budget
    assert spent > min(budget, 60) - 6
    ends = game(torch.tensor([[False] * 9, [True] * 9]))
    assert float(found.sum()) == pytest.approx(float(ends[1] - ends[0]), abs=1e-12)


def test_a_sum_is_told_apart_where_it_is_opened() -> None:
    parts = torch.tensor([0.0, 0, 0, 0, 0, 0, 5, 0], dtype=torch.float64)
    tree = grouped(singles(*range(8)))
    game: Game = lambda coalitions: coalitions.double() @ parts  # noqa: E731
    torch.testing.assert_close(owen_values(tree, game, 10_000), parts)
    # Ends, the text, its second half in both contexts, and the third quarter in all four: 2 + 2 + 4 + 8.
    torch.testing.assert_close(owen_values(tree, game, 16), parts)
    # One level less: two tokens share.
    torch.testing.assert_close(owen_values(tree, game, 8)[6:], torch.tensor([2.5, 2.5], dtype=torch.float64))


def test_words_are_told_apart_before_tokens_are() -> None:
    word = Block((0, 1), tuple(singles(0, 1)), True)
    tree = Block((0, 1, 2, 3), (word, Block((2, 3), tuple(singles(2, 3)))))
    parts = torch.tensor([9.0, 1.0, 0.2, 0.1], dtype=torch.float64)
    game: Game = lambda coalitions: coalitions.double() @ parts  # noqa: E731
    # 2 + 2 + 2 · 2: nothing is left for the tokens of the word, though they have more to share.
    torch.testing.assert_close(
        owen_values(tree, game, 8), torch.tensor([5.0, 5.0, 0.2, 0.1], dtype=torch.float64)
    )
    torch.testing.assert_close(owen_values(tree, game, 12), parts)


def test_the_hierarchy_is_sentences_of_words_of_tokens() -> None:
    lm = tiny_lm("llama")
    assert lm.tokenizer is not None
    token_ids = lm.tokenizer("The gate is iron. Question: What? Answer:")["input_ids"]
    names = lm.tokenizer.convert_ids_to_tokens(token_ids)
    text = hierarchy(sources_of(lm, token_ids, "sentences"), sources_of(lm, token_ids, "words"))
    # `<s>` and three sentences, in halves.
    assert text.tokens == tuple(range(len(token_ids)))
    left, right = text.parts
    assert left.parts[0] == Block((0,))
    assert "".join(names[token] for token in left.parts[1].tokens).strip("Ġ") == "TheĠgateĠisĠiron."
    question = right.parts[0]
    # Question, :, What, ? and the first of them in three tokens.
    assert [len(half.parts) for half in question.parts] == [2, 2]
    word = question.parts[0].parts[0]
    assert word.within_word
    assert not question.within_word
    assert [names[token] for token in word.tokens] == ["Qu", "es", "tion"] or len(word.tokens) == 3


@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_scores_of_a_model_are_those_of_its_game(baseline: str) -> None:
    lm = tiny_lm("llama")
    encoded = heat.encode(lm, "The gate", " iron", max_targets=1)
    n_tokens = encoded.n_prompt
    with torch.no_grad():
        embeddings = lm.model.get_input_embeddings()(torch.tensor(encoded.token_ids))
        blank = embeddings.mean(0) if baseline == "mean" else torch.zeros(embeddings.shape[1])

    def game(coalitions: Tensor) -> Tensor:
        masked = torch.where(coalitions[..., None], embeddings[:n_tokens], blank)
        with torch.no_grad():
            said = lm.model(inputs_embeds=masked).logits[:, -1].log_softmax(-1)
        return said[:, encoded.token_ids[n_tokens]].double()

    token_ids = list(encoded.token_ids[:n_tokens])
    tree = hierarchy(sources_of(lm, token_ids, "sentences"), sources_of(lm, token_ids, "words"))
    assert len(orders(tree)) < 500
    found = heat.attribute(lm, encoded, None, "owen", baseline=baseline, budget=1000).scores[0, :n_tokens]
    torch.testing.assert_close(found.double(), by_all_orders(tree, game), atol=1e-5, rtol=1e-4)
    assert float(found.abs().max()) > 0.1


def test_passes_stay_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0
    whole = Text.forward

    def counted(text: Text, points: Tensor) -> Tensor:
        nonlocal passed
        passed += len(points)
        return whole(text, points)

    monkeypatch.setattr(Text, "forward", counted)
    lm, ids = tiny_lm("llama"), [5 + 3 * i % 40 for i in range(30)]
    for budget in (2, 17, 60):
        passed = 0
        scores = heat.attribute(lm, ids, [9], "owen", budget=budget, batch_tokens=100).scores[0]
        assert budget - 6 < passed <= budget <= heat.methods()["owen"](budget=budget).cost(30, 1)  # type: ignore[call-arg]
        torch.testing.assert_close(
            heat.attribute(lm, ids, [9], "owen", budget=budget).scores[0], scores, rtol=1e-4, atol=1e-5
        )
