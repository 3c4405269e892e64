import pytest
import torch
from fakes.tiny_models import tiny_lm

import heat
from heat.generation import Said, said, said_to_each

HEADS = [[5, 6, 7, 8, 9], [11, 12], [20, 21, 22]]


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom", "gemma2", "mamba"])
def test_together_they_say_what_each_says_alone(family: str) -> None:
    lm = tiny_lm(family)
    together = said_to_each(lm, HEADS, [4, 6, 5])
    for head, most, one in zip(HEADS, [4, 6, 5], together, strict=True):
        assert one == said(lm, head, most)
        # Step by step and without a cache.
        greedy = heat.encode(lm, head, None, max_targets=most).token_ids[len(head) :]
        assert one.token_ids == greedy[: len(one.token_ids)]
        assert one.end is not None or len(one.token_ids) == most


def test_the_model_s_own_ways_of_drawing_do_not_count() -> None:
    lm = tiny_lm("llama")
    expected = said_to_each(lm, HEADS, [4, 6, 5])
    config = lm.model.generation_config
    assert config is not None
    config.update(num_beams=2, repetition_penalty=5.0, no_repeat_ngram_size=1)
    try:
        assert said_to_each(lm, HEADS, [4, 6, 5]) == expected
    finally:
        config.update(num_beams=None, repetition_penalty=None, no_repeat_ngram_size=None)


def test_each_stops_where_it_is_told() -> None:
    lm = tiny_lm("llama")
    whole = said_to_each(lm, HEADS, [8, 8, 8])
    cut = said_to_each(lm, HEADS, [8, 8, 8], lambda index, ids: len(ids) == index + 2)
    assert cut == [Said(one.token_ids[: index + 2], None) for index, one in enumerate(whole)]


def test_no_more_is_said_than_one_of_them_needs() -> None:
    lm = tiny_lm("llama")
    said_to_each(lm, HEADS, [1, 1, 1])  # what is found out of a model once
    passes = []
    handle = lm.model.register_forward_hook(lambda *_: passes.append(1))
    try:
        said_to_each(lm, HEADS, [8, 8, 8], lambda index, ids: len(ids) == index + 2)
    finally:
        handle.remove()
    assert len(passes) == 4


def test_the_end_token_is_told_and_left_out() -> None:
    lm = tiny_lm("llama")
    (whole,) = said_to_each(lm, HEADS[:1], [4])
    config = lm.model.generation_config
    assert config is not None
    given = config.eos_token_id
    try:
        config.eos_token_id = whole.token_ids[2]
        ended = said_to_each(lm, HEADS, [4, 4, 4])
    finally:
        config.eos_token_id = given
    at = whole.token_ids.index(whole.token_ids[2])
    assert ended[0] == Said(whole.token_ids[:at], whole.token_ids[2])


def test_prompts_at_the_end_of_the_context_are_asked_alone() -> None:
    lm = tiny_lm("gpt2")
    assert lm.context_length is not None
    long = [5 + index % 50 for index in range(lm.context_length - 2)]
    found = said_to_each(lm, [long, [5, 6]], [2, 9])
    assert found == [said(lm, long, 2), said(lm, [5, 6], 9)]


def test_the_caller_s_random_state_stays() -> None:
    lm, state = tiny_lm("llama"), torch.get_rng_state()
    said_to_each(lm, HEADS, [2, 2, 2])
    assert torch.equal(torch.get_rng_state(), state)
